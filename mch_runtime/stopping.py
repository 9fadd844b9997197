"""Where a growing text ends because it has come to one of some strings."""

from __future__ import annotations

from collections.abc import Sequence

from mch_runtime.answers import overlap


class Stop:
    """Looks for the stop strings of one text. They end it in front of the one that is complete first.

    place: how many characters come before that one; None while there is none.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        """strings: not empty ones."""
        self.place: int | None = None
        self._strings = strings
        self._longest = max(map(len, strings), default=0)

    def look(self, text: str, new: int) -> None:
        """The last ``new`` characters of ``text`` have not been looked at."""
        if self.place is not None or not self._strings:
            return
        first = max(0, len(text) - new - self._longest + 1)
        places = ((text.find(string, first), len(string)) for string in self._strings)
        found = [(place + length, place) for place, length in places if place >= 0]
        self.place = min(found)[1] if found else None

    def sure(self, text: str) -> int:
        """How many characters of ``text`` stay, whatever follows: all but what may begin a stop string."""
        if self.place is not None:
            return self.place
        return len(text) - max((overlap(text, string) for string in self._strings), default=0)
