"""Where a head lives: behind its base in one file, in a sidecar, or in a file of its own.

Finding and verifying it; ``placement.py`` attaches and detaches. ``docs/head-format.md`` has the layout.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mch_runtime.errors import HeadError
from mch_runtime.files import read_regular_file
from mch_runtime.gguf.checked import open_checked
from mch_runtime.gguf.reader import GgufFile
from mch_runtime.head.base import check_belongs, check_fits, fingerprint, probe_cosine
from mch_runtime.head.format import (
    MAX_HEAD_BYTES,
    decode_head,
    encode_head,
    read_safetensors_head,
    write_safetensors_head,
)
from mch_runtime.head.placement import attach, attach_in_place, detach, detach_in_place, save_head
from mch_runtime.head.spec import Head, HeadSpec
from mch_runtime.head.tail import REMEDY, Tail, read_tail, size_of

__all__ = [
    "FoundHead",
    "HeadReport",
    "attach",
    "attach_in_place",
    "check_belongs",
    "check_fits",
    "decode_head",
    "detach",
    "detach_in_place",
    "encode_head",
    "find_head",
    "fingerprint",
    "probe_cosine",
    "read_safetensors_head",
    "save_head",
    "sidecar_path",
    "verify",
    "write_safetensors_head",
]

Place = Literal["file", "tail", "sidecar"]


@dataclass(frozen=True, kw_only=True)
class FoundHead:
    """The outcome of a search. head, place and path are None where there are only warnings.

    path: the file that holds it; data: its GGUF, with its SHA-256 in hex.
    """

    head: Head | None = None
    place: Place | None = None
    path: Path | None = None
    data: bytes = b""
    sha256: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class HeadReport:
    """What can be said about a model's head without decoding.

    base_bytes, head_bytes: sizes; parameters: numbers in its tensors; fingerprint: the base's own;
    problem: why it does not fit the base, "" if it does.
    """

    place: Place
    path: Path
    base_bytes: int
    head_bytes: int
    sha256: str
    spec: HeadSpec
    parameters: int
    fingerprint: str
    problem: str
    warnings: tuple[str, ...]


def find_head(
    model_path: Path, fd: int, gguf: GgufFile, size: int, *, head_path: Path | None = None
) -> FoundHead | None:
    """The head in ``head_path``, behind the base, or in the sidecar; the first there is, or None.

    fd, gguf, size: the open model. Whether the head fits it is ``check_fits``'s question.
    Raises HeadError if a head is there and damaged, and the errors of reading its file.
    """
    if head_path is not None:
        return _from_file(head_path, "file")
    tail = read_tail(fd, gguf, size)
    if tail.kind == "damaged":
        raise HeadError(f"the head in {model_path} is damaged: {tail.problem}", hint=REMEDY)
    if tail.kind == "head":
        return _found(tail.head, "tail", model_path)
    warnings = _warnings(tail, model_path)
    sidecar = sidecar_path(model_path)
    if os.path.lexists(sidecar):
        return _from_file(sidecar, "sidecar", warnings)
    return FoundHead(warnings=warnings) if warnings else None


def sidecar_path(model_path: Path) -> Path:
    """``NAME.mch.gguf`` beside ``NAME.gguf``, where the path as given says, links not followed."""
    name = model_path.name
    stem = name[: -len(".gguf")] if name.lower().endswith(".gguf") else name
    return model_path.with_name(f"{stem}.mch.gguf")


def verify(model: Path, *, head_path: Path | None = None) -> HeadReport:
    """Check the model's head as far as that goes without decoding. Raises HeadError if there is none."""
    with open_checked(model) as (fd, gguf):
        size = size_of(fd)
        found = find_head(model, fd, gguf, size, head_path=head_path)
        if found is None or found.head is None or found.place is None or found.path is None:
            raise HeadError(f"{model} has no head", hint="attach one with: sage head attach")
        problem, base = "", fingerprint(fd, gguf)
        try:
            check_belongs(found.head, gguf, fingerprint=base)
        except HeadError as error:
            problem = error.message
        return HeadReport(
            place=found.place,
            path=found.path,
            base_bytes=read_tail(fd, gguf, size).base_length,
            head_bytes=len(found.data),
            sha256=found.sha256,
            spec=found.head.spec,
            parameters=sum(tensor.size for tensor in found.head.tensors.values()),
            fingerprint=base,
            problem=problem,
            warnings=found.warnings,
        )


def _from_file(path: Path, place: Place, warnings: tuple[str, ...] = ()) -> FoundHead:
    return _found(read_regular_file(path, limit=MAX_HEAD_BYTES), place, path, warnings)


def _found(data: bytes, place: Place, path: Path, warnings: tuple[str, ...] = ()) -> FoundHead:
    try:
        head = decode_head(data)
    except HeadError as error:
        raise HeadError(f"{path}: {error.message}", hint=error.hint) from error
    digest = hashlib.sha256(data).hexdigest()
    return FoundHead(head=head, place=place, path=path, data=data, sha256=digest, warnings=warnings)


def _warnings(tail: Tail, path: Path) -> tuple[str, ...]:
    if tail.kind != "unexplained":
        return ()
    return (f"{path} has {tail.length:,} unexplained bytes behind the model",)
