"""The table of slash commands: it drives dispatch, completion and the help page."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mch_runtime.errors import UsageError
from sage_cli.render.safe import one_line

if TYPE_CHECKING:
    from sage_cli.chat.talk import Talk

Completes = Literal["", "file", "model", "step", "command"]
_WORD = re.compile(r"""'[^']+'|"[^"]+"|(?:\\\ |\S)+""")
_SPACE = re.compile(r"(?<!\\) ")
_COMMAND = re.compile(r"/(\?|[A-Za-z][\w-]*)(?:\s+(.*))?", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Slash:
    """A command. run: takes the talk and what stands behind the name.

    arguments: as the help page shows them. words: what can stand behind the name, each with what can stand behind
    that. completes: what else can. also: other names.
    """

    name: str
    help: str
    run: Callable[[Talk, str], None]
    arguments: str = ""
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    completes: Completes = ""
    also: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        return f"/{self.name} {self.arguments}".rstrip()


class Table:
    """Commands by name."""

    def __init__(self, groups: Sequence[tuple[str, Sequence[Slash]]]) -> None:
        """groups: titles and their commands, in the order of the help page."""
        self.groups = groups
        self._names = {
            name: command
            for _, commands in groups
            for command in commands
            for name in (command.name, *command.also)
        }

    def names(self) -> Iterable[str]:
        """Of all commands, other names left out."""
        return (command.name for _, commands in self.groups for command in commands)

    def find(self, name: str) -> Slash:
        """Raises UsageError, with the nearest name, if there is no such command."""
        command = self._names.get(name.lower())
        if command is not None:
            return command
        begun = [known for known in self.names() if known.startswith(name.lower())]
        if len(begun) == 1:
            return self._names[begun[0]]
        near = begun or difflib.get_close_matches(name.lower(), self._names, n=1)
        hint = (
            f"did you mean {' or '.join(f'/{known}' for known in near)}?" if near else "/? lists the commands"
        )
        raise UsageError(f"there is no command /{one_line(name)}", hint=hint)

    def get(self, name: str) -> Slash | None:
        """The command of this very name."""
        return self._names.get(name.lower())

    def dispatch(self, talk: Talk, entry: str) -> bool:
        """Run ``entry`` if it is a command; whether it is one.

        A path such as ``/etc/passwd`` is none. Raises what the command raises.
        """
        match = _COMMAND.fullmatch(entry.strip())
        if match is None:
            return False
        command = self.find(match[1])
        command.run(talk, (match[2] or "").strip())
        return True


def first_word(text: str) -> tuple[str, str]:
    r"""The first word and the rest; a space in a word stands behind a backslash, as in a shell, or in quotes."""
    match = _WORD.match(text)
    word = match[0] if match else ""
    rest = text[len(word) :].strip()
    if word[:1] in {"'", '"'}:
        return word[1:-1], rest
    return word.replace("\\ ", " "), rest


def split_words(text: str) -> list[str]:
    r"""At spaces that no backslash stands before."""
    return [word.replace("\\ ", " ") for word in _SPACE.split(text)]


def chosen(word: str, choices: Sequence[str], *, what: str) -> str:
    """``word`` if it is one of ``choices``. Raises UsageError, with the nearest one, if it is not."""
    if word in choices:
        return word
    near = difflib.get_close_matches(word, choices, n=1)
    hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(choices)}"
    said = f"{what} {one_line(word)} is not possible" if word else f"{what} is missing"
    raise UsageError(said, hint=hint)


def count(word: str, *, what: str, default: int | None = None) -> int:
    """A number from 1. Raises UsageError if it is none, or missing without a default."""
    if not word and default is not None:
        return default
    if not word.isascii() or not word.isdigit() or int(word) < 1:
        raise UsageError(
            f"{what} {one_line(word) or 'is missing'}" + (" is not a number from 1" if word else "")
        )
    return int(word)
