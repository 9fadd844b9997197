"""The problems that models are measured on: named sets of the test split, seeded, no question twice.

Nothing is chosen or fitted on them; for that the same sets are drawn from the validation split.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.curriculum import ALL_FAMILIES, EASY_STEPS, FLAWED, STANDARD_STEPS, Mixture, problems
from training.problems import CONTRADICTION, UNKNOWN, Kind, Problem, Split

NEWCOMERS = Path(__file__).parent / "newcomers.jsonl"
DEFAULT_SEED = 7

# Lengths that training has little or nothing of.
HARD_STEPS = {5: 0.5, 6: 0.3, 7: 0.2}
LONG_STEPS = {6: 0.6, 7: 0.4}

Said = Literal["unknown", "contradiction", "an answer", "nothing"]


@dataclass(frozen=True)
class EvaluationSet:
    """Problems of several mixtures in equal shares, told one after the other."""

    mixtures: tuple[Mixture, ...]
    unseen_wording: bool = False


def _halves(kinds: Mapping[Kind, float], *, unseen_wording: bool = False) -> EvaluationSet:
    """Half easy, half standard."""
    easy = Mixture(ALL_FAMILIES, steps=EASY_STEPS, kinds=kinds)
    standard = Mixture(ALL_FAMILIES, level="standard", steps=STANDARD_STEPS, kinds=kinds)
    return EvaluationSet((easy, standard), unseen_wording=unseen_wording)


SETS: Mapping[str, EvaluationSet] = {
    "easy": EvaluationSet((Mixture(ALL_FAMILIES, steps=EASY_STEPS),)),
    "standard": EvaluationSet((Mixture(ALL_FAMILIES, level="standard", steps=STANDARD_STEPS),)),
    "unanswerable": _halves({"unanswerable": 1.0}),
    "contradictory": _halves({"contradictory": 1.0}),
    "test-wording": _halves({"answerable": 1.0}, unseen_wording=True),
    "test-length": EvaluationSet((Mixture(ALL_FAMILIES, level="hard", steps=LONG_STEPS),)),
    "casual": EvaluationSet((Mixture(ALL_FAMILIES, steps=EASY_STEPS, casual=1.0),)),
    "hard": EvaluationSet((Mixture(ALL_FAMILIES, level="hard", steps=HARD_STEPS),)),
    "mixed": _halves(FLAWED),
}


def draw(name: str, *, count: int, seed: int) -> list[Problem]:
    """The first ``count`` problems of a set."""
    return draw_all([name], count=count, seed=seed)[name]


def draw_all(
    names: Iterable[str], *, count: int, seed: int, split: Split = "test"
) -> dict[str, list[Problem]]:
    """The first ``count`` problems of each set, no question twice among all of them."""
    seen: set[str] = set()
    return {name: _draw(name, count, seed, seen, split) for name in names}


def _draw(name: str, count: int, seed: int, seen: set[str], split: Split) -> list[Problem]:
    chosen = SETS[name]
    streams = [
        problems(
            mixture,
            split_name=split,
            seed=f"{seed}/{name}/{index}",
            unseen_wording=chosen.unseen_wording,
        )
        for index, mixture in enumerate(chosen.mixtures)
    ]
    drawn: list[Problem] = []
    while len(drawn) < count:
        problem = next(streams[len(drawn) % len(streams)])
        if problem.question not in seen:
            seen.add(problem.question)
            drawn.append(problem)
    return drawn


@dataclass(frozen=True)
class Simple:
    """A question as a newcomer would type it, with its answer."""

    question: str
    answer: str


def newcomers(path: Path = NEWCOMERS) -> list[Simple]:
    """The committed list of simple questions: JSON lines with ``question`` and ``answer``."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Simple(**json.loads(line)) for line in lines if line.strip()]


def said(answer: str | None) -> Said:
    """What kind of thing an answer says."""
    if answer is None:
        return "nothing"
    if answer == UNKNOWN:
        return "unknown"
    return "contradiction" if answer == CONTRADICTION else "an answer"
