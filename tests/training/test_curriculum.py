"""Curricula draw what they say, from the training split alone."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from training.curriculum import CURRICULA, Mixture, phase_problems, problems
from training.families import FAMILIES
from training.problems import Split, split_of


@pytest.mark.parametrize("name", CURRICULA)
def test_curricula_are_whole(name: str) -> None:
    phases = CURRICULA[name]
    assert sum(phase.share for phase in phases) == pytest.approx(1)
    for phase in phases:
        assert sum(weight for weight, _ in phase.mixtures) == pytest.approx(1)
        assert {family for _, mixture in phase.mixtures for family in mixture.families} <= FAMILIES.keys()


@pytest.mark.parametrize("name", CURRICULA)
def test_every_phase_can_be_drawn_and_is_judged_right(name: str) -> None:
    for phase in CURRICULA[name]:
        for problem in islice(phase_problems(phase, seed=5), 300):
            assert split_of(problem) == "train"
            labels = FAMILIES[problem.family].judge(problem, problem.solution.splitlines())
            assert labels.answer, problem
            assert all(step.valid for step in labels.steps), problem


def test_mixtures_come_in_their_shares() -> None:
    drawn = islice(phase_problems(CURRICULA["full"][-1], seed=1), 2000)
    counts = Counter(problem.level for problem in drawn)
    shares = np.array([counts[level] / 2000 for level in ("easy", "standard", "hard")])
    assert np.allclose(shares, (0.25, 0.65, 0.10), atol=0.04)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_stream_keeps_to_its_split_and_repeats(split: Split) -> None:
    mixture = Mixture(tuple(FAMILIES), level="standard", steps={2: 1, 4: 1}, kinds={"answerable": 1})
    questions = []
    for _ in range(2):
        drawn = list(islice(problems(mixture, split_name=split, seed=0), 40))
        assert {split_of(problem) for problem in drawn} == {split}
        questions.append([problem.question for problem in drawn])
    assert questions[0] == questions[1]
