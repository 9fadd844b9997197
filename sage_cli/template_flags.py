"""Templates beside flags: which of the two is heard, and flags kept as a template."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from string import Template
from typing import TypeVar

import typer

from mch_runtime.errors import UsageError
from prompts.named import INPUT, NamedTemplate
from sage_cli.question import from_argument
from sage_cli.shell import shell_of
from sage_cli.template_files import fill, save_template

T = TypeVar("T")
Wording = Callable[[str], str]


def first_said(ctx: typer.Context, name: str, flag: T, template: T) -> T:
    """A flag of the command line, else what the template says, else what the flag is without either."""
    return flag if _is_typed(ctx, name) or not template else template


def for_conversation(template: NamedTemplate, words: Iterable[str]) -> tuple[str, Wording]:
    """The system prompt of a template, and what puts its words around each question.

    Raises UsageError as ``fill``, and if the system prompt would be another one for each question.
    """
    if INPUT in Template(template.system).get_identifiers():
        raise UsageError(
            f"the template {template.name} puts the question into the system prompt",
            hint="a conversation has one system prompt; use it with sage ask",
        )
    given = [from_argument(word) for word in words]
    return fill(template, "?", given).system, lambda question: fill(template, question, given).prompt


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
        options=options,
    )
    path = save_template(shell.environ, template)
    shell.note(f"the template {name} is in {path}")
    return 0


def _is_typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
