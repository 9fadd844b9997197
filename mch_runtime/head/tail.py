"""What lies behind the base in a model's file: a head with its footer, damage, or something else.

[base GGUF][zeros to a multiple of 4096][head GGUF][footer, 64 bytes]
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from dataclasses import dataclass
from typing import Literal

from mch_runtime.gguf.reader import GgufFile
from mch_runtime.gguf.source import open_source
from mch_runtime.head.format import MAX_HEAD_BYTES

REMEDY = "remove what is left of it with: sage head detach --in-place"
BOUNDARY = 4096
MAGIC = b"SAGEMCH1"
_FOOTER = struct.Struct("<8sQQ32sII")
_SUMMED = _FOOTER.size - 8  # the checksum and the zero behind it
_GGUF = b"GGUF"
_CHUNK = 1 << 20

TailKind = Literal["none", "head", "damaged", "unexplained"]


@dataclass(frozen=True, kw_only=True)
class Tail:
    """What was found behind the base.

    base_length: bytes of the base, its own padding included; length: bytes behind it; head: the head's
    GGUF, its checksum verified; problem: what is damaged.
    """

    kind: TailKind
    base_length: int
    length: int
    head: bytes = b""
    problem: str = ""


def read_tail(fd: int, gguf: GgufFile, size: int) -> Tail:
    """What the file of ``size`` bytes holds behind the base ``gguf``."""
    base = _base_length(fd, gguf, size)

    def damaged(problem: str) -> Tail:
        return Tail(kind="damaged", base_length=base, length=size - base, problem=problem)

    if size <= base:
        return Tail(kind="none", base_length=base, length=0)
    footer = _read(fd, size - _FOOTER.size, _FOOTER.size) if size - base >= _FOOTER.size else b""
    if footer.startswith(MAGIC):
        found = _read_head(fd, footer, gguf.end, size)
        return damaged(found) if isinstance(found, str) else found
    start = _read(fd, boundary(gguf.end), len(_GGUF))
    if start and _GGUF.startswith(start):
        return damaged("its footer is missing")
    return Tail(kind="unexplained", base_length=base, length=size - base)


def bears_footer(fd: int) -> bool:
    """Whether the file ends as one with a head does, which a glance tells; not whether the head is whole."""
    size = size_of(fd)
    return size >= _FOOTER.size and _read(fd, size - _FOOTER.size, _FOOTER.size).startswith(MAGIC)


def boundary(length: int) -> int:
    """Where a head begins behind a base of ``length`` bytes."""
    return -(-length // BOUNDARY) * BOUNDARY


def make_tail(base_length: int, head: bytes) -> tuple[bytes, bytes]:
    """The bytes to put behind the base: padding with the head, and the footer."""
    summed = struct.pack("<8sQQ32s", MAGIC, base_length, len(head), hashlib.sha256(head).digest())
    footer = summed + struct.pack("<II", zlib.crc32(summed), 0)
    return bytes(boundary(base_length) - base_length) + head, footer


def is_zero(fd: int, start: int, size: int) -> bool:
    """Whether the file holds nothing but zeros from ``start`` to ``size``."""
    return not any(
        _read(fd, position, min(_CHUNK, size - position)).strip(b"\0")
        for position in range(start, size, _CHUNK)
    )


def _read_head(fd: int, footer: bytes, end: int, size: int) -> Tail | str:
    """The head that the footer describes, or what is wrong with it."""
    _, base_length, head_length, sha256, checksum, zero = _FOOTER.unpack(footer)
    if zlib.crc32(footer[:_SUMMED]) != checksum or zero:
        return "its footer is damaged"
    start = boundary(end)
    if not end <= base_length <= start or start + head_length + _FOOTER.size != size:
        return "the lengths in its footer do not add up"
    if head_length > MAX_HEAD_BYTES:
        return f"it is larger than {MAX_HEAD_BYTES >> 20} MiB"
    head = _read(fd, start, head_length)
    if hashlib.sha256(head).digest() != sha256:
        return "its checksum is wrong"
    return Tail(kind="head", base_length=base_length, length=size - base_length, head=head)


def _base_length(fd: int, gguf: GgufFile, size: int) -> int:
    """The end of the last tensor, and the zeros that writers of GGUF files put behind it."""
    padded = -(-gguf.end // gguf.alignment) * gguf.alignment
    end = min(padded, boundary(gguf.end), max(size, gguf.end))
    return gguf.end if _read(fd, gguf.end, end - gguf.end).strip(b"\0") else end


def _read(fd: int, offset: int, count: int) -> bytes:
    return open_source(fd).read(offset, count)


def size_of(fd: int) -> int:
    """The size of an open file in bytes."""
    return os.fstat(fd).st_size
