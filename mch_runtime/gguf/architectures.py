"""The architectures that the guard knows: the tensors llama.cpp creates for each, and their shapes.

llama.cpp refuses a file with a tensor missing or left over, and trusts the rest. A shape is a
tuple of dimension names, outermost first: "embd" and "vocab" as usual, "ff" the feed-forward width and
"2ff" twice that, "q" and "kv" all query and all key (or value) heads, "qkv" the three of them side by
side, "head" one head, "half" half the rotated part of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Shape = tuple[str, ...]
Shapes = Mapping[str, Shape]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One row. block: tensors of every layer, without "blk.N."; the optional ones may be absent.

    Query, key and value weights are either separate or one ``attn_qkv``, as llama.cpp lets every
    architecture choose. partial_rotary: the rotated part may be smaller than a head.
    """

    block: Shapes
    model_optional: Shapes = field(default_factory=lambda: _UNTIED)
    block_optional: Shapes = field(default_factory=dict)
    partial_rotary: bool = False


MODEL: Shapes = {"token_embd.weight": ("vocab", "embd"), "output_norm.weight": ("embd",)}

SEPARATE_QKV: Shapes = {
    "attn_q.weight": ("q", "embd"),
    "attn_k.weight": ("kv", "embd"),
    "attn_v.weight": ("kv", "embd"),
}
FUSED_QKV: Shapes = {"attn_qkv.weight": ("qkv", "embd")}
SEPARATE_BIAS: Shapes = {"attn_q.bias": ("q",), "attn_k.bias": ("kv",), "attn_v.bias": ("kv",)}
FUSED_BIAS: Shapes = {"attn_qkv.bias": ("qkv",)}

_UNTIED: Shapes = {"output.weight": ("vocab", "embd")}
_ROPE_FREQUENCIES: Shapes = {"rope_freqs.weight": ("half",)}
_ROPE_FACTORS: Shapes = {"rope_factors_long.weight": ("half",), "rope_factors_short.weight": ("half",)}

_ATTENTION: Shapes = {"attn_norm.weight": ("embd",), "attn_output.weight": ("embd", "q")}
_GATED: Shapes = {
    "ffn_norm.weight": ("embd",),
    "ffn_gate.weight": ("ff", "embd"),
    "ffn_up.weight": ("ff", "embd"),
    "ffn_down.weight": ("embd", "ff"),
}
_GATE_IN_UP: Shapes = {
    "ffn_norm.weight": ("embd",),
    "ffn_up.weight": ("2ff", "embd"),
    "ffn_down.weight": ("embd", "ff"),
}
_BIASES: Shapes = {
    "attn_output.bias": ("embd",),
    "ffn_gate.bias": ("ff",),
    "ffn_up.bias": ("ff",),
    "ffn_down.bias": ("embd",),
}
_QK_NORM: Shapes = {"attn_q_norm.weight": ("head",), "attn_k_norm.weight": ("head",)}
_POST_NORMS: Shapes = {"post_attention_norm.weight": ("embd",), "post_ffw_norm.weight": ("embd",)}

_DENSE: Shapes = {**_ATTENTION, **_GATED}

ARCHITECTURES: Mapping[str, Architecture] = {
    "gemma": Architecture(block=_DENSE, model_optional={}),
    "gemma2": Architecture(block={**_DENSE, **_POST_NORMS}, model_optional={}),
    "gemma3": Architecture(block={**_DENSE, **_POST_NORMS, **_QK_NORM}),
    "granite": Architecture(
        block=_DENSE,
        model_optional={**_UNTIED, **_ROPE_FREQUENCIES, **_ROPE_FACTORS},
        block_optional=_BIASES,
    ),
    "llama": Architecture(
        block=_DENSE,
        model_optional={**_UNTIED, **_ROPE_FREQUENCIES, **_ROPE_FACTORS},
        block_optional=_BIASES,
    ),
    "phi3": Architecture(
        block={**_ATTENTION, **_GATE_IN_UP},
        model_optional={**_UNTIED, **_ROPE_FACTORS},
        partial_rotary=True,
    ),
    "qwen2": Architecture(block=_DENSE, model_optional={**_UNTIED, "output.bias": ("vocab",)}),
    "qwen3": Architecture(block={**_DENSE, **_QK_NORM}),
    "smollm3": Architecture(block=_DENSE),
}
