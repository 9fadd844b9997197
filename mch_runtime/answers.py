"""Where the answer begins in a model's text, and what it says."""

from __future__ import annotations

from mch_runtime.observer import Part
from prompts.dialects import Dialect


class AnswerSplitter:
    """Cuts streamed text into reasoning and answer at a dialect's markers.

    The markers belong to the reasoning. Text that may be the beginning of a marker is held back;
    the result does not depend on how the text is cut into pieces.
    """

    def __init__(self, dialect: Dialect, *, opened: bool = False) -> None:
        """``opened``: the prompt itself ends with the marker that begins the reasoning."""
        reasons = opened or not dialect.opens
        self._opens = dialect.opens
        self._closes = dialect.closes
        self._part: Part = "reasoning" if reasons else "answer"
        self._undecided = not reasons  # whether the text opens with reasoning is not known yet
        self._held = ""

    def feed(self, text: str) -> list[tuple[str, Part]]:
        """New pieces, in order."""
        self._held += text
        if self._undecided and not self._decide():
            return []
        if self._part == "answer":
            return self._release(len(self._held))
        end = self._held.find(self._closes)
        if end >= 0:
            pieces = self._release(end + len(self._closes))
            self._part = "answer"
            return pieces + self._release(len(self._held))
        return self._release(len(self._held) - overlap(self._held, self._closes))

    def flush(self) -> list[tuple[str, Part]]:
        """What was held back, once the text is complete."""
        self._undecided = False
        return self._release(len(self._held))

    def _decide(self) -> bool:
        start = self._held.lstrip()
        if start.startswith(self._opens):
            self._part, self._undecided = "reasoning", False
        elif start and not self._opens.startswith(start):
            self._undecided = False
        return not self._undecided

    def _release(self, count: int) -> list[tuple[str, Part]]:
        piece, self._held = self._held[:count], self._held[count:]
        return [(piece, self._part)] if piece else []


def behind_reasoning(text: str, dialect: Dialect, *, opened: bool = False) -> str:
    """What follows the reasoning in a text that is complete. opened: see :class:`AnswerSplitter`."""
    splitter = AnswerSplitter(dialect, opened=opened)
    pieces = [*splitter.feed(text), *splitter.flush()]
    return "".join(piece for piece, part in pieces if part == "answer")


def overlap(text: str, marker: str) -> int:
    """The length of the longest end of ``text`` that begins ``marker``."""
    return next((n for n in range(min(len(text), len(marker) - 1), 0, -1) if marker.startswith(text[-n:])), 0)


def normalise(answer_text: str) -> str | None:
    """An answer as compared and counted: one line, no closing full stop; None if nothing is left."""
    words = " ".join(answer_text.split()).removesuffix(".")
    return words or None
