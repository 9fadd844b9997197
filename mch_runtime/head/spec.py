"""A head as a value: metadata and weights, as ``docs/head-format.md`` stores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What the base model should answer: the hidden state after fixed tokens.

    token_ids: 16 ids; state: (d,) hidden state of the last; cosine: refuse a base below it.
    """

    token_ids: tuple[int, ...]
    state: NDArray[np.float32]
    cosine: float


@dataclass(frozen=True, kw_only=True)
class Calibrator:
    """A logistic model of "the answer is right" for one mode: sigmoid(weight . features + bias)."""

    features: tuple[str, ...]
    weight: tuple[float, ...]
    bias: float


@dataclass(frozen=True, kw_only=True)
class Familiarity:
    """When a question counts as familiar: its lowest mean log-probability, in nats per token, over any
    ``window`` tokens in a row is at least ``threshold``.
    """

    threshold: float
    window: int


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """Everything about a head but its weights.

    embedding_length: d of the base; width: p; head_count divides width; statistics: names of the
    token statistics in order; channels: names of the confidences in order; platt_scale and
    platt_bias: one per channel; step_delimiter: text that ends a step; template: sha256 of the
    chat template the head was fitted under, "" if none; familiarity: None where it was not measured;
    provenance: what it was fitted on.
    """

    name: str
    base_architecture: str
    base_fingerprint: str
    probe: Probe
    embedding_length: int
    width: int
    head_count: int
    rope_freq_base: float
    rms_epsilon: float
    statistics: tuple[str, ...]
    channels: tuple[str, ...]
    platt_scale: tuple[float, ...]
    platt_bias: tuple[float, ...]
    step_delimiter: str
    template: str
    calibration: Mapping[str, Calibrator] = field(default_factory=dict)
    familiarity: Familiarity | None = None
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Head:
    """A head: its metadata and its tensors by name, float32, stored (out, in)."""

    spec: HeadSpec
    tensors: Mapping[str, NDArray[np.float32]]


def tensor_shapes(spec: HeadSpec) -> dict[str, tuple[int, ...]]:
    """The tensors every head has, with the shapes numpy sees."""
    d, p, channels = spec.embedding_length, spec.width, len(spec.channels)
    return {
        "mch.in_norm.weight": (d,),
        "mch.in.weight": (p, d),
        "mch.in.bias": (p,),
        "mch.stat.weight": (p, len(spec.statistics)),
        "mch.attn_q.weight": (p, p),
        "mch.attn_k.weight": (p, p),
        "mch.attn_v.weight": (p, p),
        "mch.attn_out.weight": (p, p),
        "mch.out_norm.weight": (p,),
        "mch.confidence.weight": (channels, p),
        "mch.confidence.bias": (channels,),
    }
