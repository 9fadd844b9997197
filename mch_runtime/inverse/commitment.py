"""How much of the answer had been decided after each step, and how much each step had to do with it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mch_runtime.inverse.reading import Read, text_ends
from mch_runtime.inverse.scoring import Inquiry, Job, Scores
from mch_runtime.prompting import plain_tokens
from mch_runtime.session import Vocabulary
from prompts.dialects import Dialect


@dataclass(frozen=True)
class Commitment:
    """After none, one, ... all n of the steps that are not the answer itself; both (n + 1,), nats.

    logprobs: log P(final answer | question, steps so far, the forced answer's prefix). entropies: of the answer there.
    """

    logprobs: tuple[float, ...]
    entropies: tuple[float, ...]

    @property
    def usefulness(self) -> tuple[float, ...]:
        """How far each step lowered the answer's entropy, (n,), nats."""
        return tuple(before - after for before, after in pairwise(self.entropies))


def ask_commitment(
    vocabulary: Vocabulary, read: Read, *, dialect: Dialect, answer: str
) -> Inquiry[Commitment] | None:
    """Ask for the answer after every step, in forks of the chain's cache.

    None for a model that was not trained to answer early: there the numbers would be noise.

    The entropy is that of the answer's distribution, as far as the rows of the final answer show it: by the chain
    rule it is the sum over all beginnings of an answer of P(beginning) * H(next token | beginning), and
    of these terms those at the beginnings of the final answer are taken. They cost nothing further, the
    first and largest is exact, all others are weighted by how likely the model is to get there, and none is
    negative: a lower bound that is tight where the final answer is the likely one.
    """
    if not dialect.answer_prefix:
        return None
    places = [0, *(step.tokens[1] for step in read.steps if step.segment.kind != "answer")]
    return Inquiry(
        [_job(vocabulary, read, place, dialect, answer) for place in places],
        lambda found: Commitment(tuple(one.total for one in found), tuple(_entropy(one) for one in found)),
    )


def _job(vocabulary: Vocabulary, read: Read, place: int, dialect: Dialect, answer: str) -> Job:
    """The forced answer after the chain's first ``place`` tokens, the answer and its end to be scored."""
    written = read.text[: read.ends[place - 1]] if place else ""
    joint = "" if not written or written.endswith(read.delimiter) else read.delimiter
    prefix = f"{joint}{dialect.answer_prefix}"
    tokens = plain_tokens(vocabulary, f"{prefix} {answer}")
    _, ends = text_ends(vocabulary, tokens)
    # SentencePiece puts a space in front, so the answer's length is counted from the end.
    first = next(place for place, end in enumerate(ends) if ends[-1] - end < len(f" {answer}"))
    tokens += vocabulary.tokenize(dialect.answer_end, parse_special=True)
    return Job(parent=read.branch, length=read.length(place), token_ids=tokens, first=first)


def _entropy(scores: Scores) -> float:
    """The terms of the chain rule at the beginnings of the scored answer."""
    reached = np.exp(np.cumsum(scores.logprobs, dtype=np.float64) - scores.logprobs)
    return float(np.dot(reached, scores.entropies))
