"""Numbers in a text, exactly: "1,200", "$3.50", "40%", and small ones in words ("twice", "a third")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

LONGEST = 30  # digits; longer ones are text

LITERAL = r"(?:\d{1,3}(?:,\d{3}){1,9}(?![\d,])|\d{1,30})(?:\.\d{1,30})?(?!\d)|(?<!\d)\.\d{1,30}(?!\d)"
_NUMBER = re.compile(rf"(?<![\w.])(?<!\d,)(?:[$€£]\s?)?(?P<digits>{LITERAL})(?P<percent>\s?%)?(?!\w)")
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
WORDS: dict[str, int] = {
    **{word: value for value, word in enumerate(f"{_UNITS} seventeen eighteen nineteen".split())},
    **{word: value for value, word in zip(range(20, 100, 10), _TENS.split(), strict=True)},
    "dozen": 12,
    "hundred": 100,
    "thousand": 1000,
    "once": 1,
}
# What the words of a relation stand for.
_PARTS = {"half": 2, "halves": 2, "halved": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4} | {
    "fourth": 4,
    "fourths": 4,
    "fifth": 5,
    "fifths": 5,
    "sixth": 6,
    "eighth": 8,
    "tenth": 10,
}
_MANY = {"twice": 2, "double": 2, "doubles": 2, "doubled": 2, "thrice": 3, "triple": 3, "triples": 3} | {
    "tripled": 3,
    "quadruple": 4,
    "quadruples": 4,
    "quadrupled": 4,
    "both": 2,
    "pair": 2,
}
FACTORS = {word: Fraction(1, n) for word, n in _PARTS.items()} | {
    word: Fraction(n) for word, n in _MANY.items()
}
_WORD = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number and where it stands; said: it is in words; factor: a word like "twice" or "third"."""

    value: Fraction
    span: tuple[int, int]
    said: bool = False
    factor: bool = False


def literal(digits: str) -> Fraction:
    """The value of what LITERAL matches."""
    return Fraction(digits.replace(",", ""))


@lru_cache(maxsize=256)
def numbers(text: str) -> tuple[Number, ...]:
    """All of them, in order. A percentage is given as it is written: 40 for "40%"."""
    found = [
        Number(value=literal(match["digits"]), span=match.span("digits")) for match in _NUMBER.finditer(text)
    ]
    for match in _WORD.finditer(text):
        word = match[0].lower()
        value = WORDS.get(word, FACTORS.get(word))
        if value is not None:
            found.append(Number(value=Fraction(value), span=match.span(), said=True, factor=word in FACTORS))
    return tuple(sorted(found, key=lambda number: number.span))


def plain(value: Fraction) -> str:
    """As people write it: "12", "3.5", "1/3"."""
    if value.denominator == 1:
        return str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return f"{float(value):.12g}" if rest == 1 else f"{value.numerator}/{value.denominator}"
