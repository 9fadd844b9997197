"""Explanations from start to end: engine, records one after the other, where they go, exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mch_runtime.atomic import atomic_output
from mch_runtime.errors import DataError, Interrupted, SageError, UsageError
from mch_runtime.explanation import Explanation
from mch_runtime.explanation_wire import explanation_to_wire
from mch_runtime.observer import ExplainObserver, SilentObserver
from mch_runtime.options import EngineOptions, ExplainOptions
from mch_runtime.session import Interrupt
from sage_cli.growing import GrowingFile, growing
from sage_cli.paint import paint
from sage_cli.render.styles import Format, Style
from sage_cli.screen import passing_line
from sage_cli.shell import Asking, Shell
from sage_cli.subjects import Subject
from sage_cli.tally import Measuring, Tally
from sage_cli.words import with_own_words

EXIT_LOW_CONFIDENCE = 3
EXIT_LOW_CONSISTENCY = 4
_FILE_WIDTH = 80  # columns of text that goes to a file


@dataclass(frozen=True, kw_only=True)
class Display:
    """How explanations are shown, where they go, and how good is good enough (None: does not matter).

    many: JSON Lines, one for each record, instead of one document.
    """

    format: Format
    style: Style
    many: bool
    output: Path | None
    resume: bool
    own_words: bool
    quiet: bool
    fail_under: float | None
    fail_under_ics: float | None


def explain_all(
    shell: Shell,
    subjects: Iterable[Subject],
    engine_options: EngineOptions,
    options: ExplainOptions,
    display: Display,
) -> int:
    """Explain, show; the exit code. Raises SageError, and BrokenPipeError if nobody reads."""
    interrupt = Interrupt()
    loading = passing_line(shell, f"loading {engine_options.model.name}", hidden=display.quiet)
    with shell.signals.guarding(interrupt), loading:
        opening = shell.open_engine(engine_options, interrupt=interrupt)
    with opening as engine:
        _check_head(engine, display)
        if not display.quiet:
            for notice in engine.notices:
                shell.note(notice)
        run = _Run(shell, engine, options, display, interrupt)
        return run.many(subjects) if display.many else run.one(next(iter(subjects)))


def _check_head(engine: Asking, display: Display) -> None:
    if display.fail_under is not None and engine.model.head is None:
        raise UsageError(
            f"--fail-under needs a head, and {engine.model.name} has none",
            hint="give one with --head FILE, or leave --fail-under out",
        )


class _Run:
    def __init__(
        self,
        shell: Shell,
        engine: Asking,
        options: ExplainOptions,
        display: Display,
        interrupt: Interrupt,
    ) -> None:
        self._shell = shell
        self._engine = engine
        self._options = options
        self._display = display
        self._interrupt = interrupt

    def one(self, subject: Subject) -> int:
        """A document. Raises the subject's error."""
        observer = Measuring(self._shell, hidden=self._display.quiet)
        with observer.shown():
            explanation = self._explained(subject, observer)
        to_file = self._display.output is not None
        page = _page(explanation, self._display, self._shell, to_file=to_file)
        if self._display.output is None:
            self._shell.out.write(page)
        else:
            with self._shell.users_umask(), atomic_output(self._display.output) as partial:
                partial.write_text(page, encoding="utf-8")
        return self._code(explanation)

    def many(self, subjects: Iterable[Subject]) -> int:
        """A line for each record; those that cannot be explained are reported and left out."""
        tally = Tally(self._shell, quiet=self._display.quiet)
        codes: set[int] = set()
        failure = 0
        with self._lines() as lines, tally.shown():
            for subject in subjects:
                if lines.has(subject):
                    tally.skipped()
                    continue
                try:
                    explanation = self._explained(subject, SilentObserver())
                except Interrupted:
                    raise
                except SageError as error:
                    failure = failure or error.exit_code
                    tally.refused(subject.line, error)
                    continue
                lines.write(subject, explanation)
                codes.add(self._code(explanation))
                tally.explained()
        return failure or min(codes - {0}, default=0)

    def _explained(self, subject: Subject, observer: ExplainObserver) -> Explanation:
        chain = subject.chain()
        with self._shell.signals.guarding(self._interrupt):
            explanation = self._engine.explain(chain, self._options, observer=observer)
            return with_own_words(self._engine, explanation) if self._display.own_words else explanation

    @contextmanager
    def _lines(self) -> Iterator[_Lines]:
        path = self._display.output
        if path is None:
            yield _Lines(lambda line: self._shell.out.write(f"{line}\n"))
            return
        with self._shell.users_umask(), growing(path, resume=self._display.resume) as file:
            yield _Lines(file.append, _marks(file, self._engine.model.fingerprint))

    def _code(self, explanation: Explanation) -> int:
        confidence, ics = explanation.trace.confidence, explanation.consistency
        if _under(confidence, self._display.fail_under):
            return EXIT_LOW_CONFIDENCE
        return EXIT_LOW_CONSISTENCY if _under(ics.ics if ics else None, self._display.fail_under_ics) else 0


def _under(value: float | None, limit: float | None) -> bool:
    return limit is not None and (value is None or value < limit)


def _page(explanation: Explanation, display: Display, shell: Shell, *, to_file: bool) -> str:
    """The explanation in its format, ending in a line break."""
    if display.format == "json":
        return json.dumps(explanation_to_wire(explanation)) + "\n"
    if display.format == "md":
        from sage_cli.render import markdown

        return markdown.explained(explanation, display.style)
    if display.format == "html":
        from sage_cli.render import html

        return html.explained(explanation, display.style)
    from sage_cli.render import explanation as terminal

    face = shell.out_face
    width = _FILE_WIDTH if to_file else shell.out.width
    text = terminal.explained(explanation, display.style, width=width, unicode=to_file or face.unicode)
    return (text.plain if to_file else paint(text, face)) + "\n"


class _Lines:
    """JSON Lines on their way out; ``done`` are the marks of the records that have theirs already."""

    def __init__(self, put: Callable[[str], None], done: Collection[tuple[int, str]] = ()) -> None:
        self._put = put
        self._done = done

    def has(self, subject: Subject) -> bool:
        return (subject.line, subject.sha256) in self._done

    def write(self, subject: Subject, explanation: Explanation) -> None:
        record = {"line": subject.line, "sha256": subject.sha256}
        self._put(json.dumps({**explanation_to_wire(explanation), "record": record}))


def _marks(file: GrowingFile, fingerprint: str) -> set[tuple[int, str]]:
    """The records that a file to be continued holds. Raises DataError or UsageError if it is another's."""
    try:
        models = {line["trace"]["model"]["fingerprint"] for line in file.lines}
        marks = {_mark(line["record"]) for line in file.lines}
    except (KeyError, TypeError) as error:
        hint = "--resume continues what sage explain wrote"
        raise DataError(f"{file.path} holds something else than explanations", hint=hint) from error
    if models - {fingerprint}:
        raise UsageError(f"{file.path} was made with another model", hint="give that one with -m")
    return marks


def _mark(record: Any) -> tuple[int, str]:
    return record["line"], record["sha256"]
