"""``sage head steer-fit``: contrasted texts to a control vector."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mch_runtime.errors import UsageError
from sage_cli import flags
from sage_cli.render.safe import one_line
from sage_cli.shell import Shell, shell_of

if TYPE_CHECKING:
    from mch_runtime.contrast import Contrast

EPILOG = """
PAIRS has a JSON object in every line, in one of two forms:
  {"positive": "a question", "negative": "another question"}
  {"question": "…", "positive": "words written to it", "negative": "others"}

The texts stand in the model's own chat template. What the states behind the positive ones have and
those behind the negative ones have not becomes a direction for every layer, llama.cpp's format.

Examples:
  sage head steer-fit model.gguf pairs.jsonl -o brief.gguf --layers 2-4
  sage ask "…" -m model.gguf --control-vector brief.gguf:0.2
  sage ask "…" -m model.gguf --control-vector brief.gguf:-0.2

Every layer adds its direction, so small scales do much: begin with 0.1, and with a few layers in the
middle. A control vector changes answers too, not their style alone: sage eval measures how far.
"""


def steer_fit(
    ctx: typer.Context,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="GGUF file.")],
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="What is contrasted, JSON Lines.")],
    *,
    output: flags.OutputFile,
    method: Annotated[
        Literal["mean", "pca"],
        typer.Option(
            "--method",
            metavar="METHOD",
            help="Of the pairs' differences: mean, or pca for the first principal component. Default: mean.",
        ),
    ] = "mean",
    place: Annotated[
        Literal["last", "text"],
        typer.Option(
            "--at",
            metavar="PLACE",
            help="States behind the last token, or text for the mean over all of a text's. Default: last.",
        ),
    ] = "last",
    layers: Annotated[
        str | None,
        typer.Option("--layers", metavar="A-B", help="Layers to steer, from 0. Default: all from 1 on."),
    ] = None,
    threads: flags.Threads = None,
    as_json: flags.AsJson = False,
    quiet: flags.Quiet = False,
    color: flags.Color = "auto",
) -> int:
    """
    Make a control vector from contrasted texts.

    Shown is, layer by layer, how large the direction is beside the states, and for how many pairs that it was not
    made from the positive text lies further along it.
    """
    shell = shell_of(ctx)
    chosen = None if layers is None else _layers(layers)
    if output.resolve() in {model.resolve(), pairs.resolve()}:
        raise UsageError(f"{output} is an input too", hint="write to another file")
    from mch_runtime.contrast import contrast, read_pairs
    from mch_runtime.session import Interrupt
    from mch_runtime.steering import write
    from sage_cli.progress import bar

    found = read_pairs(pairs)
    interrupt = Interrupt()
    with (
        shell.signals.guarding(interrupt),
        bar(shell, f"reading {pairs.name}", quiet=quiet, counted=True) as advance,
    ):
        made = contrast(
            model,
            found,
            method=method,
            place=place,
            layers=chosen,
            threads=threads,
            interrupt=interrupt,
            progress=advance,
        )
    notes: dict[str, str | int | float] = {"method": method, "place": place, "pairs": made.pairs}
    with shell.users_umask():
        write(made.vector, output, notes=notes)
    _show(shell, made, output, as_json=as_json, quiet=quiet)
    return 0


def _layers(word: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", word)
    if match is None:
        raise UsageError(f"--layers {word!r} is no range", hint="such as 3-6, or 5 for one layer")
    return int(match[1]), int(match[2] or match[1])


def _show(shell: Shell, made: Contrast, output: Path, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        shell.out.write(json.dumps(_wire(made, output)) + "\n")
    elif not quiet:
        from sage_cli.paint import paint
        from sage_cli.render.steering import contrast_view

        shell.out.write(paint(contrast_view(made), shell.out_face) + "\n")
    if not quiet:
        shell.err.write(
            one_line(
                f"{output}: directions of {len(made.layers)} layers, from {made.pairs:,} pairs, "
                f"{made.tokens:,} tokens"
            )
            + "\n"
        )


def _wire(made: Contrast, output: Path) -> dict[str, Any]:
    return {
        "file": str(output),
        "pairs": made.pairs,
        "held_out": made.held_out,
        "tokens": made.tokens,
        "layers": [vars(layer) for layer in made.layers],
    }
