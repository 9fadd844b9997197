"""What is shown while an answer is being written: the answer on standard output, steps on standard error.

A terminal sees the text as it comes, and at the end of each step's line how sure the model is of it.
Elsewhere standard error gets whole lines. If both streams are one terminal they are woven together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from rich.cells import cell_len
from rich.text import Text

from mch_runtime.errors import SageError
from sage_cli.console import Face, Output
from sage_cli.paint import paint
from sage_cli.render.safe import safe
from sage_cli.render.terminal import Glyphs, answer_mark, at_gutter, glyphs, step_mark

if TYPE_CHECKING:
    from mch_runtime.observer import Part
    from mch_runtime.trace import Step, Trace

_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
CLEAR_LINE = "\r\x1b[2K"
_LONG_PROMPT = 512  # tokens; reading fewer takes no time worth telling


class AnswerStream:
    """Standard output: the answer without the white space around it, then one newline."""

    def __init__(self, output: Output, *, make_safe: bool, on_failure: Callable[[], None]) -> None:
        """on_failure: called once if nobody can read the answer; ``failure`` says why."""
        self.failure: OSError | SageError | None = None
        self._output = output
        self._make_safe = make_safe
        self._on_failure = on_failure
        self._held = ""
        self._sent = ""

    def take(self, text: str) -> tuple[str, str]:
        """The white space in front of the answer, and what of the answer can be written now.

        White space inside the answer waits until something follows it.
        """
        text = self._held + text
        body = text if self._sent else text.lstrip()
        lead = text[: len(text) - len(body)]
        due = body.rstrip()
        self._held = body[len(due) :]
        self._sent += due
        return lead, due

    def write(self, text: str) -> None:
        if self.failure is not None or not text:
            return
        try:
            self._output.write(safe(text) if self._make_safe else text)
        except (OSError, SageError) as failure:
            self.failure = failure
            self._on_failure()

    def finish(self, answer_text: str) -> None:
        """The rest of the answer. Raises what went wrong with standard output."""
        rest = answer_text.removeprefix(self._sent)
        self.write(rest + "\n" if answer_text else "")
        if self.failure is not None:
            raise self.failure


class Steps(Protocol):
    """The part of the display that is on standard error."""

    def prefill(self, done: int, total: int) -> None: ...

    def reasoning(self, text: str) -> None: ...

    def before_answer(self, text: str) -> None:
        """Answer text is about to be written to standard output."""
        ...

    def after_answer(self, text: str) -> None:
        """It was."""
        ...

    def step(self, step: Step) -> None: ...

    def finish(self, trace: Trace) -> None:
        """Nothing more will come; the answer's line is still open."""
        ...

    def close(self, trace: Trace) -> None:
        """The answer's line has ended."""
        ...


class Relay:
    """The observer of an engine: sends each part of the text where it belongs."""

    def __init__(self, answer: AnswerStream, steps: Steps) -> None:
        self._answer = answer
        self._steps = steps

    def prefill(self, done: int, total: int) -> None:
        self._steps.prefill(done, total)

    def text(self, text: str, part: Part) -> None:
        if part == "reasoning":
            self._steps.reasoning(text)
            return
        lead, due = self._answer.take(text)
        if lead:
            self._steps.reasoning(lead)
        if due:
            self._steps.before_answer(due)
            self._answer.write(due)
            self._steps.after_answer(due)

    def step(self, step: Step) -> None:
        self._steps.step(step)

    def finish(self, trace: Trace) -> None:
        """End the answer. Raises what went wrong with standard output."""
        self._steps.finish(trace)
        self._answer.finish(trace.answer_text)
        self._steps.close(trace)


