"""Where a tensor's values come from: the checkpoint as they stand, rearranged, mixed, or computed.

A source is read a few whole rows at a time, in any order and from any thread. A row of a vector is one
value. Arrays are float32, float16, or the bits of bfloat16 as uint16.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint import Checkpoint
from convert.safetensors_file import StoredTensor, as_float32


class Source(Protocol):
    """name: of the tensor in errors; shape: (out, in) or (out,); step: rows are read in multiples of it."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def step(self) -> int: ...

    def rows(self, checkpoint: Checkpoint, begin: int, end: int) -> NDArray[Any]:
        """(end - begin, width) values."""
        ...


def width(shape: tuple[int, ...]) -> int:
    """Values in a row."""
    return math.prod(shape[1:])


@dataclass(frozen=True)
class Stored:
    """As the checkpoint has it."""

    tensor: StoredTensor
    step: int = 1

    @property
    def name(self) -> str:
        return self.tensor.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    def rows(self, checkpoint: Checkpoint, begin: int, end: int) -> NDArray[Any]:
        count = width(self.shape)
        return checkpoint.read(self.tensor, begin * count, (end - begin) * count).reshape(-1, count)


@dataclass(frozen=True)
class Interleaved(Stored):
    """Queries or keys for llama.cpp's architecture "llama", ``step`` rows a head.

    transformers turns row i of a head together with row i + step / 2, llama.cpp row 2i with row 2i + 1.
    """

    def rows(self, checkpoint: Checkpoint, begin: int, end: int) -> NDArray[Any]:
        values = super().rows(checkpoint, begin, end)
        halves = values.reshape(-1, 2, self.step // 2, values.shape[1])
        return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)


@dataclass(frozen=True)
class Mixed:
    """Split embeddings folded into one matrix: row x is g first[x] + (1 - g) second[x], g = sigmoid(gate[x]).

    The gate depends on the token id alone, so nothing is lost: computed in float64, rounded once.
    """

    first: StoredTensor
    second: StoredTensor
    gate: StoredTensor
    step: int = 1

    @property
    def name(self) -> str:
        return self.first.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.first.shape

    def rows(self, checkpoint: Checkpoint, begin: int, end: int) -> NDArray[Any]:
        first, second, gate = (
            as_float32(Stored(tensor).rows(checkpoint, begin, end)).astype(np.float64)
            for tensor in (self.first, self.second, self.gate)
        )
        with np.errstate(over="ignore"):
            share = 1 / (1 + np.exp(-gate))
        return (share * first + (1 - share) * second).astype(np.float32)


@dataclass(frozen=True)
class Computed:
    """Values that follow from config.json."""

    name: str
    values: NDArray[np.float32]
    step: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def rows(self, checkpoint: Checkpoint, begin: int, end: int) -> NDArray[Any]:
        return self.values.reshape(len(self.values), -1)[begin:end]
