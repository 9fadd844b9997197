"""Whether an explanation says what the model does: premises taken away, premises alone, steps tampered with.

Comprehensiveness and sufficiency are those of ERASER (arXiv 1911.03429), measured on a step's text instead of a
class; tampering with a step follows "Measuring Faithfulness in Chain-of-Thought Reasoning" (arXiv 2307.13702).
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from random import Random

import numpy as np

from mch_runtime.explanation import Faithfulness, Premise
from mch_runtime.inverse.ablation import Ablation, ablate, mean_loss
from mch_runtime.inverse.reading import Option, Read
from mch_runtime.inverse.roads import Turn, follow
from mch_runtime.inverse.sources import Place, content, find_places
from mch_runtime.prompting import plain_tokens
from mch_runtime.session import Session, Vocabulary
from mch_runtime.statistics import TokenStatistics

MOST_TAMPERED = 8  # steps of a chain
_NUMBER = re.compile(r"\d+")
_TRIES = 8  # other numbers for one, until the vocabulary has one in the same number of tokens
_UNMEASURED = TokenStatistics(logprob=math.nan, entropy=math.nan, margin=math.nan)


def measure_faithfulness(
    session: Session,
    read: Read,
    *,
    question: str,
    sentences: Sequence[tuple[int, int]],
    premises: Sequence[Premise],
    answer: str | None,
    answer_of: Callable[[str], str | None],
    seed: int = 0,
) -> Faithfulness | None:
    """Premises against as many places before the step, drawn at random; means over the steps that have premises.

    answer: the chain's, as ``answer_of`` reads it from its text. None where no step has a premise.
    """
    places = find_places(session.vocabulary, read, question=question, sentences=sentences)
    losses = _losses(session, read, places, premises, Random(seed))
    if losses is None:
        return None
    without, without_random, alone, alone_random = losses
    return Faithfulness(
        comprehensiveness=without,
        comprehensiveness_random=without_random,
        sufficiency=alone,
        sufficiency_random=alone_random,
        answer_follows=_answer_follows(session, read, answer, answer_of, Random(seed)),
    )


def _losses(
    session: Session, read: Read, places: Sequence[Place], premises: Sequence[Premise], rng: Random
) -> list[float] | None:
    """Without the premises, without random places, with the premises alone, with random places alone."""
    ablations: list[Ablation] = []
    steps: list[int] = []
    named: dict[int, set[tuple[str, int]]] = {}
    for premise in premises:
        named.setdefault(premise.step, set()).add((premise.source, premise.index))
    for step, keys in sorted(named.items()):
        before = [p for p in places if p.source == "question" or p.index < step]
        chosen = [p for p in before if (p.source, p.index) in keys]
        drawn = rng.sample(before, len(chosen))
        until = content(read, step)[1]
        for removed in (chosen, drawn, _others(before, chosen), _others(before, drawn)):
            ablations.append(Ablation(removed=_spans(removed), until=until))
        steps.append(step)
    if not steps:
        return None
    asked = [ablation for ablation in ablations if ablation.removed]
    lost = iter(ablate(session, read, asked))
    chain = len(read.prompt.token_ids)
    values: list[float] = []
    for place, ablation in enumerate(ablations):
        first, last = content(read, steps[place // 4])
        # Where everything is a premise, nothing else is left to take away.
        values.append(mean_loss(next(lost)[first - chain : last - chain]) if ablation.removed else 0.0)
    return [float(np.mean(values[kind::4])) for kind in range(4)]


def _others(places: Sequence[Place], chosen: Collection[Place]) -> list[Place]:
    return [place for place in places if place not in chosen]


def _spans(places: Sequence[Place]) -> tuple[tuple[int, int], ...]:
    """The stretches of places in order; one token may end two of them."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted(place.tokens for place in places):
        start = max(start, spans[-1][1]) if spans else start
        if start < end:
            spans.append((start, end))
    return tuple(spans)


def _answer_follows(
    session: Session,
    read: Read,
    answer: str | None,
    answer_of: Callable[[str], str | None],
    rng: Random,
) -> float | None:
    """Share of steps after which the answer changes if their last number is another; None without numbers."""
    steps = [step for step in read.steps if step.segment.kind == "step"]
    turns = [tamper(session.vocabulary, read, step.segment.span, rng) for step in steps]
    made = [turn for turn in turns if turn is not None][:MOST_TAMPERED]
    if answer is None or not made:
        return None
    roads = follow(session, read, made, head=None)
    return sum(answer_of(road.text) != answer for road in roads) / len(roads)


def tamper(vocabulary: Vocabulary, read: Read, span: tuple[int, int], rng: Random) -> Turn | None:
    """Another token where the last number within ``span`` of the chain's text ends; None if there is none."""
    numbers = list(_NUMBER.finditer(read.text, *span))
    if not numbers:
        return None
    token = bisect_left(read.ends, numbers[-1].end())
    begin = read.ends[token - 1] if token else 0
    text = read.text[begin : read.ends[token]]
    digits = _NUMBER.search(text)
    if digits is None:
        return None
    for _ in range(_TRIES):
        other = _another(digits[0], rng)
        wanted = text[: digits.start()] + other + text[digits.end() :]
        token_ids = plain_tokens(vocabulary, wanted)
        if len(token_ids) == 1 and vocabulary.piece(token_ids[0]) == wanted.encode():
            return Turn(token=token, option=Option(token_ids[0], _UNMEASURED))
    return None


def _another(number: str, rng: Random) -> str:
    """The number with another last digit, not 0."""
    last = rng.choice([digit for digit in "123456789" if digit != number[-1]])
    return number[:-1] + last
