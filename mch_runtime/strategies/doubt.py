"""How sure a chain is of its steps and of its answer: the head's word where it can be trusted, else the tokens'."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mch_runtime.strategies.desk import Desk, Draft


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A probability, and what it is a probability of, in words."""

    probability: float
    words: str


def step_doubt(draft: Draft, place: int) -> Doubt:
    """That the step is valid; without a trusted head, the probability of its least likely token."""
    step = draft.chain.steps[place]
    valid = (step.confidence or {}).get("valid")
    if valid is not None:
        return Doubt(probability=valid, words=f"the step is valid with probability {valid:.2f}")
    return _least_likely(step.logprob_min)


def answer_doubt(desk: Desk, draft: Draft) -> Doubt:
    """That the answer is right. A chain without an answer is as doubtful as can be."""
    if desk.answer(draft) is None:
        return Doubt(probability=0.0, words="the chain came to no answer")
    sure = draft.witness.answer_confidence("fast") if draft.witness is not None else None
    if sure is not None and desk.case.trusted():
        return Doubt(probability=sure, words=f"the answer is right with probability {sure:.2f}")
    return _least_likely(min(token.logprob for token in draft.chain.statistics))


def doubtful_step(draft: Draft, first: int, *, below: float) -> int | None:
    """The place of the first step from ``first`` on that is in doubt. The answer's own line is none of them."""
    places = range(first, len(draft.chain.steps) - 1)
    return next((place for place in places if step_doubt(draft, place).probability < below), None)


def _least_likely(logprob: float) -> Doubt:
    value = math.exp(logprob)
    return Doubt(probability=value, words=f"its least likely token has probability {value:.2f}")
