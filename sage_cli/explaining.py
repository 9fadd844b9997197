"""Explanations from start to end: engine, records one after the other, where they go, exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mch_runtime.atomic import atomic_output
from mch_runtime.errors import Interrupted, NotInstalledError, SageError, UsageError
from mch_runtime.explanation import Explanation
from mch_runtime.explanation_wire import explanation_to_wire
from mch_runtime.observer import ExplainObserver, SilentObserver
from mch_runtime.options import EngineOptions, ExplainOptions
from mch_runtime.session import Interrupt
from mch_runtime.trace import ModelInfo
from sage_cli.entries import StoredExplanation
from sage_cli.growing import growing, marks
from sage_cli.keeper import Keeper
from sage_cli.measured import recall
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
SIDE_BY_SIDE = 32  # sequences; they share one cache, and the more there are the fewer batches it takes


@dataclass(frozen=True, kw_only=True)
class Display:
    """How explanations are shown, where they go, and how good is good enough (None: does not matter).

    many: JSON Lines, one for each record, instead of one document. again: measure what was measured before.
    """

    format: Format
    style: Style
    many: bool
    output: Path | None
    resume: bool
    again: bool
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
    if display.many:
        return _explain(shell, subjects, engine_options, options, display)
    subject = next(iter(subjects))
    options = replace(options, system=options.system or subject.system, past=subject.past)
    kept = partial(recall, shell, subject, engine_options, options, own_words=display.own_words)
    stored = None if display.again else kept()
    if stored is not None:
        return _show_again(shell, stored, display)
    try:
        return _explain(shell, [subject], engine_options, options, display)
    except NotInstalledError as error:
        part = None if display.again else kept(partly=True)
        if part is None:
            raise
        shell.note(f"{error.message}: here is what was measured before, which is less than was asked for")
        return _show_again(shell, part, display)


def _explain(
    shell: Shell,
    subjects: Iterable[Subject],
    engine_options: EngineOptions,
    options: ExplainOptions,
    display: Display,
) -> int:
    """With the model."""
    interrupt = Interrupt()
    loading = passing_line(shell, f"loading {engine_options.model.name}", hidden=display.quiet)
    with shell.signals.guarding(interrupt), loading:
        roomy = replace(engine_options, max_sequences=SIDE_BY_SIDE)
        opening = shell.open_engine(roomy, interrupt=interrupt)
    with opening as engine:
        _check_head(engine.model, display)
        if not display.quiet:
            for notice in engine.notices:
                shell.note(notice)
        run = _Run(shell, engine, options, display, interrupt)
        if display.many:
            return run.many(subjects)
        (subject,) = subjects
        explanation = run.one(subject)
    keeper = Keeper(shell, wanted=True, quiet=display.quiet, lost="this explanation is not kept")
    keeper.explain(subject.id, explanation, engine_options, options)
    keeper.close()
    return _deliver(shell, explanation, display)


def _show_again(shell: Shell, stored: StoredExplanation, display: Display) -> int:
    """What the log has, without the model."""
    _check_head(stored.explanation.trace.model, display)
    if not display.quiet:
        shell.note(f"as measured at {stored.created}; --again measures it anew")
    return _deliver(shell, stored.explanation, display)


def _deliver(shell: Shell, explanation: Explanation, display: Display) -> int:
    """Show a document, or write it to its file; the exit code."""
    page = _page(explanation, display, shell, to_file=display.output is not None)
    if display.output is None:
        shell.out.write(page)
    else:
        with shell.users_umask(), atomic_output(display.output) as partial:
            partial.write_text(page, encoding="utf-8")
    return _code(explanation, display)


def _check_head(model: ModelInfo, display: Display) -> None:
    if display.fail_under is not None and model.head is None:
        raise UsageError(
            f"--fail-under needs a head, and {model.name} has none",
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

    def one(self, subject: Subject) -> Explanation:
        """For a document. Raises the subject's error."""
        observer = Measuring(self._shell, hidden=self._display.quiet)
        with observer.shown():
            return self._explained(subject, observer)

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
                codes.add(_code(explanation, self._display))
                tally.done()
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
            yield _Lines(
                file.append,
                marks(
                    file,
                    self._engine.model,
                    model_of=lambda line: line["trace"]["model"],
                    wrote="sage explain",
                ),
            )


def _code(explanation: Explanation, display: Display) -> int:
    confidence, ics = explanation.trace.confidence, explanation.consistency
    if _under(confidence, display.fail_under):
        return EXIT_LOW_CONFIDENCE
    return EXIT_LOW_CONSISTENCY if _under(ics.ics if ics else None, display.fail_under_ics) else 0


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
