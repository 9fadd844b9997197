"""A head as bytes: the GGUF that stands behind a base or in a sidecar, and its safetensors twin.

Both hold the same tensors and the same keys (``metadata.py``); ``docs/head-format.md`` describes them.
Reading checks everything and raises HeadError; writing checks that what was written can be read.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mch_runtime.atomic import atomic_output, write_error
from mch_runtime.errors import HeadError, ModelError
from mch_runtime.files import read_regular_file
from mch_runtime.gguf.reader import GgufFile, read_gguf, read_tensor, reason
from mch_runtime.head.metadata import from_metadata, key_types, to_metadata
from mch_runtime.head.spec import Head, HeadSpec, tensor_shapes

ARCHITECTURE = "mch"
TYPE = "adapter"
MAX_HEAD_BYTES = 256 << 20
MAX_HEADER_BYTES = 8 << 20
SAFETENSORS_KEY = "mch"

# What a GGUF may say about itself beyond the head's own keys; read by nobody here.
_GENERAL = "general."
_GATE = ("mch.gate.weight", "mch.gate.bias")


def encode_head(head: Head) -> bytes:
    """The head as a GGUF, the same bytes every time. Raises HeadError if the head is not valid."""
    checked = _validated(head)
    try:
        # The writer needs a real file: numpy writes its arrays through the descriptor.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "head.gguf"
            _write_gguf(checked, path)
            return path.read_bytes()
    except OSError as error:
        raise write_error(error, Path(tempfile.gettempdir()) / "head.gguf") from error


def _write_gguf(head: Head, path: Path) -> None:
    from gguf import GGUFValueType, GGUFWriter

    writer = GGUFWriter(path, ARCHITECTURE)
    writer.add_type(TYPE)
    for key, (kind, value) in to_metadata(head.spec).items():
        item = GGUFValueType[kind.strip("[]").upper()]
        if kind.startswith("["):
            writer.add_key_value(key, value, GGUFValueType.ARRAY, sub_type=item)
        else:
            writer.add_key_value(key, value, item)
    for name in sorted(head.tensors):
        writer.add_tensor(name, head.tensors[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def decode_head(data: bytes) -> Head:
    """The head that ``data`` holds, every value checked. Raises HeadError."""
    if len(data) > MAX_HEAD_BYTES:
        raise HeadError(f"the head is larger than {MAX_HEAD_BYTES >> 20} MiB")
    try:
        gguf = read_gguf(data)
        if gguf.metadata.get("general.architecture") != ARCHITECTURE:
            raise HeadError("the file is a GGUF, but not of a head", hint="give a head made for this model")
        spec = from_metadata(_own_metadata(gguf))
        _check_extent(gguf, data)
        _check_names_and_shapes(spec, {tensor.name: tensor.shape for tensor in gguf.tensors})
        tensors = {tensor.name: read_tensor(data, gguf, tensor.name) for tensor in gguf.tensors}
    except ModelError as error:
        raise HeadError(f"the head cannot be read: {reason(error)}", hint=error.hint) from error
    return _head(spec, tensors)


def write_safetensors_head(head: Head, path: Path) -> None:
    """Write the head as safetensors, whole or not at all. Raises HeadError or FileError."""
    from safetensors.numpy import save

    checked = _validated(head)
    text = json.dumps(_plain(checked.spec), ensure_ascii=False, allow_nan=False)
    with atomic_output(path) as partial:
        partial.write_bytes(save(dict(checked.tensors), metadata={SAFETENSORS_KEY: text}))


def read_safetensors_head(path: Path) -> Head:
    """The head of a safetensors file. Raises HeadError, or MissingInputError, AccessError, FileError."""
    data = read_regular_file(path, limit=MAX_HEAD_BYTES)
    try:
        return _head(from_metadata(_safetensors_spec(data)), _safetensors_tensors(data))
    except HeadError as error:
        raise HeadError(f"{path}: {error.message}", hint=error.hint) from error


def _plain(spec: HeadSpec) -> dict[str, object]:
    return {key: value for key, (_, value) in to_metadata(spec).items()}


def _validated(head: Head) -> Head:
    """The same head as a reader will see it. Raises HeadError if there is no such head."""
    return _head(from_metadata(_plain(head.spec)), head.tensors)


def _own_metadata(gguf: GgufFile) -> dict[str, object]:
    """The head's own keys with their types checked; what the file says in general is left out."""
    own: dict[str, object] = {}
    for key, value in gguf.metadata.items():
        kinds = key_types(key)
        if not kinds and key.startswith(_GENERAL):
            continue
        if kinds and gguf.types[key] not in kinds:
            raise HeadError(f"the head's key {key} has the type {gguf.types[key]}, not {' or '.join(kinds)}")
        own[key] = value
    return own


def _check_extent(gguf: GgufFile, data: bytes) -> None:
    if gguf.end > len(data):
        raise HeadError("the head is cut off", hint="get it again, or fit it again")
    rest = data[gguf.end :]
    if len(rest) >= gguf.alignment or rest.strip(b"\0"):
        raise HeadError("there are unexplained bytes behind the head", hint="get it again, or fit it again")


def _check_names_and_shapes(spec: HeadSpec, found: Mapping[str, tuple[int, ...]]) -> None:
    expected = dict(tensor_shapes(spec))
    if any(name in found for name in _GATE):
        expected |= {"mch.gate.weight": (1, spec.width), "mch.gate.bias": (1,)}
    for name in (*expected, *found):
        if name not in found:
            raise HeadError(f"the head has no tensor {name}")
        if name not in expected:
            raise HeadError(f"the head has the unknown tensor {name!r}")
        if found[name] != expected[name]:
            raise HeadError(f"the head's tensor {name} has the shape {found[name]}, not {expected[name]}")


def _head(spec: HeadSpec, tensors: Mapping[str, NDArray[Any]]) -> Head:
    """The head, its tensors float32, finite and of the shapes that the spec asks for."""
    _check_names_and_shapes(spec, {name: tensor.shape for name, tensor in tensors.items()})
    values = {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in tensors.items()}
    for name, tensor in values.items():
        if not np.isfinite(tensor).all():
            raise HeadError(f"the head's tensor {name} has values that are NaN or infinite")
    return Head(spec, values)


def _safetensors_spec(data: bytes) -> dict[str, object]:
    length = int.from_bytes(data[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise HeadError("the safetensors file's header is too long")
    header = _json_object(data[8 : 8 + length])
    metadata = header.get("__metadata__")
    text = metadata.get(SAFETENSORS_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise HeadError("the safetensors file is not of a head")
    return _json_object(text.encode())


def _json_object(text: bytes) -> dict[str, object]:
    try:
        value = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise HeadError("the safetensors file's header is not valid JSON") from error
    if not isinstance(value, dict):
        raise HeadError("the safetensors file's header is not a JSON object")
    return value


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key appears twice")
    return value


def _safetensors_tensors(data: bytes) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError, deserialize

    types = {"F32": "<f4", "F16": "<f2"}
    try:
        entries = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise HeadError(f"the safetensors file is damaged: {error}") from error
    for name, entry in entries:
        if entry["dtype"] not in types:
            raise HeadError(f"the head's tensor {name!r} is {entry['dtype']}, not F32 or F16")
    return {
        name: np.frombuffer(entry["data"], dtype=types[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in entries
    }
