"""``sage logs``: the answers that were kept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from mch_runtime.errors import MissingInputError
from sage_cli import flags
from sage_cli.commands import ListGroup, SageCommand
from sage_cli.entries import Entry
from sage_cli.forgetting import forget
from sage_cli.history import Log
from sage_cli.log_file import is_on, log_path, turn
from sage_cli.render.amounts import size
from sage_cli.render.safe import safe
from sage_cli.shell import Shell, shell_of

app = typer.Typer(
    cls=ListGroup,
    rich_markup_mode=None,
    help="The answers that were kept. Without a command it lists them.",
    subcommand_metavar="[COMMAND] …",
    options_metavar="",
)

Limit = Annotated[
    int, typer.Option("-n", "--limit", metavar="N", min=1, help="How many, newest first. Default: 20.")
]


@app.command("list", cls=SageCommand)
def list_answers(
    ctx: typer.Context,
    *,
    limit: Limit = 20,
    conversation: Annotated[
        str | None,
        typer.Option("--cid", metavar="ID", help="Those of one conversation, by the id of any answer in it."),
    ] = None,
    as_json: flags.AsJson = False,
    color: flags.Color = "auto",
) -> int:
    """
    List answers, newest first.

    A table on a terminal; elsewhere one line each, its fields separated by tabs: id, time, confidence,
    answer, question. With --json one object per line.
    """
    shell = shell_of(ctx)
    if conversation is None and not log_path(shell.environ)[0].exists():
        entries = []
    else:
        with _opened(shell) as log:
            cid = None if conversation is None else log.find(conversation).conversation
            entries = log.latest(limit, conversation=cid)
    if not entries and not as_json and shell.out_face.terminal:
        shell.note("no answers have been kept yet")
    _print_entries(shell, entries, as_json=as_json)
    return 0


@app.command("search", cls=SageCommand)
def search(
    ctx: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="WORD", help="Words, or beginnings of words.")],
    *,
    limit: Limit = 20,
    as_json: flags.AsJson = False,
    color: flags.Color = "auto",
) -> int:
    """
    List the answers whose question or text has all these words, newest first.

    Capital letters and accents do not matter. The lines are those of sage logs list; nothing found is exit code 0
    with no lines.
    """
    shell = shell_of(ctx)
    entries = []
    if log_path(shell.environ)[0].exists():
        with _opened(shell) as log:
            entries = log.search(" ".join(words), limit)
    if not entries and not as_json and shell.out_face.terminal:
        shell.note("nothing has all these words")
    _print_entries(shell, entries, as_json=as_json)
    return 0


@app.command("show", cls=SageCommand)
def show(
    ctx: typer.Context,
    identifier: Annotated[
        str,
        typer.Argument(
            metavar="[ID]",
            help="An answer's id, or enough of its beginning or end. Default: the last answer.",
        ),
    ] = "",
    *,
    as_json: flags.AsJson = False,
    verbose: flags.Verbose = False,
    color: flags.Color = "auto",
) -> int:
    """Show one answer with its steps; with --json its trace (sage.trace/1)."""
    shell = shell_of(ctx)
    with _opened(shell) as log:
        entry = log.find(identifier)
    if entry.trace is None:
        raise MissingInputError(
            f"{entry.id} has no answer: it was {'refused' if entry.finish_reason else 'never finished'}",
            hint="sage logs lists what was asked",
        )
    if as_json:
        shell.out.write(json.dumps(entry.trace) + "\n")
    else:
        _print_answer(shell, entry, verbose=verbose)
    return 0


@app.command("path", cls=SageCommand)
def path(ctx: typer.Context) -> int:
    """Print where answers are kept."""
    shell = shell_of(ctx)
    shell.out.write(f"{log_path(shell.environ)[0]}\n")
    return 0


@app.command("status", cls=SageCommand)
def status(ctx: typer.Context, *, as_json: flags.AsJson = False, color: flags.Color = "auto") -> int:
    """Say whether answers are kept, where, how many and how large the log is."""
    shell = shell_of(ctx)
    path, named = log_path(shell.environ)
    answers, octets = 0, 0
    if path.exists():
        with Log(path, named=named) as log:
            answers = log.count()
        octets = sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())
    kept = is_on(path)
    if as_json:
        fields = {"on": kept, "path": str(path), "answers": answers, "bytes": octets}
        shell.out.write(json.dumps(fields) + "\n")
    else:
        shell.out.write(f"{'on' if kept else 'off'}: answers are {'' if kept else 'not '}kept in {path}\n")
        shell.out.write(f"{answers:,} answer{'' if answers == 1 else 's'}, {size(octets)}\n")
    return 0


@app.command("on", cls=SageCommand)
def turn_on(ctx: typer.Context) -> int:
    """Keep answers from now on."""
    shell = shell_of(ctx)
    path, named = log_path(shell.environ)
    turn(path, on=True, named=named)
    shell.note(f"answers are kept in {path}")
    return 0


@app.command("off", cls=SageCommand)
def turn_off(ctx: typer.Context) -> int:
    """Keep no answers from now on; those that are there stay."""
    shell = shell_of(ctx)
    path, named = log_path(shell.environ)
    turn(path, on=False, named=named)
    shell.note("answers are not kept; sage logs rm removes those that are there")
    return 0


@app.command("backup", cls=SageCommand)
def backup(
    ctx: typer.Context,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; an older log there is replaced.")],
) -> int:
    """
    Copy the log as it is at this moment, also while answers are being written.

    The copy is there whole or not at all, readable by its owner only, and is used with SAGE_LOG=FILE.
    """
    shell = shell_of(ctx)
    with _opened(shell) as log:
        log.back_up(target)
        shell.note(f"{target}: {log.count():,} answers")
    return 0


@app.command("rm", cls=SageCommand)
def remove(
    ctx: typer.Context,
    identifiers: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Answers, each by its id or enough of its beginning or end."),
    ] = None,
    *,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="AGE",
            help="All that are older: 90d, 12h, 8w, or before a date, 2026-01-31.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All answers.")] = False,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="Do not ask; needed where nobody can be asked.")
    ] = False,
    color: flags.Color = "auto",
) -> int:
    """
    Forget answers and their explanations, for good.

    What they said is overwritten in the file. On a terminal you are asked first.
    """
    shell = shell_of(ctx)
    with _opened(shell) as log:
        forget(shell, log, identifiers or [], older_than=older_than, everything=everything, sure=yes)
    return 0


def _opened(shell: Shell) -> Log:
    """Raises MissingInputError if there is no log."""
    path, named = log_path(shell.environ)
    if not path.exists():
        raise MissingInputError(f"there is no log at {path}", hint="ask something first")
    return Log(path, named=named)


def _print_entries(shell: Shell, entries: list[Entry], *, as_json: bool) -> None:
    if as_json:
        for entry in entries:
            fields = dataclasses.asdict(entry)
            del fields["trace"]
            shell.out.write(json.dumps(fields) + "\n")
    elif not shell.out_face.terminal:
        for entry in entries:
            shell.out.write("\t".join(_fields(entry)) + "\n")
    elif entries:
        _print_table(shell, entries)


def _fields(entry: Entry) -> list[str]:
    confidence = "" if entry.confidence is None else f"{entry.confidence:.4f}"
    fields = [entry.id, entry.created, confidence, entry.answer or "", entry.question]
    return [" ".join(field.split()) for field in fields]


def _print_table(shell: Shell, entries: list[Entry]) -> None:
    from sage_cli.paint import paint
    from sage_cli.render.terminal import answers_table, glyphs

    face = shell.out_face
    table = answers_table(entries, glyphs(unicode=face.unicode), width=shell.out.width)
    shell.out.write(paint(table, face) + "\n")


def _print_answer(shell: Shell, entry: Entry, *, verbose: bool) -> None:
    from rich.text import Text

    from mch_runtime.wire import from_wire
    from sage_cli.paint import paint
    from sage_cli.render.terminal import details, glyphs, whole

    face = shell.out_face
    trace = from_wire(entry.trace or {})
    text = whole(trace, glyphs(unicode=face.unicode), width=shell.out.width)
    if verbose:
        text += Text("\n") + details(trace)
    text += Text(f"\n{entry.id}, {safe(entry.created)}", "dim")
    shell.out.write(paint(text, face) + "\n")
