"""Confident and wrong: among answers that most chains agree on, can the wrong ones be told?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.selection.chains import Array, ChainSet
from benchmarks.selection.rules import Elected, elect, filled
from mch_runtime.evaluation.ranking import rank
from mch_runtime.head.calibration import fit_calibrator
from mch_runtime.head.confidence import calibrate

AGREED = 0.75  # of all chains
TOGETHER = "head, ICS and share together"
_FEATURES = ("head_mean", "head_max", "ics_best", "ics_mean", "ics_margin", "share", "logprob_mean")


def certain(validation: ChainSet, test: ChainSet, *, rng: np.random.Generator) -> dict[str, Any]:
    """AUROC of several detectors of right answers among the plain majorities of at least ``AGREED``.

    ``TOGETHER`` is a logistic model fitted on the validation problems' majorities.
    """
    fitted, right = _measured(validation)
    calibrator = fit_calibrator(fitted, right.tolist(), _FEATURES)
    rows, truth = _measured(test)
    scores: dict[str, Array] = {
        name: np.array([row[name] for row in rows])
        for name in ("share", "logprob_mean", "head_mean", "ics_best", "ics_mean", "ics_margin")
    }
    scores[TOGETHER] = np.array([calibrate(calibrator, row) for row in rows])
    ranking = rank(scores, truth.astype(np.float64), np.arange(len(truth)), rng=rng)
    difference, p = ranking.difference(TOGETHER, "logprob_mean")
    return {
        "agreed": AGREED,
        "answers": len(truth),
        "wrong": int((~truth).sum()),
        "auroc": {name: ranking.estimate(name).plain() for name in scores},
        "together_minus_logprob": {**difference.plain(), "p": round(p, 4)},
        "validation_answers": len(right),
    }


def _measured(chains: ChainSet) -> tuple[list[dict[str, float]], NDArray[np.bool_]]:
    chains = replace(chains, measures={name: filled(values) for name, values in chains.measures.items()})
    elected = elect(chains, np.zeros(chains.answers.shape))
    agreed = np.flatnonzero(elected.share >= AGREED)
    return [_features(chains, elected, int(place)) for place in agreed], elected.right[agreed]


def _features(chains: ChainSet, elected: Elected, place: int) -> dict[str, float]:
    own = chains.answers[place] == chains.answers[place, elected.chosen[place]]
    head, ics = chains.measures["head"][place], chains.measures["ics"][place]
    rival = ics[~own].max() if not own.all() else ics[own].max() - 1.0
    return {
        "share": float(elected.share[place]),
        "logprob_mean": float(chains.measures["logprob_mean"][place][own].mean()),
        "head_mean": float(head[own].mean()),
        "head_max": float(head[own].max()),
        "ics_best": float(ics[own].max()),
        "ics_mean": float(ics[own].mean()),
        "ics_margin": float(ics[own].max() - rival),
    }
