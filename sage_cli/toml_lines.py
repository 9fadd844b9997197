"""Changing one value in a TOML file and leaving every other line, comments too, as it is.

The standard library reads TOML and does not write it. Here lines are replaced, and the result is read again: an edit
that does not mean exactly what was asked for is not made.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

Value = str | int | float | bool

_HEADER = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]+\s*(?:#.*)?$")
_MOST_LINES = 200  # of one value
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def edited(text: str, table: str, key: str, value: Value | None) -> str:
    """``text`` with ``key`` of a table ("" is the top) set to ``value``, None takes it out.

    Raises ValueError if the text is no TOML, or is written in a way that one line cannot change.
    """
    wanted = _wanted(tomllib.loads(text), table, key, value)
    lines = text.splitlines(keepends=True)
    new = [] if value is None else [f"{_key(key)} = {_literal(value)}\n"]
    for candidate in _candidates(lines, table, key, new):
        if _means(candidate, wanted):
            return candidate
    raise ValueError(f"{key} is written there in a way that only an editor can change")


def line_of(text: str, table: str, key: str) -> int | None:
    """The line, from 1, where a key or the table of that name stands; None if it is not found."""
    lines = text.splitlines()
    heads = [at for at, name in _headers(lines) if name.split(".")[0].strip(" \"'") == key]
    found = _places(lines, table, key) + heads
    return found[0] + 1 if found else None


def _wanted(found: dict[str, Any], table: str, key: str, value: Value | None) -> dict[str, Any]:
    wanted = copy.deepcopy(found)
    home = wanted.setdefault(table, {}) if table else wanted
    if value is None:
        home.pop(key, None)
    else:
        home[key] = value
    return wanted


def _candidates(lines: list[str], table: str, key: str, new: list[str]) -> Iterator[str]:
    """Texts that may be the edited one: the value replaced, however many lines it has, or a line added."""
    for start in _places(lines, table, key):
        for end in range(start + 1, min(start + _MOST_LINES, len(lines)) + 1):
            yield "".join([*lines[:start], *new, *lines[end:]])
    if lines and not lines[-1].endswith("\n"):
        lines = [*lines[:-1], lines[-1] + "\n"]
    for at in _ends(lines, table):
        yield "".join([*lines[:at], *new, *lines[at:]])
    gap = ["\n"] if lines and lines[-1].strip() else []
    yield "".join([*lines, *gap, f"[{table}]\n", *new])


def _headers(lines: list[str]) -> list[tuple[int, str]]:
    """The lines that look like a table's header, and its name; inside of a text they may not be one."""
    found = ((at, _HEADER.match(line)) for at, line in enumerate(lines))
    return [(at, match[1].strip("\"'")) for at, match in found if match]


def _places(lines: list[str], table: str, key: str) -> list[int]:
    """Where the key's value may begin, those first that seem to be in the table."""
    begins = re.compile(rf"""\s*(?:{re.escape(key)}|"{re.escape(key)}"|'{re.escape(key)}')\s*=""")
    headers = _headers(lines)

    def elsewhere(at: int) -> bool:
        return next((name for line, name in reversed(headers) if line < at), "") != table

    return sorted((at for at, line in enumerate(lines) if begins.match(line)), key=elsewhere)


def _ends(lines: list[str], table: str) -> Iterator[int]:
    """Behind the last line of what seems to be the table that is not blank."""
    headers = _headers(lines)
    starts = [at + 1 for at, name in headers if name == table] if table else [0]
    for start in starts:
        for end in (*(at for at, _ in headers if at >= start), len(lines)):
            while end > start and not lines[end - 1].strip():
                end -= 1
            yield end


def _means(text: str, wanted: dict[str, Any]) -> bool:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return _typed(found) == _typed({name: value for name, value in wanted.items() if value != {}}) or (
        _typed(found) == _typed(wanted)
    )


def _typed(values: object) -> object:
    """So that 1, 1.0 and true are different."""
    if isinstance(values, dict):
        return {key: _typed(value) for key, value in values.items()}
    return type(values), repr(values)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _literal(key)


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's too, but for this one character, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
