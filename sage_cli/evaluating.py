"""Evaluations from start to end: task, engine, samples one after the other, the report."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from platformdirs import user_state_path

from mch_runtime.atomic import atomic_output
from mch_runtime.effort import SelectionSettings
from mch_runtime.errors import DataError, Interrupted, UsageError, file_error
from mch_runtime.evaluation.overlap import overlap, training_texts
from mch_runtime.evaluation.problems import Problem
from mch_runtime.evaluation.report import Report, make_report, report_to_wire
from mch_runtime.evaluation.samples import Sample, Setup, from_line, from_lines, to_line
from mch_runtime.evaluation.sampling import Answering, sample, unanswered
from mch_runtime.evaluation.tasks import Task, read_task
from mch_runtime.gguf_file import read_gguf
from mch_runtime.options import EngineOptions
from mch_runtime.session import Interrupt
from sage_cli.growing import GrowingFile, growing
from sage_cli.paint import paint
from sage_cli.screen import passing_line
from sage_cli.shell import Asking, Shell
from sage_cli.standing import Standing

_FILE_WIDTH = 100  # columns of a report that goes to a pipe or a file


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked, and where it is kept. samples None: a file of this plan's own."""

    task: str
    file: Path
    instruction: str | None
    modes: tuple[str, ...]
    votes: int
    temperature: float
    seed: int
    max_tokens: int | None
    samples: Path | None
    resume: bool


@dataclass(frozen=True, kw_only=True)
class Display:
    """What is reported, of how many problems (None: all), and where it goes."""

    against: str | None
    train_data: Path | None
    as_json: bool
    html: Path | None
    limit: int | None
    quiet: bool


def evaluate_task(shell: Shell, plan: Plan, options: EngineOptions, display: Display) -> int:
    """Sample what is missing and report; the exit code. Raises SageError, and BrokenPipeError if nobody reads."""
    task = read_task(plan.task, plan.file, seed=plan.seed, instruction=plan.instruction)
    interrupt = Interrupt()
    loading = passing_line(shell, f"loading {options.model.name}", hidden=display.quiet)
    with shell.signals.guarding(interrupt), loading:
        opening = shell.open_engine(options.side_by_side(plan.votes), interrupt=interrupt)
    with opening as engine:
        if not display.quiet:
            for notice in engine.notices:
                shell.note(notice)
        setup = _setup(task, plan, engine, options)
        samples = _Run(shell, engine, task, setup, display, interrupt).all(plan)
    _report(shell, setup, samples, display, of=len(task.problems))
    return 0


def report_again(shell: Shell, path: Path, display: Display) -> int:
    """Report the samples of a file; the exit code."""
    setup, samples = from_lines(_stored(path), path=path)
    if not samples:
        raise DataError(f"{path} holds no samples yet", hint="sage eval TASK --resume goes on with it")
    _report(shell, setup, samples[: display.limit], display, of=len(samples))
    return 0


