"""``sage logs``: the answers that were kept."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from mch_runtime.errors import MissingInputError
from sage_cli import flags
from sage_cli.commands import LogsGroup, SageCommand
from sage_cli.history import Entry, Log, log_path
from sage_cli.render.safe import safe
from sage_cli.shell import Shell, shell_of

app = typer.Typer(
    cls=LogsGroup,
    rich_markup_mode=None,
    help="The answers that were kept. Without a command it lists them.",
    subcommand_metavar="[COMMAND] …",
    options_metavar="",
)


@app.command("list", cls=SageCommand)
def list_answers(
    ctx: typer.Context,
    *,
    limit: Annotated[
        int, typer.Option("-n", "--limit", metavar="N", min=1, help="How many, newest first. Default: 20.")
    ] = 20,
    as_json: flags.AsJson = False,
    color: flags.Color = "auto",
) -> int:
    """
    List answers, newest first.

    A table on a terminal; elsewhere one line each, its fields separated by tabs: id, time, confidence,
    answer, question. With --json one object per line.
    """
    shell = shell_of(ctx)
    entries = _latest(shell, limit)
    if as_json:
        for entry in entries:
            fields = dataclasses.asdict(entry)
            del fields["trace"]
            shell.out.write(json.dumps(fields) + "\n")
    elif not shell.out_face.terminal:
        for entry in entries:
            shell.out.write("\t".join(_fields(entry)) + "\n")
    elif not entries:
        shell.note("no answers have been kept yet")
    else:
        _print_table(shell, entries)
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
    path, named = log_path(shell.environ)
    if not path.exists():
        raise MissingInputError(f"there is no log at {path}", hint="ask something first")
    with Log(path, named=named) as log:
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


def _latest(shell: Shell, limit: int) -> list[Entry]:
    path, named = log_path(shell.environ)
    if not path.exists():
        return []
    with Log(path, named=named) as log:
        return log.latest(limit)


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
