"""Blocks of stored values in the type a GGUF wants, refused if a value is NaN, infinite or too large.

The bits are those of llama.cpp's converter; where a value keeps its type they are copied.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as GgmlType
from numpy.typing import NDArray

from convert.safetensors_file import as_float32
from mch_runtime.errors import DataError

# The largest magnitude a type can hold; Q8_0 stores a block's largest value / 127 as F16.
_LIMITS = {
    GgmlType.F32: 3.4028234e38,
    GgmlType.F16: 65504.0,
    GgmlType.BF16: 3.3895313e38,
    GgmlType.Q8_0: 65504.0 * 127,
}
_NATIVE = {GgmlType.F32: np.dtype("<f4"), GgmlType.F16: np.dtype("<f2"), GgmlType.BF16: np.dtype("<u2")}
_BFLOAT16 = _NATIVE[GgmlType.BF16]
_MAGNITUDE = np.uint16(
    0x7FFF
)  # of a bfloat16: without their sign, bits are in the order of the values, NaN last
_BLOCK = 32  # values in a block of Q8_0
_BELOW_HALF = np.float32(
    0.49999997
)  # the largest float32 below 0.5: added to it, 0.5 becomes 1 and nothing less does


def encode(values: NDArray[Any], ggml_type: GgmlType, *, name: str) -> NDArray[Any]:
    """(rows, width) stored values as the bytes of ``ggml_type``. Raises DataError, naming the tensor."""
    _check(values, ggml_type, name)
    if values.dtype == _NATIVE.get(ggml_type):
        return np.ascontiguousarray(values)
    if values.dtype == _BFLOAT16 and ggml_type == GgmlType.F16:
        return np.ascontiguousarray(_halves()[values])
    if ggml_type == GgmlType.Q8_0:
        return _q8_0(values)
    return np.ascontiguousarray(gguf.quants.quantize(as_float32(values), ggml_type))


def _check(values: NDArray[Any], ggml_type: GgmlType, name: str) -> None:
    magnitude = _magnitude(values)
    if magnitude <= _LIMITS[ggml_type]:  # false for NaN
        return
    if np.isfinite(magnitude):
        kind = ggml_type.name
        raise DataError(f"the tensor {name} has values too large for {kind}", hint="convert to bf16 or f32")
    raise DataError(f"the tensor {name} has values that are NaN or infinite", hint="the checkpoint is broken")


def _magnitude(values: NDArray[Any]) -> float:
    """The largest absolute value, NaN if there is one."""
    if values.dtype == _BFLOAT16:
        largest = (values & _MAGNITUDE).max(keepdims=True)
        return float(as_float32(largest).item())
    return float(np.maximum(values.max(), -values.min()))


def _q8_0(values: NDArray[Any]) -> NDArray[np.uint8]:
    """What ``gguf.quants`` makes, bit for bit, in less than half its time: (rows, width / 32 * 34) bytes.

    A block is its largest magnitude / 127 as float16, then its values in that unit, halves rounded away from zero.
    """
    wide = as_float32(values).reshape(-1, _BLOCK)
    unit = _magnitudes(values.reshape(-1, _BLOCK)) / np.float32(127)
    with np.errstate(divide="ignore", over="ignore"):
        scale = np.float32(1) / unit
    scale[np.isinf(scale)] = 0
    scaled = wide * scale[:, None]
    scaled += np.copysign(_BELOW_HALF, scaled)
    blocks = np.empty((len(wide), 2 + _BLOCK), dtype=np.uint8)
    blocks[:, :2] = unit.astype("<f2").view(np.uint8).reshape(-1, 2)
    blocks[:, 2:].view(np.int8)[...] = scaled  # cuts the fraction off
    return blocks.reshape(len(values), -1)


def _magnitudes(blocks: NDArray[Any]) -> NDArray[np.float32]:
    """(blocks, 32) stored values to the largest magnitude of each block."""
    magnitudes = blocks & _MAGNITUDE if blocks.dtype == _BFLOAT16 else np.abs(blocks)
    return as_float32(np.ascontiguousarray(magnitudes.T).max(axis=0))  # long rows are reduced faster


@cache
def _halves() -> NDArray[np.float16]:
    """The float16 of every bfloat16, by its bits."""
    every = as_float32(np.arange(1 << 16, dtype=np.uint16))
    with np.errstate(over="ignore"):
        return every.astype(np.float16)
