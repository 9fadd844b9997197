"""``sage quantize``: llama.cpp's quantizer between two checks, with the head put back behind the base.

The quantizer drops whatever lies behind the last tensor, writes straight to its target and trusts
its source; so the source is guarded, the target is a temporary file, and the result is guarded too.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mch_runtime.atomic import atomic_output
from mch_runtime.errors import FileError, NativeError, UsageError, file_error
from mch_runtime.gguf_file import GgufFile, open_checked
from mch_runtime.head.container import FoundHead, attach_in_place, check_belongs, find_head, fingerprint
from mch_runtime.llama.abi import QuantizeSettings
from mch_runtime.llama.quantizer import planned_types
from mch_runtime.llama.quantizer import quantize as llama_quantize
from mch_runtime.session import Interrupt
from quant.importance import ImportanceMatrix, check_fits
from quant.types import (
    FOR_TRAINED,
    NUMBERS,
    TENSORS_NEED_IMPORTANCE,
    UNQUANTIZED,
    Override,
    bytes_as,
    known_type,
    resolve,
)

MAX_THREADS = 512
GGUF_ALIGNMENT = 32
HEAD_ALIGNMENT, _FOOTER_BYTES = 4096, 64
_NOTES_BYTES = 1024  # of metadata that the quantizer adds, at most


@dataclass(frozen=True, kw_only=True)
class QuantizeReport:
    """What was written. Sizes are those of whole files; warnings are worth being told."""

    type_name: str
    before_bytes: int
    after_bytes: int
    head_carried: bool
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlannedTensor:
    """One tensor as it is and as it would be."""

    name: str
    shape: tuple[int, ...]
    before: str
    after: str
    before_bytes: int
    after_bytes: int


@dataclass(frozen=True, kw_only=True)
class QuantizePlan:
    """What would be written. after_bytes: of the whole file, at most a kilobyte more than it would be."""

    type_name: str
    tensors: tuple[PlannedTensor, ...]
    before_bytes: int
    after_bytes: int
    warnings: tuple[str, ...] = ()

    @property
    def bits_per_weight(self) -> float:
        """Of all tensors together."""
        weights = sum(_elements(tensor) for tensor in self.tensors)
        return 8 * sum(tensor.after_bytes for tensor in self.tensors) / weights


@dataclass(frozen=True)
class Source:
    """A checked model that is about to be quantized."""

    fd: int
    gguf: GgufFile
    path: Path
    base: str
    found: FoundHead | None

    @property
    def size(self) -> int:
        return os.fstat(self.fd).st_size

    @property
    def head_bytes(self) -> int:
        return len(self.found.data) if self.found and self.found.head else 0


def quantize(
    source: Path,
    output: Path,
    *,
    type_name: str,
    threads: int | None = None,
    allow_requantize: bool = False,
    importance: ImportanceMatrix | None = None,
    overrides: Sequence[Override] = (),
    interrupt: Interrupt | None = None,
) -> QuantizeReport:
    """Write ``source`` with weights of the type ``type_name`` to ``output``, whole or not at all.

    allow_requantize: accept a source that is quantized already, which costs quality twice. overrides: tensors
    that get a type of their own. Raises UsageError, DataError, MissingInputError, ModelError, HeadError,
    NativeError, Interrupted or FileError; ``output`` is then as it was.
    """
    type_name = known_type(type_name, importance=importance is not None)
    try:
        if output.exists() and source.exists() and output.samefile(source):
            raise UsageError(f"{output} is the source itself", hint="write to another file")
        with open_source(source, allow_requantize=allow_requantize) as opened:
            settings = _settings(opened, type_name, threads, allow_requantize, importance, overrides)
            need = None
            if output.parent.is_dir():
                need = file_bytes(opened, planned(opened, settings))
                _check_room(output, need)
            with atomic_output(output, expected_bytes=need) as partial:
                with _stream_errors(output):
                    llama_quantize(opened.fd, source, partial, settings, interrupt=interrupt)
                _check_result(partial, opened.base)
                if opened.found and opened.found.head:
                    attach_in_place(partial, opened.found.data)
                after = partial.stat().st_size
            before = opened.size
    except OSError as error:
        raise file_error(error, "quantize to", output) from error
    return QuantizeReport(
        type_name=type_name,
        before_bytes=before,
        after_bytes=after,
        head_carried=bool(opened.head_bytes),
        warnings=_warnings(opened, type_name),
    )


def plan(
    source: Path,
    *,
    type_name: str,
    allow_requantize: bool = False,
    importance: ImportanceMatrix | None = None,
    overrides: Sequence[Override] = (),
    imagine_importance: bool = False,
) -> QuantizePlan:
    """What :func:`quantize` would write, tensor by tensor, in llama.cpp's own choice; nothing is written.

    imagine_importance: types that need a matrix are planned without one. Raises as ``quantize`` does.
    """
    known = importance is not None or imagine_importance
    type_name = known_type(type_name, importance=known)
    try:
        with open_source(source, allow_requantize=allow_requantize) as opened:
            settings = _settings(opened, type_name, 1, allow_requantize, importance, overrides, known=known)
            tensors = planned(opened, settings)
            return QuantizePlan(
                type_name=type_name,
                tensors=tensors,
                before_bytes=opened.size,
                after_bytes=file_bytes(opened, tensors),
                warnings=_warnings(opened, type_name),
            )
    except OSError as error:
        raise file_error(error, "plan the quantization of", source) from error


@contextmanager
def open_source(source: Path, *, allow_requantize: bool) -> Iterator[Source]:
    """A model that may be quantized, checked. Raises UsageError, HeadError, and what opening it raises."""
    with open_checked(source) as (fd, gguf):
        _refuse_requantize(gguf, source, allowed=allow_requantize)
        base = fingerprint(fd, gguf)
        found = find_head(source, fd, gguf, os.fstat(fd).st_size)
        if found and found.head:
            check_belongs(found.head, gguf, fingerprint=base)
        yield Source(fd, gguf, source, base, found)


def _settings(
    source: Source,
    type_name: str,
    threads: int | None,
    allow_requantize: bool,  # noqa: FBT001
    importance: ImportanceMatrix | None,
    overrides: Sequence[Override],
    *,
    known: bool | None = None,
) -> QuantizeSettings:
    threads = min(os.cpu_count() or 1, MAX_THREADS) if threads is None else threads
    if not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"{threads} threads are out of range", hint=f"1 to {MAX_THREADS}")
    if overrides and type_name in UNQUANTIZED:
        raise UsageError(
            f"--tensor-type has no effect with {type_name}",
            hint="give a quantized type for the other tensors",
        )
    types = resolve(overrides, source.gguf)
    needy = sorted(set(types.values()) & TENSORS_NEED_IMPORTANCE)
    if needy and not (importance is not None if known is None else known):
        raise UsageError(f"{needy[0]} needs an importance matrix", hint="give a text with --imatrix")
    if importance is not None:
        check_fits(importance, source.gguf, model=source.path)
    return QuantizeSettings(
        type_name=type_name,
        threads=threads,
        allow_requantize=allow_requantize,
        types={name: NUMBERS[kind] for name, kind in types.items()},
        importance=importance.means() if importance is not None else None,
        notes=importance.notes() if importance is not None else {},
    )


def planned(source: Source, settings: QuantizeSettings) -> tuple[PlannedTensor, ...]:
    """Every tensor of the source as llama.cpp's quantizer would write it."""
    types = planned_types(source.fd, source.path, settings)
    found = []
    for tensor in source.gguf.tensors:
        if tensor.name not in types:
            raise NativeError(
                "llama.cpp's quantizer does not say what it would do", hint="leave out --dry-run"
            )
        after = types[tensor.name].upper()
        found.append(
            PlannedTensor(
                name=tensor.name,
                shape=tensor.shape,
                before=tensor.type,
                after=after,
                before_bytes=tensor.n_bytes,
                after_bytes=bytes_as(tensor, after),
            )
        )
    return tuple(found)


