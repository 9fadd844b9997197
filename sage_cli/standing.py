"""How far an evaluation is: a line with the time left on a terminal, now and then a plain one elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.text import Text

from mch_runtime.evaluation.samples import Sample
from sage_cli.paint import paint
from sage_cli.screen import CLEAR_LINE
from sage_cli.shell import Shell

_EVERY = 0.2  # seconds between two looks of the standing line
_PLAIN_EVERY = 30.0  # seconds between two plain lines


class StandingLine:
    """A line on standard error that tells how far something is, again and again."""

    def __init__(self, shell: Shell, *, quiet: bool) -> None:
        face = shell.err_face
        self._shell = shell
        self._quiet = quiet
        self._stands = face.terminal and face.color and not quiet
        self._told = monotonic()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Leaves the line empty."""
        try:
            yield
        finally:
            self.clear()

    def clear(self) -> None:
        """Make room for another line."""
        if self._stands:
            self._shell.err.write(CLEAR_LINE)

    def tell(self, text: Callable[[], str], *, at_once: bool = False) -> None:
        """Show what ``text`` gives, unless that was done a moment ago."""
        now = monotonic()
        often = _EVERY if self._stands else _PLAIN_EVERY
        if self._quiet or (now - self._told < often and not at_once):
            return
        self._told = now
        if self._stands:
            self._shell.err.write(CLEAR_LINE + paint(Text(text(), "dim"), self._shell.err_face))
        else:
            self._shell.err.write(f"{text()}\n")


class Standing:
    """Counts problems and how many of them ``fast``, or the first chain, gets right."""

    def __init__(self, shell: Shell, count: int, *, quiet: bool) -> None:
        self._line = StandingLine(shell, quiet=quiet)
        self._count = count
        self._began = monotonic()
        self._done = self._sampled = self._right = 0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Leaves the line empty."""
        with self._line.shown():
            yield

    def skipped(self, sample: Sample) -> None:
        """It was there already."""
        self._add(sample)

    def sampled(self, sample: Sample) -> None:
        """It is there now."""
        self._sampled += 1
        self._add(sample)
        self._line.tell(self._text)

    def _add(self, sample: Sample) -> None:
        self._done += 1
        self._right += is_right(sample)

    def _text(self) -> str:
        left = (monotonic() - self._began) / self._sampled * (self._count - self._done)
        right = 100 * self._right / self._done
        return f"{self._done:,} of {self._count:,}, {right:.0f} % right, {duration(left)} left"


def is_right(sample: Sample) -> bool:
    """Whether the first answer that the sample holds is right."""
    for answered in sample.modes.values():
        return answered.answer == sample.problem.answer
    first = sample.chains.scored[:1] if sample.chains is not None else ()
    return any(chain.answer == sample.problem.answer for chain in first)


def duration(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``3 h 5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
