"""What Tab offers: commands, what can stand behind them, files, models, steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from sage_cli.chat.slash import Slash, Table, split_words
from sage_cli.completion import Candidate
from sage_cli.render.lines import cut
from sage_cli.render.safe import one_line

_MOST = 200  # files of a folder
_LONGEST_HELP = 60  # columns


class SlashCompleter(Completer):
    """Completes the line under way, if it begins with a slash."""

    def __init__(
        self, table: Table, *, models: Callable[[], Iterable[Candidate]], steps: Callable[[], int]
    ) -> None:
        """models: what /load takes by name; steps: how many the last answer has."""
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
            words = split_words(rest)
            typed = words[-1].replace(" ", "\\ ")
            for choice in self._choices(found, words):
                if choice.word.startswith(words[-1]):
                    yield Completion(
                        choice.word.replace(" ", "\\ "),
                        start_position=-len(typed),
                        display=one_line(choice.word),
                        display_meta=cut(one_line(choice.help), _LONGEST_HELP, "…"),
                    )

    def _choices(self, command: Slash, words: list[str]) -> Iterable[Candidate]:
        if len(words) > 2:
            return ()
        if len(words) == 2:
            files = command.completes == "file" and words[0] in command.words
            return [*map(Candidate, command.words.get(words[0], ())), *(_files(words[1]) if files else ())]
        return [*map(Candidate, command.words), *self._others(command, words[0])]

    def _others(self, command: Slash, word: str) -> Iterable[Candidate]:
        """What can stand behind a command beside its own words."""
        match command.completes:
            case "step":
                return (Candidate(str(place + 1)) for place in range(self._steps()))
            case "command":
                return map(Candidate, self._table.names())
            case "model":
                return [*self._models(), *_files(word)]
            case "file":
                return () if command.words else _files(word)
            case _:
                return ()


def _files(word: str) -> list[Candidate]:
    """The files that a path may become; folders end with a slash."""
    folder, slash, start = word.rpartition("/")
    try:
        found = sorted(Path(folder + slash or ".").expanduser().iterdir())
    except OSError:
        return []
    shown = [path for path in found if path.name.startswith(start) and (start or path.name[0] != ".")]
    return [Candidate(f"{folder}{slash}{path.name}{'/' if path.is_dir() else ''}") for path in shown[:_MOST]]
