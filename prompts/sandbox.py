"""A Jinja environment for templates that came with a model: no loader, no growth by arithmetic.

The sandbox keeps a template away from Python's insides but does not bound its time and memory;
``chat.py`` therefore renders foreign templates in a child process with limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, Undefined
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

LARGEST_TEMPLATE = 256 << 10
LARGEST_TEXT = 64 << 20
LARGEST_NUMBER = 10**12
WIDEST = 10_000


class TemplateRefusedError(ValueError):
    """A template that is too large, does not parse, or fails while rendering."""


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse repetition, powers and formatting that could not be interrupted."""
        sizes = [len(side) for side in (left, right) if isinstance(side, Sequence)]
        numbers = [abs(side) for side in (left, right) if isinstance(side, int | float)]
        if operator == "%" and isinstance(left, str):
            raise SecurityError("% on text is not allowed in a chat template")
        if operator == "**" or any(number > LARGEST_NUMBER for number in numbers):
            raise SecurityError(f"{operator} with numbers this large is not allowed in a chat template")
        if sizes and numbers and max(sizes) * max(numbers) > LARGEST_TEMPLATE:
            raise SecurityError("repeating text this often is not allowed in a chat template")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Also no text methods that take a width."""
        if isinstance(obj, str) and attr in {"center", "ljust", "rjust", "zfill", "format", "format_map"}:
            return False
        return bool(super().is_safe_attribute(obj, attr, value))


def render(
    template: str, messages: Sequence[Mapping[str, str]], *, bos_token: str = "", eos_token: str = ""
) -> str:
    """The prompt of ``messages`` up to where the assistant speaks. Raises TemplateRefusedError."""
    if len(template) > LARGEST_TEMPLATE:
        raise TemplateRefusedError(f"the chat template has {len(template):,} characters")
    try:
        text = _compiled(template).render(
            messages=[dict(message) for message in messages],
            add_generation_prompt=True,
            bos_token=bos_token,
            eos_token=eos_token,
        )
    except (TemplateError, SecurityError, RecursionError, TypeError, ValueError, ArithmeticError) as error:
        raise TemplateRefusedError(f"the chat template fails: {error}") from error
    if len(text) > LARGEST_TEXT:
        raise TemplateRefusedError("the chat template writes too much text")
    return text


@lru_cache(maxsize=8)
def _compiled(template: str) -> Template:
    return _environment().from_string(template)


def _environment() -> _Environment:
    environment = _Environment(
        trim_blocks=True, lstrip_blocks=True, autoescape=False, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals = {
        "range": range,
        "dict": dict,
        "namespace": environment.globals["namespace"],
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
    }
    for name in ("center", "indent", "format", "wordwrap", "pprint"):
        environment.filters[name] = _narrow(environment.filters[name])
    return environment


def _narrow(filter_function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose numbers are bounded, since a width decides how much it writes."""

    @wraps(filter_function)  # keeps Jinja's marks on the function
    def narrow(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, int) and abs(a) > WIDEST for a in (*args, *kwargs.values())):
            raise SecurityError("a width this large is not allowed in a chat template")
        return filter_function(*args, **kwargs)

    return narrow


def _raise_exception(message: object = "") -> NoReturn:
    raise TemplateError(str(message) if not isinstance(message, Undefined) else "")


def _strftime_now(pattern: str) -> str:
    return datetime.now().astimezone().strftime(pattern)
