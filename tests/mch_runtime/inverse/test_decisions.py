"""Roads not taken: found, followed together, told by their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from mch_runtime.explanation import Decision, Outcome
from mch_runtime.head.spec import Head
from mch_runtime.inverse.commitment import Commitment
from mch_runtime.inverse.consistency import inverse_frame
from mch_runtime.inverse.decisions import Survey, find_decisions, why_not
from mch_runtime.inverse.energy import PER_TOKEN, energy
from mch_runtime.inverse.segment import Segment, final_answer, segments
from tests.fake_session import FakeSession
from tests.head_samples import random_head
from tests.mch_runtime.inverse.chains import CHAIN, PICO, QUESTION, ForkingSession, reading

OTHER = "Step 1: 2 * 3 = 6.\nStep 2: 6 + 3 = 9.\nAnswer: 9"
REPHRASED = CHAIN.replace("Step 2: 4 + 3 = 7.", "Step 2: so 4 + 3 = 7.")
SPACED = CHAIN.replace("Step 2: 4 + 3 = 7.", "Step 2:  4 + 3 = 7.")
STILL = Commitment((-3.0, -2.95, -2.95), (1.0, 1.0, 1.0))
MOVED = Commitment((-3.0, -2.0, -0.5), (1.0, 0.5, 0.1))


def cut(text: str) -> Sequence[Segment]:
    return segments(text, dialect=PICO)


def survey(**changes: object) -> Survey:
    fields: dict[str, object] = {
        "question": QUESTION,
        "answer": "7",
        "points": 3,
        "alternatives": 3,
        "budget": 1000,
        "answer_of": lambda text: final_answer(text, dialect=PICO),
        "segments": cut,
        "calibrated": True,
    }
    return Survey(**(fields | changes))  # type: ignore[arg-type]


def decide(
    other: str, *, head: Head | None = None, commitment: Commitment | None = MOVED, **changes: object
) -> tuple[tuple[Decision, ...], ForkingSession]:
    session = ForkingSession(CHAIN, other, n_ctx=2000)
    with reading(session, head=head) as read:
        session.decodes.clear()
        frame = inverse_frame(session.vocabulary, PICO)
        found = find_decisions(
            session, read, survey(**changes), frame=frame, head=head, commitment=commitment
        )
    assert session.free_branches == 8
    return found, session


@pytest.mark.parametrize("head", [None, random_head(d=FakeSession.n_embd)])
def test_another_answer_makes_a_decision_point(head: Head | None) -> None:
    found, session = decide(OTHER, head=head)
    (decision,) = found
    assert (decision.step, decision.token, decision.text) == (0, CHAIN.index("+"), "+")
    (alternative,) = decision.alternatives
    assert alternative.text == "* 3 = 6."
    assert 0.05 < alternative.probability < decision.probability < 1
    assert alternative.changes is True
    outcome = alternative.outcome
    assert outcome is not None
    assert outcome.answer == "9"
    assert outcome.ics is not None
    assert (outcome.confidence is None) is (head is None)
    assert outcome.energy is not None
    assert alternative.why_not.startswith("It leads to 9, not 7; it is the ")
    # One token a decode for the road, then two for the question behind all roads.
    assert len(session.decodes) <= len(OTHER) - CHAIN.index("+") + 1 + 2


def test_the_road_s_energy_is_made_of_its_own_numbers() -> None:
    (decision,), _ = decide(OTHER)
    outcome = decision.alternatives[0].outcome
    assert outcome is not None
    with reading(ForkingSession(CHAIN, OTHER), OTHER) as road:
        logprob_mean = sum(s.logprob for s in road.statistics) / len(road.statistics)
    assert outcome.energy == pytest.approx(-logprob_mean - PER_TOKEN.ics * (outcome.ics or 0), abs=1e-4)


def test_the_head_hears_the_road_as_if_it_had_been_written() -> None:
    head = random_head(d=FakeSession.n_embd)
    (decision,), _ = decide(OTHER, head=head)
    with reading(ForkingSession(CHAIN, OTHER), OTHER, head=head) as road:
        expected = road.confidence_raw
    outcome = decision.alternatives[0].outcome
    assert outcome is not None
    assert outcome.confidence == pytest.approx(expected, abs=1e-6)


def test_a_rephrased_step_counts_where_the_commitment_moved() -> None:
    assert decide(REPHRASED, commitment=STILL)[0] == ()
    assert decide(REPHRASED, commitment=None)[0] == ()
    (decision,), _ = decide(REPHRASED, commitment=MOVED)
    assert decision.alternatives[0].changes is False
    assert decision.alternatives[0].why_not.startswith("It leads to 7 as well")


def test_spacing_is_no_decision() -> None:
    assert decide(SPACED)[0] == ()


def test_a_budget_bounds_the_roads() -> None:
    found, session = decide(OTHER, budget=5)
    assert (found, session.decodes) == ((), [])


def test_a_head_that_is_not_calibrated_gives_no_confidence() -> None:
    (decision,), _ = decide(OTHER, head=random_head(d=FakeSession.n_embd), calibrated=False)
    outcome = decision.alternatives[0].outcome
    assert outcome is not None
    assert outcome.confidence is None


def test_it_is_repeatable() -> None:
    assert decide(OTHER)[0] == decide(OTHER)[0]


def test_energy() -> None:
    assert energy(logprob=-0.5, sound=None, ics=None) == 0.5
    assert energy(logprob=-0.5, sound=0.5, ics=2.0) == pytest.approx(
        0.5 + PER_TOKEN.sound * math.log(2) - PER_TOKEN.ics * 2
    )
    assert math.isfinite(energy(logprob=0.0, sound=0.0, ics=None))


def outcome(
    answer: str | None, confidence: float | None = None, ics: float | None = None, energy: float | None = None
) -> Outcome:
    return Outcome(answer=answer, confidence=confidence, ics=ics, energy=energy)


@pytest.mark.parametrize(
    ("other", "own", "sentence"),
    [
        (
            outcome("9", 0.12, 0.2, 1.5),
            outcome("7", 0.97, 0.5, 0.25),
            (
                "It leads to 9, not 7; it is the worse road by energy; P(right) 0.12 against 0.97, "
                "inverse consistency 0.200 against 0.500, energy 1.500 against 0.250."
            ),
        ),
        (
            outcome("9", None, 0.5, 0.1),
            outcome("7", 0.9, 0.5, 0.25),
            (
                "It leads to 9, not 7; it is the better road by energy; inverse consistency 0.500 against 0.500, "
                "energy 0.100 against 0.250."
            ),
        ),
        (outcome(None), outcome("7"), "It leads to no answer."),
        (outcome("7"), outcome("7"), "It leads to 7 as well."),
        (outcome("7"), outcome(None), "It leads to 7 where the chain has no answer."),
        (outcome("x" * 99), outcome("7"), f"It leads to {'x' * 39}…, not 7."),
    ],
)
def test_why_not_says_what_was_measured(other: Outcome, own: Outcome, sentence: str) -> None:
    assert why_not(other, own) == sentence
