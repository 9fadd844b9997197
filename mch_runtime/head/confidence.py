"""What a head's raw numbers come to: probabilities, by the calibrators that are stored with it.

A calibrator under the name of a channel takes the place of that channel's Platt line, and one under the name with
``_at_end`` where the chain ends: a line through the logit does not always have the right shape, nor the same one
everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from mch_runtime.head.spec import Calibrator, HeadSpec

LOGIT, AT_END = "_logit", "_at_end"
KNOTS = (0, 1, 2, 3, 4)  # where a calibrator's curve may bend
_LIMIT = 60.0


def step_features(spec: HeadSpec, logits: Iterable[float], statistics: Iterable[float]) -> dict[str, float]:
    """What the calibrators of channels and of ``fast`` may ask for by name, at a step's end.

    The channels' raw logits (K,), named ``answer_logit`` and so on; by how much each is above a knot,
    ``answer_logit_above_2``, 0 below it; and the head's token statistics (n_s,) of the step's last token, under their
    own names.
    """
    named = {f"{name}{LOGIT}": float(value) for name, value in zip(spec.channels, logits, strict=True)}
    bends = {
        f"{name}_above_{knot}": max(0.0, value - knot) for name, value in named.items() for knot in KNOTS
    }
    return named | bends | dict(zip(spec.statistics, map(float, statistics), strict=True))


def bending(channel: str) -> tuple[str, ...]:
    """The features of a curve through a channel's logit that may bend at every knot."""
    return (f"{channel}{LOGIT}", *(f"{channel}{LOGIT}_above_{knot}" for knot in KNOTS))


def step_feature_names(spec: HeadSpec) -> frozenset[str]:
    """The names of :func:`step_features`."""
    return frozenset(step_features(spec, [0.0] * len(spec.channels), [0.0] * len(spec.statistics)))


def channel_confidences(spec: HeadSpec, features: Mapping[str, float], *, ended: bool) -> dict[str, float]:
    """Each channel's probability at a step's end: by a calibrator of its own if there is one, else
    sigmoid(a * logit + b) with the Platt scaling stored with the head. ended: the model has ended the chain there.
    """
    found = {}
    for name, scale, bias in zip(spec.channels, spec.platt_scale, spec.platt_bias, strict=True):
        own = spec.calibration.get(name)
        if ended:
            own = spec.calibration.get(f"{name}{AT_END}", own)
        found[name] = calibrate(own, features) if own else _sigmoid(scale * features[f"{name}{LOGIT}"] + bias)
    return found


def calibrate(calibrator: Calibrator, features: Mapping[str, float]) -> float:
    """A calibrator's probability for named features. Raises KeyError for a feature that is missing."""
    weighted = zip(calibrator.weight, calibrator.features, strict=True)
    return _sigmoid(calibrator.bias + sum(weight * features[name] for weight, name in weighted))


def _sigmoid(score: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-_LIMIT, min(_LIMIT, score))))
