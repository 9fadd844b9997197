"""Fitting a head: it learns what there is to learn, and its probabilities are calibrated."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from mch_runtime.errors import UsageError
from mch_runtime.head.confidence import channel_confidences, step_features
from mch_runtime.head.fit import CHANNELS, FitConfig, TraceSet, fit, import_torch, platt
from mch_runtime.head.network import step_logits
from mch_runtime.head.spec import Head, tensor_shapes
from tests.head_samples import random_head

D, STEPS, LENGTH = 12, 3, 5  # hidden size, steps of a chain, tokens of a step


def synthetic(seed: int, *, problems: int, informative: bool = True) -> TraceSet:
    """Chains whose states say how likely each step is valid, two chains of each problem."""
    rng = np.random.default_rng(seed)
    chains = 2 * problems
    tokens = STEPS * LENGTH + 1
    hidden = rng.normal(size=(chains, tokens, D))
    doubt = rng.normal(size=(chains, STEPS))
    valid = rng.random((chains, STEPS)) < 1 / (1 + np.exp(-3 * doubt))
    ends = np.arange(1, STEPS + 1) * LENGTH
    if informative:
        hidden[:, ends, 0] = 3 * doubt
    sound = np.logical_and.accumulate(valid, axis=1)
    answer = np.repeat(sound[:, -1:], STEPS, axis=1)
    return TraceSet(
        hidden=hidden.reshape(-1, D).astype(np.float16),
        features=rng.normal(size=(chains * tokens, 4)).astype(np.float32),
        starts=np.arange(chains + 1) * tokens,
        problems=np.arange(chains) // 2,
        step_chains=np.repeat(np.arange(chains), STEPS),
        step_ends=np.tile(ends, chains),
        labels=np.stack([valid, sound, answer], axis=-1).reshape(-1, 3).astype(np.float32),
        is_answer=np.tile(np.arange(STEPS) == STEPS - 1, chains),
    )


def test_it_learns_and_is_calibrated() -> None:
    pytest.importorskip("torch")
    fitted = fit(
        synthetic(0, problems=400), synthetic(1, problems=300), FitConfig(width=16, head_count=2, epochs=8)
    )
    spec = random_head(
        d=D, width=16, rms_epsilon=1e-6, platt_scale=fitted.platt_scale, platt_bias=fitted.platt_bias
    ).spec
    assert {name: t.shape for name, t in fitted.tensors.items()} == tensor_shapes(spec)
    head, test = Head(spec, fitted.tensors), synthetic(2, problems=300)
    confidences = np.array(_confidences(head, test))[:, CHANNELS.index("valid")]
    valid = test.labels[:, CHANNELS.index("valid")] > 0.5
    told = test.hidden[test.starts[test.step_chains] + test.step_ends, 0]
    assert ranking(confidences, valid) > ranking(told, valid) - 0.03
    for low, high in ((0.0, 0.5), (0.5, 1.0)):
        members = (confidences >= low) & (confidences <= high)
        assert abs(confidences[members].mean() - valid[members].mean()) < 0.08


@pytest.mark.parametrize("part", ["attention", "statistics"])
def test_a_head_without_a_part_is_a_head_whose_part_is_zero(part: str) -> None:
    pytest.importorskip("torch")
    config = FitConfig(width=16, head_count=2, epochs=2, **{part: False})
    fitted = fit(synthetic(0, problems=60), synthetic(1, problems=40), config)
    zero = {name for name, tensor in fitted.tensors.items() if not tensor.any()}
    assert zero == (
        {"mch.stat.weight"}
        if part == "statistics"
        else {f"mch.attn_{name}.weight" for name in ("q", "k", "v", "out")}
    )
    head = Head(random_head(d=D, width=16, rms_epsilon=1e-6).spec, fitted.tensors)
    assert np.isfinite(_confidences(head, synthetic(2, problems=3))).all()


def ranking(scores: np.ndarray, right: np.ndarray) -> float:
    """P(a right step scores higher than a wrong one)."""
    return float((scores[right][:, None] > scores[~right]).mean())


def _confidences(head: Head, traces: TraceSet) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for chain in range(len(traces.problems)):
        span = slice(traces.starts[chain], traces.starts[chain + 1])
        ends = traces.step_ends[traces.step_chains == chain]
        logits = step_logits(head, traces.hidden[span], traces.features[span], ends)
        seen = traces.features[span][ends]
        told = (step_features(head.spec, *row) for row in zip(logits, seen, strict=True))
        found += [np.array(list(channel_confidences(head.spec, row, ended=False).values())) for row in told]
    return found


def test_where_there_is_nothing_to_learn_it_learns_nothing() -> None:
    pytest.importorskip("torch")
    blank = {"problems": 100, "informative": False}
    fitted = fit(synthetic(0, **blank), synthetic(1, **blank), FitConfig(width=8, head_count=1, epochs=3))
    assert all(abs(scale) < 1.0 for scale in fitted.platt_scale)


def test_platt_finds_the_scale() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits + 1)))).astype(np.float32)
    assert platt(logits, labels) == pytest.approx((0.5, 1.0), abs=0.08)


@pytest.mark.parametrize("labels", [np.ones(10), np.zeros(10)])
def test_platt_stays_finite_with_one_kind_of_label(labels: np.ndarray) -> None:
    assert np.isfinite(platt(np.linspace(-3, 3, 10), labels.astype(np.float32))).all()


def test_the_last_steps_are_known() -> None:
    traces = synthetic(0, problems=2)
    assert traces.last_steps.tolist() == [False, False, True] * 4


def test_without_torch_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match="needs torch") as caught:
        import_torch()
    assert "pip install" in caught.value.hint
