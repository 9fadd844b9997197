"""A bounded GGUF reader: no length is believed before it is compared with the bytes that are left.

Reads versions 2 and 3, little-endian, from a file descriptor (``pread``, so the offset of the
descriptor does not move) or from bytes. Values come back as Python's own, in memory bounded by the
limits below. Every refusal is a ``ModelError`` whose ``rule`` names the check.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from mch_runtime.errors import ModelError
from mch_runtime.gguf.source import Source, open_source
from mch_runtime.gguf.types import ARRAY, SCALARS, STRING, TENSOR_TYPES

MAX_HEADER_BYTES = 64 << 20
MAX_FIELDS = 4096
MAX_TENSORS = 65_536
MAX_KEY_BYTES = 256
MAX_STRING_BYTES = 4 << 20
MAX_ARRAY_LENGTH = 4 << 20
MAX_DIMENSION = 1 << 31
MAX_TENSOR_NAME_BYTES = 63
# llama.cpp maps the file and aborts on tensors that are aligned to less.
ALIGNMENTS = frozenset(1 << power for power in range(5, 17))
DEFAULT_ALIGNMENT = 32

_CHUNK = 1 << 20

Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One entry of the tensor table.

    shape: as numpy sees it, outermost first (the file stores the reverse); type_id and type: ggml's;
    offset: of the first byte, in the file or bytes that were read; n_bytes: of the data.
    """

    name: str
    shape: tuple[int, ...]
    type_id: int
    type: str
    offset: int
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class GgufFile:
    """The header of a GGUF.

    metadata: key to value, arrays as tuples; types: key to the type in the file, such as "uint32" or
    "[string]"; data_offset: where the tensors begin; end: where the last tensor's data end, which is
    where padding or a head may follow. Nothing here says that the file is as long as that.
    """

    version: int
    metadata: Mapping[str, Value]
    types: Mapping[str, str]
    tensors: tuple[TensorInfo, ...]
    alignment: int
    data_offset: int
    end: int

    def tensor(self, name: str) -> TensorInfo | None:
        """The tensor of that name, if there is one."""
        return next((tensor for tensor in self.tensors if tensor.name == name), None)


def read_gguf(source: int | bytes, *, offset: int = 0, length: int | None = None) -> GgufFile:
    """The header of the GGUF that begins at ``offset`` of a file descriptor or of bytes.

    length: how many bytes belong to it, None for all there are. Raises ModelError, or OSError if
    reading fails.
    """
    return _Parser(open_source(source, offset=offset, length=length), offset).parse()


def read_tensor(source: int | bytes, gguf: GgufFile, name: str) -> NDArray[np.float32]:
    """The values of an F32 or F16 tensor. Raises KeyError if there is none, ModelError if it is cut."""
    info = gguf.tensor(name)
    if info is None:
        raise KeyError(name)
    if info.type not in ("F32", "F16"):
        _refuse("tensor-type", f"the tensor {name} is {info.type}, not F32 or F16")
    data = open_source(source).read(info.offset, info.n_bytes)
    if len(data) != info.n_bytes:
        _refuse("truncated", f"the tensor {name} is cut off")
    stored = np.frombuffer(data, dtype="<f4" if info.type == "F32" else "<f2")
    return stored.astype(np.float32).reshape(info.shape)


def reason(error: ModelError) -> str:
    """The sentence of a refusal without its rule, to be told about another file."""
    return error.message.removesuffix(f" [{error.rule}]")


def _refuse(rule: str, message: str, *, hint: str = "") -> NoReturn:
    raise ModelError(message, rule=rule, hint=hint)


