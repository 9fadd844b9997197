"""The head's forward pass written to be read: one token, one head, one number at a time.

Slow on purpose; ``network.py`` must agree with it, and so must every other implementation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mch_runtime.head.spec import Head, HeadSpec
from mch_runtime.session import FloatArray


def channel_logits(
    head: Head, hidden: FloatArray, features: FloatArray, step_ends: Sequence[int]
) -> list[list[float]]:
    """Raw channel logits at each step end, for hidden (T, d) and features (T, n_s)."""
    spec, w = head.spec, head.tensors
    xs = [_embed(spec, w, h, s) for h, s in zip(hidden, features, strict=True)]
    size = spec.width // spec.head_count
    result = []
    for end in step_ends:
        mixed: list[float] = []
        for number in range(spec.head_count):
            rows = slice(number * size, (number + 1) * size)
            query = _rotated(spec, w["mch.attn_q.weight"][rows] @ xs[end], end)
            scores = [
                float(query @ _rotated(spec, w["mch.attn_k.weight"][rows] @ xs[j], j)) / math.sqrt(size)
                for j in range(end + 1)
            ]
            shares = [math.exp(score - max(scores)) for score in scores]
            values = [w["mch.attn_v.weight"][rows] @ xs[j] for j in range(end + 1)]
            total = sum(shares)
            for k in range(size):
                mixed.append(
                    sum(share * float(v[k]) for share, v in zip(shares, values, strict=True)) / total
                )
        y = xs[end] + w["mch.attn_out.weight"] @ np.array(mixed)
        z = _rms_norm(y, w["mch.out_norm.weight"], spec.rms_epsilon)
        result.append([float(value) for value in w["mch.confidence.weight"] @ z + w["mch.confidence.bias"]])
    return result


def calibrated(spec: HeadSpec, logits: Sequence[float]) -> list[float]:
    """sigmoid(a * logit + b) per channel."""
    return [
        1.0 / (1.0 + math.exp(-(a * logit + b)))
        for a, b, logit in zip(spec.platt_scale, spec.platt_bias, logits, strict=True)
    ]


def _embed(spec: HeadSpec, w: Mapping[str, FloatArray], h: FloatArray, s: FloatArray) -> FloatArray:
    normed = _rms_norm(h, w["mch.in_norm.weight"], spec.rms_epsilon)
    return w["mch.in.weight"] @ normed + w["mch.stat.weight"] @ s + w["mch.in.bias"]


def _rms_norm(x: FloatArray, weight: FloatArray, epsilon: float) -> FloatArray:
    return np.asarray(x / math.sqrt(float(np.mean(np.square(x))) + epsilon) * weight)


def _rotated(spec: HeadSpec, x: FloatArray, position: int) -> FloatArray:
    """Rotary position: pairs (k, k + half) turn by position * base^(-2k/size)."""
    half = len(x) // 2
    turned = np.array(x)
    for k in range(half):
        angle = position * spec.rope_freq_base ** (-2.0 * k / len(x))
        turned[k] = x[k] * math.cos(angle) - x[k + half] * math.sin(angle)
        turned[k + half] = x[k + half] * math.cos(angle) + x[k] * math.sin(angle)
    return turned
