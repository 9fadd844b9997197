"""``sage models``, ``show``, ``rm`` and ``alias``: the models on this computer and their names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mch_runtime.errors import MissingInputError, SageError, UsageError
from sage_cli import flags
from sage_cli.commands import ListGroup, SageCommand
from sage_cli.config import ALIASES, MODEL, aliases, change, default_model
from sage_cli.naming import EMBEDDED, embedded_model, model_path, resolve
from sage_cli.render.amounts import size
from sage_cli.render.safe import one_line
from sage_cli.shell import Shell, shell_of

if TYPE_CHECKING:
    from sage_cli.description import Row

app = typer.Typer(
    cls=ListGroup,
    rich_markup_mode=None,
    help="The models on this computer. Without a command it lists them.",
    subcommand_metavar="[COMMAND] …",
    options_metavar="",
)

_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_YES = {"y", "yes"}

ModelName = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A file, an alias, or a name that sage models lists.")
]
OptionalModelName = Annotated[
    Path | None,
    typer.Argument(
        metavar="[MODEL]", help="A file, an alias, or a name in sage models. Default: the one in use."
    ),
]


@app.command("list", cls=SageCommand)
def list_models(ctx: typer.Context, *, as_json: flags.AsJson = False, color: flags.Color = "auto") -> int:
    """
    List the models that -m takes by name: the embedded one, aliases, GGUF files in the Hugging Face cache.

    A table on a terminal; elsewhere one line each, its fields separated by tabs: name, size in bytes, quantization,
    head, path. The model marked * is used when none is named.
    """
    shell = shell_of(ctx)
    rows = list(_rows(shell))
    if as_json:
        shell.out.write("".join(json.dumps(row.as_json()) + "\n" for row in rows))
    elif shell.out_face.terminal:
        from sage_cli.paint import paint
        from sage_cli.render.models import models_table

        shell.out.write(paint(models_table(rows), shell.out_face) + "\n")
    else:
        shell.out.write("".join("\t".join(row.fields()) + "\n" for row in rows))
    return 0


@app.command("path", cls=SageCommand)
def path(ctx: typer.Context) -> int:
    """Print where downloaded models are kept: the Hugging Face cache."""
    shell = shell_of(ctx)
    from convert.hub_cache import cache_folder

    shell.out.write(f"{cache_folder(shell.environ)}\n")
    return 0


@app.command("default", cls=SageCommand)
def default(
    ctx: typer.Context,
    model: Annotated[
        Path | None,
        typer.Argument(metavar="[MODEL]", help="The model to use. Default: print which one that is."),
    ] = None,
) -> int:
    """
    Choose the model that is used when none is named, or print which one that is.

    It is the setting model of sage config; SAGE_MODEL comes before it. sage config unset model goes back to sage-pico.
    """
    shell = shell_of(ctx)
    if model is None:
        shell.out.write(f"{default_model(shell.environ) or EMBEDDED}\n")
        return 0
    found = resolve(str(model), shell.environ)
    if not found.is_file():
        raise MissingInputError(f"there is no model {model}", hint="sage models lists what there is")
    change(shell.environ, "", MODEL, _lasting(model))
    if shell.environ.get("SAGE_MODEL"):
        shell.note(f"SAGE_MODEL is set, and comes before it: {shell.environ['SAGE_MODEL']}")
    return 0


def show(
    ctx: typer.Context,
    model: OptionalModelName = None,
    *,
    as_json: flags.AsJson = False,
    color: flags.Color = "auto",
) -> int:
    """Show what a model is: architecture, size, context, quantization, template, head, where it comes from."""
    shell = shell_of(ctx)
    from sage_cli.description import describe
    from sage_cli.paint import paint
    from sage_cli.render.models import model_json, model_view

    described = describe(model_path(model, shell.environ))
    if as_json:
        shell.out.write(json.dumps(model_json(described)) + "\n")
    else:
        shell.out.write(paint(model_view(described), shell.out_face) + "\n")
    return 0


def remove(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A model of the Hugging Face cache, as sage models lists it."),
    ],
    *,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    quiet: flags.Quiet = False,
) -> int:
    """
    Remove a downloaded model and its head from the Hugging Face cache, which other programs use too.

    On a terminal it asks first; elsewhere it needs --yes. Files outside the cache are never removed.
    """
    shell = shell_of(ctx)
    from convert.hub_cache import cache_folder, cached_models, find_cached
    from convert.hub_cache import remove as remove_cached
    from convert.hub_names import parse_name

    word = aliases(shell.environ).get(model, model)
    name = parse_name(word)
    cache = cache_folder(shell.environ)
    cached = find_cached(cache, name) if name else None
    if cached is None:
        raise _not_ours(model, word)
    several = [other for other in cached_models(cache) if other.repo == cached.repo]
    if name is not None and not name.tag and len(several) > 1:
        names = ", ".join(other.name for other in several)
        raise UsageError(f"there are several models of {cached.repo}", hint=f"name one: {names}")
    if not yes and not _agreed(shell, f"remove {cached.name}, {size(cached.size)}?"):
        shell.err.write("nothing was removed\n")
        return 1
    freed = remove_cached(cache, cached)
    if not quiet:
        shell.err.write(one_line(f"{cached.name} removed, {size(freed)} free") + "\n")
    return 0


def alias(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The new name. Default: list all aliases.")
    ] = None,
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="What it stands for: a file or user/repo:QUANT.")
    ] = None,
    *,
    gone: Annotated[bool, typer.Option("--remove", help="Remove the alias NAME.")] = False,
) -> int:
    """Give a model a short name that -m takes, or list those names."""
    shell = shell_of(ctx)
    known = aliases(shell.environ)
    if name is None and gone:
        raise UsageError("which alias is to be removed is missing", hint="sage alias --remove NAME")
    if name is None:
        for short, target in sorted(known.items()):
            shell.out.write(f"{short}\t{one_line(target)}\n")
    elif gone:
        _forget(shell, name, known=list(known), target=model)
    elif model is None:
        if name not in known:
            raise MissingInputError(f"there is no alias {name}", hint=f"sage alias {name} MODEL makes it")
        shell.out.write(f"{known[name]}\n")
    else:
        _name(shell, name, model)
    return 0


def _name(shell: Shell, name: str, model: str) -> None:
    if not _ALIAS.fullmatch(name) or name == EMBEDDED:
        hint = "letters, digits, dots, dashes and underscores, and not sage-pico"
        raise UsageError(f"{name} cannot be an alias", hint=hint)
    if not resolve(model, shell.environ).is_file():
        raise MissingInputError(f"there is no model {model}", hint="sage models lists what there is")
    change(shell.environ, ALIASES, name, _lasting(Path(model)))
    if Path(name).exists():
        shell.note(f"in this folder {name} is a file, and a file comes before an alias")


def _forget(shell: Shell, name: str, *, known: list[str], target: str | None) -> None:
    if target is not None:
        raise UsageError("--remove takes a name and no model", hint=f"sage alias --remove {name}")
    if name not in known:
        raise MissingInputError(f"there is no alias {name}", hint="sage alias lists them")
    change(shell.environ, ALIASES, name, None)


def _lasting(model: Path) -> str:
    """A path that means the same from every folder; other names as they are."""
    path = model.expanduser()
    return str(path.absolute()) if path.is_file() else str(model)


def _agreed(shell: Shell, question: str) -> bool:
    """Raises UsageError where nobody can be asked."""
    if not shell.stdin_terminal():
        raise UsageError("there is no terminal to ask on", hint="add --yes to remove it")
    shell.err.write(one_line(f"{question} [y/N] "))
    try:
        return input().strip().lower() in _YES
    except EOFError:
        shell.err.write("\n")
        return False


def _not_ours(model: str, word: str) -> SageError:
    if word == EMBEDDED:
        return UsageError(
            f"{EMBEDDED} is part of sage and stays", hint="sage models default MODEL uses another"
        )
    if Path(word).expanduser().is_file():
        hint = "remove a file of yours yourself; sage alias --remove takes an alias away"
        return UsageError(f"{word} is not in the Hugging Face cache", hint=hint)
    return MissingInputError(f"there is no downloaded model {model}", hint="sage models lists them")


def _rows(shell: Shell) -> Iterator[Row]:
    from convert.hub_cache import cache_folder, cached_models
    from sage_cli.description import brief

    in_use = default_model(shell.environ) or EMBEDDED
    yield brief(EMBEDDED, embedded_model(), default=in_use == EMBEDDED)
    known = aliases(shell.environ)
    for name, target in sorted(known.items()):
        yield _alias_row(shell, name, target, default=in_use == name)
    listed = {EMBEDDED, *known}
    for model in cached_models(cache_folder(shell.environ)):
        default = in_use in {model.name, model.repo} or in_use == str(model.path)
        listed |= {model.name, model.repo, str(model.path)} if default else {model.name}
        yield brief(model.name, model.path, default=default, quantization=model.quantization)
    if in_use not in listed:
        yield _alias_row(shell, in_use, in_use, default=True)


def _alias_row(shell: Shell, name: str, target: str, *, default: bool) -> Row:
    from sage_cli.description import brief

    try:
        found = resolve(target, shell.environ)
    except SageError:
        found = Path(target)
    return brief(name, found, default=default, stands_for=target if target != name else "")
