"""The steps on standard error, in three ways.

A terminal sees the text as it comes, and at the end of each step's line how sure the model is of it.
If standard output is the same terminal, the answer is woven in between. Elsewhere there are whole lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from sage_cli.console import Face, Output
from sage_cli.live import NoSteps
from sage_cli.paint import paint
from sage_cli.render.safe import safe
from sage_cli.render.terminal import answer_mark, glyphs, step_mark
from sage_cli.screen import Screen

if TYPE_CHECKING:
    from mch_runtime.observer import Part
    from mch_runtime.trace import Step, Trace

_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_LONG_PROMPT = 512  # tokens; reading fewer takes no time worth telling


class PlainSteps(NoSteps):
    """Whole lines, for pipes and files: each step of the reasoning with its mark behind it."""

    def __init__(self, err: Output, face: Face, *, make_safe: bool) -> None:
        self._err = err
        self._face = face
        self._signs = glyphs(unicode=face.unicode)
        self._make_safe = make_safe
        self._line = ""
        self._in_answer = False

    def reasoning(self, text: str) -> None:
        self._line += text

    def after_answer(self, text: str) -> None:
        if self._line.strip():
            self._in_answer = True
            self._line += text

    def step(self, step: Step) -> None:
        if not self._in_answer:
            self._write(step_mark(step, self._signs))

    def finish(self, trace: Trace) -> None:
        self._write(answer_mark(trace, self._signs) if self._in_answer else Text())

    def _write(self, mark: Text) -> None:
        line, self._line = self._line.strip(), ""
        if line:
            line = safe(line) if self._make_safe else line
            self._err.write(f"{line}  {paint(mark, self._face)}".rstrip() + "\n")


class _TerminalSteps(NoSteps):
    def __init__(self, err: Output, face: Face) -> None:
        self._screen = Screen(err, face)
        self._signs = glyphs(unicode=face.unicode)

    def prefill(self, done: int, total: int) -> None:
        if total >= _LONG_PROMPT and done < total:
            self._screen.status(f"reading {done:,} of {total:,} tokens")

    def drawn(self, ended: int, wanted: int) -> None:
        self._screen.status(f"{ended} of {wanted} chains")


class WovenSteps(_TerminalSteps):
    """Both streams are one terminal."""

    def __init__(self, err: Output, face: Face) -> None:
        super().__init__(err, face)
        self._reasoned = False
        self._seen: set[Part] = set()  # in the step under way
        self._waiting: Text | None = None  # the mark of a step of the answer, unless it is the last

    def reasoning(self, text: str) -> None:
        if text.strip():
            self._seen.add("reasoning")
            self._reasoned = True
            self._draw_waiting()
        self._screen.show(text)

    def before_answer(self, text: str) -> None:
        self._seen.add("answer")
        self._draw_waiting()
        self._screen.make_room(text)
        if self._reasoned:
            self._screen.style(_BOLD)

    def after_answer(self, text: str) -> None:
        if self._reasoned:
            self._screen.style(_PLAIN)
        self._screen.wrote(safe(text))

    def step(self, step: Step) -> None:
        seen, self._seen = self._seen, set()
        mark = step_mark(step, self._signs)
        if "answer" in seen and self._reasoned:
            self._waiting = mark
        else:
            self._screen.mark(mark)

    def finish(self, trace: Trace) -> None:
        self._screen.clear_status()
        if self._waiting is not None:
            self._screen.mark(answer_mark(trace, self._signs))

    def close(self, trace: Trace) -> None:
        if self._screen.line_open and not trace.answer_text:  # else standard output has ended the line
            self._screen.end_line()
        self._screen.end_line()

    def _draw_waiting(self) -> None:
        if self._waiting is not None:
            self._screen.mark(self._waiting)
            self._waiting = None


class ApartSteps(_TerminalSteps):
    """Standard output is somewhere else: the terminal sees the reasoning, the answer's line at the end.

    What leads to the answer ("Answer:") arrives in one piece. It waits, since what standard output is
    piped to may write to this terminal too.
    """

    def __init__(self, err: Output, face: Face) -> None:
        super().__init__(err, face)
        self._shown = False
        self._last = ""  # the latest piece of reasoning
        self._answer_line = ""

    def reasoning(self, text: str) -> None:
        self._shown = self._shown or bool(text.strip())
        if self._answer_line:
            self._answer_line += text
        elif not text.strip():
            self._last += text
        else:
            self._screen.show(self._last)
            self._last = text

    def after_answer(self, text: str) -> None:
        if self._last.strip() and not self._answer_line:
            before, line_break, self._answer_line = self._last.rpartition("\n")
            self._screen.show(before + line_break)
            self._last = ""
        if self._answer_line:
            self._answer_line += text

    def step(self, step: Step) -> None:
        if self._last:
            self._screen.show(self._last)
            self._last = ""
            self._screen.mark(step_mark(step, self._signs))
            self._screen.end_line()

    def finish(self, trace: Trace) -> None:
        self._screen.clear_status()

    def close(self, trace: Trace) -> None:
        self._screen.show(self._last)
        if self._screen.line_open:
            self._screen.end_line()
        if self._answer_line:
            self._screen.line(self._answer_line, answer_mark(trace, self._signs))
        if self._shown:
            self._screen.end_line()
