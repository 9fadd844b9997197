r"""Lines that state a chain's answer: "Answer: 27", "#### 27", "The answer is 27", \boxed{27}."""

from __future__ import annotations

import re

from mch_runtime.answers import normalise

# Every part is bounded, so that a match looks at a bounded stretch of any text.
_LABEL = r"(?:step\s{0,3}\d{1,6}\s?[:.)]|\d{1,4}[.)])?"
_LEAD = r"(?:(?:so|thus|therefore|hence|then|finally|and|in conclusion),?\s{1,3}){0,2}"
_NOUN = r"(?:(?:the|our|my)\s)?(?:(?:final|correct|right|best)\s)?(?:answer|ans)(?:\s(?:choice|option))?"
_VERB = r"(?:\*\*|__)?\s{0,3}(?:[:=]|(?:is|was|would be|will be|must be|should be)\b\s?:?)"
_CHOICE = r"(?:the\s)?correct\s(?:option|choice)\s(?:is\b|:)"
_GSM8K = r"####(?=\s{0,4}[-+$€£.\d])"
STATES_ANSWER = re.compile(
    rf"[*_#>\s]{{0,8}}{_LABEL}[*_\s]{{0,4}}{_LEAD}(?:{_GSM8K}|{_NOUN}{_VERB}|{_CHOICE})", re.IGNORECASE
)
BOXED = "\\boxed{"

_BRACE = re.compile(r"[{}]")
_MARKS = " \t\r\n*_`:"
_WRAPPED = re.compile(r"\$([^$]*)\$|\\\((.*)\\\)")
_LETTER = re.compile(r"(?:(?:option|choice)\s)?\(?([A-Za-z])\)?", re.IGNORECASE)


def states_answer(segment: str) -> bool:
    """Whether a line or sentence states the answer of its chain."""
    return STATES_ANSWER.match(segment) is not None or BOXED in segment


def stated_answer(segment: str) -> str | None:
    """The answer that a line or sentence states, normalised; None if it states none."""
    in_box = boxed(segment)
    if in_box is not None:
        return bare(in_box)
    said = STATES_ANSWER.match(segment)
    return None if said is None else bare(segment[said.end() :])


def bare(answer: str) -> str | None:
    """An answer without Markdown's and LaTeX's marks around it, and a choice as its letter alone."""
    text = normalise(answer.strip(_MARKS)) or ""
    wrapped = _WRAPPED.fullmatch(text)
    if wrapped is not None:
        text = (wrapped[1] or wrapped[2] or "").strip()
    text = text.strip(_MARKS)
    letter = _LETTER.fullmatch(text)
    return (letter[1] if letter else text) or None


def boxed(segment: str) -> str | None:
    """What is in the last box; None if there is none, or it is not closed."""
    start = segment.rfind(BOXED)
    if start < 0:
        return None
    depth, first = 1, start + len(BOXED)
    for brace in _BRACE.finditer(segment, first):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return segment[first : brace.start()]
    return None