class _Parser:
    """Walks through one header; ``_data`` is what has been read of it so far."""

    def __init__(self, source: Source, start: int) -> None:
        self._source = source
        self._start = start
        self._data = b""
        self._position = 0

    def parse(self) -> GgufFile:
        version, n_tensors, n_fields = self._preamble()
        metadata: dict[str, Value] = {}
        types: dict[str, str] = {}
        for _ in range(n_fields):
            key = self._key()
            if key in metadata:
                _refuse("duplicate-key", f"the metadata key {key} appears twice")
            types[key], metadata[key] = self._value(key)
        alignment = _alignment(metadata, types)
        entries = [self._tensor_entry() for _ in range(n_tensors)]
        data_offset = _padded(self._position, alignment)
        tensors, end = self._place(entries, data_offset, alignment)
        return GgufFile(
            version=version,
            metadata=MappingProxyType(metadata),
            types=MappingProxyType(types),
            tensors=tensors,
            alignment=alignment,
            data_offset=self._start + data_offset,
            end=end,
        )

    def _preamble(self) -> tuple[int, int, int]:
        if self._source.length < 4 or self._take(4) != b"GGUF":
            _refuse("not-gguf", "not a GGUF file", hint="give a file in GGUF format, version 2 or 3")
        version = self._unpack("I")
        if version not in (2, 3):
            swapped = version & 0xFFFF == 0
            hint = "it was written for a big-endian machine" if swapped else "convert the model again"
            _refuse("version", f"GGUF version {version} is not supported", hint=hint)
        n_tensors, n_fields = self._unpack("Q"), self._unpack("Q")
        if n_tensors > MAX_TENSORS:
            _refuse("tensor-count", f"the file claims to have {n_tensors} tensors")
        if n_fields > MAX_FIELDS:
            _refuse("field-count", f"the file claims to have {n_fields} metadata fields")
        return version, n_tensors, n_fields

    def _key(self) -> str:
        key = self._string(MAX_KEY_BYTES)
        if not key or not key.isascii() or not key.isprintable():
            _refuse("key", f"the metadata key {key!r} is not a name")
        return key

    def _value(self, key: str) -> tuple[str, Value]:
        kind = self._unpack("I")
        if kind == STRING:
            return "string", self._string(MAX_STRING_BYTES)
        if kind == ARRAY:
            return self._array(key)
        if kind not in SCALARS:
            _refuse("value-type", f"the metadata key {key} has the unknown type {kind}")
        name, code = SCALARS[kind]
        (value,) = struct.unpack(f"<{code}", self._take(struct.calcsize(code)))
        return name, value

    def _array(self, key: str) -> tuple[str, Value]:
        kind, count = self._unpack("I"), self._unpack("Q")
        if kind == ARRAY:
            _refuse("nested-array", f"the metadata key {key} is an array of arrays")
        if count > MAX_ARRAY_LENGTH:
            _refuse("array-length", f"the metadata key {key} claims to have {count} elements")
        if kind == STRING:
            return "[string]", self._strings(count)
        if kind not in SCALARS:
            _refuse("value-type", f"the metadata key {key} has elements of the unknown type {kind}")
        name, code = SCALARS[kind]
        return f"[{name}]", struct.unpack(f"<{count}{code}", self._take(count * struct.calcsize(code)))

    def _strings(self, count: int) -> tuple[str, ...]:
        """``count`` strings; one loop over local names, since vocabularies have hundreds of thousands."""
        self._need(8 * count)
        strings = []
        data, position = self._data, self._position
        try:
            for _ in range(count):
                begin = position + 8
                end = begin + int.from_bytes(data[position:begin], "little")
                if end > len(data):
                    self._position = position
                    strings.append(self._string(MAX_STRING_BYTES))
                    data, position = self._data, self._position
                    continue
                strings.append(str(data[begin:end], "utf-8"))
                position = end
        except UnicodeDecodeError:
            _refuse("utf-8", "a string in the metadata is not UTF-8")
        self._position = position
        if max(map(len, strings), default=0) > MAX_STRING_BYTES:
            _refuse("string-length", "a string in the metadata is too long")
        return tuple(strings)

    def _string(self, limit: int) -> str:
        count = self._unpack("Q")
        if count > limit:
            _refuse("string-length", f"a string claims to have {count} bytes where {limit} are allowed")
        try:
            return str(self._take(count), "utf-8")
        except UnicodeDecodeError:
            _refuse("utf-8", "a string in the header is not UTF-8")

    def _tensor_entry(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape, type and offset as stored; checked by ``_place``."""
        name = self._string(MAX_TENSOR_NAME_BYTES)
        n_dimensions = self._unpack("I")
        if not 1 <= n_dimensions <= 4:
            _refuse("tensor-shape", f"the tensor {name!r} has {n_dimensions} dimensions")
        stored = struct.unpack(f"<{n_dimensions}Q", self._take(8 * n_dimensions))
        if not all(1 <= size <= MAX_DIMENSION for size in stored):
            _refuse("tensor-shape", f"the tensor {name!r} has the impossible shape {stored[::-1]}")
        return name, stored[::-1], self._unpack("I"), self._unpack("Q")

    def _place(
        self, entries: list[tuple[str, tuple[int, ...], int, int]], data_offset: int, alignment: int
    ) -> tuple[tuple[TensorInfo, ...], int]:
        """The tensors, each where the one before it ends; and where the last one ends."""
        tensors: dict[str, TensorInfo] = {}
        expected, end = 0, self._position
        for name, shape, type_id, offset in entries:
            if not name or name in tensors:
                _refuse("tensor-name", f"the tensor name {name!r} is empty or appears twice")
            kind, n_bytes = _size(name, shape, type_id)
            if offset != expected:
                _refuse("tensor-offset", f"the tensor {name!r} is at {offset}, not at {expected}")
            begin = self._start + data_offset + offset
            tensors[name] = TensorInfo(name, shape, type_id, kind, begin, n_bytes)
            expected += _padded(n_bytes, alignment)
            end = data_offset + offset + n_bytes
        return tuple(tensors.values()), self._start + end

    def _unpack(self, code: str) -> int:
        """One integer."""
        number: int = struct.unpack(f"<{code}", self._take(struct.calcsize(code)))[0]
        return number

    def _take(self, count: int) -> bytes:
        self._need(count)
        begin = self._position
        self._position = begin + count
        return self._data[begin : self._position]

    def _need(self, count: int) -> None:
        """Have ``count`` bytes from the position on in ``_data``, or refuse."""
        end, have = self._position + count, len(self._data)
        if end <= have:
            return
        if end > self._source.length:
            _refuse("truncated", "the file ends in the middle of its header", hint="download it again")
        if end > MAX_HEADER_BYTES:
            _refuse("header-size", f"the header is larger than {MAX_HEADER_BYTES >> 20} MiB")
        goal = min(max(end, 2 * have, _CHUNK), MAX_HEADER_BYTES, self._source.length)
        self._data += self._source.read(have, goal - have)
        if len(self._data) < end:
            _refuse("truncated", "the file became shorter while it was read")


def _alignment(metadata: Mapping[str, Value], types: Mapping[str, str]) -> int:
    value = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if types.get("general.alignment", "uint32") != "uint32" or value not in ALIGNMENTS:
        _refuse("alignment", f"general.alignment {value!r} is not a power of two from 32 to 65536")
    return int(str(value))


def _size(name: str, shape: tuple[int, ...], type_id: int) -> tuple[str, int]:
    """The type's name and the bytes of the tensor's data."""
    if type_id not in TENSOR_TYPES:
        _refuse("tensor-type", f"the tensor {name!r} has the unknown type {type_id}")
    kind, block, block_bytes = TENSOR_TYPES[type_id]
    if shape[-1] % block:
        _refuse("tensor-shape", f"the tensor {name!r} has rows of {shape[-1]}, not multiples of {block}")
    return kind, math.prod(shape) // block * block_bytes


def _padded(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
