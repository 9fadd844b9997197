"""The table of architectures: which class of transformers becomes which architecture of llama.cpp.

A row names the tensors, their shapes, and what llama.cpp wants laid out in another way. Another family
of the same build is another row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from convert.json_file import JsonObject
from mch_runtime.errors import DataError

ALWAYS = "always"

_ROTARY_FREQUENCIES = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")
_EXPERT_KEYS = ("num_local_experts", "num_experts", "n_routed_experts")


@dataclass(frozen=True)
class TensorRule:
    """One tensor. shape names the sizes of HyperParameters.sizes, (out, in).

    flag: the setting of config.json without which a checkpoint has no such tensor, "" if it always has.
    rotary: rows of a head stand as two halves and must be interleaved, see ``sources.Interleaved``.
    """

    source: str
    target: str
    shape: str
    flag: str = ""
    rotary: bool = False


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A row. hf_class is config.json's; layer rules hold for each layer, without its prefix.

    output: the projection to the vocabulary, absent where embeddings are tied.
    ignored: tensors of no use, such as stored rotary frequencies.
    default_head_dim: where config.json names none; None for hidden size / heads.
    windowed: ``sliding_window`` is in force wherever it is set, without a switch.
    states_sizes: llama.cpp's converter repeats vocabulary and rotary size in the metadata.
    divides_frequencies: llama.cpp reads Llama 3's factors of the rotary frequencies here.
    """

    name: str
    hf_class: str
    model: tuple[TensorRule, ...]
    layer: tuple[TensorRule, ...]
    output: TensorRule
    ignored: re.Pattern[str] = _ROTARY_FREQUENCIES
    default_head_dim: int | None = None
    windowed: bool = False
    states_sizes: bool = False
    divides_frequencies: bool = False

    def rules(self, layers: int, flags: frozenset[str] = frozenset()) -> list[TensorRule]:
        """All tensors but ``output``, in the order they are written. flags: settings that are on."""
        repeated = [
            replace(rule, source=f"model.layers.{i}.{rule.source}", target=f"blk.{i}.{rule.target}")
            for i in range(layers)
            for rule in self.layer
            if rule.flag in ("", *flags)
        ]
        return [*self.model[:1], *repeated, *self.model[1:]]

    @property
    def flags(self) -> frozenset[str]:
        """The settings of config.json that its rules ask for."""
        return frozenset(rule.flag for rule in self.layer if rule.flag)


def _linear(
    source: str, target: str, shape: str, *, bias: str = "", rotary: bool = False
) -> list[TensorRule]:
    """A matrix and, under the setting ``bias`` or ALWAYS, its bias."""
    rules = [TensorRule(f"{source}.weight", f"{target}.weight", shape, rotary=rotary)]
    if bias:
        flag = "" if bias == ALWAYS else bias
        rules.append(TensorRule(f"{source}.bias", f"{target}.bias", shape.split()[0], flag, rotary))
    return rules


def _layer(
    *, qkv_bias: str = "", out_bias: str = "", ff_bias: str = "", norms: bool = False, rotary: bool = False
) -> tuple[TensorRule, ...]:
    """Pre-norm attention and a gated feed-forward part; norms: of every query and key head."""
    head_norms = [
        TensorRule("self_attn.q_norm.weight", "attn_q_norm.weight", "head"),
        TensorRule("self_attn.k_norm.weight", "attn_k_norm.weight", "head"),
    ]
    return (
        TensorRule("input_layernorm.weight", "attn_norm.weight", "embd"),
        *_linear("self_attn.q_proj", "attn_q", "q embd", bias=qkv_bias, rotary=rotary),
        *_linear("self_attn.k_proj", "attn_k", "kv embd", bias=qkv_bias, rotary=rotary),
        *_linear("self_attn.v_proj", "attn_v", "kv embd", bias=qkv_bias),
        *_linear("self_attn.o_proj", "attn_output", "embd q", bias=out_bias),
        *(head_norms if norms else []),
        TensorRule("post_attention_layernorm.weight", "ffn_norm.weight", "embd"),
        *_linear("mlp.gate_proj", "ffn_gate", "ff embd", bias=ff_bias),
        *_linear("mlp.up_proj", "ffn_up", "ff embd", bias=ff_bias),
        *_linear("mlp.down_proj", "ffn_down", "embd ff", bias=ff_bias),
    )


_MODEL = (
    TensorRule("model.embed_tokens.weight", "token_embd.weight", "vocab embd"),
    TensorRule("model.norm.weight", "output_norm.weight", "embd"),
)
_OUTPUT = TensorRule("lm_head.weight", "output.weight", "vocab embd")

QWEN2 = Architecture(
    name="qwen2", hf_class="Qwen2ForCausalLM", model=_MODEL, layer=_layer(qkv_bias=ALWAYS), output=_OUTPUT
)
QWEN3 = Architecture(
    name="qwen3",
    hf_class="Qwen3ForCausalLM",
    model=_MODEL,
    layer=_layer(norms=True),
    output=_OUTPUT,
    default_head_dim=128,
)
LLAMA = Architecture(
    name="llama",
    hf_class="LlamaForCausalLM",
    model=_MODEL,
    layer=_layer(qkv_bias="attention_bias", out_bias="attention_bias", ff_bias="mlp_bias", rotary=True),
    output=_OUTPUT,
    states_sizes=True,
    divides_frequencies=True,
)
MISTRAL = replace(LLAMA, hf_class="MistralForCausalLM", layer=_layer(rotary=True), windowed=True)
# Llama 1 was published under another spelling; SAGE's checkpoints are Qwen 2 with parts of their own.
LLAMA_1 = replace(LLAMA, hf_class="LLaMAForCausalLM")
SAGE = replace(QWEN2, hf_class="SageForCausalLM")

ARCHITECTURES: Mapping[str, Architecture] = {
    row.hf_class: row for row in (QWEN2, QWEN3, LLAMA, MISTRAL, LLAMA_1, SAGE)
}


def find_architecture(config: JsonObject) -> Architecture:
    """The row for a config.json. Raises DataError, naming the class and what is supported."""
    classes = config.items("architectures")
    name = classes[0] if len(classes) == 1 else None
    shown = name or config.values.get("model_type") or "none"
    if _has_experts(config, str(shown)):
        raise DataError(
            f"{config.where}: {shown} is a mixture of experts, which sage does not support",
            hint="use a dense model of the same family",
        )
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise DataError(
            f"{config.where}: the architecture {shown} is not supported",
            hint=f"supported: {', '.join(ARCHITECTURES)}",
        )
    return ARCHITECTURES[name]


def _has_experts(config: JsonObject, name: str) -> bool:
    counts = [config.values.get(key) for key in _EXPERT_KEYS]
    return "moe" in name.lower() or "Mixtral" in name or any(c not in (None, 0, 1) for c in counts)
