"""JSON from outside: bounded, and nothing in it that another reader would understand otherwise."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from mch_runtime.errors import DataError

DEPTH = 32
LARGEST = 2**63  # of an integer, either sign

# A string is matched as a whole, so that brackets inside do not count; one that is not closed, to the end.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|$)|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def loads(text: str) -> Any:
    """The value. Raises DataError for what is not JSON, and for duplicate keys, NaN, infinities, integers of
    more than 64 bits, lone surrogates and more than DEPTH levels.
    """
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        said = error.msg.removesuffix(" at")  # some of them end so
        message = f"not JSON: {said[:1].lower()}{said[1:]} at {place}"
        raise DataError(message, hint="write one JSON object per line") from error
    _check_text(value)
    return value


def _check_depth(text: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if depth > DEPTH:
            raise DataError(f"the JSON is nested more than {DEPTH} levels deep", hint="flatten it")


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise DataError(f"the key {_shown(key)} occurs twice in one object", hint="keep one of them")
        made[key] = value
    return made


def _constant(name: str) -> float:
    raise DataError(f"{name} is not a number in JSON", hint="use null for what is not known")


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -LARGEST <= int(digits) < LARGEST:
        raise DataError("an integer has more than 64 bits", hint="write it as a string")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise DataError("a number is too large for a float", hint="write it as a string")
    return value


def _check_text(value: Any) -> None:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, str) and _SURROGATE.search(one):
            raise DataError(
                "a string holds half of a character (a lone surrogate)", hint="write valid Unicode"
            )


def _shown(key: str) -> str:
    return json.dumps(key if len(key) <= 40 else f"{key[:37]}...")
