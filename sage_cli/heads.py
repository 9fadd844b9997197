"""``sage head``: the head of a GGUF file, shown, attached, detached, verified."""

from __future__ import annotations

import typer

from sage_cli.commands import SageGroup

app = typer.Typer(
    cls=SageGroup,
    rich_markup_mode=None,
    help="The head of a GGUF file: show, attach, detach, verify.",
    subcommand_metavar="COMMAND …",
    options_metavar="",
)
