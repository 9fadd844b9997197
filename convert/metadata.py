"""The metadata of a GGUF: what llama.cpp's converter writes, but for the differences in docs/convert.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from convert import OutType
from convert.architectures import Architecture
from convert.hyperparameters import HyperParameters
from convert.json_file import JsonObject
from convert.rope import Stretch
from convert.vocabulary import Vocabulary
from mch_runtime.file_types import FILE_TYPES
from mch_runtime.gguf_file import NORMALIZER_KEY

Kind = Literal["string", "uint32", "int32", "float32", "bool", "array"]
Value = str | int | float | bool | tuple[str, ...] | tuple[int, ...] | tuple[float, ...]

_QUANTIZATION_VERSION = 2
_STOP_KEYS = ("eos", "eot", "eom")  # the places llama.cpp has for tokens that end generation

# A number of generation_config.json, its key in the GGUF, and the largest that makes sense.
_SAMPLING = (
    ("temperature", "temp", 100.0),
    ("top_p", "top_p", 1.0),
    ("min_p", "min_p", 1.0),
    ("repetition_penalty", "penalty_repeat", 100.0),
)


@dataclass(frozen=True)
class Field:
    """One metadata entry. An array holds strings, integers or floats."""

    key: str
    kind: Kind
    value: Value


def general_fields(architecture: Architecture, *, name: str, outtype: OutType) -> list[Field]:
    """What the file is."""
    return [
        Field("general.architecture", "string", architecture.name),
        Field("general.type", "string", "model"),
        Field("general.name", "string", name),
        Field("general.file_type", "uint32", FILE_TYPES[outtype.upper()]),
        Field("general.quantization_version", "uint32", _QUANTIZATION_VERSION),
    ]


def sampling_fields(generation: JsonObject) -> list[Field]:
    """How the publisher would sample, from generation_config.json. Raises DataError."""
    fields = []
    if generation.values.get("top_k") is not None:
        top_k = generation.integer("top_k", low=0, high=1 << 22)
        fields.append(Field("general.sampling.top_k", "int32", top_k))
    for key, target, high in _SAMPLING:
        if generation.values.get(key) is not None:
            value = generation.number(key, low=0, high=high)
            fields.append(Field(f"general.sampling.{target}", "float32", value))
    return fields


def model_fields(architecture: Architecture, params: HyperParameters) -> list[Field]:
    """The numbers of the model."""
    fields = [
        Field("block_count", "uint32", params.layers),
        Field("context_length", "uint32", params.context),
        Field("embedding_length", "uint32", params.embd),
        Field("feed_forward_length", "uint32", params.ff),
        Field("attention.head_count", "uint32", params.heads),
        Field("attention.head_count_kv", "uint32", params.kv_heads),
        Field("rope.freq_base", "float32", params.rope.theta),
        Field("attention.layer_norm_rms_epsilon", "float32", params.rms_epsilon),
    ]
    if params.states_head_dim:
        fields += [Field(f"attention.{part}_length", "uint32", params.head_dim) for part in ("key", "value")]
    if architecture.states_sizes:
        fields.append(Field("vocab_size", "uint32", params.vocab))
        fields.append(Field("rope.dimension_count", "uint32", params.head_dim))
    if params.rope.stretch is not None:
        fields += _stretch(params.rope.stretch)
    return [Field(f"{architecture.name}.{field.key}", field.kind, field.value) for field in fields]


def _stretch(stretch: Stretch) -> list[Field]:
    fields = [
        Field("rope.scaling.type", "string", stretch.kind),
        Field("rope.scaling.factor", "float32", stretch.factor),
    ]
    if stretch.kind == "yarn":
        fields.append(Field("rope.scaling.original_context_length", "uint32", stretch.original_context))
    if stretch.attention_ratio != 1:
        # llama.cpp reads yarn_attn_factor too, and then computes it anew; this one it multiplies with.
        fields.append(Field("rope.scaling.attn_factor", "float32", stretch.attention_ratio))
    return fields


def vocabulary_fields(vocabulary: Vocabulary) -> list[Field]:
    """Everything about text."""
    special = (("bos", vocabulary.bos_id), ("unknown", vocabulary.unknown_id), ("padding", vocabulary.pad_id))
    ids = dict(zip(_STOP_KEYS, vocabulary.stop_ids, strict=False))
    ids |= {key: token_id for key, token_id in special if token_id is not None}
    fields = [
        Field("model", "string", vocabulary.model),
        Field("pre", "string", vocabulary.pre_tokenizer),
        Field("tokens", "array", vocabulary.tokens),
        Field("token_type", "array", tuple(int(kind) for kind in vocabulary.token_types)),
    ]
    if vocabulary.merges:
        fields.append(Field("merges", "array", vocabulary.merges))
    if vocabulary.scores:
        fields.append(Field("scores", "array", vocabulary.scores))
    fields += [Field(f"{key}_token_id", "uint32", token_id) for key, token_id in ids.items()]
    fields.append(Field("add_bos_token", "bool", vocabulary.add_bos))
    if vocabulary.add_space_prefix is not None:
        fields.append(Field("add_space_prefix", "bool", vocabulary.add_space_prefix))
    fields = [Field(f"tokenizer.ggml.{field.key}", field.kind, field.value) for field in fields]
    if vocabulary.normalizer:
        fields.append(Field(NORMALIZER_KEY, "string", vocabulary.normalizer))
    if vocabulary.chat_template:
        fields.append(Field("tokenizer.chat_template", "string", vocabulary.chat_template))
    return fields
