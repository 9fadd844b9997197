"""Any chain of reasoning cut into its steps, with exact character spans.

A line is a step where it is numbered ("Step 3: ...", "3. ...", "- ..."), and its sentences are steps where
it is not. The marks of reasoning blocks (``<think>``) stand between steps and belong to none. What decides
about a cut lies within WINDOW characters of it, so that the time is linear in the text, and the result does
not depend on how the text is cut into pieces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mch_runtime.inverse.boundaries import MEMORY, ends_sentence
from mch_runtime.stated_answer import STATES_ANSWER, bare, stated_answer, states_answer
from mch_runtime.withdrawal import is_withdrawal
from prompts.dialects import Dialect

Kind = Literal["step", "answer", "withdrawal"]

WINDOW = 256

_REASONING = "think|thinking|thought|reasoning|rationale|scratchpad"
_ANSWERING = "answer|final_answer|output"
_TAG = rf"<(?P<close>/?)(?P<tag>{_REASONING}|{_ANSWERING}|reflection|solution|step)>"
# "\n" in two characters, as rationales of AQuA are often stored; LaTeX has commands that begin like it.
_LATEX = (
    "ne|neq|neg|nu|not|notin|nabla|ni|nmid|nexists|nleq|ngeq|nless|ngtr|nsim|nparallel|nsubseteq|natural|"
    "nearrow|newline|noindent|nonumber|newcommand|normalsize"
)
_LINE = rf"[\n\r\x0b\x0c\x85\u2028\u2029]|(?<![\\'\"])(?!\\(?:{_LATEX})(?![a-zA-Z]))\\n(?!['\"])"
_SENTENCE = r"[.!?…][\"'”’»)\]*_`]{0,4}(?=\s)|[。！？]"
_NUMBERED = r"(?<=\s)(?:Step|STEP)\s{1,3}\d{1,6}\s?:"

_LABEL = re.compile(
    r"[ \t]{0,32}[>*_#(\[]{0,6}[ \t]{0,2}"
    r"(?:[Ss](?:tep|TEP)[ \t]{0,3}#?\d{1,6}[ \t]?(?:[:.)\]]|[-–—][ \t])|\d{1,4}[.):](?=\s)|[-*•][ \t])"
)
_ONLY_LABEL = re.compile(
    r"[>*_#(\[\s]{0,8}(?:step\s{0,3}#?\d{1,6}|\d{1,4}(?=[.):]))[\s:.)\]*_–—-]{0,8}", re.IGNORECASE
)
_SOLID = re.compile(r"[^\W_]")
_APART = re.compile(
    rf"\s{{1,64}}(?:{STATES_ANSWER.pattern}|Wait, step \d|\d{{1,2}}[.)]\s(?=\S))", re.IGNORECASE
)
_REFERS = re.compile(r"\b(?:in|from|of|see|to|by|with|and|using|per|at|than|after|wait,)\s+$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A step, a step that is taken back, or a statement of the answer.

    span: [start, end) in the characters of the chain; its text there is ``text``, which begins and
    ends with something visible.
    """

    text: str
    span: tuple[int, int]
    kind: Kind


