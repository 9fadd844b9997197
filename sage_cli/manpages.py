"""``python -m sage_cli.manpages FOLDER`` writes the manual of every command as man pages: ``docs/man``.

A page for each command of ``sage``, those of a group on its page, in the macros of man(7).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sage_cli.manual import first_sentence, paragraphs, sections, subcommands, usage
from sage_cli.root import NAME, app

if TYPE_CHECKING:
    from typer._click.core import Context

SECTION = 1


def pages() -> dict[str, str]:
    """The name of each file and what it holds."""
    root = typer.main.get_command(app)
    context = _context(root, NAME, None)
    found = {f"{NAME}.{SECTION}": _page(NAME, [(root, context)])}
    for name, command in subcommands(root, context):
        title = f"{NAME}-{name}"
        parts = list(_with_subcommands(command, _context(command, name, context)))
        found[f"{title}.{SECTION}"] = _page(title, parts)
    return found


def write(folder: Path) -> None:
    """Write all pages to a folder and remove those of commands that there are no more."""
    folder.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in folder.glob(f"*.{SECTION}"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


def _with_subcommands(command: Any, context: Context) -> Iterator[tuple[Any, Context]]:
    yield command, context
    for name, sub in subcommands(command, context):
        yield from _with_subcommands(sub, _context(sub, name, context))


def _context(command: Any, name: str, parent: Context | None) -> Context:
    context: Context = command.context_class(
        command, info_name=name, parent=parent, **dict(command.context_settings)
    )
    return context


def _page(title: str, parts: list[tuple[Any, Context]]) -> str:
    (command, context), *below = parts
    lines = [
        f'.TH "{_text(title).upper()}" {SECTION} "" "{NAME}" "{NAME}"',
        ".SH NAME",
        f"{_text(title)} \\- {_text(_lower(first_sentence(command)))}",
        ".SH SYNOPSIS",
        *_usage(command, context),
        ".SH DESCRIPTION",
        *_prose(command.help),
        *_sections(command, context, ".SH"),
        *_epilog(command, ".SH"),
    ]
    for sub, within in below:
        lines += [f".SH {_text(within.command_path).upper()}", *_usage(sub, within), ".PP", *_prose(sub.help)]
        lines += [*_sections(sub, within, ".SS"), *_epilog(sub, ".SS")]
    if title == NAME:
        lines += [".SH SEE ALSO", *_others(command, context)]
    else:
        lines += [".SH SEE ALSO", f".BR {NAME} ({SECTION})"]
    return "\n".join(lines) + "\n"


def _usage(command: Any, context: Context) -> list[str]:
    return [f"\\fB{_text(context.command_path)}\\fR {_text(usage(command, context))}"]


def _sections(command: Any, context: Context, macro: str) -> Iterator[str]:
    for title, rows in sections(command, context):
        yield f"{macro} {_text(title).upper() if macro == '.SH' else _text(title)}"
        for left, right in rows:
            yield ".TP"
            yield f"\\fB{_text(left)}\\fR"
            yield _text(" ".join(right.split())) or "\\&"


def _epilog(command: Any, macro: str) -> Iterator[str]:
    if not command.epilog:
        return
    first = True
    for as_written, lines in paragraphs(command.epilog):
        heading = lines[0].endswith(":") and not lines[0].startswith(" ") if as_written else False
        if heading:
            title = _text(lines.pop(0).rstrip(":"))
            yield f"{macro} {title.upper() if macro == '.SH' else title}"
        elif first and macro == ".SH":
            yield f"{macro} NOTES"
        first = False
        yield from _paragraph(lines, as_written=as_written)


def _prose(text: str | None) -> Iterator[str]:
    for as_written, lines in paragraphs(text):
        yield from _paragraph(lines, as_written=as_written)


def _paragraph(lines: list[str], *, as_written: bool) -> Iterator[str]:
    if as_written:
        yield from (".PP", ".nf", *(_text(line) for line in lines), ".fi")
    else:
        yield from (".PP", _text(" ".join(" ".join(lines).split())))


def _others(command: Any, context: Context) -> list[str]:
    names = [name for name, _ in subcommands(command, context)]
    ends = [","] * (len(names) - 1) + [""]
    return [f".BR {NAME}\\-{_text(name)} ({SECTION}){end}" for name, end in zip(names, ends, strict=True)]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _text(text: str) -> str:
    """Text in which roff sees no commands; a hyphen stays one that can be copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


if __name__ == "__main__":
    write(Path(sys.argv[1]))
