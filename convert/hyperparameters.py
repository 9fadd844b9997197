"""The numbers of config.json, checked; settings that a GGUF could not say are refused."""

from __future__ import annotations

from dataclasses import dataclass

from convert.architectures import Architecture, TensorRule
from convert.json_file import JsonObject
from convert.rope import Rope, read_rope
from mch_runtime.errors import DataError


@dataclass(frozen=True, kw_only=True)
class HyperParameters:
    """What config.json says, checked. Widths count values; context counts tokens.

    states_head_dim: config.json names head_dim, so the metadata do too. flags: settings that are on.
    """

    vocab: int
    embd: int
    ff: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    states_head_dim: bool
    context: int
    rms_epsilon: float
    rope: Rope
    tied: bool
    flags: frozenset[str]

    def shape(self, rule: TensorRule) -> tuple[int, ...]:
        """The shape a tensor must have, (out, in)."""
        sizes = {"vocab": self.vocab, "embd": self.embd, "ff": self.ff, "head": self.head_dim}
        sizes |= {"q": self.heads * self.head_dim, "kv": self.kv_heads * self.head_dim}
        return tuple(sizes[name] for name in rule.shape.split())


def read_hyper_parameters(config: JsonObject, architecture: Architecture) -> HyperParameters:
    """Check config.json and refuse what the GGUF could not say. Raises DataError."""
    _refuse_variants(config)
    embd = config.integer("hidden_size", low=1, high=1 << 17)
    heads = config.integer("num_attention_heads", low=1, high=1024)
    kv_heads = config.integer("num_key_value_heads", low=1, high=heads, default=heads)
    usual = architecture.default_head_dim or embd // heads
    head_dim = config.integer("head_dim", low=1, high=1 << 16, default=usual)
    if (head_dim == embd // heads and embd % heads) or heads % kv_heads or head_dim % 2:
        raise DataError(
            f"{config.where}: {embd} values do not divide into {heads} heads of {head_dim}, "
            f"{kv_heads} of them with keys",
            hint="the checkpoint is damaged",
        )
    context = config.integer("max_position_embeddings", low=1, high=(1 << 31) - 1)
    rope = read_rope(config, head_dim=head_dim, context=context)
    if rope.divisors is not None and not architecture.divides_frequencies:
        raise _variant(config, f"rope scaling of type llama3 for {architecture.name}")
    return HyperParameters(
        vocab=config.integer("vocab_size", low=1, high=1 << 22),
        embd=embd,
        ff=config.integer("intermediate_size", low=1, high=1 << 20),
        layers=config.integer("num_hidden_layers", low=1, high=512),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        states_head_dim=config.values.get("head_dim") is not None or head_dim != embd // heads,
        context=_within_window(config, architecture, context),
        rms_epsilon=config.number("rms_norm_eps", high=1, default=1e-6),
        rope=rope,
        tied=config.flag("tie_word_embeddings", default=False),
        flags=frozenset(flag for flag in architecture.flags if config.flag(flag, default=False)),
    )


def _within_window(config: JsonObject, architecture: Architecture, context: int) -> int:
    """llama.cpp attends to everything in this family: the same as a window as long as the text fits in it."""
    if not architecture.windowed:
        return context
    return min(context, config.integer("sliding_window", low=1, high=(1 << 31) - 1, default=context))


def _refuse_variants(config: JsonObject) -> None:
    """Settings under which llama.cpp would compute something else than transformers."""
    if (activation := config.values.get("hidden_act", "silu")) != "silu":
        raise _variant(config, f"hidden_act {activation}")
    if config.values.get("quantization_config") is not None:
        raise _variant(config, "quantized weights", hint="use the original, unquantized checkpoint")
    layer_types = config.items("layer_types")
    if config.flag("use_sliding_window", default=False) or any(t != "full_attention" for t in layer_types):
        raise _variant(config, "sliding-window attention")


def _variant(config: JsonObject, what: str, *, hint: str = "") -> DataError:
    hint = hint or "llama.cpp would compute something else; only the plain form can be converted"
    return DataError(f"{config.where}: {what} is not supported", hint=hint)
