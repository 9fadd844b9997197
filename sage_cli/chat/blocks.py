"""Markdown in pieces that can be shown before the rest is there.

A text is cut at blank lines; headings and the lines of fenced code stand alone. No piece is told before what
follows it has begun, so that a mark for its end can come in between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["block", "code", "fence"]
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[^`]*$")
_HEADING = re.compile(r" {0,3}#{1,6}(\s|$)")


@dataclass(frozen=True)
class Piece:
    """block: Markdown of its own; code: a line of fenced code; fence: the line that opens or closes it."""

    kind: Kind
    text: str


class Blocks:
    """Takes text as it comes. ``rest`` is what no complete piece has been made of."""

    def __init__(self) -> None:
        self.rest = ""
        self._fence = ""  # what closes the code under way

    def feed(self, text: str) -> None:
        self.rest += text

    def complete(self, *, last: bool = False) -> Iterator[Piece]:
        """The pieces that are complete; with ``last`` everything."""
        while (end := self._end(last=last)) > 0:
            text, self.rest = self.rest[:end], self.rest[end:]
            yield self._piece(text)

    def _end(self, *, last: bool) -> int:
        """Where the first piece ends, 0 if it has not ended yet."""
        whole = len(self.rest) if last else 0
        line_end = self.rest.find("\n") + 1
        if self._fence or _FENCE.match(self.rest[: line_end or None].rstrip("\n")):
            return line_end or whole
        place = 0
        while end := self.rest.find("\n", place) + 1:
            line = self.rest[place:end]
            if place and (_FENCE.match(line.rstrip("\n")) or _HEADING.match(line)):
                return place
            if not line.strip() or (not place and _HEADING.match(line)):
                return end
            place = end
        return whole

    def _piece(self, text: str) -> Piece:
        line = text.rstrip("\n")
        if self._fence:
            closes = line.strip().startswith(self._fence) and not line.strip().strip(self._fence[0])
            if not closes:
                return Piece("code", line)
            self._fence = ""
            return Piece("fence", line)
        opens = _FENCE.match(line)
        if opens and "\n" not in line:
            self._fence = opens[1]
            return Piece("fence", line)
        return Piece("block", text)