class _Run:
    """Samples the problems that have no sample yet."""

    def __init__(
        self,
        shell: Shell,
        engine: Asking,
        task: Task,
        setup: Setup,
        display: Display,
        interrupt: Interrupt,
    ) -> None:
        self._shell = shell
        self._engine = cast(Answering, engine)
        self._task = task
        self._setup = setup
        self._display = display
        self._interrupt = interrupt
        self._settings = SelectionSettings()

    def all(self, plan: Plan) -> list[Sample]:
        """A sample of every problem, in the task's order. Raises Interrupted; what there is stays in the file."""
        problems = self._task.problems[: self._display.limit]
        path = plan.samples or self._own_place(resume=plan.resume)
        with self._shell.users_umask(), growing(path, resume=plan.resume) as file:
            done = self._done(file)
            standing = Standing(self._shell, len(problems), quiet=self._display.quiet)
            try:
                with self._shell.signals.guarding(self._interrupt), standing.shown():
                    for problem in problems:
                        found = done.get(problem.sha256)
                        if found is None:
                            line = to_line(self._sampled(problem, first=not done))
                            file.append(line)
                            found = from_line(line)  # as it will be read again, its figures rounded
                            done[problem.sha256] = found
                            standing.sampled(found)
                        else:
                            standing.skipped(found)
            except Interrupted:
                kept = sum(problem.sha256 in done for problem in problems)
                if not self._display.quiet:
                    self._shell.note(
                        f"{kept:,} of {len(problems):,} problems are in {path}; --resume goes on"
                    )
                raise
        if not self._display.quiet:
            self._shell.note(f"the samples are in {path}")
        return [done[problem.sha256] for problem in problems]

    def _sampled(self, problem: Problem, *, first: bool) -> Sample:
        if self._interrupt.requested:
            raise Interrupted
        try:
            found = sample(self._engine, self._task, problem, self._setup, self._settings)
        except UsageError as error:
            if first:  # more likely the options than this one problem
                raise
            if not self._display.quiet:
                self._shell.note(f"problem {problem.id} counts as not answered: {error.message}")
            return unanswered(problem, self._setup)
        if self._interrupt.requested:  # it may have been cut short
            raise Interrupted
        return found

    def _done(self, file: GrowingFile) -> dict[str, Sample]:
        """The samples that the file holds; a new file gets its header."""
        if not file.lines:
            file.append(to_line(self._setup))
            return {}
        setup, samples = from_lines(file.lines, path=file.path)
        before, now = _identity(setup), _identity(self._setup)
        other = [name for name in now if before[name] != now[name]]
        if other:
            named = other[0].replace("_", " ")
            raise UsageError(
                f"{file.path} was sampled with another {named}", hint="leave --resume out to begin anew"
            )
        return {one.problem.sha256: one for one in samples}

    def _own_place(self, *, resume: bool) -> Path:
        """In the folder of the program's state; what an earlier run left there is put aside."""
        digest = hashlib.sha256(repr(_identity(self._setup)).encode()).hexdigest()[:12]
        try:
            folder = user_state_path("sage") / "eval"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{self._setup.task}-{digest}.jsonl"
            if path.exists() and not resume:
                path.replace(path.with_suffix(".previous.jsonl"))
        except OSError as error:
            raise file_error(error, "write", error.filename or "the folder of samples") from error
        return path


def _setup(task: Task, plan: Plan, engine: Asking, options: EngineOptions) -> Setup:
    from importlib.metadata import version

    return Setup(
        task=task.name,
        title=task.title,
        task_sha256=task.sha256,
        instruction=task.instruction,
        model=engine.model,
        parameters=parameters_of(options.model),
        modes=plan.modes,
        votes=plan.votes if set(plan.modes) - {"fast"} else 0,
        temperature=plan.temperature,
        seed=plan.seed,
        max_tokens=plan.max_tokens,
        sage_version=version("sage-cli"),
    )


def _identity(setup: Setup) -> dict[str, Any]:
    """What must be the same for samples to belong together; a model may have moved."""
    model = setup.model
    return asdict(setup) | {"model": (model.fingerprint, model.quantization, model.head, model.steered_by)}


def parameters_of(path: Path) -> int | None:
    """The weights of a GGUF file, its head left out; None where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return sum(math.prod(tensor.shape) for tensor in read_gguf(descriptor).tensors)
    except (DataError, OSError):
        return None
    finally:
        os.close(descriptor)


def _stored(path: Path) -> Iterator[Mapping[str, Any]]:
    from mch_runtime.evaluation.source import read_rows

    return (row for _, row in read_rows(path))


def _report(shell: Shell, setup: Setup, samples: Sequence[Sample], display: Display, *, of: int) -> None:
    shared = None
    if display.train_data is not None:
        questions = [one.problem.question for one in samples]
        with passing_line(shell, f"reading {display.train_data.name}", hidden=display.quiet):
            shared = overlap(questions, training_texts(display.train_data))
    with passing_line(shell, "computing the report", hidden=display.quiet):
        report = make_report(setup, samples, of=of, against=display.against, overlap=shared)
    _check_row(display.against, report)
    if display.html is not None:
        from sage_cli.render.evaluation_page import evaluated as page

        _write(shell, display.html, page(report))
    if display.as_json:
        shell.out.write(json.dumps(report_to_wire(report)) + "\n")
        return
    from sage_cli.render.evaluation import evaluated

    face = shell.out_face
    width = shell.out.width if face.terminal else _FILE_WIDTH
    text = paint(evaluated(report, unicode=face.unicode), face, width=width)
    shell.out.write("".join(f"{line.rstrip()}\n" for line in text.splitlines()))


def _check_row(name: str | None, report: Report) -> None:
    if name is not None and report.against != name:
        known = ", ".join(row.name for row in report.rows)
        raise UsageError(f"--against {name!r} is no row of this report", hint=f"there are: {known}")


def _write(shell: Shell, path: Path, text: str) -> None:
    with shell.users_umask(), atomic_output(path) as partial:
        partial.write_text(text, encoding="utf-8")
