"""How far a batch is: a line that stands on the terminal, and what came of a batch at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.text import Text

from mch_runtime.errors import SageError
from mch_runtime.observer import Measurement
from sage_cli.paint import paint
from sage_cli.render.safe import one_line
from sage_cli.screen import CLEAR_LINE
from sage_cli.shell import Shell

_EVERY = 0.1  # seconds between two looks of the standing line


class Measuring:
    """Says on the terminal what is being measured; gone when it is done."""

    def __init__(self, shell: Shell, *, hidden: bool) -> None:
        face = shell.err_face
        self._shell = shell
        self._stands = face.terminal and face.color and not hidden

    def measuring(self, what: Measurement) -> None:
        """A measurement is begun."""
        if self._stands:
            text = paint(Text(f"measuring {what}", "dim"), self._shell.err_face)
            self._shell.err.write(CLEAR_LINE + text)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Leaves the line empty."""
        try:
            yield
        finally:
            if self._stands:
                self._shell.err.write(CLEAR_LINE)


class Tally:
    """Counts records; everything goes to standard error, and only errors where it has to be quiet."""

    def __init__(self, shell: Shell, *, quiet: bool, done: str = "explained") -> None:
        """done: what is said of the records that succeeded."""
        face = shell.err_face
        self._shell = shell
        self._quiet = quiet
        self._done = done
        self._stands = face.terminal and face.color and not quiet
        self._drawn = -_EVERY
        self._began = monotonic()
        self._counts = {done: 0, "refused": 0, "skipped": 0}

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The line stands as long as the body takes; what came of it stays, also if it was interrupted."""
        try:
            yield
        finally:
            self._clear()
            if not self._quiet:
                self._shell.err.write(f"{self._text()}\n")

    def done(self) -> None:
        self._count(self._done)

    def skipped(self) -> None:
        self._count("skipped")

    def refused(self, line: int, error: SageError) -> None:
        """A record that failed, with its line number in the input."""
        self._clear()
        color = self._shell.err_face.color
        name = "\x1b[1;31msage:\x1b[0m" if color else "sage:"
        where = f"line {line}: "
        said = where + error.message.removeprefix(where) + (f" ({error.hint})" if error.hint else "")
        self._shell.err.write(f"{name} {one_line(said)}\n")
        self._count("refused")

    def _count(self, what: str) -> None:
        self._counts[what] += 1
        if self._stands and monotonic() - self._drawn >= _EVERY:
            self._drawn = monotonic()
            text = paint(Text(f"{self._text()}, {self._rate():.1f} per second", "dim"), self._shell.err_face)
            self._shell.err.write(CLEAR_LINE + text)

    def _clear(self) -> None:
        if self._stands:
            self._shell.err.write(CLEAR_LINE)

    def _text(self) -> str:
        told = [f"{count:,} {what}" for what, count in self._counts.items() if count or what == self._done]
        return ", ".join(told)

    def _rate(self) -> float:
        return self._counts[self._done] / max(monotonic() - self._began, 1e-3)
