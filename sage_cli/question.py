"""The question: what standard input holds, a blank line, what the command line says."""

from __future__ import annotations

import os

from mch_runtime.errors import DataError, UsageError, file_error

LIMIT = 64 * 1024 * 1024  # bytes; far more than any context holds, far less than memory
_CHUNK = 1 << 16


def join(piped: str, argument: str) -> str:
    """The question that is asked. Raises UsageError if nothing is left of it."""
    question = "\n\n".join(part for part in (piped, argument) if part.strip())
    if not question:
        raise UsageError("the question is empty", hint='sage "How many …?"')
    return question


def read_piped(fd: int) -> str:
    """All of standard input as text, closing line breaks left out.

    Raises DataError if it is not UTF-8 text, UsageError above 64 MiB, FileError if it cannot be read.
    """
    data = bytearray()
    try:
        while chunk := os.read(fd, _CHUNK):
            data += chunk
            if len(data) > LIMIT:
                raise UsageError("standard input is longer than 64 MiB", hint="ask about a part of it")
    except OSError as error:
        raise file_error(error, "read", "standard input") from error
    return _text(bytes(data), "standard input").removeprefix("\ufeff").rstrip("\r\n")


def from_argument(argument: str) -> str:
    """An argument of the command line, whatever the locale made of its bytes.

    Raises DataError if they are not UTF-8.
    """
    if argument.isascii() or not any("\ud800" <= c <= "\udfff" for c in argument):
        return argument
    return _text(os.fsencode(argument), "the question")


def _text(data: bytes, what: str) -> str:
    nul = data.find(0)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if nul < 0 or error.start < nul:
            raise _binary(what, data[error.start], error.start) from None
    if nul >= 0:
        raise _binary(what, 0, nul)
    return text


def _binary(what: str, byte: int, offset: int) -> DataError:
    return DataError(
        f"{what} is not UTF-8 text: byte 0x{byte:02x} at offset {offset}",
        hint="sage reads text; convert it first",
    )
