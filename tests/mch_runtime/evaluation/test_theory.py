"""Predictions where the truth is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mch_runtime.evaluation.overlap import overlap
from mch_runtime.evaluation.rows import rows
from mch_runtime.evaluation.theory import (
    answer_bits,
    answer_entropy,
    bits_per_tflop,
    by_length,
    effective_error,
    fano_floor,
    hybrid_cost,
    information,
    step_error,
)
from mch_runtime.strategies.selection import SelectionSettings
from tests.mch_runtime.evaluation.chains import answered, chain, random_samples, sample


def test_the_error_of_a_step_is_found_again() -> None:
    rng = np.random.default_rng(0)
    steps = rng.integers(1, 6, size=20_000)
    right = rng.random(20_000) < 0.9**steps
    assert step_error(steps, right) == pytest.approx(0.1, abs=0.005)
    assert step_error(steps[:5], np.ones(5, dtype=bool)) == 0
    assert step_error(steps[:5], np.zeros(5, dtype=bool)) == 1


def test_reliability_by_length() -> None:
    error, lengths = by_length(random_samples(60))
    assert error is not None
    assert [one.steps for one in lengths] == [1, 2, 3]
    assert all(one.predicted == pytest.approx((1 - error) ** one.steps) for one in lengths)
    assert all(one.by_head == pytest.approx(0.81) for one in lengths)


def test_independent_second_chains_make_the_prediction_true() -> None:
    rng = np.random.default_rng(1)
    samples = []
    for number in range(4000):
        right, again = rng.random(2) < 0.6
        found = rng.random() < (0.9 if right else 0.2)  # specificity 0.9, sensitivity 0.8
        pair = (chain("7" if right else "8", good=float(found)), chain("7" if again else "8", good=0.5))
        samples.append(sample(number, pair))
    effective = effective_error(samples)
    assert effective is not None
    assert effective.helps
    assert effective.sensitivity == pytest.approx(0.8, abs=0.03)
    assert effective.specificity == pytest.approx(0.9, abs=0.03)
    assert effective.predicted == pytest.approx(effective.measured.value, abs=0.02)
    assert effective.predicted < effective.error


def test_cost_of_the_hybrid() -> None:
    samples = []
    for number, one in enumerate(random_samples(10)):
        auto = replace(answered("7", tokens=30 if number % 2 else 300), escalations=1 - number % 2)
        modes = {"fast": answered("7", tokens=30), "think": answered("7", tokens=300), "auto": auto}
        samples.append(replace(one, modes=modes))
    cost = hybrid_cost(samples, {row.name: row for row in rows(samples, SelectionSettings())})
    assert cost is not None
    assert (cost.switched, cost.predicted, cost.measured) == (0.5, 185.0, 185.0)


def test_information_bounds_the_error_from_below() -> None:
    assert fano_floor(3, 0, 8) == pytest.approx(2 / 3)
    assert fano_floor(3, 5, 8) == 0
    assert fano_floor(0, 0, 1) == 0
    assert answer_entropy(["a", "b", "a", "b"]) == (1.0, 2)
    found = information(random_samples(60))
    assert found is not None
    assert [band.count for band in found.bands] == [120] * 4
    assert found.bands[0].bits < found.bands[3].bits
    assert all(band.floor <= band.measured.high for band in found.bands)


def test_bits_of_an_answer() -> None:
    assert answer_bits(1.0, 4) == 2
    assert answer_bits(0.25, 4) == 0
    assert answer_bits(0.1, 4) == 0
    assert answer_bits(0.5, 1) == 0
    assert 0 < answer_bits(0.7, 4) < 2
    assert bits_per_tflop(1.0, 4, tokens=500, parameters=10**9) == pytest.approx(2.0)
    assert math.isfinite(bits_per_tflop(0.5, 2, tokens=1, parameters=1))


def test_runs_of_words_shared_with_training() -> None:
    long = " ".join(f"word{k}" for k in range(20))
    found = overlap([long, "three little words", "never seen"], [f"so {long}.", "THREE, little words!"])
    assert found.shared == (1.0, 1.0, 0.0)
    assert found.records == 2
    half = overlap([long], [" ".join(f"word{k}" for k in range(14))])
    assert half.shared == (pytest.approx(2 / 8),)
