"""The numbers that describe a model, checked before llama.cpp asserts on them.

Each bound stands for an assertion, a division or an allocation in llama.cpp's ``llama-model.cpp``,
``llama-hparams.cpp`` or ``src/models/*.cpp``. A refusal's rule is the key with dashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from mch_runtime.errors import ModelError
from mch_runtime.gguf.reader import GgufFile, Value

MAX_LAYERS = 512
_MAX_INT = 2**31 - 1
_WIDTH = 1 << 20
_ANY = 3.4028235e38
_LEAST = 1e-45  # the smallest float32 above zero

# Key without the architecture -> type in the file, smallest and largest value; all are optional here.
_BOUNDS: Mapping[str, tuple[str, float, float]] = {
    "context_length": ("uint32", 1, _MAX_INT),
    "embedding_length": ("uint32", 1, _WIDTH),
    "embedding_length_out": ("uint32", 1, _WIDTH),
    "block_count": ("uint32", 1, MAX_LAYERS),
    "nextn_predict_layers": ("uint32", 0, 0),
    "vocab_size": ("uint32", 0, _MAX_INT),
    "pooling_type": ("uint32", 0, 4),
    "expert_count": ("uint32", 0, 0),
    "expert_group_count": ("uint32", 0, 0),
    "expert_shared_feed_forward_length": ("uint32", 0, 0),
    "attention.causal": ("bool", 1, 1),
    "attention.key_length": ("uint32", 1, _WIDTH),
    "attention.key_length_swa": ("uint32", 1, _WIDTH),
    "attention.value_length": ("uint32", 1, _WIDTH),
    "attention.value_length_swa": ("uint32", 1, _WIDTH),
    "attention.sliding_window": ("uint32", 0, 1 << 24),
    "attention.layer_norm_rms_epsilon": ("float32", _LEAST, 1),
    "attention.scale": ("float32", 0, _ANY),
    "attn_logit_softcapping": ("float32", 0, _ANY),
    "final_logit_softcapping": ("float32", 0, _ANY),
    "embedding_scale": ("float32", -_ANY, _ANY),
    "residual_scale": ("float32", -_ANY, _ANY),
    "logit_scale": ("float32", _LEAST, _ANY),
    "rope.dimension_count": ("uint32", 2, _WIDTH),
    "rope.dimension_count_swa": ("uint32", 2, _WIDTH),
    "rope.freq_base": ("float32", _LEAST, _ANY),
    "rope.freq_base_swa": ("float32", _LEAST, _ANY),
    "rope.scale_linear": ("float32", 0, _ANY),
    "rope.scaling.factor": ("float32", 0, _ANY),
    "rope.scaling.alpha": ("float32", -_ANY, _ANY),
    "rope.scaling.attn_factor": ("float32", -_ANY, _ANY),
    "rope.scaling.original_context_length": ("uint32", 1, _MAX_INT),
    "rope.scaling.finetuned": ("bool", 0, 1),
    "rope.scaling.yarn_log_multiplier": ("float32", -_ANY, _ANY),
    "rope.scaling.yarn_ext_factor": ("float32", -_ANY, _ANY),
    "rope.scaling.yarn_attn_factor": ("float32", -_ANY, _ANY),
    "rope.scaling.yarn_beta_fast": ("float32", -_ANY, _ANY),
    "rope.scaling.yarn_beta_slow": ("float32", -_ANY, _ANY),
}
# One number, or an array with one for every layer.
_PER_LAYER: Mapping[str, tuple[float, float]] = {
    "feed_forward_length": (1, 1 << 24),
    "attention.head_count": (1, 1 << 16),
    "attention.head_count_kv": (1, 1 << 16),
    "expert_used_count": (0, 0),
}
_REQUIRED = (
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "attention.head_count",
    "attention.layer_norm_rms_epsilon",
)
_ROPE_SCALING = frozenset({"none", "linear", "yarn", "longrope"})


@dataclass(frozen=True, kw_only=True)
class HyperParameters:
    """What shapes are made of. head_size: of a query, key or value head; rotary: its rotated part."""

    layers: int
    embd: int
    ff: int
    heads: int
    kv_heads: int
    head_size: int
    rotary: int

    def dimensions(self, *, vocab: int) -> dict[str, int]:
        """The dimension names of ``architectures.py`` as numbers."""
        q, kv = self.heads * self.head_size, self.kv_heads * self.head_size
        return {
            "vocab": vocab,
            "embd": self.embd,
            "ff": self.ff,
            "2ff": 2 * self.ff,
            "q": q,
            "kv": kv,
            "qkv": q + 2 * kv,
            "head": self.head_size,
            "half": self.rotary // 2,
        }


def read_hyperparameters(gguf: GgufFile, architecture: str, *, partial_rotary: bool) -> HyperParameters:
    """The checked numbers of ``gguf``. Raises ModelError."""
    fields = _Fields(gguf, architecture)
    for key in _REQUIRED:
        if fields.get(key) is None:
            fields.refuse(key, "is missing")
    for key, (kind, low, high) in _BOUNDS.items():
        fields.check(key, kind, low, high)
    layers = fields.number("block_count")
    for key, (low, high) in _PER_LAYER.items():
        fields.check_per_layer(key, layers, low, high)
    _check_others(fields, layers)
    embd, heads = fields.number("embedding_length"), fields.number("attention.head_count")
    kv_heads = fields.number("attention.head_count_kv", heads)
    if heads % kv_heads:
        fields.refuse("attention.head_count_kv", f"is {kv_heads}, which does not divide {heads} heads")
    if fields.number("embedding_length_out", embd) != embd:
        fields.refuse("embedding_length_out", f"is not the embedding length {embd}")
    head_size = _head_size(fields, embd, heads)
    return HyperParameters(
        layers=layers,
        embd=embd,
        ff=fields.number("feed_forward_length"),
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        rotary=_rotary(fields, head_size, partial=partial_rotary),
    )


class _Fields:
    """The metadata of one architecture."""

    def __init__(self, gguf: GgufFile, architecture: str) -> None:
        self._gguf = gguf
        self._architecture = architecture

    def get(self, key: str) -> Value | None:
        return self._gguf.metadata.get(f"{self._architecture}.{key}")

    def kind(self, key: str) -> str | None:
        return self._gguf.types.get(f"{self._architecture}.{key}")

    def number(self, key: str, default: int = 0) -> int:
        """A checked integer; the first layer's where there is one for every layer."""
        value = self.get(key)
        if isinstance(value, tuple):
            value = value[0]
        return value if isinstance(value, int) else default

    def check(self, key: str, kind: str, low: float, high: float) -> None:
        value = self.get(key)
        if value is None:
            return
        if self.kind(key) != kind:
            self.refuse(key, f"has the type {self.kind(key)}, not {kind}")
        if not isinstance(value, (int, float)) or not low <= value <= high:  # NaN is not either
            self.refuse(key, f"is {value}, outside {low:g} to {high:g}")

    def check_per_layer(self, key: str, layers: int, low: float, high: float) -> None:
        value = self.get(key)
        if not isinstance(value, tuple):
            self.check(key, "uint32", low, high)
            return
        if self.kind(key) not in ("[uint32]", "[int32]"):
            self.refuse(key, f"has the type {self.kind(key)}, not [uint32]")
        if len(value) != layers:
            self.refuse(key, f"has {len(value)} values for {layers} layers")
        if len(set(value)) != 1:
            self.refuse(key, "differs between layers, which is not supported")
        if not isinstance(value[0], int) or not low <= value[0] <= high:
            self.refuse(key, f"is {value[0]}, outside {low:g} to {high:g}")

    def refuse(self, key: str, what: str) -> NoReturn:
        name = f"{self._architecture}.{key}"
        rule = key.removeprefix("attention.").replace(".", "-").replace("_", "-")
        hint = "mixture-of-experts models are not supported" if key.startswith("expert") else ""
        raise ModelError(f"the metadata key {name} {what}", rule=rule, hint=hint)


