"""Measures against slow references and known values."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.evaluation.metrics import mcnemar, reliability
from mch_runtime.evaluation.rejection import aurc, rejection_ratio, risk_curve


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6))
def test_ties_are_the_mean_over_their_orders(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in rows], dtype=np.float64)
    labels = np.array([label for _, label in rows], dtype=np.float64)
    curves = []
    for order in permutations(range(len(rows))):
        if all(scores[a] >= scores[b] for a, b in pairwise(order)):
            wrong = 1 - labels[list(order)]
            curves.append(np.cumsum(wrong) / np.arange(1, len(rows) + 1))
    assert risk_curve(scores, labels) == pytest.approx(np.mean(curves, axis=0))


def test_rejection_between_knowing_and_not_knowing() -> None:
    labels = np.array([1.0, 1, 0, 1, 0, 0, 1, 1])
    assert rejection_ratio(labels, labels) == pytest.approx(1)
    assert rejection_ratio(np.ones(8), labels) == pytest.approx(0)
    assert rejection_ratio(-labels, labels) < 0
    assert np.isnan(rejection_ratio(labels, np.ones(8)))
    assert aurc(labels, labels) < aurc(np.ones(8), labels) == pytest.approx(3 / 8)


def test_mcnemar_is_the_sign_test_of_those_that_differ() -> None:
    first = np.array([True] * 8 + [False] * 2 + [True] * 5)
    second = np.array([False] * 8 + [True] * 2 + [True] * 5)
    assert mcnemar(first, second) == (8, 2, pytest.approx(0.109375))
    assert mcnemar(first, first) == (0, 0, 1.0)


def test_a_reliability_plot_has_bins_of_equal_count() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random(1000)
    labels = (rng.random(1000) < probabilities).astype(np.float64)
    bins = reliability(probabilities, labels)
    assert [one.count for one in bins] == [100] * 10
    assert all(abs(one.predicted - one.right.value) < 0.15 for one in bins)
    assert len(reliability(probabilities[:3], labels[:3])) == 3
