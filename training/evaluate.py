"""Greedy accuracy of a model under way on validation problems, by family, kind and number of steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice

from mch_runtime.options import SamplingOptions
from mch_runtime.session import Session
from training.curriculum import Phase, problems
from training.problems import Problem
from training.traces import Sampled, sample


def evaluate(session: Session, phase: Phase, *, count: int, seed: int, rows: int) -> dict[str, list[bool]]:
    """Whether each answer was right, by group; ``count`` problems in the shares of the phase's mixtures."""
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for one in sample(
        session, _validation(phase, count, seed), count=count, chains=1, sampling=SamplingOptions(), rows=rows
    ):
        for group in _groups(one):
            outcomes[group].append(one.labels.answer)
    return dict(sorted(outcomes.items()))


def _groups(one: Sampled) -> tuple[str, ...]:
    problem = one.problem
    place = f"{problem.family} {problem.level}"
    return ("all", place, f"{place} {problem.kind}", f"{place} {len(problem.steps)} steps")


def _validation(phase: Phase, count: int, seed: int) -> Iterator[Problem]:
    """Problems of the validation split; the last mixture also fills what rounding leaves."""
    total = sum(weight for weight, _ in phase.mixtures)
    for index, (weight, mixture) in enumerate(phase.mixtures):
        share = round(count * weight / total)
        last = index == len(phase.mixtures) - 1
        stream = problems(mixture, split_name="validation", seed=f"{seed}/evaluate{index}")
        yield from stream if last else islice(stream, share)
