"""Curricula draw what they say, from the training split alone."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from training import recipe
from training.curriculum import BASE, FULL, Mixture, phase_problems, problems
from training.families import FAMILIES
from training.problems import Split, split_of

CURRICULA = {"base": BASE, "full": FULL}


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
    drawn = list(islice(phase_problems(FULL[-1], seed=1), 2000))
    levels = Counter(problem.level for problem in drawn)
    assert np.allclose([levels[level] / 2000 for level in ("easy", "standard")], (0.35, 0.65), atol=0.04)
    assert max(len(problem.steps) for problem in drawn) == 5  # longer ones are kept for test-length


def test_phases_of_other_splits_keep_to_them() -> None:
    drawn = islice(phase_problems(FULL[-1], seed=1, split_name="validation"), 100)
    assert {split_of(problem) for problem in drawn} == {"validation"}


def test_a_stage_begins_with_the_latest_weights_before_it(tmp_path: Path) -> None:
    assert recipe.start(tmp_path, "base", None) is None
    for name in ("base", "full", "reflection"):
        recipe.checkpoint(tmp_path, name).parent.mkdir()
        recipe.checkpoint(tmp_path, name).touch()
    assert recipe.start(tmp_path, "reflection", None) == recipe.checkpoint(tmp_path, "full")
    assert recipe.start(tmp_path, "reflection", "base") == recipe.checkpoint(tmp_path, "base")
    assert recipe.latest(tmp_path) == recipe.checkpoint(tmp_path, "reflection")


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_stream_keeps_to_its_split_and_repeats(split: Split) -> None:
    mixture = Mixture(tuple(FAMILIES), level="standard", steps={2: 1, 4: 1}, kinds={"answerable": 1})
    questions = []
    for _ in range(2):
        drawn = list(islice(problems(mixture, split_name=split, seed=0), 40))
        assert {split_of(problem) for problem in drawn} == {split}
        questions.append([problem.question for problem in drawn])
    assert questions[0] == questions[1]
