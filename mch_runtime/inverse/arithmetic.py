"""Equations inside a step, checked exactly: "4 * 3 = 12", "15 − 5 = 10", "48/2 = <<48/2=24>>24".

A stretch of numbers and signs is taken only where it stands alone: next to a variable, a unit inside the
formula, a time of day or an unmatched sign its value is not known, and nothing is said about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from mch_runtime.inverse.numbers import LITERAL, literal

MOST_TOKENS = 64  # of one side
LARGEST_POWER = 64
LARGEST_BITS = 512  # of a numerator or denominator

_ANNOTATION = re.compile(r"<<([^<>\n]{1,200})>>")
_TOKEN = re.compile(
    rf"(?P<number>(?:[$€£]\s?)?(?:{LITERAL}))(?P<percent>\s?%)?"
    r"|(?P<sign>\*\*|[-+*/^−–×·÷⋅∗]|\\(?:times|div|cdot)(?![a-zA-Z])|(?<=\s)[xX](?=\s)|(?<=[\d)])[xX](?=[\d($]))"
    r"|(?P<open>\()|(?P<close>\))|(?P<equals>≈|={1,2})|(?P<note>[$€£]?\s?<<[^<>\n]{1,200}>>)|(?P<other>\S)"
)
_SIGNS = {"−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "∗": "*", "x": "*", "X": "*"} | {
    "÷": "/",
    "\\times": "*",
    "\\div": "/",
    "\\cdot": "*",
    "**": "^",
}
# Words before a formula that make it a part of a larger one.
_PART_OF = re.compile(
    r"\b(?:of|mod|modulo|twice|thrice|half|double|times|plus|minus|by|sqrt|root|log|ln|sin|cos|tan|square|"
    r"squared|cubed|per|over|less|than|each|every)\s*$",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"\s*[A-Za-z]{1,24}(?:\s[A-Za-z]{1,24}){0,2}\s*(?:[+*/^×÷=]|[-−–]\s?\d|\s[xX]\s\d)")
_ITEM = re.compile(r"(?:^|\n)\s*\(?\d{1,4}\)\s+$")


@dataclass(frozen=True, kw_only=True)
class Equation:
    """Two sides of an "=" with their values; ``text`` is what stands at ``span``.

    operands: the numbers of the left side; sign: its operation where it is a single one.
    """

    text: str
    span: tuple[int, int]
    left: Fraction
    right: Fraction
    holds: bool
    operands: tuple[Fraction, ...]
    sign: str | None


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    value: str
    span: tuple[int, int]
    percent: bool = False


@dataclass(frozen=True, slots=True)
class _Side:
    """One side: its tokens, the sign of equality behind it, and whether it stands alone."""

    tokens: tuple[_Token, ...]
    equals: str
    alone: bool


class _Unknown(Exception):  # noqa: N818 - the value is not known; never leaves this module
    pass


def equations(text: str) -> tuple[Equation, ...]:
    """Every equation with an operation on a side of it, in order; never raises."""
    if "=" not in text and "≈" not in text:
        return ()
    found = list(_in_stretch(text))
    for note in _ANNOTATION.finditer(text):
        found += _in_stretch(note[1], offset=note.start(1))
    return tuple(sorted(found, key=lambda equation: equation.span))


def _in_stretch(text: str, offset: int = 0) -> Iterator[Equation]:
    for sides in _formulas(text):
        for index in range(len(sides) - 1):
            yield from _compare(text, sides, index, offset)


def _compare(text: str, sides: list[_Side], index: int, offset: int) -> Iterator[Equation]:
    left, right = sides[index], sides[index + 1]
    if not (left.alone and right.alone and left.tokens and right.tokens):
        return
    if not (_signs(left) or _signs(right)):
        return
    try:
        a, b = _value(left.tokens), _value(right.tokens)
        holds = _agree(a, b, left, right) or _agree_in_percent(left, right)
        if not holds and _signs(right) and index + 2 < len(sides):
            # "2 + 3 = 5 + 1 = 6": what was worked out goes on into the next operation.
            first = _value(right.tokens[:1])
            if _agree(a, first, left, right):
                b, holds = first, True
    except _Unknown:
        return
    start, end = left.tokens[0].span[0], right.tokens[-1].span[1]
    signs = _signs(left)
    yield Equation(
        text=text[start:end],
        span=(offset + start, offset + end),
        left=a,
        right=b,
        holds=holds,
        operands=tuple(_number(token) for token in left.tokens if token.kind == "number"),
        sign=signs[0] if len(signs) == 1 else None,
    )


def _agree(a: Fraction, b: Fraction, left: _Side, right: _Side) -> bool:
    """Equal, or one side is the other's value rounded or cut to the decimals it is written with."""
    if a == b:
        return True
    places = [_decimals(side) for side in (left, right) if len(side.tokens) == 1]
    if left.equals == "≈":
        return abs(a - b) <= max([Fraction(1, 10**n) for n in places] or [Fraction(1)])
    return any(n > 0 and abs(a - b) < Fraction(1, 10**n) for n in places)


