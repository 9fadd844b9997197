"""``sage config``: the settings that stand in for flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mch_runtime.errors import SageError, UsageError, file_error
from sage_cli import flags
from sage_cli.commands import ListGroup, SageCommand
from sage_cli.config import (
    SETTINGS,
    Effective,
    change,
    config_path,
    effective,
    load_config,
    near_setting,
    parse_value,
)
from sage_cli.render.safe import one_line
from sage_cli.shell import shell_of

_NEW_FILE = """\
# Settings of sage. A flag comes before them, and so does an environment variable such as SAGE_THREADS.
{settings}
# Short names for models.
[aliases]
"""

app = typer.Typer(
    cls=ListGroup,
    rich_markup_mode=None,
    help="Settings that stand in for flags. Without a command it lists them.",
    subcommand_metavar="[COMMAND] …",
    options_metavar="",
)

Key = Annotated[str, typer.Argument(metavar="KEY", help="A setting; sage config list has them all.")]


@app.command("list", cls=SageCommand)
def list_settings(ctx: typer.Context, *, as_json: flags.AsJson = False) -> int:
    """
    List all settings: name, value, where the value comes from.

    Fields are separated by tabs where standard output is not a terminal. A flag comes before an environment variable
    such as SAGE_THREADS, that before the file, and that before the built-in default.
    """
    shell = shell_of(ctx)
    known = effective(shell.environ, load_config(shell.environ))
    if as_json:
        values = {key: known[key].value if key in known else None for key in SETTINGS}
        shell.out.write(json.dumps(values) + "\n")
        return 0
    rows = [(key, *_fields(known.get(key))) for key in SETTINGS]
    if not shell.out_face.terminal:
        shell.out.write("".join("\t".join(row) + "\n" for row in rows))
        return 0
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for key, value, source in rows:
        shell.out.write(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {source}".rstrip() + "\n")
    return 0


@app.command("get", cls=SageCommand)
def get(ctx: typer.Context, key: Key) -> int:
    """Print the value of a setting; exits with 1 if it has none."""
    shell = shell_of(ctx)
    key = _known(key)
    setting = effective(shell.environ, load_config(shell.environ)).get(key)
    if setting is None:
        raise SageError(f"{key} is not set", hint=f"sage config set {key} VALUE")
    shell.out.write(f"{_word(setting)}\n")
    return 0


@app.command("set", cls=SageCommand)
def set_value(
    ctx: typer.Context,
    key: Key,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="Its value. After -- it may begin with a dash.")
    ],
) -> int:
    """Write a setting to the file. Comments and everything else in it stay as they are."""
    shell = shell_of(ctx)
    key = _known(key)
    change(shell.environ, "", key, parse_value(key, value, name=key))
    variable = f"SAGE_{key.upper()}"
    if shell.environ.get(variable):
        shell.note(f"{variable} is set, and comes before it: {shell.environ[variable]}")
    return 0


@app.command("unset", cls=SageCommand)
def unset(ctx: typer.Context, key: Key) -> int:
    """Take a setting out of the file."""
    shell = shell_of(ctx)
    key = _known(key)
    if key in load_config(shell.environ).values:
        change(shell.environ, "", key, None)
    return 0


@app.command("path", cls=SageCommand)
def path(ctx: typer.Context) -> int:
    """Print where the file is, or would be."""
    shell = shell_of(ctx)
    shell.out.write(f"{config_path(shell.environ)}\n")
    return 0


@app.command("edit", cls=SageCommand)
def edit(ctx: typer.Context) -> int:
    """Open the file in the editor that VISUAL or EDITOR names, then check it."""
    shell = shell_of(ctx)
    place = config_path(shell.environ)
    _make(place)
    from sage_cli import editor

    editor.edit(place, shell.environ)
    load_config(shell.environ)
    return 0


def _make(place: Path) -> None:
    """A file to begin with, all settings in it as comments."""
    lines = "".join(f"# {key} = {_example(key)}  # {setting.help}\n" for key, setting in SETTINGS.items())
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not place.exists():
            place.touch(mode=0o600)
            place.write_text(_NEW_FILE.format(settings=lines), encoding="utf-8")
    except OSError as error:
        raise file_error(error, "write", place) from error


def _example(key: str) -> str:
    setting = SETTINGS[key]
    if setting.kind is str:
        return f'"{setting.choices[0] if setting.choices else "…"}"'
    if setting.kind is bool:
        return "true"
    return str(setting.kind(setting.low or 0))


def _known(key: str) -> str:
    """The setting of that name, dashes as in its flag allowed."""
    name = key.removeprefix("--").replace("-", "_")
    if name not in SETTINGS:
        raise UsageError(f"there is no setting {key}", hint=near_setting(key))
    return name


def _fields(setting: Effective | None) -> tuple[str, str]:
    return (_word(setting), setting.source) if setting else ("", "not set")


def _word(setting: Effective) -> str:
    value = setting.value
    return one_line(str(value).lower() if isinstance(value, bool) else str(value))
