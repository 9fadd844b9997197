"""``python -m sage_cli.reference`` prints the manual of every command in Markdown: ``docs/cli.md``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from sage_cli.manual import subcommands
from sage_cli.root import NAME, app

if TYPE_CHECKING:
    from typer._click.core import Context

WIDTH = 80
INTRODUCTION = """# The command line

This page is printed by `python -m sage_cli.reference`; a test keeps it as it is. It holds what
`--help` says.
"""


def pages() -> str:
    """The whole page."""
    command = typer.main.get_command(app)
    root = command.context_class(
        command, info_name=NAME, terminal_width=WIDTH, color=False, **_settings(command)
    )
    return "\n".join([INTRODUCTION, *_pages(command, root)])


def _pages(command: Any, context: Context) -> Iterator[str]:
    yield f"## `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"
    for name, sub in subcommands(command, context):
        yield from _pages(sub, sub.context_class(sub, info_name=name, parent=context, **_settings(sub)))


def _settings(command: Any) -> dict[str, Any]:
    return dict(command.context_settings)


if __name__ == "__main__":
    print(pages(), end="")
