"""Random heads for tests: asymmetric weights, so that a transpose cannot hide."""

from __future__ import annotations

import numpy as np

from mch_runtime.head.spec import Calibrator, Head, HeadSpec, Probe, tensor_shapes


def random_head(
    *, d: int = 24, width: int = 16, head_count: int = 2, seed: int = 0, **changes: object
) -> Head:
    """A head with random weights; ``changes`` replace fields of its spec."""
    rng = np.random.default_rng(seed)
    fields: dict[str, object] = {
        "name": "random-mch",
        "base_architecture": "qwen2",
        "base_fingerprint": "0" * 64,
        "probe": Probe(token_ids=tuple(range(16)), state=rng.normal(size=d).astype(np.float32), cosine=0.9),
        "embedding_length": d,
        "width": width,
        "head_count": head_count,
        "rope_freq_base": 10_000.0,
        "rms_epsilon": 1e-6,
        "statistics": ("logprob", "log_surprisal", "entropy", "margin"),
        "channels": ("valid", "sound", "answer"),
        "platt_scale": (1.1, 0.9, 1.3),
        "platt_bias": (0.1, -0.2, 0.05),
        "step_delimiter": "\n",
        "template": "",
        "calibration": {"fast": Calibrator(features=("answer_logit",), weight=(1.2,), bias=-0.1)},
        "provenance": {"data": "random", "chains": 3, "auroc": 0.5},
    }
    spec = HeadSpec(**(fields | changes))  # type: ignore[arg-type]
    tensors = {
        name: (1.0 if name.endswith("norm.weight") else 0.0) + rng.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in tensor_shapes(spec).items()
    }
    return Head(spec, {name: np.asarray(value, dtype=np.float32) for name, value in tensors.items()})
