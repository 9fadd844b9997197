"""Where the model could have gone elsewhere, and where that would have mattered.

A decision point is a token beside which another one of probability >= 0.05 makes the step say something else, and
where the answer at the end of that road is another, or the chain's commitment to its answer moved in that
step. Roads are compared by the energy of ``docs/explanations.md``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from mch_runtime.explanation import Alternative, Decision, Outcome
from mch_runtime.head.spec import Head
from mch_runtime.inverse.commitment import Commitment
from mch_runtime.inverse.consistency import Reasoning, measure_consistency
from mch_runtime.inverse.energy import energy
from mch_runtime.inverse.reading import Read
from mch_runtime.inverse.roads import Road, Turn, chain_road, follow
from mch_runtime.inverse.segment import Segment
from mch_runtime.prompting import Frame, Prompt
from mch_runtime.session import Session

COMMITMENT_MOVES = 0.1  # nats in one step
ROADS_PER_ALTERNATIVE = 2  # followed for each that is asked for, since not all of them matter
LONGEST_ANSWER = 40  # characters of it in a sentence


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What roads are looked for and how they are read.

    points: most decision points; alternatives: most roads for each. answer_of: the answer in a chain's text;
    segments: its steps. budget: tokens that all roads together may be expected to write. calibrated: whether the head's P(the answer is right) may be told.
    """

    question: str
    answer: str | None
    points: int
    alternatives: int
    budget: int
    answer_of: Callable[[str], str | None]
    segments: Callable[[str], Sequence[Segment]]
    calibrated: bool = False


def find_decisions(
    session: Session,
    read: Read,
    survey: Survey,
    *,
    frame: Frame | None,
    head: Head | None,
    commitment: Commitment | None,
) -> tuple[Decision, ...]:
    """The decision points, best alternative first, and so their alternatives.

    Those that lead to another answer come before those that do not, then the lowest energy decides. The roads are
    written together, a token of each per batch, and the question is read behind all of them in one.
    """
    moves = _moves(read, commitment)
    turns = _affordable(candidate_turns(session, read), read, survey)
    kept: list[_Trip] = []
    for turn, road in zip(turns, follow(session, read, turns, head=head), strict=True):
        trip = _Trip(turn, road, _step_of(read, turn.token), _segment_at(read, turn, road, survey))
        changes = _changed(survey.answer, survey.answer_of(road.text) if road.complete else None)
        if trip.segment is not None and _says_else(trip, read) and (changes or moves[trip.step]):
            kept.append(trip)
    if not kept:
        return ()
    own, *outcomes = _outcomes(session, [chain_road(read), *(trip.road for trip in kept)], survey, frame)
    own = replace(own, answer=survey.answer)
    points: dict[int, list[Alternative]] = defaultdict(list)
    for trip, outcome in zip(kept, outcomes, strict=True):
        points[trip.turn.token].append(_alternative(session, read, trip, outcome, own))
    decisions = [
        _decision(session, read, token, sorted(found, key=_rank)[: survey.alternatives])
        for token, found in points.items()
    ]
    return tuple(sorted(decisions, key=lambda decision: _rank(decision.alternatives[0]))[: survey.points])


def candidate_turns(session: Session, read: Read) -> list[Turn]:
    """Every token that could well have been another one, the likeliest first.

    Raises ValueError for a chain whose generation was kept: it has to be read again.
    """
    if read.options is None:
        raise ValueError("the chain was read without its options")
    turns = [
        Turn(token=token, option=option)
        for token, options in enumerate(read.options)
        for option in options
        if not session.vocabulary.is_end(option.token_id)
    ]
    return sorted(turns, key=lambda turn: (-turn.option.statistics.logprob, turn.token))


def _affordable(turns: Sequence[Turn], read: Read, survey: Survey) -> list[Turn]:
    """As many of them as are wanted, if each road is as long as the rest of the chain."""
    wanted = turns[: survey.points * survey.alternatives * ROADS_PER_ALTERNATIVE]
    tokens = accumulate(len(read.token_ids) - turn.token for turn in wanted)
    return [turn for turn, total in zip(wanted, tokens, strict=True) if total <= survey.budget]


@dataclass(frozen=True)
class _Trip:
    """A road with its turn, the index of the step that it leaves, and what that step becomes."""

    turn: Turn
    road: Road
    step: int
    segment: Segment | None


def _step_of(read: Read, token: int) -> int:
    return next(place for place, step in enumerate(read.steps) if token < step.tokens[1])


def _start(read: Read, token: int) -> int:
    """How many characters of the chain come before a token."""
    return read.ends[token - 1] if token else 0


def _segment_at(read: Read, turn: Turn, road: Road, survey: Survey) -> Segment | None:
    """The road's step in which it leaves the chain; None if it says nothing from there on."""
    start = _start(read, turn.token)
    return next((segment for segment in survey.segments(road.text) if segment.span[1] > start), None)


