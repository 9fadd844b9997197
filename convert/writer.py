"""Writes a planned GGUF, tensor by tensor, a few whole rows at a time.

Threads read and encode blocks ahead of the one that writes them in order; numpy lets go of the
interpreter meanwhile. Memory: a few blocks of a few megabytes and the vocabulary, whatever the model.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import gguf
import numpy as np
from numpy.typing import NDArray

from convert.checkpoint import Checkpoint
from convert.encoding import encode
from convert.plan import Plan, PlannedTensor
from convert.sources import width

Progress = Callable[[int, int], None]

BLOCK_ELEMENTS = 1 << 19
MAX_THREADS = 8


def write(plan: Plan, checkpoint: Checkpoint, path: Path, progress: Progress) -> None:
    """Write ``plan`` to ``path``. Raises DataError for values that do not fit, and OSError."""
    _write_header(plan, path)
    threads = min(MAX_THREADS, os.cpu_count() or 1)
    with path.open("ab") as file, ThreadPoolExecutor(threads) as pool:
        done = 0
        _pad(file)
        for tensor in plan.tensors:
            for block in _encoded(tensor, checkpoint, pool, ahead=2 * threads):
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
        "int32": writer.add_int32,
        "float32": writer.add_float32,
        "bool": writer.add_bool,
        "array": writer.add_array,
    }
    for field in plan.fields:
        if field.key != "general.architecture":  # the writer adds it itself
            add[field.kind](field.key, field.value)
    for tensor in plan.tensors:
        shape, kind = tensor.source.shape, tensor.ggml_type
        writer.add_tensor_info(tensor.name, shape, np.dtype(np.float32), tensor.nbytes, raw_dtype=kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()


def _encoded(
    tensor: PlannedTensor, checkpoint: Checkpoint, pool: ThreadPoolExecutor, *, ahead: int
) -> Iterator[NDArray[Any]]:
    """The tensor's bytes in its new type, in order, ``ahead`` blocks in the making."""
    source = tensor.source
    count, step = source.shape[0], source.step
    rows = max(1, BLOCK_ELEMENTS // (width(source.shape) * step)) * step

    def block(begin: int) -> NDArray[Any]:
        values = source.rows(checkpoint, begin, min(begin + rows, count))
        return encode(values, tensor.ggml_type, name=source.name)

    waiting: deque[Future[NDArray[Any]]] = deque()
    try:
        for begin in range(0, count, rows):
            waiting.append(pool.submit(block, begin))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
