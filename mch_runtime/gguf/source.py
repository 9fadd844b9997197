"""Bytes to read from: an open file, or memory."""

from __future__ import annotations

import os
from typing import Protocol

_PREAD_BYTES = 1 << 30


class Source(Protocol):
    """A stretch of bytes; ``length`` says how many."""

    length: int

    def read(self, offset: int, count: int) -> bytes:
        """``count`` bytes from ``offset`` on; fewer only at the end."""
        ...


def open_source(source: int | bytes, *, offset: int = 0, length: int | None = None) -> Source:
    """``length`` bytes (None: all) from ``offset`` on of a file descriptor or of bytes."""
    if isinstance(source, bytes):
        return _Bytes(source, offset, length)
    return _Descriptor(source, offset, length)


class _Bytes:
    def __init__(self, data: bytes, start: int, length: int | None) -> None:
        self._data = data
        self._start = start
        left = max(0, len(data) - start)
        self.length = left if length is None else min(length, left)

    def read(self, offset: int, count: int) -> bytes:
        begin = self._start + offset
        return self._data[begin : begin + min(count, self.length - offset)]


class _Descriptor:
    def __init__(self, fd: int, start: int, length: int | None) -> None:
        self._fd = fd
        self._start = start
        left = max(0, os.fstat(fd).st_size - start)
        self.length = left if length is None else min(length, left)

    def read(self, offset: int, count: int) -> bytes:
        parts = []
        position, left = self._start + offset, min(count, max(0, self.length - offset))
        while left:
            part = os.pread(self._fd, min(left, _PREAD_BYTES), position)
            if not part:  # the file became shorter
                break
            parts.append(part)
            position += len(part)
            left -= len(part)
        return b"".join(parts)
