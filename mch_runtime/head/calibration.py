"""Fitting the calibrator of a mode: a logistic model of "the answer is right", in plain numpy.

The features are those that the mode measures anyway, see ``strategies/confidence.py``. Fit on validation data,
store with the head under ``mch.calibration.<mode>.*``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mch_runtime.errors import UsageError
from mch_runtime.head.spec import Calibrator, Head

L2 = 1e-3  # per sample, on standardised features
_STEPS = 100
_CLOSE = 1e-9


def fit_calibrator(
    samples: Sequence[Mapping[str, float]], right: Sequence[bool], features: Sequence[str], *, l2: float = L2
) -> Calibrator:
    """The weights of least cross-entropy, by Newton's method with a small penalty on standardised features.

    samples: (n,) named measurements, each with all of ``features``; right: (n,) whether the answers were. The
    penalty keeps the weights finite where the labels are separable. Raises UsageError without samples of both
    kinds, or where a feature is missing.
    """
    labels = np.asarray(right, dtype=np.float64)
    if len(labels) != len(samples) or labels.min(initial=1.0) == labels.max(initial=0.0):
        raise UsageError("a calibrator needs right and wrong answers", hint="take more problems")
    missing = [name for name in features if any(name not in sample for sample in samples)]
    if missing:
        raise UsageError(f"samples lack {', '.join(missing)}", hint="leave the feature or those samples out")
    values = np.array([[sample[name] for name in features] for sample in samples], dtype=np.float64)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    spread[spread < _CLOSE] = 1.0
    weight, bias = _newton((values - mean) / spread, labels, l2)
    weight /= spread
    return Calibrator(
        features=tuple(features),
        weight=tuple(map(float, weight)),
        bias=float(bias - weight @ mean),
    )


def with_calibrator(head: Head, mode: str, calibrator: Calibrator) -> Head:
    """The head with this calibrator for the mode, whatever it had before."""
    spec = replace(head.spec, calibration={**head.spec.calibration, mode: calibrator})
    return replace(head, spec=spec)


def _newton(
    values: NDArray[np.float64], labels: NDArray[np.float64], l2: float
) -> tuple[NDArray[np.float64], float]:
    """Weights (k,) and bias for values (n, k); the bias is not penalised."""
    design = np.column_stack([values, np.ones(len(values))])
    penalty = l2 * len(labels) * np.append(np.ones(values.shape[1]), 0.0)

    def loss(weight: NDArray[np.float64]) -> float:
        logits = design @ weight
        return float(np.logaddexp(0.0, logits).sum() - labels @ logits + 0.5 * penalty @ weight**2)

    weight = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ weight, -50.0, 50.0)))
        gradient = design.T @ (p - labels) + penalty * weight
        curvature = (design * (p * (1.0 - p))[:, None]).T @ design + np.diag(penalty + _CLOSE)
        step = np.linalg.solve(curvature, gradient)
        while loss(weight - step) > loss(weight) and np.abs(step).max() >= _CLOSE:
            step /= 2  # a full step from far away may lead further away
        weight -= step
        if np.abs(step).max() < _CLOSE:
            break
    return weight[:-1], float(weight[-1])
