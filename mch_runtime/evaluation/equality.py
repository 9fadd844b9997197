r"""When two answers are the same: a form that equal answers share, for each kind of answer.

Numbers lose currency, units, thousands separators and trailing zeros; decimals and fractions meet. LaTeX
loses what only changes its looks (``\dfrac``, ``\left``, spaces, ``\text`` around units); lists without
brackets are sorted, tuples and intervals are not. Two expressions that are equal only after algebra
stay different: nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction

from mch_runtime.evaluation.problems import Kind
from mch_runtime.strategies.selection import answer_key

LONGEST = 4096  # characters of an answer that are looked at

_MINUS = str.maketrans({"−": "-", "–": "-", "‐": "-", "‑": "-"})
# What a number may look like inside of words; every part is bounded.
_DIGITS = r"(?:\d{1,3}(?:,\d{3}){1,9}|\d{1,40})(?:\.\d{1,40})?|\.\d{1,40}"
NUMBER = re.compile(rf"(?<![\w.])[-+]?\s?[$€£¥]?\s?[-+]?(?:{_DIGITS})(?:\s?/\s?\d{{1,20}})?")
_POWER = re.compile(r"[eE]([-+]?\d{1,3})\b")
_RATIONAL = re.compile(rf"([-+]?)({_DIGITS})(?:/(\d{{1,20}}))?")
_FRACTION = re.compile(r"([-+]?)(\d{0,20})\\frac\{([-+]?\d{1,20})\}\{(\d{1,20})\}")

_LOOKS = re.compile(
    r"\\(?:left|right|displaystyle|textstyle|limits|big|Big|bigl|bigr)(?![A-Za-z])|\\[!,;:> ]|~|\\\$|\\?%"
    r"|\^\{?\\circ\}?|\\degree"
)
_TEXT = re.compile(r"\\(?:text|mbox|mathrm|textbf|textrm|mathbf|operatorname)\s?\{([^{}]{0,200})\}")
_WORDS_BEHIND = re.compile(r"(?<=[\d}])\s{0,4}\\(?:text|mbox|mathrm)\s?\{[^{}]{0,200}\}(?:\^\{?\d\}?)?$")
_SHORT_FRACTION = re.compile(r"\\frac\s?(?:\{([^{}]*)\}|(\w))\s?(?:\{([^{}]*)\}|(\w))")
_SHORT_ROOT = re.compile(r"\\sqrt\s?(\w)")
_NAMED = re.compile(r"(?:[A-Za-z]|\\[a-z]{1,8})(?:\([A-Za-z]\)|_\{?\w\}?)?\s?=\s?")
_LESS = re.compile(r"\\([lgn])e(?![a-z])")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_OPENS, _CLOSES = "([{", ")]}"


def canonical(answer: str, kind: Kind) -> str:
    """What equal answers of a kind have in common."""
    return _FORMS[kind](answer[:LONGEST].translate(_MINUS).strip())


def number(text: str) -> Fraction | None:
    """The first number in a text; a percent sign, a currency and words around it do not count."""
    found = NUMBER.search(text.translate(_MINUS))
    if found is None:
        return None
    plain = re.sub(r"[\s$€£¥]", "", found[0]).replace("+-", "-").replace("-+", "-")
    value = rational(plain)
    power = _POWER.match(text, found.end())
    return value * Fraction(10) ** int(power[1]) if value is not None and power is not None else value


def rational(text: str) -> Fraction | None:
    r"""The value of an integer, a decimal, ``a/b``, ``\frac{a}{b}`` or a mixed number; None for all else."""
    plain = _RATIONAL.fullmatch(text)
    if plain is not None:
        sign, digits, below = plain.groups()
        return _divided(sign, Fraction(digits.replace(",", "")), int(below or 1))
    drawn = _FRACTION.fullmatch(text)
    if drawn is None:
        return None
    sign, whole, above, below = drawn.groups()
    part = _divided("", Fraction(above), int(below))
    if part is None:
        return None
    return (-1 if sign == "-" else 1) * (int(whole or 0) + part)


def _divided(sign: str, above: Fraction, below: int) -> Fraction | None:
    if below == 0:
        return None
    return (-above if sign == "-" else above) / below


def written(value: Fraction) -> str:
    """``12``, ``0.5`` or, where that has no end, ``1/3``."""
    below = value.denominator
    for prime in (2, 5):
        while below % prime == 0:
            below //= prime
    if below != 1:
        return f"{value.numerator}/{value.denominator}"
    digits, rest = 0, value.denominator
    while rest > 1 and 10**digits % value.denominator:
        digits += 1
    whole = abs(value.numerator) * 10**digits // value.denominator
    text = str(whole).rjust(digits + 1, "0")
    text = f"{text[:-digits]}.{text[-digits:]}" if digits else text
    return f"-{text}" if value < 0 else text


def _number_form(text: str) -> str:
    value = rational(text.replace(" ", ""))
    value = value if value is not None else number(plain_latex(text))
    return written(value) if value is not None else answer_key(text)


def _choice_form(text: str) -> str:
    letter = re.fullmatch(r"\(?([A-Za-z])\)?[.:]?", text)
    return letter[1].upper() if letter else answer_key(text)


def _math_form(text: str) -> str:
    listed = ", " in text
    text = plain_latex(text)
    if _THOUSANDS.fullmatch(text) and not listed:
        return _entry(text)
    if text.startswith(r"\{") and text.endswith(r"\}"):
        return "{" + ",".join(sorted(map(_entry, _parts(text[2:-2])))) + "}"
    bracketed = len(text) > 1 and text[0] in "([" and text[-1] in ")]" and _spans_all(text)
    if bracketed:
        return text[0] + ",".join(map(_entry, _parts(text[1:-1]))) + text[-1]
    parts = _parts(text)
    return ",".join(sorted(map(_entry, parts))) if len(parts) > 1 else _entry(text)


def plain_latex(text: str) -> str:
    r"""LaTeX without what only changes its looks, and without units behind a number."""
    text = text.strip().strip("$").removeprefix(r"\(").removesuffix(r"\)")
    text = text.removeprefix(r"\[").removesuffix(r"\]").strip().rstrip(".")
    text = text.replace("{,}", ",").replace(r",\!", ",")
    text = _LOOKS.sub("", text.replace("\\$", ""))
    text = _WORDS_BEHIND.sub("", text.strip())
    text = _TEXT.sub(lambda m: m[1], text)
    text = text.replace("dfrac", "frac").replace("tfrac", "frac").replace("cfrac", "frac")
    text = _SHORT_FRACTION.sub(lambda m: rf"\frac{{{m[1] or m[2]}}}{{{m[3] or m[4]}}}", text)
    text = _SHORT_ROOT.sub(r"\\sqrt{\1}", text)
    text = _LESS.sub(r"\\\1eq", text.replace(r"\cdot", "*").replace(r"\times", "*"))
    named = _NAMED.match(text)
    if named is not None and "=" not in text[named.end() :]:
        text = text[named.end() :]
    return "".join(text.split())


def _entry(text: str) -> str:
    value = rational(text)
    if value is None and text.startswith("$"):
        value = rational(text[1:])
    return written(value) if value is not None else text


def _parts(text: str) -> list[str]:
    """The text between commas that are in no bracket."""
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign in _OPENS) - (sign in _CLOSES)
        if sign == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def _spans_all(text: str) -> bool:
    """Whether the bracket that opens the text is closed at its very end."""
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign in _OPENS) - (sign in _CLOSES)
        if depth == 0:
            return place == len(text) - 1
    return False


_FORMS: Mapping[Kind, Callable[[str], str]] = {
    "number": _number_form,
    "math": _math_form,
    "choice": _choice_form,
    "text": answer_key,
}
