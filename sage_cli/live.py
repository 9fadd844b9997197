"""What an engine tells, sent where it belongs: the answer to standard output, the rest to standard error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from mch_runtime.errors import SageError
from sage_cli.console import Output
from sage_cli.render.safe import safe

if TYPE_CHECKING:
    from mch_runtime.observer import Part
    from mch_runtime.trace import Step, Trace


_SHORT = 64  # characters; an answer as short as this goes into a pipe in one piece


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
        self._waiting = ""
        self._streaming = output.terminal

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
        """What was taken."""
        self._waiting += text
        self._streaming = self._streaming or len(self._waiting) > _SHORT
        if self._streaming:
            self._flush()

    def _flush(self) -> None:
        text, self._waiting = self._waiting, ""
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
        self._flush()
        if self.failure is not None:
            raise self.failure


class Steps(Protocol):
    """The part of the display that is on standard error."""

    def prefill(self, done: int, total: int) -> None: ...

    def drawn(self, ended: int, wanted: int) -> None:
        """So many of several chains have been written."""
        ...

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

    def drawn(self, ended: int, wanted: int) -> None:
        self._steps.drawn(ended, wanted)

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

    def drawn(self, ended: int, wanted: int) -> None:
        self._relay.drawn(ended, wanted)

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

    def drawn(self, ended: int, wanted: int) -> None:
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
