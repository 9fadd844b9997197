"""What a GGUF will hold, decided before anything is written: metadata and tensors, as pure values."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass

import gguf
from gguf import GGMLQuantizationType as GgmlType

from convert import OutType
from convert.architectures import Architecture, TensorRule
from convert.checkpoint import Checkpoint
from convert.hyperparameters import HyperParameters
from convert.metadata import Field
from convert.safetensors_file import StoredTensor
from convert.sources import Computed, Interleaved, Mixed, Source, Stored
from mch_runtime.errors import DataError

# out type -> the type of matrices.
_GGML_TYPES = {"f32": GgmlType.F32, "f16": GgmlType.F16, "bf16": GgmlType.BF16, "q8_0": GgmlType.Q8_0}
_ROPE_DIVISORS = "rope_freqs.weight"

# Split embeddings: what stands for the embedding matrix, with the shapes of their rules.
SPLIT_EMBEDDINGS = (
    TensorRule("model.embed_tokens.natural.weight", "", "vocab embd"),
    TensorRule("model.embed_tokens.code.weight", "", "vocab embd"),
    TensorRule("model.embed_tokens.gate.weight", "", "vocab"),
)


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor to write: its name and type in the GGUF, and where its values come from."""

    name: str
    ggml_type: GgmlType
    source: Source

    @property
    def nbytes(self) -> int:
        """Bytes in the GGUF, without padding."""
        block, size = gguf.GGML_QUANT_SIZES[self.ggml_type]
        return int(math.prod(self.source.shape) // block * size)


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


def plan_tensors(
    checkpoint: Checkpoint,
    architecture: Architecture,
    params: HyperParameters,
    *,
    outtype: OutType,
    others: Container[str] = (),
) -> tuple[PlannedTensor, ...]:
    """Every tensor of the GGUF. others: names in the checkpoint that are not the model's.

    Raises DataError for a missing, unexpected or misshapen tensor.
    """
    rules = architecture.rules(params.layers, params.flags)
    if is_split(checkpoint):
        known = {rule.source for rule in SPLIT_EMBEDDINGS}
        embedding: Source = _split_embeddings(checkpoint, params)
    else:
        known = {rules[0].source}
        embedding = _source(rules[0], checkpoint, params)
    wanted = rules[1:] if params.tied else [*rules[1:], architecture.output]
    tensors = [PlannedTensor(rules[0].target, _ggml_type(embedding, outtype), embedding)]
    if params.rope.divisors is not None:
        tensors.append(
            PlannedTensor(_ROPE_DIVISORS, GgmlType.F32, Computed(_ROPE_DIVISORS, params.rope.divisors))
        )
    for rule in wanted:
        source = _source(rule, checkpoint, params)
        tensors.append(PlannedTensor(rule.target, _ggml_type(source, outtype), source))
    known |= {rule.source for rule in [*rules[1:], architecture.output]}
    for name in checkpoint.tensors:
        if name not in known and name not in others and not architecture.ignored.fullmatch(name):
            raise DataError(
                f"the checkpoint has a tensor {name}, which {architecture.name} does not have",
                hint="an adapter or another architecture; merge adapters before converting",
            )
    return tuple(tensors)


def is_split(checkpoint: Checkpoint) -> bool:
    """Whether two matrices and a gate stand for the embedding matrix."""
    return SPLIT_EMBEDDINGS[0].source in checkpoint.tensors


def _split_embeddings(checkpoint: Checkpoint, params: HyperParameters) -> Mixed:
    first, second, gate = (_stored(rule, checkpoint, params) for rule in SPLIT_EMBEDDINGS)
    return Mixed(first, second, gate)


def _source(rule: TensorRule, checkpoint: Checkpoint, params: HyperParameters) -> Stored:
    stored = _stored(rule, checkpoint, params)
    return Interleaved(stored, params.head_dim) if rule.rotary else Stored(stored)


def _stored(rule: TensorRule, checkpoint: Checkpoint, params: HyperParameters) -> StoredTensor:
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
    return stored


def _ggml_type(source: Source, outtype: OutType) -> GgmlType:
    """Vectors stay F32, which llama.cpp needs; rows that do not divide into blocks become F16."""
    if len(source.shape) == 1:
        return GgmlType.F32
    wanted = _GGML_TYPES[outtype]
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return wanted if source.shape[-1] % block == 0 else GgmlType.F16


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "()"
