"""AUROC of several scores of the same rows, with bootstrap intervals over problems and of differences.

Every round draws problems with replacement, the same for every score: differences are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mch_runtime.evaluation.metrics import Array, Estimate

ROUNDS = 1000


@dataclass(frozen=True)
class Ranking:
    """values: AUROC by name; draws: its bootstrap values (rounds,), paired between names."""

    values: Mapping[str, float]
    draws: Mapping[str, Array]

    def estimate(self, name: str) -> Estimate:
        low, high = np.nanquantile(self.draws[name], [0.025, 0.975])
        return Estimate(self.values[name], float(low), float(high))

    def difference(self, name: str, other: str) -> tuple[Estimate, float]:
        """How much better ``name`` ranks than ``other``, and the two-sided p-value of that."""
        draws = self.draws[name] - self.draws[other]
        draws = draws[np.isfinite(draws)]
        low, high = np.quantile(draws, [0.025, 0.975])
        tail = min((draws <= 0).sum(), (draws >= 0).sum())
        value = self.values[name] - self.values[other]
        return Estimate(value, float(low), float(high)), min(1.0, 2 * (tail + 1) / (len(draws) + 1))


def rank(
    scores: Mapping[str, Array], labels: Array, problems: NDArray[np.int64], *, rng: np.random.Generator
) -> Ranking:
    """AUROC over all rows: each score (n,), labels (n,) of 0 and 1, problems (n,)."""
    _, group = np.unique(problems, return_inverse=True)
    places = {name: np.unique(score, return_inverse=True)[1] for name, score in scores.items()}
    values = {name: _auroc(place, labels, np.ones(len(labels))) for name, place in places.items()}
    draws: dict[str, list[float]] = {name: [] for name in scores}
    for counts in _resamples(int(group.max()) + 1, rng):
        for name, place in places.items():
            draws[name].append(_auroc(place, labels, counts[group]))
    return Ranking(values, {name: np.array(values) for name, values in draws.items()})


def rank_within(
    scores: Mapping[str, Array], labels: Array, problems: NDArray[np.int64], *, rng: np.random.Generator
) -> Ranking:
    """The same over pairs of rows of one problem only: can it tell chains of one problem apart?"""
    _, group = np.unique(problems, return_inverse=True)
    tables = {name: _won(score, labels, group) for name, score in scores.items()}
    values = {name: _share(table) for name, table in tables.items()}
    draws: dict[str, list[float]] = {name: [] for name in scores}
    for counts in _resamples(int(group.max()) + 1, rng):
        for name, table in tables.items():
            draws[name].append(_share(table * counts[:, None]))
    return Ranking(values, {name: np.array(values) for name, values in draws.items()})


def _resamples(count: int, rng: np.random.Generator) -> Iterator[Array]:
    """How often each of ``count`` problems is drawn, once per round."""
    for _ in range(ROUNDS):
        yield np.bincount(rng.integers(count, size=count), minlength=count).astype(np.float64)


def _auroc(places: NDArray[np.intp], labels: Array, weights: Array) -> float:
    """AUROC of rows that count ``weights`` times; places: the rank of each row's score among all values."""
    right = np.bincount(places, weights * labels)
    wrong = np.bincount(places, weights * (1 - labels), minlength=len(right))
    pairs = right.sum() * wrong.sum()
    return float((right * (np.cumsum(wrong) - wrong / 2)).sum() / pairs) if pairs else float("nan")


def _won(scores: Array, labels: Array, group: NDArray[np.intp]) -> Array:
    """Pairs won and pairs in all, (n_problems, 2); ties are half won."""
    order = np.argsort(group, kind="stable")
    table = np.zeros((int(group.max()) + 1, 2))
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        right, wrong = scores[members][labels[members] > 0.5], scores[members][labels[members] <= 0.5]
        gaps = right[:, None] - wrong[None, :]
        table[group[members[0]]] = (gaps > 0).sum() + 0.5 * (gaps == 0).sum(), gaps.size
    return table


def _share(table: Array) -> float:
    won, pairs = table.sum(axis=0)
    return float(won / pairs) if pairs else float("nan")