class Segmenter:
    r"""Cuts streamed text. Segments come in order and do not overlap.

    Between them there is white space, marks of reasoning blocks and line breaks written as ``\n``.
    """

    def __init__(self, *, dialect: Dialect | None = None, labels: bool = True) -> None:
        """dialect: whose markers begin the answer; labels False: numbered lines are cut as others are."""
        self._pattern, self._word = _pattern(dialect)
        self._labels = labels
        self._pieces: list[str] = []
        self._waiting = 0  # characters in them
        self._buffer = ""
        self._base = 0  # of the buffer, in the whole text
        self._start = 0  # of the segment under way, in the buffer
        self._scan = 0  # where to look for the next cut
        self._solid: int | None = None  # the segment's first letter or digit
        self._sought = 0  # up to where one was looked for
        self._labelled: bool | None = None
        self._answering = False
        self._steps = 0

    def feed(self, text: str) -> list[Segment]:
        """New segments, as far as they are certain."""
        self._pieces.append(text)
        self._waiting += len(text)
        # A share of the buffer at a time: joining piece by piece would be quadratic.
        if self._waiting < max(WINDOW, len(self._buffer) >> 3):
            return []
        return self._advance(final=False)

    def flush(self) -> list[Segment]:
        """The rest, once the text is complete."""
        found = self._advance(final=True)
        found += self._emit(len(self._buffer))
        return found

    def _advance(self, *, final: bool) -> list[Segment]:
        self._buffer += "".join(self._pieces)
        self._pieces, self._waiting = [], 0
        limit = len(self._buffer) if final else len(self._buffer) - WINDOW
        if limit <= self._scan and not final:
            return []
        if self._labelled is None:
            self._labelled = self._is_labelled(0)
        found: list[Segment] = []
        while (match := self._pattern.search(self._buffer, self._scan)) and match.start() < limit:
            found += self._cut(match)
            self._scan = match.end()
        self._scan = max(self._scan, limit)
        self._forget()
        return found

    def _cut(self, match: re.Match[str]) -> list[Segment]:
        if match["tag"] or match["mark"]:
            return self._at_tag(match)
        if match["word"]:
            found = self._emit(match.start())
            self._answering = True
            return found
        if match["line"]:
            return self._at_line(match)
        if match["step"]:
            before = self._buffer[max(0, match.start() - MEMORY) : match.start()]
            if not self._labels or _REFERS.search(before) or not self._is_whole(match.start()):
                return []
            self._labelled = True
            return self._emit(match.start())
        return self._at_sentence(match)

    def _at_tag(self, match: re.Match[str]) -> list[Segment]:
        found = self._emit(match.start())
        self._begin(match.end())
        self._labelled = self._is_labelled(match.end())
        name = (match["tag"] or "").lower()
        if match["mark"]:
            self._answering = match["mark"] == self._word and self._steps > 0
        elif name in _REASONING.split("|"):
            # An empty block, as written by models told not to think, leaves the steps to come.
            self._answering = bool(match["close"]) and self._steps > 0
        elif name in _ANSWERING.split("|"):
            self._answering = True
        return found

    def _at_line(self, match: re.Match[str]) -> list[Segment]:
        if not self._is_whole(match.start()):
            # A number alone on its line belongs to what comes next.
            self._labelled = self._is_labelled(match.end()) or (self._solid is not None and self._labels)
            return []
        found = self._emit(match.start())
        self._begin(match.end())
        self._labelled = self._is_labelled(match.end())
        return found

    def _at_sentence(self, match: re.Match[str]) -> list[Segment]:
        if not self._is_whole(match.end()):
            return []
        if self._labelled and not _APART.match(self._buffer, match.end()):
            return []
        return self._emit(match.end()) if ends_sentence(self._buffer, match) else []

    def _is_labelled(self, at: int) -> bool:
        return self._labels and _LABEL.match(self._buffer, at) is not None

    def _is_whole(self, end: int) -> bool:
        """Whether the segment under way says something, and more than a number."""
        if self._solid is None:
            solid = _SOLID.search(self._buffer, max(self._sought, self._start), end)
            self._sought = end
            if solid is None:
                return False
            self._solid = solid.start()
        if end - self._solid > 32:
            return True
        return _ONLY_LABEL.fullmatch(self._buffer[self._solid : end]) is None

    def _emit(self, end: int) -> list[Segment]:
        """Close the segment under way at ``end``; nothing if it is empty."""
        raw = self._buffer[self._start : end]
        text = raw.strip()
        start = self._base + self._start + len(raw) - len(raw.lstrip())
        self._begin(end)
        if not text:
            return []
        kind = self._kind(text)
        self._steps += kind == "step"
        return [Segment(text=text, span=(start, start + len(text)), kind=kind)]

    def _kind(self, text: str) -> Kind:
        if is_withdrawal(text):
            return "withdrawal"
        return "answer" if self._answering or states_answer(text) else "step"

    def _begin(self, at: int) -> None:
        self._start = self._sought = at
        self._solid = None

    def _forget(self) -> None:
        """Drop what is cut, but for what a later decision may look back at."""
        drop = max(0, self._start - MEMORY)
        self._buffer = self._buffer[drop:]
        self._base += drop
        self._start -= drop
        self._scan -= drop
        self._sought -= drop
        if self._solid is not None:
            self._solid -= drop


def segments(text: str, *, dialect: Dialect | None = None) -> tuple[Segment, ...]:
    """All segments of a chain."""
    segmenter = Segmenter(dialect=dialect)
    return (*segmenter.feed(text), *segmenter.flush())


def sentences(question: str) -> tuple[tuple[int, int], ...]:
    """[start, end) of each sentence of a question, or of any other text."""
    segmenter = Segmenter(labels=False)
    return tuple(one.span for one in (*segmenter.feed(question), *segmenter.flush()))


def final_answer(text: str, *, dialect: Dialect | None = None) -> str | None:
    """The answer that a chain of any origin comes to, normalised; None if it states none.

    It is what the last line or sentence says that states an answer; else what stands alone behind the reasoning.
    """
    answers = [one.text for one in segments(text, dialect=dialect) if one.kind == "answer"]
    for said in reversed(answers):
        if states_answer(said):
            return stated_answer(said)
    return bare(answers[0]) if len(answers) == 1 else None


def _pattern(dialect: Dialect | None) -> tuple[re.Pattern[str], str]:
    """What may be a cut, and the dialect's mark that closes the reasoning, "" if it is none of its own.

    A mark that is a tag stands between the segments; one in words begins the answer.
    """
    marks = [] if dialect is None else [mark for mark in (dialect.opens, dialect.closes) if mark.strip()]
    tags = [re.escape(mark) for mark in marks if mark.startswith(("<", "["))]
    words = [re.escape(mark) for mark in marks[-1:] if not mark.startswith(("<", "["))]
    pattern = (
        f"(?P<mark>{'|'.join(tags) or '(?!)'})|(?i:{_TAG})|(?P<word>{'|'.join(words) or '(?!)'})|"
        f"(?P<line>{_LINE})|(?P<step>{_NUMBERED})|(?P<sentence>{_SENTENCE})"
    )
    return re.compile(pattern), dialect.closes if dialect is not None and tags else ""
