"""The header of a safetensors file: where each tensor lies, every length checked against the file.

The ``safetensors`` library cannot hand bfloat16 to numpy; the format is simple enough to read here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.json_file import JsonObject, parse_json
from mch_runtime.errors import DataError

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
ITEM_BYTES: Mapping[str, int] = {"F32": 4, "F16": 2, "BF16": 2}
_STORED: Mapping[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor's bytes are. shape is (out, in), row-major; offset counts from the file's start."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    shard: str
    offset: int
    nbytes: int

    @property
    def item_bytes(self) -> int:
        return ITEM_BYTES[self.dtype]


def read_header(file: int, shard: str) -> list[StoredTensor]:
    """The tensors of the open file ``file``, called ``shard`` in errors. Raises DataError."""
    size = os.fstat(file).st_size
    start = os.pread(file, 9, 0)
    length = int.from_bytes(start[:8], "little")
    if len(start) < 9 or start[8:] != b"{" or not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
        raise _not_safetensors(start, shard)
    header = parse_json(os.pread(file, length, 8), where=f"{shard}: header")
    data = 8 + length
    tensors = [_stored(header, name, shard, data, size) for name in header.values if name != "__metadata__"]
    _check_layout(tensors, shard, data, size)
    return tensors


def _not_safetensors(start: bytes, shard: str) -> DataError:
    if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return DataError(
            f"{shard} is a pickle under a false name, which can run code when it is read",
            hint="convert it to safetensors first, in a place you can afford to lose",
        )
    return DataError(
        f"{shard} is not a complete safetensors file", hint="download it again, without Git LFS pointers"
    )


def _stored(header: JsonObject, name: str, shard: str, data: int, size: int) -> StoredTensor:
    entry = header.section(name)
    if entry is None:
        raise header.error(name, "an object")
    dtype = entry.text("dtype")
    if dtype is None or dtype not in ITEM_BYTES:
        raise DataError(
            f"the tensor {name} in {shard} has type {dtype}, supported are {', '.join(ITEM_BYTES)}",
            hint="quantized checkpoints cannot be converted; use the original weights",
        )
    shape = _naturals(entry, "shape", range(5))
    begin, end = _naturals(entry, "data_offsets", range(2, 3))
    nbytes = math.prod(shape) * ITEM_BYTES[dtype]
    if end - begin != nbytes or data + end > size:
        raise DataError(
            f"the tensor {name} in {shard} does not lie within the file as its shape says",
            hint="the file is damaged or incomplete; download it again",
        )
    return StoredTensor(name, dtype, shape, shard, data + begin, nbytes)


def _naturals(entry: JsonObject, key: str, lengths: range) -> tuple[int, ...]:
    values = entry.items(key)
    numbers = tuple(v for v in values if isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 1 << 62)
    if len(numbers) != len(values) or len(numbers) not in lengths:
        raise entry.error(key, f"a list of {lengths[0]} to {lengths[-1]} numbers")
    return numbers


def _check_layout(tensors: list[StoredTensor], shard: str, data: int, size: int) -> None:
    """Tensors fill the data without holes, overlaps or a rest, as the format demands."""
    spans = sorted((t.offset, t.offset + t.nbytes) for t in tensors)
    edges = [(data, data), *spans, (size, size)]
    if any(before[1] != after[0] for before, after in pairwise(edges)):
        raise DataError(
            f"the tensors in {shard} do not fill the file exactly",
            hint="the file is damaged or incomplete; download it again",
        )


def as_stored(raw: bytearray, dtype: str) -> NDArray[Any]:
    """The values that ``raw`` spells, flat; bfloat16 as the 16 bits it is, numpy has no such type."""
    return np.frombuffer(raw, dtype=_STORED[dtype])


def as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Values of a stored type as float32, exactly."""
    if values.dtype == _STORED["BF16"]:
        # bfloat16 is the upper half of a float32.
        wide = values.astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    return values.astype(np.float32, copy=False)
