"""Entries to answers, from a keyboard or from a pipe, until there are no more."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from mch_runtime.errors import SageError
from sage_cli.chat.entry import LEAVING, Lines
from sage_cli.chat.helping import TABLE
from sage_cli.chat.talk import Leave, Talk
from sage_cli.console import complaint
from sage_cli.editor import edited
from sage_cli.shell import Shell
from sage_cli.signals import Stopped

_EDIT = "!edit"
_PATIENCE = 1  # a nervous second Ctrl-C does not end the conversation


class Keys(Protocol):
    """A keyboard; see :class:`sage_cli.chat.keyboard.Keyboard`."""

    @property
    def typed(self) -> bool: ...

    def line(self, *, more: bool = False, default: str = "") -> str: ...

    def unseen(self) -> AbstractContextManager[None]: ...


class DumbKeys:
    """A terminal that can do nothing but show lines: the system's own editing."""

    typed = False

    def line(self, *, more: bool = False, default: str = "") -> str:
        """See ``Keys``; what was not asked stands on no line here."""
        return input("... " if more else ">>> ")

    def unseen(self) -> AbstractContextManager[None]:
        """The system shows keys as they are pressed, or never."""
        return nullcontext()


def from_pipe(talk: Talk, lines: Iterator[str]) -> int:
    """Every line is an entry. The code is that of the first error, or of the signal that ended it."""
    entries, failure = Lines(), 0
    for line in lines:
        entry = entries.feed(line)
        if entry is None:
            continue
        code = _attempt(talk, entry)
        failure = failure or code
        if _ended(talk):
            return _stopped(talk) or failure
    rest = entries.rest()
    if rest is not None:
        code = _attempt(talk, rest)
        failure = failure or code
    return _stopped(talk) or failure


def from_keyboard(talk: Talk, keys: Keys) -> int:
    """Until the user leaves."""
    entries = Lines()
    talk.shell.signals.patience = _PATIENCE
    while not _ended(talk):
        try:
            line = keys.line(more=entries.waiting, default="" if entries.waiting else _waiting(talk))
        except KeyboardInterrupt as stopped:
            _check(stopped)
            if not entries.waiting and not keys.typed:
                talk.shell.note("Ctrl-D or /bye leaves")
            entries.clear()
            continue
        except EOFError:
            break
        entry = _edited(talk) if line.strip() == _EDIT else entries.feed(line)
        if entry is None:
            continue
        try:
            with keys.unseen():
                _attempt(talk, entry)
        except KeyboardInterrupt as stopped:  # nothing was at work that it could have stopped
            _check(stopped)
        talk.shell.signals.forget_interrupt()  # at a keyboard Ctrl-C ends the answer alone
    return _stopped(talk)


def _check(stopped: KeyboardInterrupt) -> None:
    """Raises it again if it was no Ctrl-C."""
    if isinstance(stopped, Stopped) and stopped.number != signal.SIGINT:
        raise stopped


def _waiting(talk: Talk) -> str:
    """The question that did not fit, once there is room for it; it is offered once."""
    question = talk.waiting()
    if question:
        talk.pending = ""
        talk.say("there is room for your question now: Enter asks it")
    return question


def _attempt(talk: Talk, entry: str) -> int:
    """Do what was entered; an error is shown, and its exit code returned."""
    text = entry.strip()
    if not text:
        return 0
    try:
        if text in LEAVING:
            raise Leave
        if not TABLE.dispatch(talk, text):
            talk.ask(entry.strip("\n"))
    except Leave:
        talk.left = True
    except SageError as error:
        tell(talk.shell, error)
        return error.exit_code
    return 0


def _edited(talk: Talk) -> str | None:
    """A text from the user's editor."""
    try:
        return edited(talk.pending, talk.shell.environ, name="question.md").strip() or None
    except SageError as error:
        tell(talk.shell, error)
        return None


def tell(shell: Shell, error: SageError) -> None:
    """An error that does not end the conversation."""
    shell.err.write(complaint(error.message, error.hint, color=shell.err_face.color, width=shell.err.columns))


def _ended(talk: Talk) -> bool:
    """Whether the user left, or a signal came that has not been forgotten."""
    return talk.left or talk.shell.signals.received is not None


def _stopped(talk: Talk) -> int:
    return talk.shell.signals.exit_code if talk.shell.signals.received is not None else 0
