"""Text in lines of so many terminal columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.cells import cell_len, chop_cells
from rich.text import Text


def fill(text: str, room: int) -> Iterator[str]:
    """The words of ``text`` in lines of at most ``room`` columns; longer words are cut into pieces."""
    return _lines((piece for word in text.split() for piece in chop_cells(word, room)), room)


def folded(text: str, room: int) -> Iterator[str]:
    """The same with longer words as they are, for a terminal to break: a path can still be copied."""
    return _lines(text.split(), room)


def _lines(words: Iterable[str], room: int) -> Iterator[str]:
    line = ""
    for word in words:
        if line and cell_len(line) + 1 + cell_len(word) > room:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        yield line


def cut(text: str, room: int, dots: str) -> str:
    """``text``, or as much of its beginning as leaves room for ``dots``."""
    if cell_len(text) <= room:
        return text
    return chop_cells(text, max(1, room - cell_len(dots)))[0].rstrip() + dots


def joined(parts: Iterable[Text], dot: str, room: int) -> Iterator[Text]:
    """The parts with ``dot`` between them, on as few lines as have room for them."""
    line = Text()
    for part in parts:
        if line and line.cell_len + cell_len(dot) + part.cell_len > room:
            yield line
            line = Text()
        line.append(dot if line else "", "dim").append(part)
    if line:
        yield line
