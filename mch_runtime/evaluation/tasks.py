"""A task set: its problems, what is asked below each of them, and what identifies its file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from mch_runtime.errors import DataError, SageError
from mch_runtime.evaluation.formats import FORMATS
from mch_runtime.evaluation.problems import Problem
from mch_runtime.evaluation.source import Row, read_rows


@dataclass(frozen=True, kw_only=True)
class Task:
    """Problems to be asked. instruction: what is added to every question, "" for nothing. sha256: of them all."""

    name: str
    title: str
    instruction: str
    problems: tuple[Problem, ...]

    @property
    def sha256(self) -> str:
        joined = "\0".join(problem.sha256 for problem in self.problems)
        return hashlib.sha256(joined.encode()).hexdigest()

    def prompt(self, problem: Problem) -> str:
        """What the model is asked."""
        return f"{problem.question}\n\n{self.instruction}" if self.instruction else problem.question


def read_task(name: str, path: Path, *, seed: int = 0, instruction: str | None = None) -> Task:
    """The task set ``name``, a key of ``FORMATS``, from its file. seed: of the order of options, where that is drawn.

    A problem that occurs twice is taken once. Raises DataError, which names the place, for a record that is not of this format.
    """
    form = FORMATS[name]
    problems = tuple(_problems(name, read_rows(path), seed))
    if not problems:
        raise DataError(f"{path} holds no problems", hint=f"{form.title} is {form.about}")
    return Task(
        name=name,
        title=form.title,
        instruction=form.instruction if instruction is None else instruction,
        problems=problems,
    )


def _problems(name: str, rows: Iterable[Row], seed: int) -> Iterable[Problem]:
    seen: set[str] = set()
    for number, (place, record) in enumerate(rows, start=1):
        try:
            problem = FORMATS[name].read(record, seed)
        except SageError as error:
            raise DataError(f"{place}: {error.message}", hint=error.hint) from error
        if problem.sha256 not in seen:
            seen.add(problem.sha256)
            yield problem if problem.id else replace(problem, id=str(number))
