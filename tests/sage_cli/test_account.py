from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mch_runtime.explanation import Explanation
from sage_cli import account
from sage_cli.queries import queries
from tests.explanation_samples import ALL, foreign, hostile, right, without_steps, wrong


def test_a_right_answer() -> None:
    assert account.paragraph(right()) == (
        "The answer is 27, right with a probability of 0.97.",
        "No step was found wrong; the weakest of 3 steps is step 2, valid with a probability of 0.91.",
        "The answer was settled by step 2, which raised its probability from 0.12 to 0.97.",
        "The question can be told from the reasoning: 0.82 nats per token, 0.03 with its words shuffled.",
        "Another word at step 1 leads to another answer.",
    )


def test_a_wrong_answer() -> None:
    assert account.paragraph(wrong())[1:4] == (
        "Step 1 is the first that goes wrong: wrong arithmetic (12 + 3 is 15, not 16).",
        "Steps 2 and 3 inherit the error.",
        "The answer was settled after step 1, with a probability of 0.67.",
    )


def test_what_was_not_measured_is_not_told() -> None:
    assert account.paragraph(foreign()) == (
        "The answer is 27; how likely it is right is not known, since other has no head.",
        "The weakest of 2 steps is step 2, log-probability -0.32 per token.",
    )
    assert account.paragraph(without_steps()) == ("No answer was found in the text.", "It gives no steps.")


def test_why_the_confidence_is_not_known() -> None:
    unknown = replace(right(), trace=replace(right().trace, confidence=None))
    assert "is not known (raw 0.97)." in account.paragraph(unknown)[0]
    assert (
        "since this model did not write the chain (raw 0.97)"
        in account.paragraph(replace(unknown, own=False))[0]
    )
    assert "since the question is worded unlike those the head knows" in account.paragraph(hostile())[0]


@pytest.mark.parametrize(
    ("commitments", "settled", "said"),
    [
        ((-3.0, -0.01, -0.01), 1, "settled by step 2, which raised its probability from 0.05 to 0.99"),
        ((-0.1, -0.1, -0.1), 0, "settled after step 1, with a probability of 0.90"),
        ((-0.1, -3.0, -0.1), 2, "settled by step 3"),
        ((-3.0, -3.0, -3.0), None, "never settled: after the last step its probability is 0.05"),
        ((-3.0, -0.1, None), 1, "settled by step 2"),
        ((None, None, None), None, ""),
    ],
)
def test_where_the_answer_was_settled(
    commitments: tuple[float | None, ...], settled: int | None, said: str
) -> None:
    trace = right().trace
    steps = tuple(replace(s, commitment=c) for s, c in zip(trace.steps, commitments, strict=True))
    explanation = replace(right(), trace=replace(trace, steps=steps))
    assert account.settled_at(explanation) == settled
    assert said in " ".join(account.paragraph(explanation))


def test_a_question_that_cannot_be_told() -> None:
    explanation = right()
    assert explanation.consistency is not None
    for ics, control in ((-0.1, None), (0.2, 0.3), (0.0, -1.0)):
        changed = replace(explanation, consistency=replace(explanation.consistency, ics=ics, control=control))
        assert any("cannot be told" in sentence for sentence in account.paragraph(changed))


def test_withdrawn_steps_do_not_count() -> None:
    trace = right().trace
    steps = tuple(replace(step, verdict="withdrawn") for step in trace.steps)
    explanation = replace(right(), trace=replace(trace, steps=(*steps[:2], trace.steps[2])))
    assert account.weakest(explanation) == 2
    explanation = replace(right(), trace=replace(trace, steps=steps))
    assert account.weakest(explanation) is None
    assert "All of its steps were withdrawn." in account.paragraph(explanation)


def test_links_number_facts_and_steps_through() -> None:
    assert account.links(right()) == {4: (0, 1), 5: (0, 4), 6: (5,)}


def test_the_number_of_a_step_is_not_repeated() -> None:
    step = right().trace.steps[1]
    assert account.bare(step, 1) == "Tom and Ann together have 12 + 15 = 27"
    assert account.bare(step, 0) == step.text


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_every_question_has_an_answer(make: Callable[[], Explanation]) -> None:
    asked = queries(make())
    assert len(asked) == 5
    assert all(query.answers and all(query.answers) for query in asked)


def test_questions_name_what_would_change_the_answer_and_what_to_check() -> None:
    changes, checks = (query.answers for query in queries(wrong())[3:])
    assert changes[0] == "Step 1 going on with “12 + 3 = 15” (probability 0.34): the answer becomes 27."
    assert "Q1: steps 1 and 2 rest on it." in changes
    assert checks[0].endswith("wrong arithmetic (12 + 3 is 15, not 16).")
    assert "Q3, “Ben has 7 pears.”: no step rests on it." in checks
    assert any("attention and ablation do not agree" in answer for answer in checks)


@pytest.mark.parametrize(("value", "shown"), [(1e-9, "<0.01"), (0.126, "0.13"), (0.999, ">0.99")])
def test_next_to_nothing_is_not_a_hundredth(value: float, shown: str) -> None:
    assert account.chance(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(1.0, "0.99"), (0.0, "0.01"), (0.126, "0.13")])
def test_no_probability_is_certainty(value: float, shown: str) -> None:
    assert account.probability(value) == shown
