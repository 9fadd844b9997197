"""Token statistics against their definitions in double precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mch_runtime.statistics import (
    FEATURE_NAMES,
    PIECE,
    FeatureTrack,
    TokenStatistics,
    block_statistics,
    largest,
    token_statistics,
)

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
    track = FeatureTrack(FEATURE_NAMES)
    assert not track.push(None).any()
    row = track.push(TokenStatistics(logprob=-100.0, entropy=0.5, margin=-90.0))
    assert np.allclose(row[:4], [-8.0, math.log(8.001) / 2, 0.5, -30.0])
    for _ in range(5000):
        row = track.push(TokenStatistics(logprob=-np.inf, entropy=12.0, margin=-np.inf))
    assert np.isfinite(row).all()
    assert np.abs(row).max() <= 30


tokens = st.builds(
    TokenStatistics, logprob=st.floats(-12, 0), entropy=st.floats(0, 5), margin=st.floats(-20, 20)
)


@given(st.lists(st.lists(tokens, min_size=1, max_size=6), min_size=1, max_size=4))
def test_running_features_are_over_the_step_or_the_chain(steps: list[list[TokenStatistics]]) -> None:
    track, chain = FeatureTrack(FEATURE_NAMES), []
    for step in steps:
        for token in step:
            chain.append(token)
            got = dict(zip(FEATURE_NAMES, track.push(token).tolist(), strict=True))
        track.end_step()
        in_step, in_chain = ([max(-8.0, t.logprob) for t in part] for part in (step, chain))
        expected = {
            "step_logprob_mean": np.mean(in_step),
            "step_logprob_min": min(in_step),
            "step_log_surprisal_max": math.log(1e-3 - min(in_step)) / 2,
            "step_tokens_by_32": len(step) / 32,
            "chain_logprob_sum": max(-30.0, sum(in_chain)),
            "chain_logprob_mean": np.mean(in_chain),
            "chain_logprob_min": min(in_chain),
            "chain_log_surprisal_max": math.log(1e-3 - min(in_chain)) / 2,
            "chain_entropy_max": max(t.entropy for t in chain),
            "chain_excess": np.clip(sum(in_chain) + sum(t.entropy for t in chain), -20, 20),
            "chain_departures": sum(t.margin < 0 for t in chain),
        }
        assert {name: got[name] for name in expected} == pytest.approx(expected, abs=1e-4)


@given(st.lists(st.lists(tokens, min_size=1, max_size=6), min_size=1, max_size=4))
def test_a_whole_step_gives_what_its_tokens_give(steps: list[list[TokenStatistics]]) -> None:
    whole, single = FeatureTrack(FEATURE_NAMES), FeatureTrack(FEATURE_NAMES)
    for step in steps:
        expected = np.stack([single.push(token) for token in step])
        single.end_step()
        assert whole.step(step) == pytest.approx(expected, abs=1e-5)


def test_only_what_is_asked_for_in_its_order() -> None:
    token = TokenStatistics(logprob=-1.0, entropy=0.5, margin=2.0)
    assert FeatureTrack(("margin", "chain_logprob_sum")).push(token).tolist() == [2.0, -1.0]


blocks = arrays(
    np.float32,
    st.tuples(st.integers(2, 6), st.integers(2, 40)),
    elements=st.floats(-50, 50, width=32) | st.just(-np.inf),
)


@given(blocks, st.data())
def test_a_block_gives_what_its_rows_give(block: np.ndarray, data: st.DataObject) -> None:
    block[:, 0] = 1.0  # a row of impossible tokens alone has no statistics
    rows = data.draw(st.lists(st.integers(0, len(block) - 1), min_size=1, max_size=9))
    tokens = [data.draw(st.integers(0, block.shape[1] - 1)) for _ in rows]
    before = block.copy()
    found = block_statistics(block, rows, tokens)
    assert np.array_equal(block, before)
    for row, token, got in zip(rows, tokens, found, strict=True):
        expected = token_statistics(block[row], token)
        assert (got.logprob, got.entropy, got.margin) == pytest.approx(
            (expected.logprob, expected.entropy, expected.margin), abs=1e-4
        )


def test_long_rows_are_worked_on_piece_by_piece() -> None:
    row = np.random.default_rng(0).normal(scale=3, size=2 * PIECE + 5).astype(np.float32)
    row[7] = -np.inf
    x = row.astype(np.float64)
    logp = x - x.max() - math.log(np.exp(x - x.max()).sum())
    [got, _] = block_statistics(np.stack([row, row]), [0, 1], [PIECE + 1, 0])
    assert got.logprob == pytest.approx(logp[PIECE + 1], abs=1e-5)
    kept = logp[np.isfinite(logp)]
    assert got.entropy == pytest.approx(-(np.exp(kept) * kept).sum(), abs=1e-4)


@given(arrays(np.float32, st.integers(2, 500), elements=st.integers(-20, 20).map(float)), st.integers(1, 60))
def test_the_largest_are_all_there(row: np.ndarray, count: int) -> None:
    """Small rows are looked through whole, so stripes are tried on the row repeated."""
    for long in (row, np.tile(row, 40)):
        places = largest(long, count)
        assert len(set(places.tolist())) == len(places)
        assert sorted(long[places])[-count:] == sorted(long)[-count:]
