"""How tokens are drawn: ``-o K=V``, the flags that stand for one of its options, what a template and settings say."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import typer

from mch_runtime.errors import UsageError
from sage_cli.config import is_configured
from sage_cli.render.safe import one_line
from sage_cli.values import number, whole_number

HELP = """\
Options for -o:
  temperature N             0, the default, takes the most likely token; votes
                            are drawn at 0.8 then
  top_k N, top_p P, min_p P
                            llama.cpp's filters; 40, 0.95 and 0.05
  seed N, max_tokens N      the flags of these names
"""

Parser = Callable[[str, str], float]
OPTIONS: Mapping[str, Parser] = MappingProxyType(
    {
        "temperature": number,
        "top_k": whole_number,
        "top_p": number,
        "min_p": number,
        "seed": whole_number,
        "max_tokens": whole_number,
    }
)


def typed_sampling(
    ctx: typer.Context, words: Iterable[str], *, seed: int | None, max_tokens: int | None
) -> dict[str, Any]:
    """The options of the command line by name. Raises UsageError if one is wrong, or given twice."""
    if is_configured(ctx, "max_tokens"):
        max_tokens = None
    flags = {"seed": seed, "max_tokens": max_tokens}
    return _parsed(words, {name: value for name, value in flags.items() if value is not None})


def all_sampling(
    ctx: typer.Context, typed: Mapping[str, Any], template: Mapping[str, Any], *, max_tokens: int | None
) -> dict[str, Any]:
    """Options by name: those of the command line, then those of a template, then those of the settings."""
    configured = {"max_tokens": max_tokens} if is_configured(ctx, "max_tokens") else {}
    return configured | _parsed((f"{name}={value}" for name, value in template.items()), {}) | dict(typed)


def _parsed(words: Iterable[str], settings: dict[str, Any]) -> dict[str, Any]:
    for word in words:
        name, separator, value = word.partition("=")
        if name not in OPTIONS:
            raise _unknown_option(name)
        if not separator:
            raise UsageError(f"option {name} needs a value", hint=f"-o {name}=…")
        parsed = OPTIONS[name](name, value)
        if settings.setdefault(name, parsed) != parsed:
            raise UsageError(f"{name} is given twice: {settings[name]} and {parsed}", hint="give it once")
    return settings


def _unknown_option(name: str) -> UsageError:
    near = difflib.get_close_matches(name, OPTIONS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(OPTIONS)}"
    return UsageError(f"there is no option {one_line(name)}", hint=hint)
