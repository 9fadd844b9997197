"""The three standard streams: what they can show, and writing to them without surprises.

Everything is written to the file descriptor at once: two streams on one terminal keep their order,
a full disk shows where it happens, and nothing is left to be flushed when the interpreter ends.
"""

from __future__ import annotations

import contextlib
import locale
import os
import select
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TextIO

from mch_runtime.errors import file_error
from sage_cli.render.safe import one_line

ColorChoice = Literal["auto", "always", "never"]

STDIN, STDOUT, STDERR = 0, 1, 2
_FALLBACK_WIDTH = 80


class Output:
    """Text to one file descriptor, unbuffered."""

    def __init__(self, fd: int, encoding: str) -> None:
        self.fd = fd
        self.encoding = encoding
        self.terminal = os.isatty(fd)

    def write(self, text: str) -> None:
        """All of ``text``; characters the stream cannot encode are written as escapes.

        Raises BrokenPipeError if nobody reads any more, else FileError.
        """
        try:
            self._put(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise file_error(error, "write", "standard output") from error

    def _put(self, text: str) -> None:
        data = memoryview(text.encode(self.encoding, "backslashreplace"))
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                select.select([], [self.fd], [])

    @property
    def width(self) -> int:
        """Columns of the terminal; 80 where there is none."""
        try:
            return os.get_terminal_size(self.fd).columns or _FALLBACK_WIDTH
        except OSError:
            return _FALLBACK_WIDTH

    @property
    def columns(self) -> int | None:
        """Columns of the terminal, None where there is none."""
        return self.width if self.terminal else None

    def shown(self, text: str) -> str:
        """``text`` as it appears once written."""
        return text.encode(self.encoding, "backslashreplace").decode(self.encoding, "replace")

    def can_encode(self, text: str) -> bool:
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True


class ErrorOutput(Output):
    """Standard error: where it cannot be written, the answer matters more than what is lost here."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._put(text)


@dataclass(frozen=True, kw_only=True)
class Face:
    """What a stream can show. unicode: marks and dots; otherwise ASCII stands in."""

    terminal: bool
    color: bool
    unicode: bool


def face(output: Output, color: ColorChoice, environ: Mapping[str, str]) -> Face:
    """How to write to ``output``."""
    return Face(
        terminal=output.terminal,
        color=wants_color(color, environ, terminal=output.terminal),
        unicode=output.can_encode("●◐○·"),
    )


def wants_color(choice: ColorChoice, environ: Mapping[str, str], *, terminal: bool) -> bool:
    """NO_COLOR, then ``--color``, then FORCE_COLOR, then whether it is a terminal that is not dumb."""
    if environ.get("NO_COLOR"):
        return False
    if choice != "auto":
        return choice == "always"
    forced = environ.get("FORCE_COLOR")
    if forced:
        return forced != "0"
    return terminal and environ.get("TERM", "dumb") != "dumb"


def same_terminal(one: Output, other: Output) -> bool:
    """Whether two streams write to one and the same screen."""
    if not (one.terminal and other.terminal):
        return False
    return os.fstat(one.fd).st_rdev == os.fstat(other.fd).st_rdev


def complaint(message: str, hint: str, *, color: bool, width: int | None = None) -> str:
    """An error in two lines: what happened, and what to do. width: see :func:`labelled`."""
    said = labelled("sage", message, color="\x1b[1;31m" if color else "", width=width)
    return said + (labelled("hint", hint, color="\x1b[36m" if color else "", width=width) if hint else "")


def labelled(label: str, sentence: str, *, color: str, width: int | None) -> str:
    """``note: …``, with a colour for the label. width: columns of the terminal that it is folded for, between words."""
    text = one_line(f"{label}: {sentence}")
    if width is not None:
        from sage_cli.render.lines import folded

        text = "\n".join(folded(text, width))
    head = len(label) + 1
    return f"{color}{text[:head]}\x1b[0m{text[head:]}\n" if color else f"{text}\n"


def occupy_closed_streams() -> None:
    """Put something where a standard stream was closed, or the next file opened would take its place.

    Reading then finds nothing, writing to standard output fails, as it would have, and what goes to
    standard error is lost.
    """
    for fd, mode in ((STDIN, os.O_RDONLY), (STDOUT, os.O_RDONLY), (STDERR, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number, which is fd


def standard_output() -> Output:
    """Terminals get their own encoding, pipes and files always UTF-8."""
    return Output(STDOUT, _encoding(sys.stdout) if os.isatty(STDOUT) else "utf-8")


def standard_error() -> Output:
    """In the locale's encoding, as its readers expect."""
    return ErrorOutput(STDERR, _encoding(sys.stderr))


def _encoding(stream: TextIO | None) -> str:
    return getattr(stream, "encoding", None) or locale.getencoding()
