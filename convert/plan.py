"""What a GGUF will hold, decided before anything is written: metadata and tensors, as pure values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import gguf
from gguf import GGMLQuantizationType as GgmlType

from convert import OutType
from convert.architectures import Architecture, HyperParameters, TensorRule
from convert.checkpoint import Checkpoint
from convert.safetensors_file import StoredTensor
from convert.tokenizer import Vocabulary
from mch_runtime.errors import DataError
from mch_runtime.file_types import FILE_TYPES
from mch_runtime.gguf_file import NORMALIZER_KEY

Kind = Literal["string", "uint32", "float32", "bool", "array"]

# out type -> the type of matrices.
_GGML_TYPES = {"f32": GgmlType.F32, "f16": GgmlType.F16, "bf16": GgmlType.BF16, "q8_0": GgmlType.Q8_0}
_QUANTIZATION_VERSION = 2
_STOP_KEYS = ("eos", "eot", "eom")  # the places llama.cpp has for tokens that end generation


@dataclass(frozen=True)
class Field:
    """One metadata entry. An array holds strings or integers."""

    key: str
    kind: Kind
    value: str | int | float | bool | tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor to write: its name and type in the GGUF, and what is stored now."""

    name: str
    ggml_type: GgmlType
    stored: StoredTensor

    @property
    def nbytes(self) -> int:
        """Bytes in the GGUF, without padding."""
        block, size = gguf.GGML_QUANT_SIZES[self.ggml_type]
        return int(math.prod(self.stored.shape) // block * size)


@dataclass(frozen=True)
class Plan:
    """A GGUF to be."""

    architecture: str
    fields: tuple[Field, ...]
    tensors: tuple[PlannedTensor, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors)


def make_plan(
    checkpoint: Checkpoint,
    architecture: Architecture,
    params: HyperParameters,
    vocabulary: Vocabulary,
    *,
    name: str,
    outtype: OutType,
) -> Plan:
    """Raises DataError for a missing, unexpected or misshapen tensor."""
    rules = architecture.rules(params.layers)
    wanted = rules if params.tied else [*rules, architecture.output]
    tensors = [_planned(rule, checkpoint, params, outtype) for rule in wanted]
    known = {rule.source for rule in [*rules, architecture.output]}
    for source in checkpoint.tensors:
        if source not in known and not architecture.ignored.fullmatch(source):
            raise DataError(
                f"the checkpoint has a tensor {source}, which {architecture.name} does not have",
                hint="an adapter or another architecture; merge adapters before converting",
            )
    fields = [
        *_general(architecture, name, outtype),
        *_hyper_parameters(architecture, params),
        *_vocabulary(vocabulary),
    ]
    return Plan(architecture.name, tuple(fields), tuple(tensors))


def _planned(
    rule: TensorRule, checkpoint: Checkpoint, params: HyperParameters, outtype: OutType
) -> PlannedTensor:
    stored = checkpoint.tensors.get(rule.source)
    if stored is None:
        raise DataError(
            f"the checkpoint lacks the tensor {rule.source}", hint="config.json and the weights do not match"
        )
    shape = params.shape(rule)
    if stored.shape != shape:
        raise DataError(
            f"the tensor {rule.source} has shape {_shown(stored.shape)}, config.json says {_shown(shape)}",
            hint="config.json and the weights do not match",
        )
    return PlannedTensor(rule.target, _ggml_type(shape, outtype), stored)


def _ggml_type(shape: tuple[int, ...], outtype: OutType) -> GgmlType:
    """Vectors stay F32, which llama.cpp needs; rows that do not divide into blocks become F16."""
    if len(shape) == 1:
        return GgmlType.F32
    wanted = _GGML_TYPES[outtype]
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return wanted if shape[-1] % block == 0 else GgmlType.F16


def _general(architecture: Architecture, name: str, outtype: OutType) -> list[Field]:
    return [
        Field("general.architecture", "string", architecture.name),
        Field("general.type", "string", "model"),
        Field("general.name", "string", name),
        Field("general.file_type", "uint32", FILE_TYPES[outtype.upper()]),
        Field("general.quantization_version", "uint32", _QUANTIZATION_VERSION),
    ]


def _hyper_parameters(architecture: Architecture, params: HyperParameters) -> list[Field]:
    prefix = architecture.name
    return [
        Field(f"{prefix}.block_count", "uint32", params.layers),
        Field(f"{prefix}.context_length", "uint32", params.context),
        Field(f"{prefix}.embedding_length", "uint32", params.embd),
        Field(f"{prefix}.feed_forward_length", "uint32", params.ff),
        Field(f"{prefix}.attention.head_count", "uint32", params.heads),
        Field(f"{prefix}.attention.head_count_kv", "uint32", params.kv_heads),
        Field(f"{prefix}.rope.freq_base", "float32", params.rope_theta),
        Field(f"{prefix}.attention.layer_norm_rms_epsilon", "float32", params.rms_epsilon),
    ]


def _vocabulary(vocabulary: Vocabulary) -> list[Field]:
    ids = dict(zip(_STOP_KEYS, vocabulary.stop_ids, strict=False))
    ids |= {k: i for k, i in (("bos", vocabulary.bos_id), ("padding", vocabulary.pad_id)) if i is not None}
    fields = [
        Field("tokenizer.ggml.model", "string", "gpt2"),
        Field("tokenizer.ggml.pre", "string", vocabulary.pre_tokenizer),
        Field("tokenizer.ggml.tokens", "array", vocabulary.tokens),
        Field("tokenizer.ggml.token_type", "array", tuple(int(kind) for kind in vocabulary.token_types)),
        Field("tokenizer.ggml.merges", "array", vocabulary.merges),
        *(Field(f"tokenizer.ggml.{key}_token_id", "uint32", token_id) for key, token_id in ids.items()),
        Field("tokenizer.ggml.add_bos_token", "bool", vocabulary.add_bos),
    ]
    if vocabulary.normalizer:
        fields.append(Field(NORMALIZER_KEY, "string", vocabulary.normalizer))
    if vocabulary.chat_template:
        fields.append(Field("tokenizer.chat_template", "string", vocabulary.chat_template))
    return fields


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "()"
