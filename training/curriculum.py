"""Which problems are drawn when: mixtures of families, levels, steps and kinds, in phases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from training.families import FAMILIES
from training.phrasing import casual
from training.problems import Kind, Level, Problem, Split, split_of


@dataclass(frozen=True)
class Mixture:
    """A distribution of problems: how often each number of steps, and each kind, at one level.

    casual: the share that is rephrased the way people type.
    """

    families: tuple[str, ...] = ("quantities",)
    level: Level = "easy"
    steps: Mapping[int, float] = field(default_factory=lambda: {1: 0.15, 2: 0.40, 3: 0.45})
    kinds: Mapping[Kind, float] = field(default_factory=lambda: {"answerable": 1.0})
    casual: float = 0.0


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
            # As above: without a share nothing is drawn.
            rephrase = mixture.casual > 0 and rng.random() < mixture.casual
            yield casual(problem, rng) if rephrase else problem


def phase_problems(phase: Phase, *, seed: int | str, split_name: Split = "train") -> Iterator[Problem]:
    """The problems of a phase, each from one of its mixtures."""
    streams = [
        problems(mixture, split_name=split_name, seed=seed if index == 0 else f"{seed}+{index}")
        for index, (_, mixture) in enumerate(phase.mixtures)
    ]
    if len(streams) == 1:
        yield from streams[0]
    rng = Random(f"{seed}/mixtures")
    weights = [weight for weight, _ in phase.mixtures]
    while True:
        yield next(rng.choices(streams, weights)[0])


ALL_FAMILIES = tuple(FAMILIES)
FLAWED: Mapping[Kind, float] = {"answerable": 0.8, "unanswerable": 0.12, "contradictory": 0.08}
EASY_STEPS: Mapping[int, float] = {1: 0.15, 2: 0.40, 3: 0.45}
STANDARD_STEPS: Mapping[int, float] = {2: 0.2, 3: 0.3, 4: 0.3, 5: 0.2}

# Told in story order first, then longer, shuffled and flawed.
BASE = (
    Phase(0.3, ((1.0, Mixture(ALL_FAMILIES, steps={1: 0.30, 2: 0.45, 3: 0.25})),)),
    Phase(
        0.7,
        (
            (0.5, Mixture(ALL_FAMILIES, steps=EASY_STEPS, kinds=FLAWED)),
            (0.5, Mixture(ALL_FAMILIES, level="standard", steps={2: 0.3, 3: 0.4, 4: 0.3}, kinds=FLAWED)),
        ),
    ),
)


def _everything(
    kinds: Mapping[Kind, float],
    *,
    easy: float = 0.35,
    steps: Mapping[int, float] = STANDARD_STEPS,
    families: tuple[str, ...] = ALL_FAMILIES,
) -> tuple[Phase]:
    """All but the lengths of ``test-length``, phrased by the book and casually.

    easy: the share of that level; steps: of the other.
    """
    told_in_order = Mixture(families, steps=EASY_STEPS, kinds=kinds, casual=0.35)
    shuffled = Mixture(families, level="standard", steps=steps, kinds=kinds, casual=0.12)
    return (Phase(1.0, ((easy, told_in_order), (1 - easy, shuffled))),)


# What the model is measured on, and its head is fitted on.
SERVED = _everything(FLAWED)
# Flaws are what is learned last: they are three times as frequent here as where the model is measured.
_FLAWS_OFTEN: Mapping[Kind, float] = {"answerable": 0.62, "unanswerable": 0.23, "contradictory": 0.15}
FULL = _everything(_FLAWS_OFTEN)
# ``order`` is learned last: here it is told nearly twice as often as the others.
LAST = (
    Phase(
        1.0,
        (
            *((0.75 * weight, mixture) for weight, mixture in FULL[0].mixtures),
            *(
                (0.25 * weight, mixture)
                for weight, mixture in _everything(_FLAWS_OFTEN, families=("order",))[0].mixtures
            ),
        ),
    ),
)
# Short and shuffled: whom a fact is about has to be looked up, its place tells nothing.
LOOKUP = _everything(
    {"answerable": 0.75, "unanswerable": 0.15, "contradictory": 0.10},
    easy=0.25,
    steps={1: 0.20, 2: 0.30, 3: 0.25, 4: 0.15, 5: 0.10},
)
