"""Templates beside flags: which of the two is heard, and flags kept as a template."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import typer

from prompts.named import NamedTemplate
from sage_cli.question import from_argument
from sage_cli.shell import shell_of
from sage_cli.template_files import save_template

T = TypeVar("T")


def first_said(ctx: typer.Context, name: str, flag: T, template: T) -> T:
    """A flag of the command line, else what the template says, else what the flag is without either."""
    return flag if _is_typed(ctx, name) or not template else template


def merged(ctx: typer.Context, flags: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name: those of the command line, then those of the template, then those of the settings."""
    weak = {name: value for name, value in flags.items() if _source(ctx, name) == "DEFAULT_MAP"}
    return {**weak, **template, **{name: value for name, value in flags.items() if name not in weak}}


def keep_template(
    ctx: typer.Context,
    name: str,
    *,
    question: str | None,
    system: str,
    model: Path | None,
    options: Mapping[str, float],
) -> int:
    """Save what the command line says as a template; the exit code."""
    shell = shell_of(ctx)
    if model is not None and model.exists():
        model = model.absolute()
    template = NamedTemplate(
        name=name,
        system=from_argument(system) if _is_typed(ctx, "system") else "",
        prompt=from_argument(question) if question else NamedTemplate.prompt,
        model=str(model or ""),
        options={key: value for key, value in options.items() if _source(ctx, key) != "DEFAULT_MAP"},
    )
    path = save_template(shell.environ, template)
    shell.note(f"the template {name} is in {path}")
    return 0


def _is_typed(ctx: typer.Context, name: str) -> bool:
    return _source(ctx, name) == "COMMANDLINE"


def _source(ctx: typer.Context, name: str) -> str:
    source = ctx.get_parameter_source(name)
    return source.name if source else ""
