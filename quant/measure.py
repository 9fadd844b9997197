"""Means, quantiles and shares over tokens, with standard errors over windows.

Tokens of one window are not independent, so a window is what is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 200


@dataclass(frozen=True)
class Measure:
    """A figure with its standard error; None where there are too few windows to tell."""

    value: float
    error: float | None = None


def mean(windows: Sequence[NDArray[np.float64]]) -> Measure:
    """The mean over all tokens of (n,) arrays, one for each window; the error is that of a ratio of sums."""
    sums = np.array([window.sum() for window in windows])
    counts = np.array([len(window) for window in windows], dtype=np.float64)
    value = float(sums.sum() / counts.sum())
    if len(windows) < 2:
        return Measure(value)
    residuals = sums - value * counts
    spread = len(windows) / (len(windows) - 1) * float(np.square(residuals).sum())
    return Measure(value, float(np.sqrt(spread) / counts.sum()))


def resampled(
    windows: Sequence[NDArray[np.float64]], figure: Callable[[NDArray[np.float64]], float], *, seed: int = 0
) -> Measure:
    """Any figure of all tokens; the error is the spread over windows drawn with replacement."""
    value = figure(np.concatenate(list(windows)))
    if len(windows) < 2:
        return Measure(value)
    rng = np.random.default_rng(seed)
    draws = [
        figure(np.concatenate([windows[i] for i in rng.integers(len(windows), size=len(windows))]))
        for _ in range(_ROUNDS)
    ]
    return Measure(value, float(np.std(draws, ddof=1)))


def quantile(windows: Sequence[NDArray[np.float64]], share: float) -> Measure:
    """A quantile of all tokens."""
    return resampled(windows, lambda values: float(np.quantile(values, share)))
