"""think and auto beside fast: what each is right about and what it costs, and where auto's threshold should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.selection.chains import Array, ChainSet
from benchmarks.selection.rules import elect, shipped_coefficients, weighed
from benchmarks.selection.votes import points
from mch_runtime.effort import SelectionSettings
from mch_runtime.evaluation.metrics import brier, ece, ece_floor, mcnemar, paired_difference, wilson
from mch_runtime.evaluation.samples import Answered, Sample, from_lines
from mch_runtime.evaluation.source import read_rows

# Of think's accuracy: half a percent more than what is wanted, since problems to choose by are few.
KEEPS = 0.995
THRESHOLDS = tuple(
    round(float(t), 3) for t in np.r_[np.arange(0, 0.95, 0.05), 0.95, 0.96, 0.97, 0.98, 0.99, 1.01]
)


@dataclass(frozen=True)
class Answers:
    """One mode's answers to P problems: right, confidence (nan: null), tokens and seconds, each (P,)."""

    right: NDArray[np.bool_]
    confidence: Array
    tokens: Array
    seconds: Array

    def of(self, some: NDArray[Any]) -> Answers:
        """The answers to some of the problems: a mask (P,), or places."""
        return Answers(self.right[some], self.confidence[some], self.tokens[some], self.seconds[some])


def load_modes(path: Path) -> tuple[list[Sample], dict[str, Answers]]:
    """What was sampled of each mode."""
    _, samples = from_lines((row for _, row in read_rows(path)), path=path)
    modes = sorted(set.intersection(*(set(one.modes) for one in samples)))
    return samples, {mode: _answers(samples, mode) for mode in modes}


def _answers(samples: Sequence[Sample], mode: str) -> Answers:
    given = [one.modes[mode] for one in samples]
    return Answers(
        right=np.array([a.answer == one.problem.answer for a, one in zip(given, samples, strict=True)]),
        confidence=np.array([np.nan if a.confidence is None else a.confidence for a in given]),
        tokens=np.array([float(_spent(a)) for a in given]),
        seconds=np.array([a.seconds for a in given]),
    )


def _spent(answered: Answered) -> int:
    """Tokens written and scored; the prompt, which every mode reads once, is left out."""
    return answered.generated_tokens + answered.scored_tokens


def compared(modes: Mapping[str, Answers], *, rng: np.random.Generator) -> dict[str, Any]:
    """Each mode's accuracy, cost relative to think and to fast, calibration, and what it wins over fast."""
    fast, think = modes["fast"], modes["think"]
    return {
        mode: {
            "right": wilson(int(found.right.sum()), len(found.right)).plain(),
            "against_fast": points(paired_difference(fast.right, found.right, rng=rng)),
            "mcnemar_p": float(f"{mcnemar(fast.right, found.right)[2]:.3g}"),
            "of_think": round(float(found.right.mean() / think.right.mean()), 4),
            "tokens": round(float(found.tokens.mean()), 1),
            "cost_of_think": round(float(found.tokens.sum() / think.tokens.sum()), 4),
            "seconds_of_think": round(float(found.seconds.sum() / think.seconds.sum()), 4),
            "cost_of_fast": round(float(found.tokens.sum() / fast.tokens.sum()), 3),
            "confidence": _calibration(found, rng),
        }
        for mode, found in modes.items()
    }


def _calibration(found: Answers, rng: np.random.Generator) -> dict[str, float] | None:
    known = ~np.isnan(found.confidence)
    if known.sum() < 100:
        return None
    confidence, right = found.confidence[known], found.right[known].astype(np.float64)
    return {
        "n": int(known.sum()),
        "ece": round(ece(confidence, right), 4),
        "floor": round(ece_floor(confidence, rng=rng), 4),
        "brier": round(brier(confidence, right), 4),
    }


def curve(modes: Mapping[str, Answers]) -> list[dict[str, float]]:
    """What ``auto`` comes to under many thresholds: below them it does as ``think``, which begins with fast's chain.

    A question without a confidence is always thought about.
    """
    fast, think = modes["fast"], modes["think"]
    confidence = np.nan_to_num(fast.confidence, nan=0.0)
    found = []
    for threshold in THRESHOLDS:
        doubted = confidence < threshold
        right = np.where(doubted, think.right, fast.right)
        tokens = np.where(doubted, think.tokens, fast.tokens)
        found.append(
            {
                "threshold": threshold,
                "doubted": round(float(doubted.mean()), 4),
                "right": round(float(right.mean()), 4),
                "of_think": round(float(right.mean() / think.right.mean()), 4),
                "cost_of_think": round(float(tokens.sum() / think.tokens.sum()), 4),
            }
        )
    return found


def chosen(rows: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """The cheapest of what keeps ``KEEPS`` of think's accuracy."""
    able = [row for row in rows if row["of_think"] >= KEEPS]
    return min(able, key=lambda row: row["cost_of_think"])


def voted(chains: ChainSet) -> Answers:
    """Guided votes of all chains that are there, scoring included."""
    most = max(len(one.chains.scored) for one in chains.samples if one.chains)
    count = chains.right.shape[1]
    scored = np.array([one.chains.scored_tokens if one.chains else 0 for one in chains.samples])
    elected = elect(chains, weighed(chains, shipped_coefficients(SelectionSettings())))
    unknown = np.full(len(scored), np.nan)
    return Answers(elected.right, unknown, chains.tokens.sum(axis=1) + scored * count / most, unknown)


def look_ahead(asked: Mapping[str, Answers], chains: ChainSet, *, rng: np.random.Generator) -> dict[str, Any]:
    """Accuracy and tokens of ``think`` with one vote, beside guided votes: of the most chains that cost no more, scoring
    included, and of one more.
    """
    fast, ahead = asked["fast"], asked["think"]
    counts = range(1, chains.right.shape[1] + 1)
    found = {n: voted(chains.chains(0, n)) for n in counts}
    most = max((n for n in counts if found[n].tokens.sum() <= ahead.tokens.sum()), default=1)
    return {
        "problems": len(fast.right),
        "fast": wilson(int(fast.right.sum()), len(fast.right)).plain(),
        "look_ahead": wilson(int(ahead.right.sum()), len(ahead.right)).plain(),
        "against_fast": points(paired_difference(fast.right, ahead.right, rng=rng)),
        "mcnemar_p": float(f"{mcnemar(fast.right, ahead.right)[2]:.3g}"),
        "tokens": {
            "fast": round(float(fast.tokens.mean()), 1),
            "look_ahead": round(float(ahead.tokens.mean()), 1),
        },
        "votes": [_beside(ahead, found[n], n, rng) for n in (most, most + 1) if n in found],
    }


def _beside(ahead: Answers, votes: Answers, count: int, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "chains": count,
        "tokens": round(float(votes.tokens.mean()), 1),
        "right": wilson(int(votes.right.sum()), len(votes.right)).plain(),
        "look_ahead_against_votes": points(paired_difference(votes.right, ahead.right, rng=rng)),
        "mcnemar_p": float(f"{mcnemar(votes.right, ahead.right)[2]:.3g}"),
    }


def by_steps(samples: Sequence[Sample], modes: Mapping[str, Answers]) -> dict[str, dict[str, float]]:
    """Accuracy of each mode by the steps of the solution."""
    depth = np.array([one.problem.depth or 0 for one in samples])
    return {
        str(steps): {"problems": int((depth == steps).sum())}
        | {mode: round(float(found.right[depth == steps].mean()), 4) for mode, found in modes.items()}
        for steps in sorted(set(depth.tolist()))
    }
