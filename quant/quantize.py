"""``sage quantize``: llama.cpp's quantizer between two checks, with the head put back behind the base.

The quantizer drops whatever lies behind the last tensor, writes straight to its target and trusts
its source; so the source is guarded, the target is a temporary file, and the result is guarded too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mch_runtime.atomic import atomic_output
from mch_runtime.errors import FileError, NativeError, UsageError, file_error
from mch_runtime.file_types import FILE_TYPES
from mch_runtime.gguf_file import GgufFile, open_checked
from mch_runtime.head.container import attach_in_place, check_belongs, find_head, fingerprint
from mch_runtime.llama.quantizer import quantize as llama_quantize

MAX_THREADS = 512
UNQUANTIZED = frozenset({"F32", "F16", "BF16"})

# llama.cpp refuses to make these without an importance matrix: the result would be garbage.
NEED_IMPORTANCE = frozenset(
    {"Q2_K_S", "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS"}
)


@dataclass(frozen=True, kw_only=True)
class QuantizeReport:
    """What was written. Sizes are those of whole files; warnings are about the source's head."""

    type_name: str
    before_bytes: int
    after_bytes: int
    head_carried: bool
    warnings: tuple[str, ...] = ()


def quantize(
    source: Path,
    output: Path,
    *,
    type_name: str,
    threads: int | None = None,
    allow_requantize: bool = False,
) -> QuantizeReport:
    """Write ``source`` with weights of the type ``type_name`` to ``output``, whole or not at all.

    allow_requantize: accept a source that is quantized already, which costs quality twice.
    Raises UsageError, MissingInputError, ModelError, HeadError, NativeError or FileError; ``output``
    is then as it was.
    """
    type_name = _known_type(type_name)
    threads = min(os.cpu_count() or 1, MAX_THREADS) if threads is None else threads
    if not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"{threads} threads are out of range", hint=f"1 to {MAX_THREADS}")
    try:
        if output.exists() and source.exists() and output.samefile(source):
            raise UsageError(f"{output} is the source itself", hint="write to another file")
        with open_checked(source) as (fd, gguf):
            _refuse_requantize(gguf, source, allowed=allow_requantize)
            before = os.fstat(fd).st_size
            base = fingerprint(fd, gguf)
            found = find_head(source, fd, gguf, before)
            if found and found.head:
                check_belongs(found.head, gguf, fingerprint=base)
            with atomic_output(output) as partial:
                with _stream_errors(output):
                    llama_quantize(
                        fd,
                        source,
                        partial,
                        type_name=type_name,
                        threads=threads,
                        allow_requantize=allow_requantize,
                    )
                _check_result(partial, base)
                if found and found.head:
                    attach_in_place(partial, found.data)
                after = partial.stat().st_size
    except OSError as error:
        raise file_error(error, "quantize to", output) from error
    return QuantizeReport(
        type_name=type_name,
        before_bytes=before,
        after_bytes=after,
        head_carried=bool(found and found.head),
        warnings=found.warnings if found else (),
    )


def available_types() -> tuple[str, ...]:
    """The types that can be made, by the names people use."""
    return tuple(name for name in FILE_TYPES if name not in NEED_IMPORTANCE)


def _known_type(type_name: str) -> str:
    name = type_name.upper()
    if name in NEED_IMPORTANCE:
        raise UsageError(
            f"{name} needs an importance matrix, which sage cannot make yet", hint=_listed(available_types())
        )
    if name not in FILE_TYPES:
        raise UsageError(f"{type_name} is not a type of quantization", hint=_listed(available_types()))
    return name


def _listed(names: Iterable[str]) -> str:
    return f"one of {', '.join(names)}"


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