def file_bytes(source: Source, tensors: Sequence[PlannedTensor]) -> int:
    """Of the whole file: the header as it is, the tensors, the head."""
    base = source.gguf.data_offset + _NOTES_BYTES + sum(padded(tensor.after_bytes) for tensor in tensors)
    if not source.head_bytes:
        return base
    return -(-base // HEAD_ALIGNMENT) * HEAD_ALIGNMENT + source.head_bytes + _FOOTER_BYTES


def padded(n_bytes: int) -> int:
    """As much as a tensor takes in a file that llama.cpp writes."""
    return -(-n_bytes // GGUF_ALIGNMENT) * GGUF_ALIGNMENT


def _check_room(output: Path, need: int) -> None:
    """Better now than after an hour."""
    free = shutil.disk_usage(output.parent).free
    if free < need:
        raise FileError(
            f"cannot write {output}: {need:,} bytes are needed and {free:,} are free", hint="free some space"
        )


def _warnings(source: Source, type_name: str) -> tuple[str, ...]:
    found = source.found.warnings if source.found else ()
    if type_name in FOR_TRAINED:
        return (*found, f"{type_name} is for models trained with such weights; others come out as garbage")
    return found


def _elements(tensor: PlannedTensor) -> int:
    count = 1
    for size in tensor.shape:
        count *= size
    return count


def _refuse_requantize(gguf: GgufFile, source: Path, *, allowed: bool) -> None:
    types = sorted({tensor.type for tensor in gguf.tensors} - UNQUANTIZED)
    if types and not allowed:
        raise UsageError(
            f"{source.name} is quantized already ({', '.join(types)}), which would cost quality twice",
            hint="start from the F32, F16 or BF16 file, or allow it with --allow-requantize",
        )


@contextmanager
def _stream_errors(output: Path) -> Iterator[None]:
    """A failed write is all that llama.cpp's output stream complains about, without saying why."""
    try:
        yield
    except NativeError as error:
        if "iostream" not in error.message:
            raise
        raise FileError(
            f"cannot write {output}: the disk is full or failing", hint="free some space"
        ) from error


def _check_result(path: Path, base: str) -> None:
    with open_checked(path) as (fd, gguf):
        if fingerprint(fd, gguf) != base:
            raise NativeError(
                "llama.cpp's quantizer changed more than the weights", hint="nothing was written"
            )