def _check_others(fields: _Fields, layers: int) -> None:
    """What is neither one number nor one for every layer."""
    scaling = fields.get("rope.scaling.type")
    if scaling is not None and scaling not in _ROPE_SCALING:
        fields.refuse("rope.scaling.type", f"is {scaling!r}, which llama.cpp does not know")
    pattern, kind = (f("attention.sliding_window_pattern") for f in (fields.get, fields.kind))
    if isinstance(pattern, tuple):
        if len(pattern) != layers or kind not in ("[bool]", "[uint32]", "[int32]"):
            fields.refuse("attention.sliding_window_pattern", f"is not one flag for each of {layers} layers")
    else:
        fields.check("attention.sliding_window_pattern", "uint32", 0, MAX_LAYERS)
    if fields.get("deepstack_mapping") is not None:
        fields.refuse("deepstack_mapping", "belongs to a vision model")


def _head_size(fields: _Fields, embd: int, heads: int) -> int:
    """Query, key and value heads have one size in every architecture of the table."""
    default = embd // heads
    size = fields.number("attention.key_length", default)
    if fields.get("attention.key_length") is None and embd % heads:
        fields.refuse("attention.head_count", f"is {heads}, which does not divide {embd}")
    for key in ("value_length", "key_length_swa", "value_length_swa"):
        if fields.number(f"attention.{key}", default if key == "value_length" else size) != size:
            fields.refuse(f"attention.{key}", f"is not the key length {size}")
    return size


def _rotary(fields: _Fields, head_size: int, *, partial: bool) -> int:
    rotary = fields.number("rope.dimension_count", head_size)
    if rotary % 2 or rotary > head_size or (rotary != head_size and not partial):
        fields.refuse("rope.dimension_count", f"is {rotary} for heads of {head_size}")
    if fields.number("rope.dimension_count_swa", rotary) != rotary:
        fields.refuse("rope.dimension_count_swa", f"is not {rotary}, as in the other layers")
    return rotary
