"""A terminal that text is streamed to: where its cursor is, marks at the ends of lines, a passing status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.cells import cell_len
from rich.text import Text

from sage_cli.console import Face, Output
from sage_cli.paint import paint
from sage_cli.render.safe import one_line, safe
from sage_cli.render.terminal import at_gutter
from sage_cli.shell import Shell

CLEAR_LINE = "\r\x1b[2K"


class Screen:
    """Writes to standard error and follows the cursor, also over text that went to standard output.

    White space waits for the text behind it, because a mark may have to come before a line ends.
    """

    def __init__(self, err: Output, face: Face) -> None:
        self.face = face
        self._err = err
        self._column = 0
        self._held = ""
        self._marked = False  # the line under way has its mark and is over
        self._status = False

    @property
    def line_open(self) -> bool:
        """Whether the cursor is behind something on its line."""
        return self._column > 0

    def status(self, text: str) -> None:
        """A line that the next text replaces; only where lines can be cleared."""
        if self.face.color:
            self._err.write(CLEAR_LINE + paint(Text(text, "dim"), self.face))
            self._status = True

    def clear_status(self) -> None:
        if self._status:
            self._err.write(CLEAR_LINE)
            self._status = False

    def show(self, text: str) -> None:
        """Write ``text``."""
        text = safe(text)
        due = text.rstrip()
        if due:
            self.make_room(due)
            self._err.write(due)
            self.wrote(due)
        self._held += text[len(due) :]

    def make_room(self, text: str) -> None:
        """Everything that has to come before ``text``, which is about to be written by somebody."""
        self.clear_status()
        gap, self._held = self._held if self._column else "", ""
        if self._marked and "\n" not in gap and not text.startswith("\n"):
            gap = "\n"
        self._marked = False
        self._err.write(gap)
        self.wrote(gap)

    def wrote(self, text: str) -> None:
        """``text`` has been written by somebody; the cursor is behind it."""
        line_break = text.rfind("\n")
        if line_break >= 0:
            self._column, text = 0, text[line_break + 1 :]
        self._column += cell_len(self._err.shown(text).expandtabs(8))

    def mark(self, mark: Text) -> None:
        """End the line under way with a mark at the gutter."""
        placed = at_gutter(mark, column=self._column, width=self._err.width)
        self._err.write(paint(placed, self.face))
        self._marked = True

    def line(self, text: str, mark: Text) -> None:
        """A whole line with its mark, from the start of a line, in one write."""
        shown = self._err.shown(safe(text).strip())
        placed = at_gutter(mark, column=cell_len(shown), width=self._err.width)
        self._err.write(f"{shown}{paint(placed, self.face)}\n")

    def style(self, code: str) -> None:
        """An escape code, where they are wanted."""
        if self.face.color:
            self._err.write(code)

    def end_line(self) -> None:
        """Go to the next line; white space that waited is dropped."""
        self._err.write("\n")
        self._column, self._held, self._marked = 0, "", False


@contextmanager
def passing_line(shell: Shell, text: str, *, hidden: bool = False) -> Iterator[None]:
    """A line that stands on the terminal as long as the body takes; elsewhere nothing.

    It leaves the terminal as it is even if the process is killed.
    """
    face = shell.err_face
    if hidden or not (face.terminal and face.color):
        yield
        return
    shell.err.write(paint(Text(one_line(text), "dim"), face))
    try:
        yield
    finally:
        shell.err.write(CLEAR_LINE)


@contextmanager
def changing_line(shell: Shell, *, hidden: bool = False) -> Iterator[Callable[[str], None]]:
    """Hands out a function that says on the terminal what is being done, in the place of what it said before.

    The line is gone at the end; elsewhere than on a terminal there is nothing.
    """
    face = shell.err_face
    stands = face.terminal and face.color and not hidden

    def say(text: str) -> None:
        if stands:
            shell.err.write(CLEAR_LINE + paint(Text(one_line(text), "dim"), face))

    try:
        yield say
    finally:
        if stands:
            shell.err.write(CLEAR_LINE)
