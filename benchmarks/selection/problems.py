"""The problems: a fixed mixture of levels, and the level `standard` alone."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.evaluation import DEFAULT_SEED, draw_all
from mch_runtime.atomic import atomic_output
from training.problems import Problem, Split

LEVELS = ("standard", "hard")  # in turn: greedy answers are right for some 60 % of such a mixture


def write_problems(path: Path, *, split: Split, count: int, more_standard: int = 0) -> int:
    """``count`` problems of each level in turn, then more of `standard`; how many there are."""
    drawn = draw_all(LEVELS, count=count + more_standard, seed=DEFAULT_SEED, split=split)
    standard, hard = drawn["standard"], drawn["hard"][:count]
    ordered = [problem for pair in zip(standard[:count], hard, strict=True) for problem in pair]
    ordered += standard[count:]
    with atomic_output(path) as partial:
        partial.write_text("".join(f"{json.dumps(_record(n, p))}\n" for n, p in enumerate(ordered, start=1)))
    return len(ordered)


def _record(number: int, problem: Problem) -> dict[str, object]:
    return {
        "id": f"{problem.level}-{number}",
        "question": problem.question,
        "answer": problem.answer,
        "level": problem.level,
        "family": problem.family,
        "steps": len(problem.steps),
    }
