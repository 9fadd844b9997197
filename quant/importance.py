"""The importance matrix: how large, squared, the inputs of each column of every weight are on a text.

The definition and the file format are those of llama.cpp's imatrix tool: of every product with a weight of
the layers, the squares of its inputs, summed over tokens for each column, and how many tokens that were. The
quantizer weighs the error of a column with the mean.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf as gguf_py
import numpy as np
from numpy.typing import NDArray

from mch_runtime.atomic import atomic_output
from mch_runtime.errors import DataError, ModelError, file_error
from mch_runtime.gguf.reader import reason
from mch_runtime.gguf_file import GgufFile, read_gguf, read_tensor
from mch_runtime.llama.model import open_model
from mch_runtime.llama.taps import LlamaWeightInputs
from mch_runtime.options import EngineOptions
from mch_runtime.session import Interrupt
from quant.texts import Text
from quant.types import is_matrix

_SUMS, _COUNTS = ".in_sum2", ".counts"
_MAGIC = b"GGUF"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class ImportanceMatrix:
    """sums: tensor name to squared inputs summed over tokens, (columns,) float32; counts: to tokens.

    texts: names of what it was computed on; chunks and chunk_size: how many pieces of how many tokens at most.
    """

    sums: Mapping[str, NDArray[np.float32]]
    counts: Mapping[str, float]
    texts: tuple[str, ...]
    chunks: int
    chunk_size: int

    def means(self) -> dict[str, NDArray[np.float32]]:
        """Mean squared input of every column; 1 where no token was seen, as llama.cpp has it."""
        return {
            name: (sums / np.float32(self.counts[name])) if self.counts[name] > 0 else np.ones_like(sums)
            for name, sums in self.sums.items()
        }

    def notes(self) -> dict[str, str | int]:
        """What llama.cpp's tool says in a quantized file about the matrix."""
        described = {"quantize.imatrix.dataset": self.texts[0]} if self.texts else {}
        return {
            **described,
            "quantize.imatrix.entries_count": len(self.sums),
            "quantize.imatrix.chunks_count": self.chunks,
        }


def compute(
    model: Path,
    text: Text,
    *,
    threads: int | None = None,
    interrupt: Interrupt | None = None,
    progress: Progress = lambda _done, _total: None,
) -> ImportanceMatrix:
    """The matrix of ``model`` on ``text``, in a context of its own; memory is that of one batch.

    text: read with the model's own tokens. progress: tokens read and in all. Raises ModelError, DataError for a
    text that is too short, ResourceError, Interrupted or NativeError.
    """
    interrupt = interrupt or Interrupt()
    options = EngineOptions(model=model, threads=threads)
    sums: dict[str, NDArray[np.float64]] = {}
    counts: dict[str, float] = {}
    with open_model(model, interrupt=interrupt) as opened:
        documents = text.documents(opened)
        total = sum(len(document.token_ids) for document in documents)
        first = next(t.name for t in opened.gguf.tensors if t.name.startswith("blk.") and is_matrix(t))

        def read(name: str, inputs: NDArray[np.float32]) -> None:
            squares = np.einsum("ij,ij->j", inputs, inputs, dtype=np.float64)
            sums[name] = sums[name] + squares if name in sums else squares
            counts[name] = counts.get(name, 0.0) + len(inputs)
            if name == first:
                progress(int(counts[name]), total)

        longest = max(len(document.token_ids) for document in documents)
        LlamaWeightInputs(opened, options, interrupt)(
            (document.token_ids for document in documents), read, longest=longest
        )
    matrix = ImportanceMatrix(
        sums={name: row.astype(np.float32) for name, row in sums.items()},
        counts=counts,
        texts=(text.name,),
        chunks=len(documents),
        chunk_size=longest,
    )
    _check_finite(matrix, model)
    return matrix


