"""Rules compared on the same chains: settings from validation problems, figures from test problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.selection.chains import Array, ChainSet
from benchmarks.selection.rules import (
    Elected,
    deepconf,
    elect,
    fit,
    only_the_best,
    shipped_coefficients,
    weighed,
)
from mch_runtime.effort import Effort, SelectionSettings
from mch_runtime.evaluation.metrics import (
    Estimate,
    auroc,
    brier,
    ece,
    ece_floor,
    mcnemar,
    paired_difference,
    wilson,
)
from mch_runtime.head.confidence import calibrate
from mch_runtime.head.spec import Calibrator
from mch_runtime.strategies.selection import select, selection_features

MAJORITY, GUIDED, DEEPCONF, BEST = "plain majority", "guided votes", "DeepConf", "best by log-probability"
# What votes may be weighed by; the validation problems say how much.
GUIDES: Mapping[str, tuple[str, ...]] = {
    "ICS": ("ics",),
    "head": ("head",),
    "ICS and head": ("ics", "head"),
    "ICS and log-probability": ("ics", "logprob_sum"),
    "ICS, head and log-probability": ("ics", "head", "logprob_sum"),
    "ICS, its smallest token and head": ("ics", "ics_min", "head"),
}
KEEPS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
ICS_WEIGHTS, HEAD_WEIGHTS = (8.0, 16.0, 24.0, 32.0, 48.0, 64.0), (0.0, 0.25, 0.5, 1.0, 2.0)
FOLDS = 5


@dataclass(frozen=True)
class Settings:
    """What validation problems say. shipped: the coefficients of the runtime's rule, whose defaults were read off ``grid``,
    the accuracy for pairs of weights; guides: the coefficients of each guide by maximum likelihood, with their
    cross-fitted accuracy; keep: DeepConf's share; best: which log-probability the best chain has the most of.
    """

    shipped: Mapping[str, float]
    grid: Mapping[str, float]
    guides: Mapping[str, Mapping[str, float]]
    accuracy: Mapping[str, float]
    keep: float
    best: str


def choose(chains: ChainSet) -> Settings:
    """The settings under which the validation answers are right most often."""
    fold = np.arange(len(chains.fast)) // 2 % FOLDS  # levels alternate
    accuracy = {}
    for guide, names in GUIDES.items():
        right = np.zeros(len(fold), dtype=bool)
        for k in range(FOLDS):
            held = chains.of(fold == k)
            right[fold == k] = elect(held, weighed(held, fit(chains.of(fold != k), names))).right
        accuracy[guide] = round(float(right.mean()), 4)
    keeps = {keep: elect(chains, deepconf(chains, keep)).right.mean() for keep in KEEPS}
    bests = {
        name: elect(chains, only_the_best(chains, name)).right.mean()
        for name in ("logprob_mean", "logprob_sum")
    }
    grid = {
        f"{ics:g}, {head:g}": round(
            float(elect(chains, weighed(chains, {"ics": ics, "head": head})).right.mean()), 4
        )
        for ics in ICS_WEIGHTS
        for head in HEAD_WEIGHTS
    }
    return Settings(
        shipped=shipped_coefficients(SelectionSettings()),
        grid=grid,
        guides={guide: fit(chains, names) for guide, names in GUIDES.items()},
        accuracy=accuracy,
        keep=max(keeps, key=lambda keep: keeps[keep]),
        best=max(bests, key=lambda name: bests[name]),
    )


def rules(chains: ChainSet, settings: Settings) -> dict[str, Elected]:
    """Every rule's answers; ``GUIDED`` is the one that ships."""
    plain = np.zeros(chains.answers.shape)
    found = {
        MAJORITY: elect(chains, plain),
        DEEPCONF: elect(chains, deepconf(chains, settings.keep)),
        BEST: elect(chains, only_the_best(chains, settings.best)),
        "best by head": elect(chains, only_the_best(chains, "head")),
        "best by ICS": elect(chains, only_the_best(chains, "ics")),
    }
    for guide in GUIDES:
        found[f"votes by {guide}"] = elect(chains, weighed(chains, settings.guides[guide]))
    found[GUIDED] = elect(chains, weighed(chains, settings.shipped))
    return found


