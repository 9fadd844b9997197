"""What was said before a question, out of the log."""

from __future__ import annotations

from dataclasses import dataclass

from mch_runtime.errors import MissingInputError, UsageError
from mch_runtime.options import Message
from sage_cli.entries import Entry
from sage_cli.history import Log
from sage_cli.log_file import log_path
from sage_cli.shell import Shell


@dataclass(frozen=True, kw_only=True)
class Past:
    """A conversation up to a question. conversation: its id, "" for a new one; system: its system prompt."""

    conversation: str = ""
    system: str = ""
    messages: tuple[Message, ...] = ()


def chosen_conversation(shell: Shell, *, last: bool, conversation: str | None) -> str | None:
    """The id of the last conversation of the log, or of the one that holds an answer; None for a new one.

    Raises UsageError if both are wanted, MissingInputError if there is none.
    """
    if last and conversation is not None:
        raise UsageError("-c and --cid contradict each other", hint="give one of them")
    if not last and conversation is None:
        return None
    path, named = log_path(shell.environ)
    if not path.exists():
        raise MissingInputError(f"there is no log at {path}", hint="ask something first")
    with Log(path, named=named) as log:
        return log.find(conversation or "").conversation


def chosen_past(shell: Shell, *, last: bool, conversation: str | None) -> Past:
    """What was said in that conversation. Raises as ``chosen_conversation``."""
    chosen = chosen_conversation(shell, last=last, conversation=conversation)
    if chosen is None:
        return Past()
    path, named = log_path(shell.environ)
    with Log(path, named=named) as log:
        return past_of(log, chosen)


def past_of(log: Log, conversation: str, *, before: Entry | None = None) -> Past:
    """What was said in a conversation; what the model was shown before an answer, if that is given.

    Questions that got no answer are left out, and so is reasoning that the model marked as such.
    """
    messages: list[Message] = []
    turns = log.turns(conversation, before=before)
    system = before.system if before else turns[-1].system if turns else ""
    for turn in turns:
        if turn.trace is not None:
            said = turn.trace["answer_text" if "</think>" in turn.trace["text"] else "text"]
            messages.append(Message(role="user", content=turn.question))
            messages.append(Message(role="assistant", content=said))
    return Past(conversation=conversation, system=system, messages=tuple(messages))
