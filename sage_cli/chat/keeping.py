"""Commands that write conversations to files and read them back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mch_runtime.atomic import atomic_output
from mch_runtime.conversation import Turn
from mch_runtime.errors import DataError, MissingInputError, UsageError, file_error
from mch_runtime.wire import from_wire, to_wire
from sage_cli.chat.slash import Slash, chosen, first_word
from sage_cli.chat.talk import Talk
from sage_cli.history import Log
from sage_cli.log_file import log_path
from sage_cli.naming import resolve
from sage_cli.render.markdown import code, prose
from sage_cli.render.page import document, element, text
from sage_cli.render.safe import one_line, safe

SCHEMA = "sage.chat/1"
_LARGEST = 256 << 20  # bytes
_FORMATS = ("md", "html", "json")
_TITLE = "A conversation with"
_START = 1024  # bytes of a file, among which is what a conversation begins with
_SIGNS = (("# ", _TITLE), ("<title>", _TITLE), ('{"schema": "', SCHEMA))
_STYLE = "body{max-width:50rem;margin:2rem auto;padding:0 1rem;font:1rem sans-serif}pre{white-space:pre-wrap}.question{font-weight:bold}"


def save(talk: Talk, argument: str) -> None:
    """Write the conversation to a file that /load reads."""
    if not argument:
        raise UsageError("under which name?", hint="/save FILE")
    _write(talk, argument, as_json(talk))


def load(talk: Talk, argument: str) -> None:
    """A saved conversation, one of the log, or another model."""
    if not argument:
        raise UsageError("what?", hint="/load FILE, an id of sage logs, or a model")
    path = Path(first_word(argument)[0]).expanduser()
    if path.suffix == ".json" and path.is_file():
        _set(talk, *_saved(talk, path))
    elif (entry := _logged(talk, argument)) is not None:
        continue_logged(talk, entry)
    else:
        talk.load(resolve(argument, talk.shell.environ))
        talk.say(f"{talk.engine.model.name} answers from here on, and reads what was said before")


def continue_logged(talk: Talk, conversation: str) -> None:
    """Go on with a conversation of the log."""
    path, named = log_path(talk.shell.environ)
    with Log(path, named=named) as log:
        entries = log.turns(conversation)
    answered = [(entry.id, entry.trace) for entry in entries if entry.trace is not None]
    system = entries[-1].system if entries else ""
    _set(talk, system, [_turn(talk, wire) for _, wire in answered])
    talk.record.restart(conversation, [identifier for identifier, _ in answered])


def _logged(talk: Talk, word: str) -> str | None:
    """The conversation that an id of the log belongs to."""
    path, named = log_path(talk.shell.environ)
    if not word.isalnum() or not path.exists():
        return None
    with Log(path, named=named) as log:
        try:
            return log.find(word).conversation
        except MissingInputError:
            return None


def _set(talk: Talk, system: str, turns: list[Turn]) -> None:
    talk.conversation.turns = turns
    talk.change(system=system)
    talk.record.restart()
    talk.forget_explanations()
    count = len(turns)
    talk.say(f"{count} turn{'' if count == 1 else 's'} loaded; the model reads them with the next question")


def _saved(talk: Talk, path: Path) -> tuple[str, list[Turn]]:
    """System prompt and turns of a file. Raises DataError if it holds something else."""
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path} is too long for a conversation")
        held = json.loads(path.read_bytes())
    except OSError as error:
        raise file_error(error, "read", path) from error
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict) or held.get("schema") != SCHEMA or not isinstance(held.get("turns"), list):
        raise DataError(f"{path} is not a saved conversation", hint="/save writes one")
    return str(held.get("system", "")), [_turn(talk, wire) for wire in held["turns"]]


def _turn(talk: Talk, wire: Mapping[str, Any]) -> Turn:
    """Its tokens are not taken over: a file could say that they are control tokens."""
    if not isinstance(wire, Mapping):
        raise DataError("the conversation is damaged: a turn is no trace")
    trace = from_wire(wire)
    said = talk.engine.message(replace(trace, token_ids=()))
    return Turn(question=trace.question, trace=trace, said=said)


def export(talk: Talk, argument: str) -> None:
    """The conversation as a document."""
    form, _, name = argument.partition(" ")
    make = _MAKERS[chosen(form, _FORMATS, what="format")]
    made = make(talk)
    if name.strip():
        _write(talk, name.strip(), made)
    else:
        talk.show(made.rstrip("\n"))


def as_json(talk: Talk) -> str:
    """What /load reads."""
    turns = [to_wire(turn.trace) for turn in talk.turns]
    return json.dumps({"schema": SCHEMA, "system": talk.conversation.options.system, "turns": turns}) + "\n"


def as_markdown(talk: Talk) -> str:
    """Questions and answers; model text in code blocks, where it means nothing."""
    parts = [f"# {prose(_title(talk))}\n"]
    if talk.conversation.options.system:
        parts.append(f"System: {code(talk.conversation.options.system)}\n")
    for turn in talk.turns:
        parts.append(f"**Question**\n\n{_fenced(turn.question)}\n")
        parts.append(f"**Answer** {prose(_certainty(turn))}\n\n{_fenced(turn.trace.text)}\n")
    return "\n".join(parts)


def _fenced(text: str) -> str:
    lines = safe(text).strip("\n")
    fence = "```"
    while fence in lines:
        fence += "`"
    return f"{fence}text\n{lines}\n{fence}"


def as_html(talk: Talk) -> str:
    """A page of its own that loads nothing."""
    parts = [element("h1", text(_title(talk)))]
    for turn in talk.turns:
        parts.append(element("pre", text(turn.question), class_="question"))
        parts.append(element("pre", text(turn.trace.text.strip())))
        parts.append(element("p", text(_certainty(turn))))
    return document(_title(talk), "\n".join(parts), _STYLE)


def _title(talk: Talk) -> str:
    return f"{_TITLE} {one_line(talk.engine.model.name)}"


def _certainty(turn: Turn) -> str:
    sure = turn.trace.confidence
    known = "confidence not known" if sure is None else f"{min(max(sure, 0.01), 0.99):.2f}"
    return f"({known}{', interrupted' if turn.interrupted else ''})"


_MAKERS: dict[str, Callable[[Talk], str]] = {"md": as_markdown, "html": as_html, "json": as_json}


def _write(talk: Talk, word: str, content: str) -> None:
    """Raises UsageError if something else than a conversation is there."""
    path = Path(first_word(word)[0]).expanduser()
    if path.exists() and not _is_ours(path):
        raise UsageError(f"{path} is there already and is no conversation", hint="give another name")
    with talk.shell.users_umask(), atomic_output(path) as partial:
        partial.write_text(content, encoding="utf-8")
    talk.say(f"written to {path}")


def _is_ours(path: Path) -> bool:
    """Whether a file looks like one that was written here."""
    try:
        with path.open("rb") as file:
            start = file.read(_START).decode(errors="replace")
    except OSError as error:
        raise file_error(error, "write", path) from error
    return any(f"{before}{sign}" in start for before, sign in _SIGNS)


COMMANDS = (
    Slash(name="save", arguments="FILE", help="write the conversation to a file", run=save, completes="file"),
    Slash(
        name="load",
        arguments="FILE | ID | MODEL",
        help="a saved conversation, one of sage logs, or another model",
        run=load,
        completes="model",
    ),
    Slash(
        name="export",
        arguments="md|html|json [FILE]",
        help="the conversation as a document",
        run=export,
        words=dict.fromkeys(_FORMATS, ()),
        completes="file",
    ),
)