def table(chains: ChainSet, settings: Settings, *, rng: np.random.Generator) -> dict[str, Any]:
    """Accuracy of each rule with its interval, and how it differs from the plain majority."""
    found = rules(chains, settings)
    base = found[MAJORITY].right
    rows: dict[str, Any] = {"greedy": _row(chains.fast, base, rng)}
    rows["one sampled chain"] = {"right": round(float(chains.right.mean()), 4)}
    rows |= {name: _row(elected.right, base, rng) for name, elected in found.items()}
    rows["any chain right"] = _row(chains.right.any(axis=1), base, rng)
    guided = found[GUIDED].right
    against = {}
    for rival in (DEEPCONF, BEST):
        only_rival, only_guided, p = mcnemar(found[rival].right, guided)
        against[rival] = {
            "points": points(paired_difference(found[rival].right, guided, rng=rng)),
            "only_rival": only_rival,
            "only_guided": only_guided,
            "mcnemar_p": float(f"{p:.3g}"),
        }
    return {
        "problems": len(base),
        "chains": int(chains.right.shape[1]),
        "rows": rows,
        "guided_against": against,
        "errors_removed": errors_removed(base, guided, rng=rng).plain(),
    }


def _row(right: NDArray[np.bool_], base: NDArray[np.bool_], rng: np.random.Generator) -> dict[str, Any]:
    only_base, only_this, p = mcnemar(base, right)
    return {
        "right": wilson(int(right.sum()), len(right)).plain(),
        "against_majority": points(paired_difference(base, right, rng=rng)),
        "only_majority": only_base,
        "only_this": only_this,
        "mcnemar_p": float(f"{p:.3g}"),
    }


def points(estimate: Estimate) -> dict[str, float]:
    """A difference of shares in percentage points."""
    return {name: round(100 * value, 2) for name, value in vars(estimate).items()}


def errors_removed(
    base: NDArray[np.bool_], other: NDArray[np.bool_], *, rng: np.random.Generator, rounds: int = 2000
) -> Estimate:
    """The share of the base's wrong answers that the other saves, what it loses counted against it."""
    draws = []
    for _ in range(rounds):
        rows = rng.integers(len(base), size=len(base))
        wrong = (~base[rows]).sum()
        draws.append((other[rows].sum() - base[rows].sum()) / wrong if wrong else 0.0)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(float((other.sum() - base.sum()) / (~base).sum()), float(low), float(high))


def growth(chains: ChainSet, weights: Mapping[str, float], counts: Sequence[int]) -> dict[str, Any]:
    """Accuracy with N chains, the mean over all blocks of N there are, of all problems and by steps."""
    most = chains.right.shape[1]
    found: dict[str, Any] = {}
    for count in counts:
        blocks = [chains.chains(first, first + count) for first in range(0, most - count + 1, count)]
        plain = np.mean([elect(b, np.zeros(b.answers.shape)).right for b in blocks], axis=0)
        guided = np.mean([elect(b, weighed(b, weights)).right for b in blocks], axis=0)
        found[str(count)] = {
            MAJORITY: _mean(plain),
            GUIDED: _mean(guided),
            "by_steps": {
                str(steps): {
                    "problems": int((chains.steps == steps).sum()),
                    "greedy": round(float(chains.fast[chains.steps == steps].mean()), 4),
                    MAJORITY: _mean(plain[chains.steps == steps]),
                    GUIDED: _mean(guided[chains.steps == steps]),
                }
                for steps in sorted(set(chains.steps.tolist()))
            },
        }
    return found


def _mean(values: Array) -> dict[str, float]:
    error = 1.96 * float(values.std()) / len(values) ** 0.5
    mean = float(values.mean())
    return Estimate(mean, mean - error, mean + error).plain()


def calibration(chains: ChainSet, calibrator: Calibrator, *, rng: np.random.Generator) -> dict[str, float]:
    """What the confidence of ``vote`` is worth, when all chains that are there are drawn."""
    count = chains.right.shape[1]
    confidence, right = [], []
    for one in chains.samples:
        assert one.chains is not None
        scored = one.chains.scored[:count]
        selection = select(scored, Effort().rule, SelectionSettings())
        features = selection_features(scored, selection)
        if selection.answer is not None and set(calibrator.features) <= set(features):
            confidence.append(calibrate(calibrator, features))
            right.append(selection.answer == one.problem.answer)
    told, truth = np.array(confidence), np.array(right, dtype=np.float64)
    return {
        "n": len(told),
        "right": round(float(truth.mean()), 4),
        "mean": round(float(told.mean()), 4),
        "ece": round(ece(told, truth), 4),
        "floor": round(ece_floor(told, rng=rng), 4),
        "brier": round(brier(told, truth), 4),
        "auroc": round(auroc(told, truth), 4),
    }
