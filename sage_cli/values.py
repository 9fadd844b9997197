"""Command line words to Python values, with an error that a person can read.

Typer converts values through pydantic, whose import takes longer than everything else that
``sage --help`` does; this takes its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mch_runtime.errors import UsageError

if TYPE_CHECKING:
    from typer.core import _TyperParameter

    from mch_runtime.options import VectorFile


def whole_number(name: str, word: str) -> int:
    """Raises UsageError, which names the option, if ``word`` is no whole number."""
    try:
        return int(word)
    except ValueError:
        raise UsageError(f"{name} {word!r} is not a whole number") from None


def number(name: str, word: str) -> float:
    """Raises UsageError, which names the option, if ``word`` is no finite number."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{name} {word!r} is not a number")
    return value


def vector_files(words: Sequence[str] | None) -> tuple[VectorFile, ...]:
    """Of every ``FILE`` or ``FILE:SCALE``; a file whose own name ends like that comes first. Raises UsageError."""
    return tuple(map(_vector_file, words or ()))


def _vector_file(word: str) -> VectorFile:
    from mch_runtime.options import VectorFile

    name = "--control-vector"
    path, colon, scale = word.rpartition(":")
    whole = VectorFile(_path(name, word))
    if not colon or not path or whole.path.exists():
        return whole
    try:
        return VectorFile(_path(name, path), number(name, scale))
    except UsageError:
        if not Path(path).exists():
            return whole
        raise UsageError(f"{name} {word}: {scale!r} is no scale", hint="a number such as 0.8 or -1") from None


def _path(name: str, word: str) -> Path:
    if not word:
        raise UsageError(f"{name} is empty", hint="give the path of a file")
    if "\0" in word:
        raise UsageError(f"{name} holds a NUL character", hint="give the path of a file")
    return Path(word)


def _text(_name: str, word: str) -> str:
    return word


_PARSERS: dict[type, Callable[[str, str], Any]] = {
    int: whole_number,
    float: number,
    Path: _path,
    str: _text,
}


class Coercion:
    """Stands where Typer would build a pydantic validator for a parameter."""

    def coerce(self, value: Any, param: _TyperParameter, ctx: object) -> Any:
        """The value of the parameter's annotated type; what is not a string is one already."""
        if value is None or isinstance(value, bool):
            return value
        kind = param.type_descriptor
        name = _name(param)
        if kind.choices is not None:
            return _choice(name, value, kind.choices)
        if kind.is_list:
            return list(value)
        if not isinstance(value, str):
            return value
        parsed = _PARSERS[kind.annotation](name, value)
        _check_range(name, parsed, kind.parameter_info.min, kind.parameter_info.max)
        return parsed


def _name(param: _TyperParameter) -> str:
    return max(param.opts, key=len) if param.param_type_name == "option" else param.display_name_raw


def _choice(name: str, word: str, choices: tuple[Any, ...]) -> str:
    if word not in choices:
        raise UsageError(f"{name} {word!r} is not possible", hint=f"one of {', '.join(choices)}")
    return word


def _check_range(name: str, value: Any, low: float | None, high: float | None) -> None:
    if (low is not None and value < low) or (high is not None and value > high):
        limits = f"{low} to {high}" if high is not None else f"{low} or more"
        raise UsageError(f"{name} {value} is out of range", hint=limits)