def _agree_in_percent(left: _Side, right: _Side) -> bool:
    """As "5 / 25 * 100 = 20%" means a number of percent, "20% * 5 = 1" means hundredths."""
    if not any(token.percent for token in (*left.tokens, *right.tokens)):
        return False
    return _agree(_value(left.tokens, percent=1), _value(right.tokens, percent=1), left, right)


def _decimals(side: _Side) -> int:
    digits = side.tokens[0].value
    return len(digits.partition(".")[2])


def _signs(side: _Side) -> list[str]:
    return [token.value for token in side.tokens[1:] if token.kind == "sign"]


def _formulas(text: str) -> Iterator[list[_Side]]:
    """The stretches of numbers, signs and parentheses that hold an "="."""
    run: list[_Token] = []
    depth = 0
    for match in _TOKEN.finditer(text):
        token = _token(match)
        if token is None:
            continue
        is_over = token.kind == "other" or (token.kind == "close" and depth == 0)
        if is_over or (run and _juxtaposed(run[-1], token)):
            yield from _sides(text, run)
            run, depth = [], 0
        if not is_over:
            run.append(token)
            depth += (token.kind == "open") - (token.kind == "close")
    yield from _sides(text, run)


def _token(match: re.Match[str]) -> _Token | None:
    kind = match.lastgroup or ""
    if kind == "percent":
        kind = "number"
    if kind == "note":
        return None  # what it annotates stands around it
    value = match[kind]
    if kind == "number":
        value = value.lstrip("$€£ \t\n")
    elif kind == "sign":
        value = _SIGNS.get(value, value)
    return _Token(kind, value, match.span(), percent=match["percent"] is not None)


def _juxtaposed(one: _Token, other: _Token) -> bool:
    """Whether nothing but space stands between two values: "1 1/2", "3 (4 + 5)"."""
    return one.kind in ("number", "close") and other.kind in ("number", "open")


def _sides(text: str, run: list[_Token]) -> Iterator[list[_Side]]:
    if sum(token.kind == "equals" for token in run) == 0:
        return
    parts: list[tuple[list[_Token], str]] = [([], "")]
    for token in run:
        if token.kind == "equals":
            parts[-1] = (parts[-1][0], token.value)
            parts.append(([], ""))
        else:
            parts[-1][0].append(token)
    sides = []
    for index, (tokens, equals) in enumerate(parts):
        is_first, is_last = index == 0, index == len(parts) - 1
        trimmed = _unwrapped(tokens, is_first=is_first, is_last=is_last)
        alone = bool(trimmed) and len(trimmed) <= MOST_TOKENS
        if alone and is_first:
            alone = _begins_alone(text, trimmed[0])
        if alone and is_last:
            alone = _ends_alone(text, trimmed[-1])
        sides.append(_Side(tuple(trimmed), equals, alone))
    yield sides


