"""Control vectors: directions added to what the layers of a model put out (representation engineering, Zou et al. 2023).

The format is llama.cpp's: a GGUF of the architecture ``controlvector`` with a float32 tensor ``direction.N`` for
layers N, counted from 0; llama.cpp cannot steer layer 0. A vector is added to every token of every sequence, times its scale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mch_runtime.atomic import atomic_output
from mch_runtime.errors import DataError, ModelError, UsageError
from mch_runtime.files import read_regular_file
from mch_runtime.gguf.reader import GgufFile, read_gguf, read_tensor, reason
from mch_runtime.options import VectorFile
from mch_runtime.session import FloatArray
from mch_runtime.trace import AppliedVector

ARCHITECTURE = "controlvector"
LARGEST_FILE = 256 << 20
LARGEST_VALUE = 1e6  # beyond it squares overflow the norm of a layer, and all that follows is NaN
_DIRECTION = "direction."
_HINT = "make one with sage head steer-fit, or llama.cpp's cvector-generator"


@dataclass(frozen=True, kw_only=True)
class ControlVector:
    """directions: layer to (embedding length,) float32. made_for: an architecture, "" where the file does not say."""

    directions: Mapping[int, FloatArray]
    made_for: str = ""

    @property
    def width(self) -> int:
        return next(iter(self.directions.values())).size


@dataclass(frozen=True, kw_only=True)
class Steering:
    """What a model is steered by.

    directions: (layers - 1, embedding length) float32, the sum of all vectors for layers 1 and up; applied: what
    they came from; notices: what a user should know of them.
    """

    directions: FloatArray
    applied: tuple[AppliedVector, ...]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadVector:
    """A control vector with the file it was read from."""

    file: VectorFile
    vector: ControlVector
    sha256: str


def read_vectors(files: Sequence[VectorFile]) -> tuple[ReadVector, ...]:
    """The control vectors in ``files``. Raises DataError for what is none, and what reading a file raises."""
    found = []
    for file in files:
        data = read_regular_file(file.path, limit=LARGEST_FILE)
        found.append(ReadVector(file, decode(data, file.path), hashlib.sha256(data).hexdigest()))
    return tuple(found)


def steering(vectors: Sequence[ReadVector], *, layers: int, width: int, architecture: str) -> Steering | None:
    """The sum of all vectors, each times its scale, for a model of these measures; None without any.

    Raises DataError for another model's vector, UsageError where the scales are too large.
    """
    if not vectors:
        return None
    total = np.zeros((max(0, layers - 1), width), dtype=np.float64)
    named = ", ".join(f"{one.file.path.name} at {one.file.scale:g}" for one in vectors)
    notices = [f"steered by {named}: confidence is not known"]
    for one in vectors:
        path, made_for = one.file.path, one.vector.made_for
        _check_fits(one.vector, path, layers=layers, width=width)
        for layer, direction in one.vector.directions.items():
            total[layer - 1] += one.file.scale * direction.astype(np.float64)
        if made_for not in {"", architecture}:
            notices.append(f"{path} says that it was made for {made_for}, not {architecture}")
    if not np.abs(total).max(initial=0.0) < LARGEST_VALUE:
        raise UsageError("the control vectors are too large at this scale", hint="give a scale near 1")
    return Steering(
        directions=np.ascontiguousarray(total, dtype=np.float32),
        applied=tuple(
            AppliedVector(file=str(one.file.path), sha256=one.sha256, scale=one.file.scale) for one in vectors
        ),
        notices=tuple(notices),
    )


def decode(data: bytes, path: Path) -> ControlVector:
    """The control vector that ``data``, the bytes of ``path``, holds. Raises DataError."""
    try:
        header = read_gguf(data)
        architecture = header.metadata.get("general.architecture")
        if architecture != ARCHITECTURE:
            raise DataError(f"{path} is a GGUF, but not a control vector", hint=_HINT)
        directions = dict(_direction(data, header, tensor.name, path) for tensor in header.tensors)
    except ModelError as error:
        raise DataError(f"{path} is no control vector: {reason(error)}", hint=error.hint or _HINT) from error
    if not directions:
        raise DataError(f"{path} holds no directions", hint=_HINT)
    if len({direction.size for direction in directions.values()}) > 1:
        raise DataError(f"{path} is damaged: its directions differ in length", hint=_HINT)
    hint = header.metadata.get(f"{ARCHITECTURE}.model_hint")
    return ControlVector(directions=directions, made_for=hint if isinstance(hint, str) else "")


def _direction(data: bytes, header: GgufFile, name: str, path: Path) -> tuple[int, FloatArray]:
    info = header.tensor(name)
    assert info is not None
    number = name.removeprefix(_DIRECTION)
    if number == name or not number.isascii() or not number.isdigit():
        raise DataError(
            f"{path} has a tensor {name!r} that is no direction of a layer",
            hint=f"they are called {_DIRECTION}1, {_DIRECTION}2 and so on",
        )
    layer = int(number)
    if str(layer) != number or layer == 0:
        raise DataError(f"{path} steers layer {number}", hint="llama.cpp steers layers from 1 on")
    if info.type != "F32" or len(info.shape) != 1:
        raise DataError(
            f"{path}: {name} is {info.type} of shape {info.shape}", hint="it should be F32 numbers in a row"
        )
    values = read_tensor(data, header, name)
    if not np.isfinite(values).all():
        raise DataError(f"{path}: {name} has numbers that are not finite", hint="make it again")
    return layer, values


def _check_fits(vector: ControlVector, path: Path, *, layers: int, width: int) -> None:
    if vector.width != width:
        raise DataError(
            f"{path} was made for another model: its directions have {vector.width} numbers, "
            f"the model's states {width}",
            hint="give a control vector made for this model",
        )
    last = max(vector.directions)
    if last >= layers:
        raise DataError(
            f"{path} was made for another model: it steers layer {last}, and the model's last one is {layers - 1}",
            hint="give a control vector made for this model",
        )


def write(vector: ControlVector, path: Path, *, notes: Mapping[str, str | int | float]) -> None:
    """Write ``vector`` as llama.cpp's generator does; notes: more metadata, below ``controlvector.``.

    Raises FileError or AccessError; the file appears whole or not at all.
    """
    from gguf import GGUFWriter

    with atomic_output(path) as partial:
        writer = GGUFWriter(partial, ARCHITECTURE)
        try:
            writer.add_string(f"{ARCHITECTURE}.model_hint", vector.made_for)
            writer.add_int32(f"{ARCHITECTURE}.layer_count", len(vector.directions))
            for name, value in notes.items():
                _add(writer, f"{ARCHITECTURE}.{name}", value)
            for layer, direction in sorted(vector.directions.items()):
                writer.add_tensor(f"{_DIRECTION}{layer}", np.ascontiguousarray(direction, dtype=np.float32))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def _add(writer: object, key: str, value: str | int | float) -> None:
    add = {str: "add_string", int: "add_int64", float: "add_float64"}[type(value)]
    getattr(writer, add)(key, value)
