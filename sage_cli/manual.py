"""The layout of ``--help``: plain, grouped, aligned, the same on a terminal and in the docs."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from typer._click.core import Command, Context
    from typer._click.formatting import HelpFormatter

_INDENT = 2
_LEFT = 26  # columns of the left side; longer entries get a line of their own

Row = tuple[str, str]


class Manual:
    """Mixed into Typer's commands and groups: replaces their help page."""

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the whole page."""
        formatter.write("\n".join(_page(self, ctx, formatter.width)) + "\n")


def _page(command: Any, ctx: Context, width: int) -> Iterator[str]:
    yield f"{_heading('Usage:', ctx)} {ctx.command_path} {usage(command, ctx)}"
    yield ""
    yield from _prose(command.help, ctx, width)
    for title, rows in sections(command, ctx):
        yield ""
        yield _heading(f"{title}:", ctx)
        for left, right in rows:
            yield from _row(left, right, ctx, width)
    if command.epilog:
        yield ""
        yield from _prose(command.epilog, ctx, width)


def usage(command: Any, ctx: Context) -> str:
    """What stands behind a command's name; an argument that must be given stands there bare."""
    usage = " ".join(command.collect_usage_pieces(ctx))
    return usage.replace("{", "").replace("}", "").replace("[[", "[").replace("]]", "]")


def sections(command: Any, ctx: Context) -> Iterator[tuple[str, list[Row]]]:
    """Commands, arguments and options under their titles: what is typed, and what it does."""
    groups: dict[str, list[Row]] = {}
    for name, sub in subcommands(command, ctx):
        groups.setdefault(sub.rich_help_panel or "Commands", []).append((name, first_sentence(sub)))
    yield from groups.items()
    panels: dict[str, list[Row]] = {}
    for param in command.get_params(ctx):
        if param.hidden:
            continue
        is_option = param.param_type_name == "option"
        title = param.rich_help_panel or ("Options" if is_option else "Arguments")
        panels.setdefault(title, []).append((_left(param), param.help or ""))
    if "Options" in panels:  # --help and its like come last
        panels["Options"] = panels.pop("Options")
    yield from panels.items()


def subcommands(command: Any, ctx: Context) -> list[tuple[str, Any]]:
    """Names and commands of a group, as they are listed; none of what is no group."""
    if not hasattr(command, "list_commands"):
        return []
    found = ((name, command.get_command(ctx, name)) for name in command.list_commands(ctx))
    return [(name, sub) for name, sub in found if not sub.hidden]


def first_sentence(command: Command) -> str:
    """What a command does, in its help's first sentence."""
    paragraph = " ".join(inspect.cleandoc(command.help or "").split("\n\n")[0].split())
    return paragraph.split(". ")[0].rstrip(".")


def _left(param: Any) -> str:
    if param.param_type_name != "option":
        return str(param.display_name_raw)
    names = ", ".join(sorted(param.opts, key=len))
    takes_value = not (param.is_flag or param.count)
    return f"{names} {param.metavar or 'VALUE'}" if takes_value else names


def _row(left: str, right: str, ctx: Context, width: int) -> Iterator[str]:
    lines = _wrap(right, max(20, width - _INDENT - _LEFT)) or [""]
    indent = " " * _INDENT
    if len(left) > _LEFT - 2:
        yield f"{indent}{_term(left, ctx)}"
    else:
        yield f"{indent}{_term(left, ctx)}{' ' * (_LEFT - len(left))}{lines.pop(0)}".rstrip()
    for line in lines:
        yield " " * (_INDENT + _LEFT) + line


def paragraphs(text: str | None) -> Iterator[tuple[bool, list[str]]]:
    """Whether a paragraph stands as it is written, because it has indented lines, and its lines."""
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        lines = paragraph.splitlines()
        yield any(line.startswith(" ") for line in lines), lines


def _prose(text: str | None, ctx: Context, width: int) -> Iterator[str]:
    """Paragraphs filled to ``width``; those with indented lines as they are, their headings bold."""
    for index, (as_written, lines) in enumerate(paragraphs(text)):
        if index:
            yield ""
        if as_written:
            yield from (_heading(line, ctx) if line.endswith(":") else line for line in lines)
        else:
            yield from _wrap(" ".join(lines), width)


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def _heading(text: str, ctx: Context) -> str:
    return typer.style(text, bold=True) if ctx.color else text


def _term(text: str, ctx: Context) -> str:
    return typer.style(text, fg=typer.colors.CYAN) if ctx.color else text
