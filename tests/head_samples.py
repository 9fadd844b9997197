"""Random heads for tests: asymmetric weights, so that a transpose cannot hide."""

from __future__ import annotations

import numpy as np

from mch_runtime.head.spec import Calibrator, Head, HeadSpec, Probe, tensor_shapes


def random_head(
    *, d: int = 64, width: int = 16, head_count: int = 2, seed: int = 0, **changes: object
) -> Head:
    """A head with random weights; ``changes`` replace fields of its spec."""
    rng = np.random.default_rng(seed)
    fields: dict[str, object] = {
        "name": "sample head",
        "base_architecture": "qwen2",
        "base_fingerprint": "0" * 64,
        "probe": Probe(token_ids=tuple(range(16)), state=rng.normal(size=d).astype(np.float32), cosine=0.5),
        "embedding_length": d,
        "width": width,
        "head_count": head_count,
        "rope_freq_base": 10_000.0,
        "rms_epsilon": 2.0**-20,  # exact in float32
        "statistics": ("logprob", "log_surprisal", "entropy", "margin"),
        "channels": ("valid", "sound", "answer"),
        "platt_scale": (1.0, 0.5, 2.0),
        "platt_bias": (0.0, -0.25, 0.125),
        "step_delimiter": "\n",
        "template": "",
        "calibration": {
            "fast": Calibrator(features=("answer_logit",), weight=(1.25,), bias=-0.125),
            "vote": Calibrator(features=("share", "n"), weight=(1.5, -0.5), bias=0.25),
        },
        "provenance": {"data": "sums", "steps": 1234, "auroc": 0.91},
    }
    spec = HeadSpec(**(fields | changes))  # type: ignore[arg-type]
    tensors = {
        name: (1.0 if name.endswith("norm.weight") else 0.0) + rng.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in tensor_shapes(spec).items()
    }
    return Head(spec, {name: np.asarray(value, dtype=np.float32) for name, value in tensors.items()})
