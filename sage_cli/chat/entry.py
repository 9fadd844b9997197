"""Lines to entries: what is typed, pasted or piped, over one line or many."""

from __future__ import annotations

QUOTES = '"""'
_MULTI, _END = "!multi", "!end"
LEAVING = frozenset({"exit", "quit", "/bye", "/exit", "/quit"})


class Lines:
    r"""Puts lines together: between triple quotes, from ``!multi`` to ``!end``, behind a backslash at the end."""

    def __init__(self) -> None:
        self._held: list[str] = []
        self._until = ""  # what ends the entry under way
        self._before = ""  # the command that quotes belong to

    @property
    def waiting(self) -> bool:
        """Whether an entry is under way."""
        return bool(self._until)

    def feed(self, line: str) -> str | None:
        """The entry that ``line`` completes, None if it goes on."""
        if self._until:
            return self._continued(line)
        word, _, delimiter = line.strip().partition(" ")
        if word == _MULTI:
            self._until = f"{_END} {delimiter.strip()}".strip()
            return None
        self._before, quotes, quoted = line.lstrip().partition(QUOTES)
        if quotes and _may_quote(self._before):
            self._until = QUOTES
            return self._continued(quoted)
        self._before = ""
        if line.endswith("\\") and not line.endswith("\\\\"):
            self._until = "\\"
            self._held.append(line[:-1])
            return None
        return line

    def rest(self) -> str | None:
        """What was under way when the input ended."""
        return self._done() if self._until and self._held else None

    def clear(self) -> None:
        """Forget the entry under way."""
        self._done()

    def _continued(self, line: str) -> str | None:
        if self._until == QUOTES:
            if not line.rstrip().endswith(QUOTES):
                self._held.append(line)
                return None
            self._held.append(line.rstrip()[: -len(QUOTES)])
            return self._done()
        if self._until == "\\":
            if line.endswith("\\"):
                self._held.append(line[:-1])
                return None
            self._held.append(line)
            return self._done()
        if line.strip() == self._until:
            return self._done()
        self._held.append(line)
        return None

    def _done(self) -> str:
        text = self._before + "\n".join(self._held).strip("\n")
        self._held, self._until, self._before = [], "", ""
        return text


def is_open(text: str) -> bool:
    """Whether triple quotes have begun and not ended: at the start of a text, or behind a command."""
    before, quotes, quoted = text.strip().partition(QUOTES)
    return bool(quotes) and _may_quote(before) and not quoted.endswith(QUOTES)


def _may_quote(before: str) -> bool:
    return not before or before.startswith("/")
