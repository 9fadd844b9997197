"""Labels of steps: from the data, and from what chains come to that begin with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mch_runtime.fitting.labels import from_outcomes, labelled, soundness, with_withdrawals

R, W, V = "12", "15", "9"  # the right answer and two wrong ones
NAN = math.nan


def same(found: list[float], expected: list[float]) -> bool:
    return bool(np.array_equal(found, expected, equal_nan=True))


def test_the_step_behind_which_the_answer_is_out_of_reach_is_the_mistake() -> None:
    valid = from_outcomes([(R, R, R, W), (W, W, W, W), (W, W, W, W), (W,)], first=[R, R, W, R], right=R)
    assert same(valid, [1, 0, 1, 1])  # what follows keeps to the wrong value


def test_a_second_mistake_leaves_the_answer_that_the_first_leads_to() -> None:
    valid = from_outcomes([(R, R, R, R), (W, W, W, W), (V, V, V, V), (V,)], first=[R, R, W, R], right=R)
    assert same(valid, [1, 0, 0, 1])


def test_the_answer_may_come_into_reach_again() -> None:
    valid = from_outcomes([(W, W, W, W), (R, R, R, R), (R, R, R, R), (W,)], first=[R, R, W, R], right=R)
    assert same(valid, [0, 1, 1, 0])


def test_what_few_outcomes_do_not_decide_stays_open() -> None:
    assert same(from_outcomes([(R, R, R, R), (R, W), (W,)], first=[R, R, R, W], right=R), [1, NAN, NAN])


def test_nothing_is_said_where_the_model_hardly_ever_is_right() -> None:
    valid = from_outcomes([(W, W, V, V), (W, W, W, W), (W,)], first=[W, V, W, W], right=R)
    assert same(valid, [NAN, NAN, NAN])


def test_a_chain_is_sound_as_long_as_its_steps_are() -> None:
    assert same(soundness([1, 0, 1, NAN, 1], [False] * 5), [1, 0, 0, 0, 0])
    assert same(soundness([1, NAN, 1, 0], [False] * 4), [1, NAN, NAN, 0])
    assert same(soundness([1, 0, 1, 1], [False, True, False, False]), [1, 0, 1, 1])


STEP, OTHER, WAIT, END = "Step 1: 4 * 3 = 12.", "Step 1: 4 + 3 = 7.", "Wait, step 1 is wrong.", f"Answer: {R}"


@pytest.mark.parametrize(
    ("texts", "right", "before", "expected"),
    [
        ([STEP, WAIT, STEP, END], True, [1, 1, 1, 1], [1, 0, 1, 1]),  # taken back for nothing
        ([OTHER, WAIT, STEP, END], True, [1, 1, 1, 1], [0, 1, 1, 1]),
        ([STEP, WAIT], True, [1, 1], [NAN, NAN]),
        ([OTHER, WAIT, STEP, END], False, [0, 1, 1, 0], [0, 1, 1, 0]),
        ([OTHER, WAIT, STEP, END], False, [NAN, 1, 1, 0], [NAN, NAN, 1, 0]),
        ([STEP, WAIT, STEP, END], False, [1, 1, 1, 0], [1, 0, 1, 0]),
    ],
)
def test_taking_a_step_back_is_right_if_the_step_was_not(
    texts: list[str], right: bool, before: list[float], expected: list[float]
) -> None:
    withdrawn = [later == WAIT for later in [*texts[1:], ""]]
    assert same(with_withdrawals(before, texts, withdrawn, right=right), expected)


@pytest.mark.parametrize("right", [True, False])
def test_a_line_of_the_journal_becomes_labels(right: bool) -> None:
    texts = ["Step 1: 4 * 3 = 12.", f"Answer: {R if right else W}"]
    chain: dict[str, Any] = {
        "tokens": 9,
        "ends": [5, 8],
        "texts": texts,
        "answer": R if right else W,
        "right": right,
        "outcomes": [] if right else [[R, R, R, R], [W]],
    }
    line = {"question": "abc", "answer": R, "chains": [chain, {"answer": R}, {"answer": R}]}
    found = labelled(chain, line, 7)
    assert found.problem == 7
    assert list(found.is_answer) == [False, True]
    expected = [(1, 1, 1), (1, 1, 1)] if right else [(1, 1, 0), (0, 0, 0)]
    assert [tuple(row) for row in found.labels] == expected
