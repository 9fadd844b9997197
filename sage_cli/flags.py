"""Flags that mean the same in every command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage_cli.console import ColorChoice
from sage_cli.shell import Shell

MODEL = "Model"
GENERATION = "Generation"
TRUST = "Confidence"
DISPLAY = "Output"


def _remember_color(ctx: typer.Context, value: ColorChoice) -> ColorChoice:
    if isinstance(ctx.obj, Shell):
        ctx.obj.color = value
    return value


Color = Annotated[
    ColorChoice,
    typer.Option(
        "--color",
        metavar="WHEN",
        callback=_remember_color,
        is_eager=True,
        help="auto, always or never. NO_COLOR wins over it, it wins over FORCE_COLOR. Default: auto.",
        rich_help_panel=DISPLAY,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON instead of text.", rich_help_panel=DISPLAY)
]
Quiet = Annotated[
    bool,
    typer.Option(
        "-q", "--quiet", help="Nothing but errors on standard error.", rich_help_panel=DISPLAY
    ),
]
OutputFile = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="The file to write; never the input.")
]
