"""The head's fast forward pass against its readable twin, a stored vector, and torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.head.confidence import channel_confidences, step_features
from mch_runtime.head.network import HeadRun, step_logits
from mch_runtime.head.reference import calibrated, channel_logits
from mch_runtime.head.spec import Head
from tests.head_samples import random_head

VECTOR = Path(__file__).parent / "head_vector.json"


def inputs(head: Head, length: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    d, n = head.spec.embedding_length, len(head.spec.statistics)
    return rng.normal(size=(length, d)).astype(np.float32), rng.normal(size=(length, n)).astype(np.float32)


@settings(max_examples=25)
@given(st.sets(st.integers(0, 20), min_size=1), st.sampled_from([(16, 2), (16, 4), (12, 1)]))
def test_agrees_with_the_reference(ends: set[int], shape: tuple[int, int]) -> None:
    head = random_head(width=shape[0], head_count=shape[1])
    hidden, features = inputs(head, 21)
    expected = channel_logits(head, hidden, features, sorted(ends))
    assert np.allclose(step_logits(head, hidden, features, sorted(ends)), expected, atol=1e-5)


def test_reference_vector() -> None:
    """Any other implementation can check itself against this file."""
    stored = json.loads(VECTOR.read_text())
    fields = stored["spec"]
    spec = random_head(
        d=fields.pop("embedding_length"),
        **{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()},
    ).spec
    head = Head(spec, {k: np.array(v, dtype=np.float32) for k, v in stored["tensors"].items()})
    hidden = np.array(stored["hidden"], dtype=np.float32)
    features = np.array(stored["features"], dtype=np.float32)
    got = step_logits(head, hidden, features, stored["step_ends"])
    assert np.allclose(got, stored["logits"], atol=1e-5)
    nothing = [0.0] * len(spec.statistics)
    confidences = [
        list(channel_confidences(spec, step_features(spec, row, nothing), ended=False).values())
        for row in got
    ]
    assert np.allclose(confidences, stored["confidence"], atol=1e-5)
    assert np.allclose([calibrated(spec, row) for row in got], stored["confidence"], atol=1e-5)


def test_positions_restart_with_every_answer() -> None:
    head = random_head()
    hidden, features = inputs(head, 9)
    assert np.array_equal(step_logits(head, hidden, features, [8]), step_logits(head, hidden, features, [8]))


def test_does_not_keep_views() -> None:
    """Hidden states are views into llama.cpp's buffer, which the next token overwrites."""
    head = random_head()
    hidden, features = inputs(head, 4)
    expected = step_logits(head, hidden, features, [3])
    run = HeadRun(head)
    buffer = np.empty_like(hidden[0])
    for h, s in zip(hidden, features, strict=True):
        buffer[:] = h
        run.push(buffer, s)
    assert np.array_equal(run.logits(), expected[0])


def test_speaks_only_after_a_token() -> None:
    with pytest.raises(ValueError, match="no token"):
        HeadRun(random_head()).logits()


def test_agrees_with_torch() -> None:
    torch = pytest.importorskip("torch")
    from mch_runtime.head.fit import FitConfig, build_network

    torch.manual_seed(0)
    network = build_network(24, 4, FitConfig(width=16, head_count=2))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    head = Head(random_head(d=24, rms_epsilon=1e-6).spec, network.named_tensors())
    hidden, features = inputs(head, 30)
    ends = [3, 4, 17, 29]
    with torch.no_grad():
        states, rows = torch.from_numpy(hidden)[None], torch.from_numpy(features)[None]
        expected = network.eval()(states, rows, torch.tensor([ends]))[0].numpy()
    assert np.allclose(step_logits(head, hidden, features, ends), expected, atol=1e-4)
