"""Many questions at once: ``sage ask --jsonl``. A trace for each, a line each, in the order of the questions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mch_runtime.errors import Interrupted, SageError, file_error
from mch_runtime.options import AskOptions, EngineOptions
from mch_runtime.records import QuestionRecord, read_questions
from mch_runtime.session import Interrupt
from mch_runtime.trace import ModelInfo, Trace
from mch_runtime.wire import to_wire
from sage_cli.answering import Display, check_head, exit_code
from sage_cli.console import STDIN
from sage_cli.growing import GrowingFile, growing, marks
from sage_cli.keeper import Keeper
from sage_cli.screen import passing_line
from sage_cli.shell import Shell
from sage_cli.tally import Tally

if TYPE_CHECKING:
    from mch_runtime.answering import Answered, Question

EXIT_NO_ANSWER = 1


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question of the batch with where it came from."""

    record: QuestionRecord
    options: AskOptions

    @property
    def mark(self) -> tuple[int, str]:
        """The same for the same question in another run."""
        parts = (self.record.question, self.options.system, self.options.effort.mode)
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
        return self.record.line, digest


def answer_batch(
    shell: Shell, engine: EngineOptions, options: AskOptions, display: Display, *, resume: Path | None
) -> int:
    """Ask all questions of standard input; the exit code. Raises SageError, and BrokenPipeError if nobody reads."""
    interrupt = Interrupt()
    loading = passing_line(shell, f"loading {engine.model.name}", hidden=display.quiet)
    with shell.signals.guarding(interrupt), loading:
        opening = shell.open_engine(engine, interrupt=interrupt)
    with opening as opened:
        check_head(opened, display)
        if not display.quiet:
            for notice in opened.notices:
                shell.note(notice)
        run = _Run(shell, opened.model.name, options, display)
        with (
            _sink(shell, resume, opened.model) as sink,
            run.kept(),
            run.tally.shown(),
            shell.signals.guarding(interrupt),
        ):
            for answered in opened.answers(run.questions(sink.done)):
                run.take(answered, sink)
    return run.code


class _Run:
    """The questions on their way to answers."""

    def __init__(self, shell: Shell, model: str, options: AskOptions, display: Display) -> None:
        self.tally = Tally(shell, quiet=display.quiet, done="answered")
        self._shell = shell
        self._model = model
        self._options = options
        self._display = replace(display, quiet=True)
        self._keeper = Keeper(
            shell, wanted=display.log, quiet=display.quiet, lost="answers are not kept from here on"
        )
        self._asked: list[Asked] = []
        self._under_way: dict[int, str] = {}  # places and their ids in the log
        self._codes: set[int] = set()
        self._failure = 0

    @property
    def code(self) -> int:
        """That of the first record that failed, else the lowest of the answers'."""
        return self._failure or min(self._codes - {0}, default=0)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """The log is open; what the body leaves unanswered was interrupted."""
        try:
            yield
        finally:
            for identifier in self._under_way.values():
                self._keeper.fail(identifier, "interrupted")
            self._keeper.close()

    def questions(self, done: set[tuple[int, str]]) -> Iterator[Question]:
        """Those that are to be asked; bad records are reported on the way."""
        from mch_runtime.answering import Question

        for record in _records():
            if isinstance(record.error, SageError):
                self._refuse(record.line, record.error)
                continue
            system = self._options.system if record.system is None else record.system
            asked = Asked(record=record, options=replace(self._options, system=system))
            if asked.mark in done:
                self.tally.skipped()
                continue
            self._under_way[len(self._asked)] = self._keeper.begin(
                record.question, self._model, system=system
            )
            self._asked.append(asked)
            yield Question(text=record.question, options=asked.options)

    def take(self, answered: Answered, sink: _Sink) -> None:
        """Write an answer down. What an interrupt has cut off is left to another run."""
        asked = self._asked[answered.place]
        if answered.trace is None:
            if not isinstance(answered.error, Interrupted):
                self._keeper.fail(self._under_way.pop(answered.place), "failed")
                self._refuse(asked.record.line, answered.error or SageError("no answer"))
            return
        if answered.trace.finish_reason == "interrupted":
            return
        self._keeper.complete(self._under_way.pop(answered.place), answered.trace)
        sink.write(asked, answered.trace)
        self._codes.add(self._code(answered.trace))
        self.tally.done()

    def _code(self, trace: Trace) -> int:
        return EXIT_NO_ANSWER if trace.answer is None else exit_code(self._shell, trace, self._display)

    def _refuse(self, line: int, error: SageError) -> None:
        self._failure = self._failure or error.exit_code
        self.tally.refused(line, error)


def _records() -> Iterable[QuestionRecord]:
    with open(STDIN, "rb", closefd=False) as file:
        try:
            yield from read_questions(file)
        except OSError as error:
            raise file_error(error, "read", "standard input") from error


class _Sink:
    """Where the lines go. done: the marks of those that are there already."""

    def __init__(self, put: Callable[[str], None], done: set[tuple[int, str]]) -> None:
        self.done = done
        self._put = put

    def write(self, asked: Asked, trace: Trace) -> None:
        line, digest = asked.mark
        record: dict[str, Any] = {"line": line, "sha256": digest}
        if asked.record.id is not None:
            record["id"] = asked.record.id
        self._put(json.dumps({**to_wire(trace), "record": record}))


@contextmanager
def _sink(shell: Shell, resume: Path | None, model: ModelInfo) -> Iterator[_Sink]:
    if resume is None:
        yield _Sink(lambda line: shell.out.write(f"{line}\n"), set())
        return
    with shell.users_umask(), growing(resume, resume=True) as file:
        yield _Sink(file.append, _done(file, model))


def _done(file: GrowingFile, model: ModelInfo) -> set[tuple[int, str]]:
    return marks(file, model, model_of=lambda line: line["model"], wrote="sage ask --jsonl")
