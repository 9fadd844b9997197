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


def encode(values: NDArray[Any], ggml_type: GgmlType, *, name: str) -> NDArray[Any]:
    """(rows, width) stored values as the bytes of ``ggml_type``. Raises DataError, naming the tensor."""
    _check(values, ggml_type, name)
    if values.dtype == _NATIVE.get(ggml_type):
        return np.ascontiguousarray(values)
    if values.dtype == _BFLOAT16 and ggml_type == GgmlType.F16:
        return np.ascontiguousarray(_halves()[values])
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
        # Without their sign, bit patterns are in the order of what they stand for, NaN last.
        largest = (values & np.uint16(0x7FFF)).max(keepdims=True)
        return float(as_float32(largest).item())
    return float(np.maximum(values.max(), -values.min()))


@cache
def _halves() -> NDArray[np.float16]:
    """The float16 of every bfloat16, by its bits."""
    every = as_float32(np.arange(1 << 16, dtype=np.uint16))
    with np.errstate(over="ignore"):
        return every.astype(np.float16)