def _unwrapped(tokens: list[_Token], *, is_first: bool, is_last: bool) -> list[_Token]:
    """Without the parenthesis around a whole equation: "(5 + 2 = 7)"."""
    surplus = sum((token.kind == "open") - (token.kind == "close") for token in tokens)
    if is_first and surplus == 1 and tokens[0].kind == "open":
        return tokens[1:]
    if is_last and surplus == -1 and tokens[-1].kind == "close":
        return tokens[:-1]
    return tokens


def _begins_alone(text: str, first: _Token) -> bool:
    start = first.span[0]
    before = text[max(0, start - 32) : start]
    if first.kind == "sign" and (first.value != "-" or not before[:-1].strip() or before[-1:].isspace()):
        # A minus behind a word is a dash, or subtracts from what is not known.
        return first.value == "-" and not before.strip(" \t(")
    if not before or before.isspace():
        return True
    last = before.rstrip()[-1]
    if before[-1].isspace():
        if _ITEM.search(before):
            return True
        return last not in "+*/^×÷·%)\\-−–" and not last.isdigit() and not _PART_OF.search(before)
    if before[-1] in ":,.":
        return len(before) > 1 and not before[-2].isdigit() and before[-1] != "."
    return before[-1] in "([{;=>\"'“‘$€£|*_~≈" and not (before[-1] in "*(" and before[-2:-1].isalnum())


def _ends_alone(text: str, last: _Token) -> bool:
    end = last.span[1]
    after = text[end : end + 80]
    if not after:
        return True
    if after[0].isalnum() or after[0] in "_({[\\^!":
        return False
    if after[0] in ":,." and after[1:2].isdigit():
        return False
    if after[0] in "/|%":
        return False
    return _GOES_ON.match(after) is None


def _number(token: _Token, percent: int = 100) -> Fraction:
    value = literal(token.value)
    return value / percent if token.percent else value


def _value(tokens: tuple[_Token, ...], *, percent: int = 100) -> Fraction:
    """The value of one side, by the shunting of signs with their ranks. Raises _Unknown if it has none."""
    values: list[Fraction] = []
    waiting: list[str] = []
    expects_value = True
    for index, token in enumerate(tokens):
        if token.kind == "number" and expects_value:
            values.append(_number(token, percent))
            expects_value = False
        elif token.kind == "open" and expects_value:
            waiting.append("(")
        elif token.value == "-" and expects_value and (index == 0 or tokens[index - 1].kind == "open"):
            waiting.append("~")
        elif token.kind == "sign" and not expects_value:
            _settle(values, waiting, token.value)
            waiting.append(token.value)
            expects_value = True
        elif token.kind == "close" and not expects_value:
            _close(values, waiting)
        else:
            raise _Unknown
    if expects_value:
        raise _Unknown
    _settle(values, waiting, "")
    if waiting:
        raise _Unknown
    return values[0]


_RANK = {"": 0, "+": 1, "-": 1, "*": 2, "/": 2, "~": 3, "^": 4}


def _settle(values: list[Fraction], waiting: list[str], sign: str) -> None:
    """Do what binds at least as strongly as ``sign``; powers bind to the right."""
    while waiting and waiting[-1] != "(":
        rank = _RANK[waiting[-1]]
        if rank < _RANK[sign] or rank == _RANK[sign] == _RANK["^"]:
            return
        _apply(values, waiting.pop())


def _close(values: list[Fraction], waiting: list[str]) -> None:
    _settle(values, waiting, "")
    if not waiting:
        raise _Unknown
    waiting.pop()


def _apply(values: list[Fraction], sign: str) -> None:
    if sign == "~":
        values[-1] = -values[-1]
        return
    b, a = values.pop(), values.pop()
    if sign == "/" and b == 0:
        raise _Unknown
    if sign == "^" and (b.denominator != 1 or not 0 <= b <= LARGEST_POWER):
        raise _Unknown
    result = _OPERATIONS[sign](a, b)
    if max(result.numerator.bit_length(), result.denominator.bit_length()) > LARGEST_BITS:
        raise _Unknown
    values.append(result)


_OPERATIONS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": lambda a, b: a ** int(b),
}
