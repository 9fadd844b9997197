"""What Tab offers: commands, what can stand behind them, files, models, steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from sage_cli.chat.slash import Slash, Table
from sage_cli.render.safe import one_line

_MOST = 200  # files of a folder


class SlashCompleter(Completer):
    """Completes the line under way, if it begins with a slash."""

    def __init__(
        self, table: Table, *, models: Callable[[], Iterable[str]], steps: Callable[[], int]
    ) -> None:
        """models: names that can be loaded; steps: how many the last answer has."""
        self._table = table
        self._models = models
        self._steps = steps

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, space, rest = text[1:].partition(" ")
        if not space:
            for command in (c for _, commands in self._table.groups for c in commands):
                if command.name.startswith(name):
                    yield Completion(
                        command.name,
                        start_position=-len(name),
                        display=command.usage,
                        display_meta=command.help,
                    )
            return
        found = self._table.get(name)
        if found is not None:
            word = rest.rpartition(" ")[2]
            for choice in self._choices(found, rest.split(" ")):
                if choice.startswith(word):
                    yield Completion(choice, start_position=-len(word), display=one_line(choice))

    def _choices(self, command: Slash, words: list[str]) -> Iterable[str]:
        if len(words) == 2:
            return command.words.get(words[0], ())
        if len(words) > 2:
            return ()
        if command.completes == "step":
            return [str(place + 1) for place in range(self._steps())]
        if command.completes == "command":
            return self._table.names()
        files = _files(words[0]) if command.completes in {"file", "model"} else ()
        models = self._models() if command.completes == "model" else ()
        return [*command.words, *models, *files]


def _files(word: str) -> list[str]:
    """The files that a path may become; folders end with a slash."""
    folder, slash, start = word.rpartition("/")
    try:
        found = sorted(Path(folder + slash or ".").expanduser().iterdir())
    except OSError:
        return []
    shown = [path for path in found if path.name.startswith(start) and (start or path.name[0] != ".")]
    return [f"{folder}{slash}{path.name}{'/' if path.is_dir() else ''}" for path in shown[:_MOST]]
