"""A streamed answer as Markdown: its source as it comes, replaced piece by piece by what it means."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it import MarkdownIt
from rich.cells import cell_len
from rich.markdown import Markdown
from rich.text import Text

from mch_runtime.trace import Step
from sage_cli.chat.blocks import Blocks, Piece
from sage_cli.console import Face, Output
from sage_cli.paint import paint
from sage_cli.render.safe import safe
from sage_cli.render.terminal import GUTTER, Glyphs, at_gutter, step_mark

_ERASE = "\r\x1b[J"  # this line and everything below it
_MARK = 13  # columns that a mark and the gap in front of it may take
_CODE = "cyan"


class MarkdownStream:
    """Writes to a terminal that understands escape codes, from the start of a line.

    The end of a piece has a mark at the gutter: its step's, or the weakest of its steps'.
    """

    def __init__(self, out: Output, face: Face, signs: Glyphs, *, height: int) -> None:
        self._out = out
        self._face = face
        self._signs = signs
        self._height = height
        self._blocks = Blocks()
        self._steps: list[Step] = []
        self._echo = ""  # the source on the screen
        self.shown = False

    def text(self, text: str) -> None:
        """More of the answer."""
        self._settle()
        self._blocks.feed(text)
        self._show(text)

    def step(self, step: Step) -> None:
        """A step ends with the text that came last."""
        self._steps.append(step)

    def close(self, mark: Text | None) -> None:
        """The end of the answer; ``mark`` goes where its last step's would."""
        self._settle(last=True, mark=mark)

    def _show(self, text: str) -> None:
        text = self._out.shown(safe(text))
        self._echo += text
        self.shown = self.shown or bool(text.strip())
        self._out.write(text)

    def _settle(self, *, last: bool = False, mark: Text | None = None) -> None:
        pieces = list(self._blocks.complete(last=last))
        if not pieces:
            return
        drawn = [self._drawn(piece) for piece in pieces]
        steps, self._steps = self._steps, []
        lines = [line for piece in drawn for line in piece]
        marks = [step_mark(step, self._signs) for step in steps]
        if mark is not None:
            marks = [*marks[:-1], mark]
            steps = steps[-1:]
        self._rewrite(lines, marks, _weakest(steps, marks))
        rest, self._echo = self._blocks.rest, ""
        self._show(rest)

    def _rewrite(self, lines: Sequence[Text], marks: Sequence[Text], weakest: Text | None) -> None:
        width = self._out.width
        rows = sum(max(1, -(-cell_len(line) // width)) for line in self._echo.split("\n"))
        if rows >= self._height:  # part of it has left the screen and cannot be taken back
            self._out.write("" if self._echo.endswith("\n") else "\n")
            lines = [Text()] if weakest is not None else []
        else:
            self._out.write((f"\x1b[{rows - 1}A" if rows > 1 else "") + _ERASE)
        full = [place for place, line in enumerate(lines) if line.plain.strip()] or [len(lines) - 1]
        placed: dict[int, Text] = {}
        if len(marks) == len(full):
            placed = dict(zip(full, marks, strict=True))
        elif weakest is not None and lines:
            placed = {full[-1]: weakest}
        for place, line in enumerate(lines):
            if place in placed:
                line = line + at_gutter(placed[place], column=line.cell_len, width=width)
            self._out.write(paint(line, self._face) + "\n")

    def _drawn(self, piece: Piece) -> list[Text]:
        text = safe(piece.text)
        if piece.kind == "fence":
            return []
        if piece.kind == "code":
            return [Text(f"  {text.expandtabs(4)}", _CODE)]
        if not text.strip():
            return [Text()]
        width = max(8, min(self._out.width, GUTTER) - _MARK)
        painted = paint(_markdown(text), self._face, width=width).rstrip("\n")
        lines = [Text.from_ansi(line) for line in painted.split("\n")]
        for line in lines:
            line.rstrip()
        while lines and not lines[0].plain:  # Rich puts space in front of lists and headings
            del lines[0]
        blank = [Text()] if text.endswith(("\n\n", "\n \n")) else []
        return [*lines, *blank]


def _markdown(text: str) -> Markdown:
    """Without HTML, which would be left out: what a model writes is to be seen."""
    markdown = Markdown(text, hyperlinks=False, code_theme="ansi_dark")
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
    markdown.parsed = parser.parse(text)
    return markdown


def _weakest(steps: Sequence[Step], marks: Sequence[Text]) -> Text | None:
    """The mark of the step that is least likely valid."""
    if len(steps) != len(marks) or not steps:
        return marks[-1] if marks else None
    sure = [(step.confidence or {}).get("valid", step.logprob_mean) for step in steps]
    return marks[sure.index(min(sure))]
