"""Calibrators fitted in plain numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mch_runtime.errors import UsageError
from mch_runtime.head.calibration import fit_calibrator, with_calibrator
from mch_runtime.head.confidence import (
    KNOTS,
    calibrate,
    channel_confidences,
    step_feature_names,
    step_features,
)
from mch_runtime.head.spec import Calibrator
from tests.head_samples import random_head


def samples(n: int, seed: int = 0) -> tuple[list[dict[str, float]], list[bool]]:
    """Answers that are right with probability sigmoid(2 a - 0.01 b - 1)."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), 100 * rng.normal(size=n)
    p = 1 / (1 + np.exp(-(2 * a - 0.01 * b - 1)))
    return [{"a": x, "b": y} for x, y in zip(a, b, strict=True)], list(rng.random(n) < p)


def test_what_made_the_labels_is_found() -> None:
    found = fit_calibrator(*samples(20_000), ("a", "b"))
    assert found.weight[0] == pytest.approx(2.0, abs=0.1)
    assert found.weight[1] == pytest.approx(-0.01, abs=0.002)
    assert found.bias == pytest.approx(-1.0, abs=0.1)


def test_it_is_calibrated() -> None:
    known, right = samples(5_000)
    found = fit_calibrator(known, right, ("a", "b"))
    assert np.mean([calibrate(found, one) for one in known]) == pytest.approx(np.mean(right), abs=1e-3)


def test_separable_labels_and_constant_features_stay_finite() -> None:
    known = [{"a": float(k), "n": 8.0} for k in range(10)]
    found = fit_calibrator(known, [k >= 5 for k in range(10)], ("a", "n"))
    assert np.isfinite([*found.weight, found.bias]).all()
    assert abs(found.weight[1]) < 1e-6
    assert calibrate(found, known[9]) > 0.9 > 0.1 > calibrate(found, known[0])


def test_what_cannot_be_fitted_is_refused() -> None:
    known, _ = samples(4)
    with pytest.raises(UsageError, match="right and wrong"):
        fit_calibrator(known, [True] * 4, ("a",))
    with pytest.raises(UsageError, match="lack c"):
        fit_calibrator(known, [True, False, True, False], ("a", "c"))


def test_a_head_keeps_its_other_calibrators() -> None:
    head = random_head()
    fitted = fit_calibrator(*samples(100), ("a",))
    changed = with_calibrator(head, "think", fitted)
    assert changed.spec.calibration == {**head.spec.calibration, "think": fitted}


def test_a_channel_with_a_calibrator_of_its_own_leaves_the_platt_line() -> None:
    spec = random_head().spec
    logits, statistics = [0.5] * len(spec.channels), [0.1] * len(spec.statistics)
    features = step_features(spec, logits, statistics)
    assert set(features) == step_feature_names(spec)
    plain = channel_confidences(spec, features, ended=False)
    name, other = spec.channels[0], spec.channels[1]
    own = Calibrator(features=(f"{other}_logit", spec.statistics[0]), weight=(2.0, 10.0), bias=-1.0)
    changed = replace(spec, calibration={name: own})
    found = channel_confidences(changed, features, ended=True)
    assert found[name] == pytest.approx(1 / (1 + np.exp(-1.0)))
    assert {key: found[key] for key in spec.channels[1:]} == {key: plain[key] for key in spec.channels[1:]}
    at_end = replace(changed, calibration={**changed.calibration, f"{name}_at_end": replace(own, bias=0.0)})
    assert channel_confidences(at_end, features, ended=False) == found
    assert channel_confidences(at_end, features, ended=True)[name] > found[name]


def test_a_calibrator_may_bend() -> None:
    spec = random_head().spec
    features = step_features(spec, [2.5] * len(spec.channels), [0.0] * len(spec.statistics))
    name = spec.channels[0]
    assert [features[f"{name}_logit_above_{knot}"] for knot in KNOTS] == [2.5, 1.5, 0.5, 0.0, 0.0]
