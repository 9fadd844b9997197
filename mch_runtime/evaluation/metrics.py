"""Ranking and calibration measures with bootstrap intervals over problems."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BINS = 10


@dataclass(frozen=True)
class Estimate:
    """A measure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def percent(self) -> str:
        """For tables of shares: 97.1 [96.3, 97.8]."""
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"

    def plain(self) -> dict[str, float]:
        return {name: round(float(value), 4) for name, value in vars(self).items()}


def plain(value: float, *, digits: int = 4) -> float | None:
    """A figure for a record; None where it is not defined."""
    return round(float(value), digits) if math.isfinite(value) else None


def auroc(scores: Array, labels: Array) -> float:
    """P(a right one scores higher than a wrong one), ties counted half; nan without both kinds."""
    positives = int((labels > 0.5).sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = mean_rank[inverse][labels > 0.5].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def auroc_within(scores: Array, labels: Array, groups: NDArray[np.int64]) -> float:
    """The same over pairs of one group only: can it tell chains of one problem apart?"""
    order = np.argsort(groups, kind="stable")
    cuts = np.flatnonzero(np.diff(groups[order])) + 1
    won = pairs = 0.0
    for members in np.split(order, cuts):
        right, wrong = scores[members][labels[members] > 0.5], scores[members][labels[members] <= 0.5]
        differences = right[:, None] - wrong[None, :]
        won += float((differences > 0).sum() + 0.5 * (differences == 0).sum())
        pairs += differences.size
    return won / pairs if pairs else float("nan")


def ece(probabilities: Array, labels: Array) -> float:
    """Expected calibration error over ten bins of equal count."""
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, BINS)
    gaps = [len(part) * abs(probabilities[part].mean() - labels[part].mean()) for part in parts if len(part)]
    return float(sum(gaps) / len(probabilities))


def ece_floor(probabilities: Array, *, rng: np.random.Generator, rounds: int = 200) -> float:
    """The error that a perfectly calibrated score of this distribution shows on this many samples."""
    draws = [
        ece(probabilities, (rng.random(len(probabilities)) < probabilities).astype(np.float64))
        for _ in range(rounds)
    ]
    return float(np.mean(draws))


def brier(probabilities: Array, labels: Array) -> float:
    """Mean squared error of a probability."""
    return float(np.mean(np.square(probabilities - labels)))


def bootstrap(
    measure: Callable[[NDArray[np.int64]], float],
    groups: NDArray[np.int64],
    *,
    rng: np.random.Generator,
    rounds: int = 300,
) -> Estimate:
    """``measure`` of row indices, with whole groups (problems) drawn with replacement."""
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    draws = []
    for _ in range(rounds):
        chosen = rng.integers(len(members), size=len(members))
        draws.append(measure(np.concatenate([members[k] for k in chosen])))
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Estimate(measure(np.arange(len(groups))), float(low), float(high))


def ranking(
    scores: Array,
    labels: Array,
    groups: NDArray[np.int64],
    *,
    rng: np.random.Generator,
    less: Array | None = None,
) -> Estimate | None:
    """AUROC with its interval over groups, or how much larger it is than that of ``less`` on the same rows.

    None where all labels are alike.
    """
    if not 0 < (labels > 0.5).sum() < len(labels):
        return None

    def measure(i: NDArray[np.int64]) -> float:
        return auroc(scores[i], labels[i]) - (0.0 if less is None else auroc(less[i], labels[i]))

    return bootstrap(measure, groups, rng=rng)


def paired_difference(
    first: NDArray[np.bool_], second: NDArray[np.bool_], *, rng: np.random.Generator, rounds: int = 2000
) -> Estimate:
    """How much more often ``second`` is right than ``first`` on the same problems, both (n,).

    The interval is a bootstrap over the problems.
    """
    differences = second.astype(np.float64) - first.astype(np.float64)
    # A difference is -1, 0 or 1, so that drawing problems with replacement is drawing their counts.
    counts = np.array([(differences == value).sum() for value in (-1, 0, 1)])
    draws = rng.multinomial(len(differences), counts / len(differences), size=rounds)
    low, high = np.quantile((draws[:, 2] - draws[:, 0]) / len(differences), [0.025, 0.975])
    return Estimate(float(differences.mean()), float(low), float(high))


def wilson(right: int, count: int) -> Estimate:
    """A share with its 95 % Wilson score interval."""
    z = 1.959964
    share = right / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Estimate(share, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[int, int, float]:
    """How many problems only ``first`` and only ``second`` gets right, and the exact two-sided p-value."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    count, fewer = only_first + only_second, min(only_first, only_second)
    below = sum(math.comb(count, k) for k in range(fewer + 1))
    return only_first, only_second, min(1.0, 2 * below / 2**count)


@dataclass(frozen=True)
class Bin:
    """A bin of a reliability plot: mean probability, and the share that was right of ``count``."""

    predicted: float
    right: Estimate
    count: int


def reliability(probabilities: Array, labels: Array) -> list[Bin]:
    """Ten bins of equal count, as :func:`ece` has them; fewer where there are fewer rows."""
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    return [
        Bin(float(probabilities[part].mean()), wilson(int(labels[part].sum()), len(part)), len(part))
        for part in parts
    ]
