"""Statistics of a token under the row of logits that predicted it, at temperature 1.

The head reads them beside the hidden state. Their names and order are stored with the head.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mch_runtime.session import FloatArray

LOGPROB_FLOOR = -8.0


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """logprob: log P(token), nats; entropy: of the row, nats; margin: logprob minus the largest log P
    among the other tokens, positive for the row's first choice.
    """

    logprob: float
    entropy: float
    margin: float


def token_statistics(row: FloatArray, token_id: int) -> TokenStatistics:
    """Statistics of ``token_id`` under ``row`` (n_vocab,): a maximum, an exponential, two sums."""
    others = max(_largest(row[:token_id]), _largest(row[token_id + 1 :]))
    chosen = float(row[token_id])
    top = max(others, chosen)
    shifted = row - np.float32(top)
    weights = np.exp(shifted)
    total = float(weights.sum(dtype=np.float64))
    log_total = math.log(total)
    # Entropy of softmax(x): log(sum exp x) - sum(p x), with x shifted by its maximum.
    # Logits of -inf weigh nothing; 0 * -inf would be nan.
    mean = float(np.dot(weights, np.maximum(shifted, np.float32(-1e4)))) / total
    return TokenStatistics(
        logprob=chosen - top - log_total,
        entropy=max(0.0, log_total - mean),
        margin=chosen - others,
    )


def _largest(part: FloatArray) -> float:
    return float(part.max()) if len(part) else -np.inf


def _clipped(s: TokenStatistics) -> float:
    return max(s.logprob, LOGPROB_FLOOR)


# What a head may ask for by name; the order is the head's.
FEATURES: dict[str, Callable[[TokenStatistics], float]] = {
    "logprob": _clipped,
    "log_surprisal": lambda s: math.log(1e-3 - _clipped(s)) / 2,
    "entropy": lambda s: s.entropy,
    "margin": lambda s: max(-30.0, min(30.0, s.margin)),
}
FEATURE_NAMES = tuple(FEATURES)


def feature_row(statistics: TokenStatistics | None, names: tuple[str, ...]) -> FloatArray:
    """The named features (n_s,) of a token; zeros for the last prompt token, which has none."""
    if statistics is None:
        return np.zeros(len(names), dtype=np.float32)
    return np.array([FEATURES[name](statistics) for name in names], dtype=np.float32)
