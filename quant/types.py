"""Which types of quantization can be made, by the names people use, and what each of them needs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mch_runtime.errors import UsageError
from mch_runtime.file_types import FILE_TYPES
from mch_runtime.gguf.types import TENSOR_TYPES, WEIGHTS
from mch_runtime.gguf_file import GgufFile, TensorInfo

UNQUANTIZED = frozenset({"F32", "F16", "BF16"})

# llama.cpp refuses to make these without an importance matrix: the result would be garbage.
NEED_IMPORTANCE = frozenset(
    {"Q2_K_S", "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS"}
)
TENSORS_NEED_IMPORTANCE = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS"})

# Named by llama.cpp, and why they are not made.
NOT_MADE = {
    "MXFP4_MOE": "it is for mixtures of experts; all weights of other models come out as Q8_0",
    "NVFP4": "llama.cpp reads it and does not make it; such files come from NVIDIA's own tools",
}
# Made as asked, but only models that were trained with such weights survive it.
FOR_TRAINED = frozenset({"TQ1_0", "TQ2_0", "Q1_0", "Q2_0"})

ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
NUMBERS = {name: number for number, (name, _, _) in TENSOR_TYPES.items()}


@dataclass(frozen=True)
class Override:
    """Tensors whose name ``pattern`` is found in, a regular expression, get the type ``type_name``."""

    pattern: str
    type_name: str


def available_types(*, importance: bool = False) -> tuple[str, ...]:
    """The types that can be made, with or without an importance matrix."""
    return tuple(n for n in FILE_TYPES if n not in NOT_MADE and (importance or n not in NEED_IMPORTANCE))


def known_type(word: str, *, importance: bool) -> str:
    """The file type that is meant. Raises UsageError with what comes near."""
    name = ALIASES.get(word.upper(), word.upper())
    if name in NOT_MADE:
        raise UsageError(f"{name} is not made: {NOT_MADE[name]}", hint=_listed(available_types()))
    if name not in FILE_TYPES:
        raise _unknown(word, available_types(importance=True))
    if name in NEED_IMPORTANCE and not importance:
        raise UsageError(
            f"{name} needs an importance matrix",
            hint=f"give a text with --imatrix; without one, {_listed(available_types())}",
        )
    return name


def tensor_type(word: str) -> str:
    """The type of a single tensor that is meant, like "Q4_K". Raises UsageError with what comes near."""
    name = word.upper()
    if name not in WEIGHTS:
        raise _unknown(word, sorted(WEIGHTS))
    return name


def parse_override(word: str) -> Override:
    """``PATTERN=TYPE``. Raises UsageError."""
    pattern, equals, type_name = word.rpartition("=")
    if not equals or not pattern or not type_name:
        raise UsageError(
            f"{word!r} does not say which tensors get which type",
            hint="write PATTERN=TYPE, such as ffn_down=Q6_K",
        )
    return Override(pattern, tensor_type(type_name))


def resolve(overrides: Sequence[Override], gguf: GgufFile) -> dict[str, str]:
    """Tensor name to type; of several overrides of a tensor the first holds.

    Raises UsageError for a pattern that is none or finds no matrix, and a type that rows do not fit.
    """
    types: dict[str, str] = {}
    matrices = [tensor for tensor in gguf.tensors if is_matrix(tensor)]
    for override in overrides:
        try:
            pattern = re.compile(override.pattern)
        except re.error as error:
            raise UsageError(f"{override.pattern!r} is not a regular expression: {error}") from error
        found = [tensor for tensor in matrices if pattern.search(tensor.name)]
        if not found:
            example = matrices[-1].name if matrices else "blk.0.ffn_down.weight"
            raise UsageError(
                f"no matrix of the model has {override.pattern!r} in its name",
                hint=f"names are like {example}; sage quantize --dry-run lists them",
            )
        for tensor in found:
            _check_rows(tensor, override.type_name)
            types.setdefault(tensor.name, override.type_name)
    return types


def is_matrix(tensor: TensorInfo) -> bool:
    """Whether llama.cpp would quantize it."""
    return len(tensor.shape) > 1 and tensor.name.endswith("weight") and "_norm.weight" not in tensor.name


def fits(tensor: TensorInfo, type_name: str) -> bool:
    """Whether the tensor's rows can be cut into the type's blocks."""
    return tensor.shape[-1] % block_of(type_name)[0] == 0


def block_of(type_name: str) -> tuple[int, int]:
    """Elements and bytes of a block."""
    _, elements, n_bytes = TENSOR_TYPES[NUMBERS[type_name]]
    return elements, n_bytes


def bytes_as(tensor: TensorInfo, type_name: str) -> int:
    """Bytes of the tensor's data in another type."""
    elements, n_bytes = block_of(type_name)
    count = 1
    for size in tensor.shape:
        count *= size
    return count // elements * n_bytes


def _check_rows(tensor: TensorInfo, type_name: str) -> None:
    if not fits(tensor, type_name):
        block = block_of(type_name)[0]
        raise UsageError(
            f"{tensor.name} cannot be {type_name}: its rows of {tensor.shape[-1]} are no multiple of {block}",
            hint="Q4_0, Q5_0, Q8_0 and IQ4_NL have blocks of 32",
        )


def _unknown(word: str, names: Collection[str]) -> UsageError:
    near = difflib.get_close_matches(word.upper(), [*names, *ALIASES], n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return UsageError(f"{word} is not a type of quantization", hint=f"{meant}{_listed(names)}")


def _listed(names: Collection[str]) -> str:
    return f"one of {', '.join(names)}"
