"""Token statistics against their definitions in double precision."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mch_runtime.statistics import FEATURE_NAMES, TokenStatistics, feature_row, token_statistics

rows = arrays(np.float32, st.integers(2, 40), elements=st.floats(-50, 50, width=32))


@given(rows, st.data())
def test_definitions(row: np.ndarray, data: st.DataObject) -> None:
    token = data.draw(st.integers(0, len(row) - 1))
    x = row.astype(np.float64)
    logp = x - x.max() - math.log(np.exp(x - x.max()).sum())
    got = token_statistics(row, token)
    assert math.isclose(got.logprob, logp[token], abs_tol=1e-4)
    assert math.isclose(got.entropy, -(np.exp(logp) * logp).sum(), abs_tol=1e-3)
    assert math.isclose(got.margin, logp[token] - np.delete(logp, token).max(), abs_tol=1e-4)


@given(rows)
def test_the_row_is_left_alone(row: np.ndarray) -> None:
    before = row.copy()
    token_statistics(row, 0)
    assert np.array_equal(row, before)


def test_impossible_tokens_weigh_nothing() -> None:
    got = token_statistics(np.array([0.0, 0.0, -np.inf], dtype=np.float32), 0)
    assert math.isclose(got.entropy, math.log(2), abs_tol=1e-6)


def test_features_are_finite_and_clipped() -> None:
    row = feature_row(TokenStatistics(logprob=-100.0, entropy=0.5, margin=-90.0), FEATURE_NAMES)
    assert np.allclose(row, [-8.0, math.log(8.001) / 2, 0.5, -30.0])
    assert not feature_row(None, FEATURE_NAMES).any()
