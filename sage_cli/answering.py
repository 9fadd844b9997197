"""One answer from start to end: engine, log, display, exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from mch_runtime.errors import Interrupted, SageError, UsageError
from mch_runtime.observer import Observer, SilentObserver
from mch_runtime.options import AskOptions, EngineOptions
from mch_runtime.session import Interrupt
from mch_runtime.trace import ModelInfo, Trace
from mch_runtime.wire import to_wire
from sage_cli.console import same_terminal
from sage_cli.keeper import Keeper
from sage_cli.live import AnswerStream, NoSteps, Recorder, Relay, Steps
from sage_cli.paint import paint
from sage_cli.render.terminal import details, glyphs, summary
from sage_cli.render.votes import votes_table
from sage_cli.screen import passing_line
from sage_cli.shell import Asking, Shell
from sage_cli.steps import ApartSteps, PlainSteps, WovenSteps

EXIT_LOW_CONFIDENCE = 3
EXIT_LOW_CONSISTENCY = 4
EXIT_NO_MAJORITY = 5
MAJORITY = 0.5  # of the weight; more is a majority
UNFAMILIAR = (
    "the question is worded unlike those the head was fitted on: what its confidence is worth is not known"
)
_SLOW_TO_LOAD = 256 * 1024 * 1024  # bytes; smaller models are there before a line could be read


@dataclass(frozen=True, kw_only=True)
class Display:
    """How an answer is shown, whether it is kept, and how good is good enough (None, False: does not matter).

    conversation: which one of the log it goes on with, "" for none.
    """

    as_json: bool
    stream: bool
    log: bool
    quiet: bool
    verbose: bool
    make_safe: bool
    fail_under: float | None
    conversation: str = ""
    fail_under_ics: float | None = None
    require_majority: bool = False
    show_votes: bool = False


def answer(shell: Shell, question: str, engine: EngineOptions, options: AskOptions, display: Display) -> int:
    """Ask, show, keep; the exit code. Raises SageError, and BrokenPipeError if nobody reads."""
    interrupt = Interrupt()
    view = _View(shell, display, interrupt)
    with shell.signals.guarding(interrupt):
        with view.loading(engine.model):
            opening = shell.open_engine(engine, interrupt=interrupt)
        with opening as opened:
            check_head(opened, display)
            view.notices(opened)
            with _kept(shell, question, opened.model, display, system=options.system) as complete:
                trace = opened.ask(question, options, observer=view.observer)
                complete(trace)
    view.finish(trace)
    if shell.signals.received is not None:
        return shell.signals.exit_code
    _check_answer(trace)
    return exit_code(shell, trace, display)


def check_head(engine: Asking, display: Display) -> None:
    """Raises UsageError where the model has no head and the display wants its confidence."""
    if display.fail_under is not None and engine.model.head is None:
        raise UsageError(
            f"--fail-under needs a head, and {engine.model.name} has none",
            hint="give one with --head FILE, or leave --fail-under out",
        )


def _check_answer(trace: Trace) -> None:
    if trace.answer is None:
        cut = trace.finish_reason == "length"
        raise SageError(
            "no answer found in the text", hint="it was cut off: raise --max-tokens" if cut else ""
        )


def exit_code(shell: Shell, trace: Trace, display: Display) -> int:
    """0, or the lowest of the codes for what is not good enough; each of them is told."""
    failures = _failures(trace, display)
    if not display.quiet:
        for sentence in failures.values():
            shell.note(sentence)
    return min(failures, default=0)


def _failures(trace: Trace, display: Display) -> dict[int, str]:
    """Exit codes with what is to be said about them."""
    failures: dict[int, str] = {}
    limit, ics_limit = display.fail_under, display.fail_under_ics
    if limit is not None and (trace.confidence is None or trace.confidence < limit):
        said = f"confidence is {_known(trace.confidence)}, --fail-under asks for {limit:g}"
        failures[EXIT_LOW_CONFIDENCE] = said
    if ics_limit is not None and (trace.ics is None or trace.ics < ics_limit):
        said = f"inverse consistency is {_known(trace.ics)}, --fail-under-ics asks for {ics_limit:g}"
        failures[EXIT_LOW_CONSISTENCY] = said
    share = trace.choice.weighted_share if trace.choice is not None else None
    if display.require_majority and share is not None and share <= MAJORITY:
        failures[EXIT_NO_MAJORITY] = f"no majority: {share:.0%} of the weight is behind the answer"
    return failures


def _known(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4g}"


class _View:
    """The two output streams during one answer."""

    def __init__(self, shell: Shell, display: Display, interrupt: Interrupt) -> None:
        self._shell = shell
        self._display = display
        self._relay: Relay | Recorder | None = None
        if not display.as_json:
            make_safe = display.make_safe or shell.out_face.terminal
            stream = AnswerStream(shell.out, make_safe=make_safe, on_failure=interrupt.request)
            relay = Relay(stream, _steps(shell, display))
            self._relay = relay if display.stream else Recorder(relay)
        self.observer: Observer = self._relay or SilentObserver()

    @contextmanager
    def loading(self, model: Path) -> Iterator[None]:
        """A line that is gone when the model is there, if that takes a while."""
        slow = model.is_file() and model.stat().st_size > _SLOW_TO_LOAD
        with passing_line(self._shell, f"loading {model.name}", hidden=self._display.quiet or not slow):
            yield

    def notices(self, engine: Asking) -> None:
        if not self._display.quiet:
            for notice in engine.notices:
                self._shell.note(notice)

    def finish(self, trace: Trace) -> None:
        """The rest of the answer, and the last line."""
        if self._relay is None:
            self._shell.out.write(json.dumps(to_wire(trace)) + "\n")
        else:
            self._relay.finish(trace)
        if trace.familiar is False and not self._display.quiet:
            self._shell.note(UNFAMILIAR)
        self._show_votes(trace)
        if self._display.quiet or (self._display.as_json and not self._display.verbose):
            return
        face = self._shell.err_face
        signs = glyphs(unicode=face.unicode)
        text = summary(trace, signs, width=self._shell.err.width if face.terminal else sys.maxsize)
        if self._display.verbose:
            text += Text("\n") + details(trace)
        self._shell.err.write(paint(text, face) + "\n")

    def _show_votes(self, trace: Trace) -> None:
        if self._display.show_votes and trace.votes:
            face = self._shell.err_face
            table = votes_table(trace.votes, unicode=face.unicode)
            self._shell.err.write(paint(table, face) + "\n\n")


def _steps(shell: Shell, display: Display) -> Steps:
    if display.quiet:
        return NoSteps()
    face = shell.err_face
    if not face.terminal:
        return PlainSteps(shell.err, face, make_safe=display.make_safe)
    woven = same_terminal(shell.out, shell.err)
    return WovenSteps(shell.err, face) if woven else ApartSteps(shell.err, face)


@contextmanager
def _kept(
    shell: Shell, question: str, model: ModelInfo, display: Display, *, system: str
) -> Iterator[Callable[[Trace], None]]:
    """The question is in the log before the body answers it and hands over its answer; a body that raises leaves it failed."""
    keeper = Keeper(shell, wanted=display.log, quiet=display.quiet, lost="this answer is not kept")
    identifier = keeper.begin(question, model.name, conversation=display.conversation, system=system)
    try:
        yield lambda trace: keeper.complete(identifier, trace)
    except SageError as error:
        keeper.fail(identifier, "interrupted" if isinstance(error, Interrupted) else "failed")
        raise
    finally:
        keeper.close()
