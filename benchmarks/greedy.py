"""Greedy answers to evaluation problems, asked as ``sage ask`` asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.evaluation import Said, Simple, said
from mch_runtime.engine import Engine
from mch_runtime.options import AskOptions
from mch_runtime.trace import Step
from training.problems import Problem
from training.traces import MAX_TOKENS


@dataclass(frozen=True)
class Answered:
    """A problem and what the model made of it.

    answer: None if the text has none. confidence: as shown to users, None where they are shown none.
    logprob_mean: of all generated tokens, nats.
    """

    problem: Problem
    answer: str | None
    confidence: float | None
    logprob_mean: float

    @property
    def right(self) -> bool:
        return self.answer == self.problem.answer

    @property
    def said(self) -> Said:
        return said(self.answer)


def ask_all(engine: Engine, problems: Iterable[Problem]) -> list[Answered]:
    """Greedy answers to all of them."""
    answered = []
    for problem in problems:
        trace = engine.ask(problem.question, AskOptions(max_tokens=MAX_TOKENS))
        answered.append(Answered(problem, trace.answer, trace.confidence, logprob_mean(trace.steps)))
    return answered


def logprob_mean(steps: Sequence[Step]) -> float:
    """Mean log-probability, nats, of a chain's tokens; -inf of a chain without text."""
    lengths = [step.tokens[1] - step.tokens[0] for step in steps]
    total = sum(step.logprob_mean * length for step, length in zip(steps, lengths, strict=True))
    return total / sum(lengths) if steps else float("-inf")


@dataclass(frozen=True)
class SimplyAnswered:
    """A newcomer's question and what was said to it."""

    asked: Simple
    answer: str | None
    confidence: float | None

    @property
    def right(self) -> bool:
        return (self.answer or "").casefold() == self.asked.answer.casefold()


def ask_newcomers(engine: Engine, questions: Iterable[Simple]) -> list[SimplyAnswered]:
    """Greedy answers to a newcomer's questions."""
    traces = [(one, engine.ask(one.question, AskOptions(max_tokens=MAX_TOKENS))) for one in questions]
    return [SimplyAnswered(one, trace.answer, trace.confidence) for one, trace in traces]


GROUPINGS: Mapping[str, Callable[[Problem], str]] = {
    "level": lambda p: p.level,
    "family": lambda p: p.family,
    "steps": lambda p: _steps(p),
    "family and steps": lambda p: f"{p.family}, {_steps(p)}",
}


def groups(problems: Sequence[Problem]) -> dict[str, np.ndarray]:
    """Names of groups with their members as bool (n,): all, levels, families, numbers of steps, both.

    A grouping that leaves one group is left out.
    """
    found = {"all": np.ones(len(problems), dtype=bool)}
    for key in GROUPINGS.values():
        names = np.array([key(problem) for problem in problems])
        distinct = sorted(set(names.tolist()))
        if len(distinct) > 1:
            found |= {name: names == name for name in distinct}
    return found


def _steps(problem: Problem) -> str:
    count = len(problem.steps)
    return f"{count} step{'s' * (count > 1)}"
