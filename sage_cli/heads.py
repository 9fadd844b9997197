"""``sage head``: the head of a GGUF file, shown, attached, detached, verified, fitted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mch_runtime.errors import HeadError, UsageError
from sage_cli import fitting, flags, steering
from sage_cli.commands import SageCommand, SageGroup
from sage_cli.naming import model_path
from sage_cli.render.safe import one_line
from sage_cli.shell import Shell, shell_of

if TYPE_CHECKING:
    from mch_runtime.head.container import HeadReport
    from mch_runtime.head.spec import Head

app = typer.Typer(
    cls=SageGroup,
    rich_markup_mode=None,
    help="The head of a GGUF file: show, attach, detach, verify, fit; control vectors.",
    subcommand_metavar="COMMAND …",
    options_metavar="",
)

OptionalModel = Annotated[
    Path | None,
    typer.Argument(metavar="[MODEL]", help="GGUF file. Default: $SAGE_MODEL, else the embedded sage-pico."),
]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="GGUF file.")]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="The file to write; never the input.")
]
InPlace = Annotated[
    bool, typer.Option("--in-place", help="Change MODEL itself: for files too large to copy.")
]


@app.command("show", cls=SageCommand)
def show(
    ctx: typer.Context,
    model: OptionalModel = None,
    *,
    head: flags.Head = None,
    as_json: flags.AsJson = False,
    color: flags.Color = "auto",
) -> int:
    """Show a model's head: what it measures, what it was fitted on, where it is."""
    shell = shell_of(ctx)
    report = _verify(shell, model, head)
    from sage_cli.paint import paint
    from sage_cli.render.heads import head_json, head_view

    if as_json:
        shell.out.write(json.dumps(head_json(report)) + "\n")
    else:
        face = shell.out_face
        shell.out.write(paint(head_view(report, unicode=face.unicode), face) + "\n")
    return 0


@app.command("verify", cls=SageCommand)
def verify(
    ctx: typer.Context,
    model: OptionalModel = None,
    *,
    head: flags.Head = None,
    quiet: flags.Quiet = False,
    color: flags.Color = "auto",
) -> int:
    """
    Check that a model's head is whole and was made for this model.

    Exits with 0 if it was and with 65 if not. The probe, which needs the model itself, is checked
    whenever a question is asked.
    """
    shell = shell_of(ctx)
    report = _verify(shell, model, head)
    if report.problem:
        raise HeadError(report.problem, hint="sage head show tells which model it was made for")
    if not quiet:
        for warning in report.warnings:
            shell.note(warning)
        shell.out.write(one_line(f"{report.path}: the head {report.spec.name} is whole and fits") + "\n")
    return 0


@app.command("attach", cls=SageCommand)
def attach(
    ctx: typer.Context,
    model: Model,
    head: Annotated[Path, typer.Argument(metavar="HEAD", help="A head: GGUF or safetensors.")],
    *,
    output: Output = None,
    in_place: InPlace = False,
    force: Annotated[bool, typer.Option("--force-head", help="Also a head made for another model.")] = False,
    quiet: flags.Quiet = False,
    color: flags.Color = "auto",
) -> int:
    """Put a head behind a model; one that is already there is replaced."""
    shell = shell_of(ctx)
    _one_target(output, in_place=in_place)
    from mch_runtime.head import container

    with shell.users_umask():
        loaded = _load(head)
        if output is not None:
            container.attach(model, loaded, output, force=force)
        else:
            container.attach_in_place(model, loaded, force=force)
    if not quiet:
        shell.err.write(one_line(f"{output or model}: head attached") + "\n")
    return 0


@app.command("detach", cls=SageCommand)
def detach(
    ctx: typer.Context,
    model: Model,
    *,
    output: Output = None,
    in_place: InPlace = False,
    save: Annotated[
        Path | None, typer.Option("--save-head", metavar="FILE", help="Keep the head in a file of its own.")
    ] = None,
    quiet: flags.Quiet = False,
    color: flags.Color = "auto",
) -> int:
    """Take the head away from behind a model. With --in-place this also repairs a damaged one."""
    shell = shell_of(ctx)
    _one_target(output, in_place=in_place)
    if save is not None and output is not None and save.resolve() == output.resolve():
        raise UsageError(f"{save} cannot be both the model and the head", hint="write to two files")
    from mch_runtime.head import container

    with shell.users_umask():
        if save is not None:
            container.save_head(model, save)
        if output is not None:
            container.detach(model, output)
        else:
            container.detach_in_place(model)
    if not quiet:
        shell.err.write(one_line(f"{output or model}: no head any more") + "\n")
    return 0


app.command("steer-fit", cls=SageCommand, epilog=steering.EPILOG)(steering.steer_fit)


app.command("fit", cls=SageCommand, epilog=fitting.EPILOG)(fitting.fit)


def _verify(shell: Shell, model: Path | None, head: Path | None) -> HeadReport:
    from mch_runtime.head import container

    return container.verify(model_path(model, shell.environ), head_path=head)


def _one_target(output: Path | None, *, in_place: bool) -> None:
    if (output is not None) == in_place:
        raise UsageError("where to write is not clear", hint="give either -o FILE or --in-place")


def _load(path: Path) -> Head | bytes:
    """A head's GGUF as it is, or the head of a safetensors file."""
    from mch_runtime.files import read_regular_file
    from mch_runtime.head.format import MAX_HEAD_BYTES, read_safetensors_head

    data = read_regular_file(path, limit=MAX_HEAD_BYTES)
    return data if data.startswith(b"GGUF") else read_safetensors_head(path)
