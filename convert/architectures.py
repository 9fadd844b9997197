"""The table of architectures: hyper-parameters, tensor names and shapes, what is refused.

A row says how a Hugging Face class becomes an architecture of llama.cpp. Another family is another
row, and a transform of its own only if its weights are laid out differently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from convert.json_file import JsonObject
from mch_runtime.errors import DataError


@dataclass(frozen=True)
class TensorRule:
    """One tensor. shape names the sizes of HyperParameters.sizes, (out, in)."""

    source: str
    target: str
    shape: str


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A row. hf_class is config.json's; layer rules hold for each layer, without its prefix.

    output: the projection to the vocabulary, absent where embeddings are tied.
    ignored: tensors of no use, such as stored rotary frequencies.
    """

    name: str
    hf_class: str
    model: tuple[TensorRule, ...]
    layer: tuple[TensorRule, ...]
    output: TensorRule
    ignored: re.Pattern[str]

    def rules(self, layers: int) -> list[TensorRule]:
        """All tensors but ``output``, in the order they are written."""
        repeated = [
            TensorRule(f"model.layers.{i}.{rule.source}", f"blk.{i}.{rule.target}", rule.shape)
            for i in range(layers)
            for rule in self.layer
        ]
        return [*self.model[:1], *repeated, *self.model[1:]]


QWEN2 = Architecture(
    name="qwen2",
    hf_class="Qwen2ForCausalLM",
    model=(
        TensorRule("model.embed_tokens.weight", "token_embd.weight", "vocab embd"),
        TensorRule("model.norm.weight", "output_norm.weight", "embd"),
    ),
    layer=(
        TensorRule("input_layernorm.weight", "attn_norm.weight", "embd"),
        TensorRule("self_attn.q_proj.weight", "attn_q.weight", "q embd"),
        TensorRule("self_attn.q_proj.bias", "attn_q.bias", "q"),
        TensorRule("self_attn.k_proj.weight", "attn_k.weight", "kv embd"),
        TensorRule("self_attn.k_proj.bias", "attn_k.bias", "kv"),
        TensorRule("self_attn.v_proj.weight", "attn_v.weight", "kv embd"),
        TensorRule("self_attn.v_proj.bias", "attn_v.bias", "kv"),
        TensorRule("self_attn.o_proj.weight", "attn_output.weight", "embd q"),
        TensorRule("post_attention_layernorm.weight", "ffn_norm.weight", "embd"),
        TensorRule("mlp.gate_proj.weight", "ffn_gate.weight", "ff embd"),
        TensorRule("mlp.up_proj.weight", "ffn_up.weight", "ff embd"),
        TensorRule("mlp.down_proj.weight", "ffn_down.weight", "embd ff"),
    ),
    output=TensorRule("lm_head.weight", "output.weight", "vocab embd"),
    ignored=re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"),
)

ARCHITECTURES: Mapping[str, Architecture] = {row.hf_class: row for row in (QWEN2,)}


@dataclass(frozen=True, kw_only=True)
class HyperParameters:
    """What config.json says, checked. Widths count values; context counts tokens."""

    vocab: int
    embd: int
    ff: int
    layers: int
    heads: int
    kv_heads: int
    context: int
    rms_epsilon: float
    rope_theta: float
    tied: bool

    @property
    def head_dim(self) -> int:
        return self.embd // self.heads

    def shape(self, rule: TensorRule) -> tuple[int, ...]:
        """The shape a tensor must have, (out, in)."""
        sizes = {"vocab": self.vocab, "embd": self.embd, "ff": self.ff}
        sizes |= {"q": self.heads * self.head_dim, "kv": self.kv_heads * self.head_dim}
        return tuple(sizes[name] for name in rule.shape.split())


def find_architecture(config: JsonObject) -> Architecture:
    """The row for a config.json. Raises DataError, naming the class and what is supported."""
    classes = config.items("architectures")
    name = classes[0] if len(classes) == 1 else None
    if not isinstance(name, str) or name not in ARCHITECTURES:
        shown = name or config.values.get("model_type") or "none"
        raise DataError(
            f"{config.where}: the architecture {shown} is not supported",
            hint=f"supported: {', '.join(ARCHITECTURES)}",
        )
    return ARCHITECTURES[name]


def read_hyper_parameters(config: JsonObject) -> HyperParameters:
    """Check config.json and refuse what the GGUF could not say. Raises DataError."""
    _refuse_variants(config)
    heads = config.integer("num_attention_heads", low=1, high=1024)
    found = HyperParameters(
        vocab=config.integer("vocab_size", low=1, high=1 << 22),
        embd=config.integer("hidden_size", low=1, high=1 << 17),
        ff=config.integer("intermediate_size", low=1, high=1 << 20),
        layers=config.integer("num_hidden_layers", low=1, high=512),
        heads=heads,
        kv_heads=config.integer("num_key_value_heads", low=1, high=heads, default=heads),
        context=config.integer("max_position_embeddings", low=1, high=(1 << 31) - 1),
        rms_epsilon=config.number("rms_norm_eps", high=1, default=1e-6),
        rope_theta=_rope(config).number("rope_theta", high=1e30, default=10_000.0),
        tied=config.flag("tie_word_embeddings", default=False),
    )
    head_dim = config.integer("head_dim", low=1, high=1 << 16, default=found.head_dim)
    if found.embd % heads or heads % found.kv_heads or found.head_dim % 2 or head_dim != found.head_dim:
        raise DataError(
            f"{config.where}: {found.embd} values do not divide into {heads} heads of {head_dim}, "
            f"{found.kv_heads} of them with keys",
            hint="the checkpoint is damaged",
        )
    return found


def _rope(config: JsonObject) -> JsonObject:
    """Where rope_theta is: transformers 5 writes ``rope_parameters``, older ones the top level."""
    section = config.section("rope_parameters")
    return section if section is not None and "rope_theta" in section.values else config


def _refuse_variants(config: JsonObject) -> None:
    """Settings under which llama.cpp would compute something else than transformers."""
    if (activation := config.values.get("hidden_act", "silu")) != "silu":
        raise _variant(config, f"hidden_act {activation}")
    if config.values.get("quantization_config") is not None:
        raise _variant(config, "quantized weights", hint="use the original, unquantized checkpoint")
    layer_types = config.items("layer_types")
    if config.flag("use_sliding_window", default=False) or any(t != "full_attention" for t in layer_types):
        raise _variant(config, "sliding-window attention")
    for key in ("rope_scaling", "rope_parameters"):
        section = config.section(key)
        kind = section and (section.text("rope_type") or section.text("type") or "default")
        if kind not in (None, "default"):
            raise _variant(config, f"{key} of type {kind}")


def _variant(config: JsonObject, what: str, *, hint: str = "") -> DataError:
    hint = hint or "llama.cpp would compute something else; only the plain form can be converted"
    return DataError(f"{config.where}: {what} is not supported", hint=hint)
