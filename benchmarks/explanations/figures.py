"""Shares and ratios with bootstrap intervals over problems, and what they are meant to reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.targets import Target
from mch_runtime.evaluation.metrics import Array, Estimate

ROUNDS = 1000

GOALS = {
    "premises": Target(low=0.90),
    "found": Target(low=0.85),
    "false alarm": Target(high=0.05),
    "fixed": Target(low=0.50),
    "light": Target(high=0.7, unit="times the generation", scale=1),
    "full": Target(high=4.0, unit="times the generation", scale=1),
}


@dataclass(frozen=True)
class Table:
    """A part's table and what of it goes into the record. verdicts: sentences about its goals."""

    title: str
    header: list[str]
    rows: list[list[str]]
    results: dict[str, Any]
    verdicts: tuple[str, ...] = ()


def ratio(
    numerators: ArrayLike, denominators: ArrayLike, groups: Sequence[int], *, seed: int = 0
) -> Estimate | None:
    """Sum over sum, its interval by drawing groups (problems) with replacement; None where nothing is counted."""
    above, below = _sums(numerators, groups), _sums(denominators, groups)
    if not below.sum():
        return None
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(above), np.full(len(above), 1 / len(above)), size=ROUNDS)
    totals = counts @ below
    draws = (counts @ above)[totals > 0] / totals[totals > 0]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(float(above.sum() / below.sum()), float(low), float(high))


def share(hits: Sequence[bool], groups: Sequence[int]) -> Estimate | None:
    """How many of them are true."""
    return ratio(hits, np.ones(len(hits)), groups)


def _sums(values: ArrayLike, groups: Sequence[int]) -> Array:
    """A sum for each group."""
    _, inverse = np.unique(np.asarray(groups, dtype=np.int64), return_inverse=True)
    sums = np.zeros(int(inverse.max(initial=-1)) + 1)
    np.add.at(sums, inverse, np.asarray(values, dtype=np.float64))
    return sums


def shown(estimate: Estimate | None) -> str:
    """For a table."""
    return "" if estimate is None else str(estimate)


def recorded(estimate: Estimate | None) -> dict[str, float] | None:
    """For a record."""
    return None if estimate is None else estimate.plain()


def verdict(goal: str, what: str, estimate: Estimate | None) -> str:
    """A sentence about a goal."""
    if estimate is None:
        return f"{what}: nothing to measure it on"
    target = GOALS[goal]
    value = round(estimate.value, 3)
    unit = " %" if target.scale == 100 else ""
    return f"{what}: {target.scale * value:.3g}{unit} (goal {target}{unit}): {target.verdict(value)}"