def _says_else(trip: _Trip, read: Read) -> bool:
    """Whether the step differs in more than spacing, case and closing punctuation."""
    assert trip.segment is not None
    return _bare(trip.segment.text) != _bare(read.steps[trip.step].segment.text)


def _bare(text: str) -> str:
    return "".join(text.split()).casefold().strip(".,;:!")


def _moves(read: Read, commitment: Commitment | None) -> list[bool]:
    """For every step, whether the commitment to the final answer moved in it."""
    if commitment is None:
        return [False] * len(read.steps)
    moved = (abs(after - before) >= COMMITMENT_MOVES for before, after in pairwise(commitment.logprobs))
    return [step.segment.kind != "answer" and next(moved) for step in read.steps]


def _changed(answer: str | None, other: str | None) -> bool | None:
    return None if answer is None or other is None else answer != other


def _outcomes(session: Session, roads: Sequence[Road], survey: Survey, frame: Frame | None) -> list[Outcome]:
    reasonings = [Reasoning(text=road.text) for road in roads]
    fits = frame is not None and _fits(session, [frame.fill(one.text, survey.question) for one in reasonings])
    found = None
    if frame is not None and fits:
        found = measure_consistency(session, frame, question=survey.question, reasonings=reasonings)
    values = [one.ics for one in found] if found else [None] * len(roads)
    return [
        Outcome(
            answer=survey.answer_of(road.text) if road.complete else None,
            confidence=road.confidence_raw if survey.calibrated and road.complete else None,
            ics=ics,
            energy=energy(logprob=road.logprob_mean, sound=road.sound, ics=ics),
        )
        for road, ics in zip(roads, values, strict=True)
    ]


def _fits(session: Session, prompts: Sequence[Prompt]) -> bool:
    """Whether the longest prompt can be read, and its question again beside it, while the chain is in the cache."""
    return max(2 * len(prompt.token_ids) for prompt in prompts) <= session.free_tokens


def _alternative(session: Session, read: Read, trip: _Trip, outcome: Outcome, own: Outcome) -> Alternative:
    assert trip.segment is not None
    option = trip.turn.option
    start = _start(read, trip.turn.token)
    return Alternative(
        text=trip.road.text[start : trip.segment.span[1]].strip() or _text(session, option.token_id),
        token_id=option.token_id,
        probability=option.probability,
        outcome=outcome,
        changes=_changed(own.answer, outcome.answer),
        why_not=why_not(outcome, own),
    )


def _rank(alternative: Alternative) -> tuple[bool, float]:
    outcome = alternative.outcome
    assert outcome is not None
    assert outcome.energy is not None
    return not alternative.changes, outcome.energy


def _decision(session: Session, read: Read, token: int, alternatives: Sequence[Alternative]) -> Decision:
    return Decision(
        step=_step_of(read, token),
        token=token,
        text=_text(session, read.token_ids[token]),
        probability=math.exp(read.statistics[token].logprob),
        alternatives=tuple(alternatives),
    )


def _text(session: Session, token_id: int) -> str:
    return session.vocabulary.piece(token_id).decode("utf-8", "replace")


def why_not(other: Outcome, own: Outcome) -> str:
    """One sentence about a road that was not taken, made of the two outcomes and nothing else."""
    pairs = [
        ("P(right)", _uncertain(other.confidence), _uncertain(own.confidence), ".2f"),
        ("inverse consistency", other.ics, own.ics, ".3f"),
        ("energy", other.energy, own.energy, ".3f"),
    ]
    numbers = ", ".join(
        f"{name} {value:{form}} against {ours:{form}}"
        for name, value, ours, form in pairs
        if value is not None and ours is not None
    )
    verdict = ""
    if other.energy is not None and own.energy is not None:
        verdict = (
            "it is the better road by energy"
            if other.energy < own.energy
            else "it is the worse road by energy"
        )
    return "; ".join(part for part in (_leads(other.answer, own.answer), verdict, numbers) if part) + "."


def _uncertain(confidence: float | None) -> float | None:
    """As it is shown everywhere: none that is measured is certainty."""
    return None if confidence is None else max(0.01, min(0.99, confidence))


def _leads(answer: str | None, own: str | None) -> str:
    if answer is None:
        return "It leads to no answer"
    if own is None:
        return f"It leads to {_short(answer)} where the chain has no answer"
    return (
        f"It leads to {_short(answer)} as well"
        if answer == own
        else f"It leads to {_short(answer)}, not {_short(own)}"
    )


def _short(answer: str) -> str:
    return answer if len(answer) <= LONGEST_ANSWER else f"{answer[: LONGEST_ANSWER - 1]}…"
