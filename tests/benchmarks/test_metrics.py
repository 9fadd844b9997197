from __future__ import annotations

import numpy as np
import pytest

from benchmarks.targets import TARGETS, Target
from mch_runtime.evaluation.metrics import paired_difference, plain, ranking, wilson


def test_a_share_stays_between_0_and_1() -> None:
    assert wilson(0, 9).low == 0.0
    assert wilson(9, 9).high == 1.0
    middle = wilson(50, 100)
    assert (round(middle.low, 3), round(middle.high, 3)) == (0.404, 0.596)
    assert middle.percent == "50.0 [40.4, 59.6]"


def test_a_paired_difference_knows_that_the_problems_are_the_same() -> None:
    rng = np.random.default_rng(0)
    first = rng.random(1000) < 0.7
    second = first.copy()
    second[np.flatnonzero(~first)[:30]] = True
    change = paired_difference(first, second, rng=rng)
    assert change.value == pytest.approx(0.03)
    assert 0.015 < change.low < 0.03 < change.high < 0.045
    same = paired_difference(first, first, rng=rng)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_a_ranking_can_be_compared_with_another() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random(400) < 0.5) * 1.0
    good, poor = labels + rng.normal(0, 0.5, 400), labels + rng.normal(0, 3, 400)
    alone = ranking(good, labels, np.arange(400), rng=rng)
    gain = ranking(good, labels, np.arange(400), rng=rng, less=poor)
    assert alone is not None
    assert gain is not None
    assert alone.value > 0.85
    assert gain.low > 0


def test_what_is_not_defined_is_none() -> None:
    assert ranking(np.ones(5), np.ones(5), np.arange(5), rng=np.random.default_rng(0)) is None
    assert plain(float("nan")) is None
    assert plain(1 / 3) == 0.3333


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("easy", 0.975, "reached"),
        ("easy", 0.951, "missed by 1.9 points"),
        ("standard", 0.9, "missed by 2.0 points"),
        ("standard", 0.8, "reached"),
        ("false alarms", 0.05, "missed by 2.0 points"),
        ("newcomers", 17, "missed by 3 questions"),
    ],
)
def test_targets_say_by_how_much_they_were_missed(name: str, value: float, verdict: str) -> None:
    assert TARGETS[name].verdict(value) == verdict


def test_targets_are_told_in_their_unit() -> None:
    texts = [str(TARGETS[name]) for name in ("easy", "standard", "false alarms", "newcomers")]
    assert texts == [">= 97", "75 to 88", "<= 3", ">= 20"]
    assert str(Target(low=0.5, high=0.5)) == "50 to 50"
