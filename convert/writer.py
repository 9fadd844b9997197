"""Writes a planned GGUF, tensor by tensor, a few whole rows at a time.

Memory: a few blocks of a few megabytes and the vocabulary, whatever the size of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import gguf
import numpy as np
from gguf import GGMLQuantizationType as GgmlType
from numpy.typing import NDArray

from convert.checkpoint import Checkpoint
from convert.plan import Plan, PlannedTensor
from mch_runtime.errors import DataError

Progress = Callable[[int, int], None]

BLOCK_ELEMENTS = 1 << 20

# The largest magnitude a type can hold; Q8_0 stores a block's largest value / 127 as F16.
_LIMITS = {
    GgmlType.F32: 3.4028234e38,
    GgmlType.F16: 65504.0,
    GgmlType.BF16: 3.3895313e38,
    GgmlType.Q8_0: 65504.0 * 127,
}


def write(plan: Plan, checkpoint: Checkpoint, path: Path, progress: Progress) -> None:
    """Write ``plan`` to ``path``. Raises DataError for values that do not fit, and OSError."""
    _write_header(plan, path)
    with path.open("ab") as file:
        done = 0
        _pad(file)
        for tensor in plan.tensors:
            for block in _encoded(tensor, checkpoint):
                file.write(block.data)
                done += block.nbytes
                progress(done, plan.nbytes)
            _pad(file)


def _pad(file: BinaryIO) -> None:
    file.write(bytes(-file.tell() % gguf.GGUF_DEFAULT_ALIGNMENT))


def _write_header(plan: Plan, path: Path) -> None:
    writer = gguf.GGUFWriter(path, plan.architecture)
    add = {
        "string": writer.add_string,
        "uint32": writer.add_uint32,
        "float32": writer.add_float32,
        "bool": writer.add_bool,
        "array": writer.add_array,
    }
    for field in plan.fields:
        if field.key != "general.architecture":  # the writer adds it itself
            add[field.kind](field.key, field.value)
    for tensor in plan.tensors:
        shape, kind = tensor.stored.shape, tensor.ggml_type
        writer.add_tensor_info(tensor.name, shape, np.dtype(np.float32), tensor.nbytes, raw_dtype=kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()


def _encoded(tensor: PlannedTensor, checkpoint: Checkpoint) -> Iterator[NDArray[np.generic]]:
    """The tensor's bytes in its new type, a few whole rows at a time."""
    row = tensor.stored.shape[-1]
    elements = max(1, BLOCK_ELEMENTS // row) * row
    for values in checkpoint.blocks(tensor.stored, elements=elements):
        # NaN compares false, so this catches it too.
        if not np.abs(values).max() <= _LIMITS[tensor.ggml_type]:
            raise _not_finite(tensor, values)
        yield np.ascontiguousarray(gguf.quants.quantize(values.reshape(-1, row), tensor.ggml_type))


def _not_finite(tensor: PlannedTensor, values: NDArray[np.float32]) -> DataError:
    name, kind = tensor.stored.name, tensor.ggml_type.name
    if np.isfinite(values).all():
        return DataError(f"the tensor {name} has values too large for {kind}", hint="convert to bf16 or f32")
    return DataError(
        f"the tensor {name} has values that are NaN or infinite", hint="the checkpoint is broken"
    )
