"""A chain as an observer is told of it."""

from __future__ import annotations

from mch_runtime.answers import AnswerSplitter
from mch_runtime.observer import Observer
from mch_runtime.trace import Step, Trace


class Listener:
    """Passes text on in its parts, and a step once all of its text has been told.

    answer: the text behind the reasoning, as far as it has been told.
    """

    def __init__(self, observer: Observer, splitter: AnswerSplitter) -> None:
        self.answer = ""
        self._observer = observer
        self._splitter = splitter

    def text(self, text: str) -> None:
        """New text, in order."""
        for piece, part in self._splitter.feed(text):
            self._tell(piece, part)

    def step(self, step: Step) -> None:
        """A step whose text has been told."""
        self._observer.step(step)

    def flush(self) -> None:
        """The text is complete."""
        for piece, part in self._splitter.flush():
            self._tell(piece, part)

    def replay(self, trace: Trace) -> None:
        """Tell what has been written before."""
        rest = trace.text
        for step in trace.steps:
            before, found, rest = rest.partition(step.text)
            line_break = rest[: len(rest) - len(rest.removeprefix("\n"))]
            self.text(before + found + line_break)
            self.step(step)
            rest = rest.removeprefix(line_break)
        self.text(rest)
        self.flush()

    def _tell(self, piece: str, part: str) -> None:
        if part == "answer":
            self.answer += piece
            self._observer.text(piece, "answer")
        else:
            self._observer.text(piece, "reasoning")
