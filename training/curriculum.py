"""Which problems are drawn when: mixtures of families, levels, steps and kinds, in phases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from training.families import FAMILIES
from training.problems import Kind, Level, Problem, Split, split_of


@dataclass(frozen=True)
class Mixture:
    """A distribution of problems: how often each number of steps, and each kind, at one level."""

    families: tuple[str, ...] = ("quantities",)
    level: Level = "easy"
    steps: Mapping[int, float] = field(default_factory=lambda: {1: 0.15, 2: 0.40, 3: 0.45})
    kinds: Mapping[Kind, float] = field(default_factory=lambda: {"answerable": 1.0})


@dataclass(frozen=True)
class Phase:
    """A stretch of training: its share of the tokens, and mixtures with their weights."""

    share: float
    mixtures: tuple[tuple[float, Mixture], ...]


def problems(
    mixture: Mixture, *, split_name: Split, seed: int | str, unseen_wording: bool = False
) -> Iterator[Problem]:
    """An endless, seeded stream of problems whose names and numbers belong to one split."""
    rng = Random(f"{seed}/{split_name}/{unseen_wording}")
    counts, weights = zip(*mixture.steps.items(), strict=True)
    kinds, shares = zip(*mixture.kinds.items(), strict=True)
    while True:
        family = FAMILIES[rng.choice(mixture.families)]
        steps = rng.choices(counts, weights)[0]
        # Without a choice nothing is drawn, so that new kinds leave the published test problems as they are.
        kind = rng.choices(kinds, shares)[0] if len(kinds) > 1 else kinds[0]
        problem = family.problem(
            rng, level=mixture.level, steps=steps, kind=kind, unseen_wording=unseen_wording
        )
        if split_of(problem) == split_name:
            yield problem


def phase_problems(phase: Phase, *, seed: int | str) -> Iterator[Problem]:
    """The training problems of a phase, each from one of its mixtures."""
    streams = [
        problems(mixture, split_name="train", seed=seed if index == 0 else f"{seed}+{index}")
        for index, (_, mixture) in enumerate(phase.mixtures)
    ]
    if len(streams) == 1:
        yield from streams[0]
    rng = Random(f"{seed}/mixtures")
    weights = [weight for weight, _ in phase.mixtures]
    while True:
        yield next(rng.choices(streams, weights)[0])


_ALL = ("quantities", "changes", "prices", "order")
_FLAWED: Mapping[Kind, float] = {"answerable": 0.8, "unanswerable": 0.12, "contradictory": 0.08}
_STANDARD_STEPS = {2: 0.2, 3: 0.3, 4: 0.3, 5: 0.2}
_HARD_STEPS = {5: 0.5, 6: 0.3, 7: 0.2}

# ``first-cut`` made the model that ships. ``full`` lengthens, shuffles and adds flaws one after the other.
CURRICULA: Mapping[str, tuple[Phase, ...]] = {
    "first-cut": (Phase(1.0, ((1.0, Mixture()),)),),
    "full": (
        Phase(0.25, ((1.0, Mixture(_ALL)),)),
        Phase(
            0.35,
            (
                (0.4, Mixture(_ALL, kinds=_FLAWED)),
                (0.6, Mixture(_ALL, level="standard", steps=_STANDARD_STEPS)),
            ),
        ),
        Phase(
            0.40,
            (
                (0.25, Mixture(_ALL, kinds=_FLAWED)),
                (0.65, Mixture(_ALL, level="standard", steps=_STANDARD_STEPS, kinds=_FLAWED)),
                (0.10, Mixture(_ALL, level="hard", steps=_HARD_STEPS)),
            ),
        ),
    ),
}