def is_matrix_file(path: Path) -> bool:
    """Whether a file is a GGUF and not a text. Raises MissingInputError, AccessError or FileError."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise file_error(error, "read", path) from error


def write(matrix: ImportanceMatrix, path: Path) -> None:
    """Write the matrix as llama.cpp's imatrix tool does. Raises FileError or AccessError."""
    with atomic_output(path) as partial:
        writer = gguf_py.GGUFWriter(partial, arch="imatrix")
        writer.add_type("imatrix")
        writer.add_array("imatrix.datasets", list(matrix.texts) or [""])
        writer.add_uint32("imatrix.chunk_count", matrix.chunks)
        writer.add_uint32("imatrix.chunk_size", matrix.chunk_size)
        for name in sorted(matrix.sums):
            writer.add_tensor(name + _SUMS, matrix.sums[name].reshape(1, -1))
            writer.add_tensor(name + _COUNTS, np.array([[matrix.counts[name]]], dtype=np.float32))
        try:
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def read(path: Path) -> ImportanceMatrix:
    """A matrix in llama.cpp's GGUF format. Raises DataError, or what reading the file raises."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise file_error(error, "read", path) from error
    try:
        matrix = _read(fd, path)
    except ModelError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}", hint=error.hint) from error
    except OSError as error:
        raise file_error(error, "read", path) from error
    finally:
        os.close(fd)
    _check_finite(matrix, path)
    return matrix


def check_fits(matrix: ImportanceMatrix, gguf: GgufFile, *, model: Path) -> None:
    """Raise DataError, naming a tensor, unless the matrix has been computed on such a model."""
    shapes = {tensor.name: tensor.shape for tensor in gguf.tensors}
    for name, row in matrix.sums.items():
        shape = shapes.get(name)
        if shape is None:
            raise _misfit(f"it has {name}, which {model.name} has not")
        if shape[-1] != row.size:
            raise _misfit(f"{name} has {row.size} columns in it and {shape[-1]} in {model.name}")
    lacking = [
        tensor.name
        for tensor in gguf.tensors
        if tensor.name.startswith("blk.") and is_matrix(tensor) and tensor.name not in matrix.sums
    ]
    if lacking:
        raise _misfit(f"it lacks {lacking[0]}, {len(lacking)} in all")


def _read(fd: int, path: Path) -> ImportanceMatrix:
    header = read_gguf(fd)
    if header.end > os.fstat(fd).st_size:
        raise DataError(f"{path} is cut off", hint="make it again")
    names = [t.name.removesuffix(_SUMS) for t in header.tensors if t.name.endswith(_SUMS)]
    if header.metadata.get("general.type") != "imatrix" or not names:
        raise DataError(
            f"{path} is a GGUF and not an importance matrix",
            hint="give a text, or a GGUF made by llama-imatrix or --save-imatrix",
        )
    sums: dict[str, NDArray[np.float32]] = {}
    counts: dict[str, float] = {}
    for name in names:
        if header.tensor(name + _COUNTS) is None:
            raise DataError(f"{path} lacks the counts of {name}", hint="make it again")
        count = read_tensor(fd, header, name + _COUNTS).ravel()
        if count.size != 1:
            raise DataError(f"{path} is of a mixture of experts ({name})", hint="those are not supported")
        sums[name] = read_tensor(fd, header, name + _SUMS).ravel()
        counts[name] = float(count[0])
    return ImportanceMatrix(
        sums=sums,
        counts=counts,
        texts=_texts(header.metadata.get("imatrix.datasets")),
        chunks=_whole(header.metadata.get("imatrix.chunk_count")),
        chunk_size=_whole(header.metadata.get("imatrix.chunk_size")),
    )


def _check_finite(matrix: ImportanceMatrix, path: Path) -> None:
    for name, row in matrix.sums.items():
        count = matrix.counts[name]
        if not (np.isfinite(row).all() and (row >= 0).all() and np.isfinite(count) and count >= 0):
            raise DataError(
                f"the importance of {name} is not a finite number", hint=f"is {path.name} damaged?"
            )


def _misfit(what: str) -> DataError:
    return DataError(f"the importance matrix is another model's: {what}", hint="compute it on this model")


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
