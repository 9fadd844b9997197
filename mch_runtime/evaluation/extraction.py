r"""The answer in what a model wrote: ``\boxed``, "#### 12", "The answer is (B)", a lone number or letter.

What the text states as its answer comes first, and of several statements the last. Only where nothing is
stated a number, a letter or a single line is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mch_runtime.evaluation.equality import NUMBER, canonical, number, written
from mch_runtime.evaluation.problems import LETTERS, Kind
from mch_runtime.stated_answer import BOXED, boxed, stated_answer, states_answer

LONGEST = 1 << 16  # characters from the end that are looked at

_SEGMENTS = re.compile(r"\n|(?<=[.!?])\s+")
_LEADING = re.compile(
    r"(?:(?:option|choice|answer)\s)?[(\[*]{0,3}([A-Za-z])[)\]*]{0,3}(?:[).:,\s]|$)", re.IGNORECASE
)
_BRACKETED = re.compile(r"\(([A-Z])\)|\*\*([A-Z])\b|\b(?:[Oo]ption|[Cc]hoice)\s\(?([A-Z])\b")
_LONE = re.compile(r"(?<![\w'’])([A-Z])(?![\w'’])")
_CONFIDENCE = re.compile(
    r"(?:confidence|certainty|probability)(?:\s(?:level|score))?\s?(?:is|[:=])?\s?(?:about\s)?[*(]{0,3}"
    r"(?P<named>\d{1,3}(?:\.\d{1,6})?)\s?(?P<percent>%|percent)?"
    r"|(?P<sure>\d{1,3}(?:\.\d{1,3})?)\s?(?:%|percent)\s(?:sure|certain|confident)",
    re.IGNORECASE,
)


def extract(text: str, kind: Kind, options: Sequence[str] = ()) -> str | None:
    """The answer that a text gives, in its canonical form; None if it gives none of this kind.

    text: what the model wrote as its answer, without reasoning that it marked as such.
    """
    text = text[-LONGEST:].strip()
    said = _said(text)
    if kind == "choice":
        return _letter(text, said, options)
    if kind == "number":
        return _number(text, said)
    if said is None and BOXED not in text:
        lines = [line for line in text.splitlines() if line.strip()]
        said = lines[-1] if kind == "math" and lines else lines[0] if len(lines) == 1 else None
    return canonical(said, kind) if said else None


def spoken_confidence(text: str) -> float | None:
    """The probability that the text states of its own answer, 0 to 1: "Confidence: 85 %", "I am 90 % sure"."""
    found = list(_CONFIDENCE.finditer(text[-LONGEST:]))
    if not found:
        return None
    last = found[-1]
    value = float(last["named"] or last["sure"])
    if last["sure"] or last["percent"] or value > 1:
        value /= 100
    return value if 0 <= value <= 1 else None


def _said(text: str) -> str | None:
    """What the last statement of an answer says."""
    box = text.rfind(BOXED)
    end = len(text)
    for segment in reversed(_SEGMENTS.split(text)):
        start = text.rfind(segment, 0, end)
        if states_answer(segment) and BOXED not in segment and start > box:
            return stated_answer(segment)
        end = start + len(segment) if start >= 0 else end
    return boxed(text) if box >= 0 else None


def _number(text: str, said: str | None) -> str | None:
    if said is not None:
        value = number(canonical(said.rsplit("=", 1)[-1], "number"))
        return written(value) if value is not None else None
    found = NUMBER.findall(text)
    value = number(found[-1]) if found else None
    return written(value) if value is not None else None


def _letter(text: str, said: str | None, options: Sequence[str]) -> str | None:
    known = LETTERS[: len(options)] or LETTERS
    if said is not None:
        said = canonical(said, "math") if "\\" in said else said
    for words in filter(None, (said, text if len(text) < 200 and "\n" not in text else None)):
        leading = _LEADING.match(words)
        if leading is not None and leading[1].upper() in known and _is_letter(leading, words):
            return leading[1].upper()
        meant = [
            i for i, option in enumerate(options) if canonical(option, "text") == canonical(words, "text")
        ]
        if len(meant) == 1:
            return LETTERS[meant[0]]
    where = said if said is not None else text
    for pattern in (_BRACKETED, _LONE):
        found: list[str] = [
            letter
            for match in pattern.finditer(where)
            for letter in match.groups()
            if letter and letter in known
        ]
        if found and (pattern is _BRACKETED or found[-1] not in "AI"):
            return found[-1]
    return None


def _is_letter(leading: re.Match[str], words: str) -> bool:
    """Not the article that a sentence begins with: "A man walks"."""
    return leading.group().strip() != leading[1] or leading.end() == len(words)
