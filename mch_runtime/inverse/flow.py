"""From where a step's tokens were read: attention, followed from the answer back to the question.

The row that looks back is that of the token before, which predicts. A weight counts by its square, so that
heads which look at one place count more than heads which look everywhere; of a place, its most looked-at token;
of a step, the two tokens that look there most, since most of its tokens are only fluent. Means over all
tokens, rollout and single layers were measured too, and are worse at finding true premises.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mch_runtime.attention import AttentionBlock, AttentionSource
from mch_runtime.session import FloatArray

TOP_TOKENS = 2

Span = tuple[int, int]


def measure_flow(
    source: AttentionSource, token_ids: Sequence[int], *, steps: Sequence[Span], places: Sequence[Span]
) -> FloatArray:
    """(len(steps), len(places)): how strongly each step's tokens look at each place, 0 to 1.

    steps and places: [start, end) among ``token_ids``. A place that does not end before a step gets 0 from it.
    """
    reader = _Reader(steps, places)
    if reader.rows.size and places:
        source(token_ids, reader.read)
    return reader.flow()


class _Reader:
    """Adds up the blocks; ``rows`` are the tokens that look back."""

    def __init__(self, steps: Sequence[Span], places: Sequence[Span]) -> None:
        self._steps, self._places = steps, places
        looking = [np.arange(max(0, start - 1), end - 1) for start, end in steps]
        self.rows = np.unique(np.concatenate([*looking, np.empty(0, dtype=np.intp)]).astype(np.intp))
        self._sums = np.zeros((len(self.rows), len(places)))
        self._layers: set[int] = set()

    def read(self, block: AttentionBlock) -> None:
        self._layers.add(block.layer)
        n = block.weights.shape[1]
        first, last = np.searchsorted(self.rows, (block.first, block.first + n))
        if first == last:
            return
        weights = block.weights[:, self.rows[first:last] - block.first]
        for index, (start, end) in enumerate(self._places):
            if start < weights.shape[2]:
                looked = weights[:, :, start:end].max(axis=2)
                self._sums[first:last, index] += np.square(looked).mean(axis=0)

    def flow(self) -> FloatArray:
        found = np.zeros((len(self._steps), len(self._places)), dtype=np.float32)
        for step, (start, end) in enumerate(self._steps):
            first, last = np.searchsorted(self.rows, (max(0, start - 1), end - 1))
            earlier = [index for index, place in enumerate(self._places) if place[1] <= start]
            if first < last and earlier:
                strongest = np.sort(self._sums[first:last][:, earlier], axis=0)[-TOP_TOKENS:]
                found[step, earlier] = strongest.mean(axis=0) / max(1, len(self._layers))
        return found