class Recorder:
    """Keeps what an engine tells until it is replayed: ``--no-stream``."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._events: list[Callable[[], None]] = []

    def prefill(self, done: int, total: int) -> None:
        self._relay.prefill(done, total)

    def text(self, text: str, part: Part) -> None:
        self._events.append(lambda: self._relay.text(text, part))

    def step(self, step: Step) -> None:
        self._events.append(lambda: self._relay.step(step))

    def finish(self, trace: Trace) -> None:
        for event in self._events:
            event()
        self._relay.finish(trace)


class NoSteps:
    """``-q``, ``--json``: nothing."""

    def prefill(self, done: int, total: int) -> None:
        """Nothing."""

    def reasoning(self, text: str) -> None:
        """Nothing."""

    def before_answer(self, text: str) -> None:
        """Nothing."""

    def after_answer(self, text: str) -> None:
        """Nothing."""

    def step(self, step: Step) -> None:
        """Nothing."""

    def finish(self, trace: Trace) -> None:
        """Nothing."""

    def close(self, trace: Trace) -> None:
        """Nothing."""


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
            self._err.write(
                f"{safe(line) if self._make_safe else line}  {paint(mark, self._face)}".rstrip() + "\n"
            )


class LiveSteps(NoSteps):
    """The terminal. ``woven``: standard output is the same one."""

    def __init__(self, err: Output, face: Face, *, woven: bool) -> None:
        self._err = err
        self._face = face
        self._woven = woven
        self._signs = glyphs(unicode=face.unicode)
        self._column = 0
        self._held = ""  # white space that waits for the text behind it: a mark may come before it
        self._marked = False  # the line under way has its mark and is over
        self._reasoned = False
        self._seen: set[Part] = set()  # in the step under way
        self._waiting: Text | None = None  # the mark of a step of the answer, unless it is the last
        self._status = False

    def prefill(self, done: int, total: int) -> None:
        if self._face.color and total >= _LONG_PROMPT and done < total:
            status = Text(f"reading {done:,} of {total:,} tokens", "dim")
            self._err.write(CLEAR_LINE + paint(status, self._face))
            self._status = True

    def reasoning(self, text: str) -> None:
        if text.strip():
            self._seen.add("reasoning")
            self._reasoned = True
        self._show(text)

    def before_answer(self, text: str) -> None:
        self._seen.add("answer")
        if self._woven:
            self._make_room(text)
            self._err.write(_BOLD if self._emphasis else "")

    def after_answer(self, text: str) -> None:
        if self._woven:
            self._err.write(_PLAIN if self._emphasis else "")
            self._advance(safe(text))
        elif "reasoning" in self._seen:
            self._show(text)

    def step(self, step: Step) -> None:
        seen, self._seen = self._seen, set()
        mark = step_mark(step, self._signs)
        if "answer" in seen and self._reasoned:
            self._waiting = mark if self._woven or "reasoning" in seen else None
        elif self._woven or "reasoning" in seen:
            self._draw(mark)

    def finish(self, trace: Trace) -> None:
        self._clear_status()
        if self._waiting is not None:
            self._waiting = None
            self._draw(answer_mark(trace, self._signs))

    def close(self, trace: Trace) -> None:
        if self._column and not (self._woven and trace.answer_text):
            self._err.write("\n")
        if self._column or self._woven:
            self._err.write("\n")

    @property
    def _emphasis(self) -> bool:
        return self._reasoned and self._face.color

    def _show(self, text: str) -> None:
        text = safe(text)
        due = text.rstrip()
        if due:
            self._make_room(due)
            self._err.write(due)
            self._advance(due)
        self._held += text[len(due) :]

    def _make_room(self, text: str) -> None:
        """Before ``text``: end what is still open."""
        self._clear_status()
        if self._waiting is not None:
            self._draw(self._waiting)
            self._waiting = None
        gap, self._held = self._held if self._column else "", ""
        if self._marked and "\n" not in gap and not text.startswith("\n"):
            gap = "\n"
        self._marked = False
        self._err.write(gap)
        self._advance(gap)

    def _draw(self, mark: Text) -> None:
        placed = at_gutter(mark, column=self._column, width=self._err.width)
        self._err.write(paint(placed, self._face))
        self._marked = True

    def _advance(self, text: str) -> None:
        line_break = text.rfind("\n")
        if line_break >= 0:
            self._column, text = 0, text[line_break + 1 :]
        self._column += cell_len(text.expandtabs(8))

    def _clear_status(self) -> None:
        if self._status:
            self._err.write(CLEAR_LINE)
            self._status = False
