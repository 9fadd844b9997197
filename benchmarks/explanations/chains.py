"""Chains of the embedded model on held-out problems, written and taken apart as users have it done."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from benchmarks.evaluation import SETS
from benchmarks.greedy import logprob_mean
from mch_runtime.engine import Engine
from mch_runtime.inverse.verdicts import WRONG
from mch_runtime.options import AskOptions, ExplainOptions, SamplingOptions
from mch_runtime.trace import Step, Trace
from training.curriculum import ALL_FAMILIES, problems
from training.families import FAMILIES
from training.problems import Problem, Split, StepLabel
from training.traces import MAX_TOKENS

SET = "mixed"  # easy and standard in halves, all families and kinds
EVERY = 100  # how often progress is told

# Steps, commitment and inverse consistency: what every explanation has.
LIGHT = ExplainOptions(monotonicity=False, control=False, premises=False, attention=False, alternatives=False)

T = TypeVar("T")


@dataclass(frozen=True)
class Written:
    """A chain that the model wrote. group: its problem's place among the drawn ones."""

    problem: Problem
    group: int
    greedy: bool
    trace: Trace

    @property
    def right(self) -> bool:
        return self.trace.answer == self.problem.answer

    @property
    def exact(self) -> bool:
        """Whether it is the exact solution, word for word."""
        return self.trace.text.strip() == self.problem.solution


@dataclass(frozen=True)
class Explained:
    """A chain with verdicts, and what the family says of every step."""

    written: Written
    steps: tuple[Step, ...]
    labels: tuple[StepLabel, ...]
    ics: float | None
    logprob_mean: float

    @property
    def wrong_step(self) -> int | None:
        """The first step that is not valid and not taken back: the truth."""
        return first_invalid(self.labels)

    @property
    def found_step(self) -> int | None:
        """The first step that the verdicts call wrong."""
        return next((index for index, step in enumerate(self.steps) if step.verdict in WRONG), None)


def first_invalid(labels: Sequence[StepLabel]) -> int | None:
    """The first step that is not valid and not taken back, None in a clean chain."""
    return next((i for i, label in enumerate(labels) if not label.valid and not label.withdrawn), None)


def held_out(
    count: int,
    *,
    seed: int | str,
    split: Split = "test",
    families: Sequence[str] = ALL_FAMILIES,
) -> list[Problem]:
    """The first ``count`` problems of the set, no question twice."""
    mixtures = [replace(mixture, families=tuple(families)) for mixture in SETS[SET].mixtures]
    streams = [
        problems(mixture, split_name=split, seed=f"{seed}/{SET}/{index}")
        for index, mixture in enumerate(mixtures)
    ]
    return list(islice(_distinct(streams), count))


def _distinct(streams: Sequence[Iterator[Problem]]) -> Iterator[Problem]:
    seen: set[str] = set()
    while True:
        for stream in streams:
            problem = next(stream)
            if problem.question not in seen:
                seen.add(problem.question)
                yield problem


def write(engine: Engine, drawn: Sequence[Problem], *, sampled: int, seed: int) -> Iterator[Written]:
    """For each problem the greedy chain, then ``sampled`` ones at temperature 1 with nothing else."""
    for group, problem in enumerate(drawn):
        yield Written(problem, group, greedy=True, trace=ask(engine, problem))
        for k in range(sampled):
            own = SamplingOptions(
                temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=seed + 1 + group * sampled + k
            )
            yield Written(problem, group, greedy=False, trace=ask(engine, problem, own))


def ask(
    engine: Engine, problem: Problem, sampling: SamplingOptions | None = None, *, keep: bool = False
) -> Trace:
    """One answer; greedy without ``sampling``."""
    options = AskOptions(max_tokens=MAX_TOKENS, sampling=sampling or SamplingOptions(), keep=keep)
    return engine.ask(problem.question, options)


def explain_lightly(engine: Engine, written: Iterable[Written]) -> Iterator[Explained]:
    """Every chain with its verdicts; one without any text is left out."""
    for one in written:
        if not one.trace.steps:
            continue
        trace = engine.explain(one.trace, LIGHT).trace
        labels = FAMILIES[one.problem.family].judge(one.problem, [step.text for step in trace.steps])
        yield Explained(one, trace.steps, labels.steps, trace.ics, logprob_mean(trace.steps))


def told(items: Iterable[T], what: str) -> Iterator[T]:
    """The items, with progress on standard error."""
    count = 0
    for count, item in enumerate(items, 1):
        if count % EVERY == 0:
            print(f"{what}: {count}", file=sys.stderr)
        yield item
    print(f"{what}: {count}, all", file=sys.stderr)
