"""DeepConf's confidence of a chain: how sure the model was in its weakest stretch (arXiv 2508.15260).

A token's confidence is minus the mean log-probability of the k likeliest tokens at its place: high where all
but one of them are out of the question. The chain's is the lowest mean over any window of tokens.
"""

from __future__ import annotations

import math

import numpy as np

from mch_runtime.familiarity import lowest_mean
from mch_runtime.session import FloatArray

LIKELIEST = 20
WINDOW = 32  # tokens; the paper's 2048 are for chains of many thousands


class BottomWindow:
    """Shown every row of logits of one chain."""

    def __init__(self) -> None:
        self._values: list[float] = []

    def read(self, row: FloatArray) -> None:
        """The row (n_vocab,) that the next token is drawn from."""
        self._values.append(token_confidence(row))

    @property
    def value(self) -> float | None:
        """Nats; None before the first token."""
        return lowest_mean(self._values, WINDOW) if self._values else None


def token_confidence(row: FloatArray) -> float:
    """Minus the mean log-probability of the likeliest tokens of a row (n_vocab,), in nats."""
    top = float(row.max())
    log_total = top + math.log(float(np.exp(row - np.float32(top)).sum(dtype=np.float64)))
    count = min(LIKELIEST, len(row))
    likeliest = np.partition(row, len(row) - count)[-count:]
    return log_total - float(likeliest.mean(dtype=np.float64))
