"""Attention followed back, against a slow reading of the definition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mch_runtime.attention import AttentionBlock, AttentionReader
from mch_runtime.inverse.flow import TOP_TOKENS, measure_flow

TOKENS, HEADS, LAYERS = 24, 3, 2
PLACES = ((1, 5), (5, 9), (10, 14), (14, 20))
STEPS = ((11, 14), (15, 20), (20, 24))


class FakeAttention:
    """Shows given weights (layers, heads, n, n), ``rows`` tokens at a time."""

    def __init__(self, weights: np.ndarray, *, rows: int = TOKENS) -> None:
        self.weights, self.rows, self.asked = weights, rows, 0

    def __call__(self, token_ids: Sequence[int], read: AttentionReader) -> None:
        self.asked += 1
        for first in range(0, len(token_ids), self.rows):
            last = min(first + self.rows, len(token_ids))
            for layer, heads in enumerate(self.weights):
                read(AttentionBlock(layer, first, heads[:, first:last, :last]))


@pytest.fixture
def weights() -> np.ndarray:
    raw = np.random.default_rng(0).gamma(0.3, size=(LAYERS, HEADS, TOKENS, TOKENS)).astype(np.float32)
    causal = np.tril(raw + 1e-6)
    return causal / causal.sum(axis=-1, keepdims=True)


def slow_flow(weights: np.ndarray, step: tuple[int, int], place: tuple[int, int]) -> float:
    if place[1] > step[0]:
        return 0.0
    looks = []
    for token in range(*step):
        squares = [max(row[slice(*place)]) ** 2 for layer in weights for row in layer[:, token - 1]]
        looks.append(sum(squares) / len(squares))
    strongest = sorted(looks)[-TOP_TOKENS:]
    return sum(strongest) / len(strongest)


@pytest.mark.parametrize("rows", [TOKENS, 16, 5, 1])
def test_equals_the_definition(weights: np.ndarray, rows: int) -> None:
    found = measure_flow(FakeAttention(weights, rows=rows), range(TOKENS), steps=STEPS, places=PLACES)
    expected = [[slow_flow(weights, step, place) for place in PLACES] for step in STEPS]
    assert np.allclose(found, expected, atol=1e-6)
    assert found[0, 2] == 0  # a step does not rest on itself


def test_a_glance_at_one_place_shows(weights: np.ndarray) -> None:
    even = np.tril(np.ones((1, HEADS, TOKENS, TOKENS), dtype=np.float32))
    even /= even.sum(axis=-1, keepdims=True)
    even[0, 1, 16] = 0
    even[0, 1, 16, 7] = 1
    found = measure_flow(FakeAttention(even), range(TOKENS), steps=STEPS, places=PLACES)
    assert found[1].argmax() == 1
    assert found[1, 1] > 5 * found[1, 0]


def test_nothing_to_look_at_asks_for_nothing(weights: np.ndarray) -> None:
    source = FakeAttention(weights)
    assert measure_flow(source, range(TOKENS), steps=(), places=PLACES).shape == (0, 4)
    assert measure_flow(source, range(TOKENS), steps=STEPS, places=()).shape == (3, 0)
    assert source.asked == 0
