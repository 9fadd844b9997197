"""Checks and reflections: what they show, what they teach, and that they change nothing else."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest

from mch_runtime.withdrawal import WITHDRAWAL
from training.curriculum import Mixture, problems
from training.dialect import ASSISTANT, CHECK, END, USER, Mix, check, example, reflection
from training.families import FAMILIES
from training.problems import Problem

MIXTURE = Mixture(
    tuple(FAMILIES),
    level="standard",
    steps={2: 0.5, 3: 0.5},
    kinds={"answerable": 0.6, "unanswerable": 0.2, "contradictory": 0.2},
)


@pytest.fixture(scope="module")
def some() -> list[Problem]:
    return list(islice(problems(MIXTURE, split_name="train", seed=3), 200))


def shown(problem: Problem, context: str) -> list[str]:
    """The lines of the assistant's first turn."""
    before, _, turn = context.partition(ASSISTANT)
    assert before == f"{USER}{problem.question}"
    return turn.partition(USER)[0].splitlines()


def test_a_check_knows_right_from_wrong(some: list[Problem]) -> None:
    rng = Random(0)
    verdicts = []
    for problem in some:
        made = check(problem, rng)
        assert made.context.endswith(f"\n{USER}{CHECK}{ASSISTANT}")
        *before, last = FAMILIES[problem.family].judge(problem, shown(problem, made.context)).steps
        assert all(step.valid for step in before)
        assert made.target == f"{'yes' if last.valid else 'no'}{END}"
        verdicts.append(last.valid)
    assert 0.15 < sum(verdicts) / len(verdicts) < 0.35


def test_a_reflection_takes_back_the_mistake_and_goes_on_to_the_answer(some: list[Problem]) -> None:
    rng = Random(0)
    for problem in some:
        made = reflection(problem, rng)
        lines = shown(problem, made.context)
        wait, _, rest = made.target.partition("\n")
        assert made.context.endswith("\n")
        assert wait == WITHDRAWAL.format(number=len(lines))
        assert problem.solution.endswith(rest.removesuffix(END))
        labels = FAMILIES[problem.family].judge(problem, [*lines, *made.target.removesuffix(END).split("\n")])
        assert [k for k, step in enumerate(labels.steps) if not step.valid] == [len(lines) - 1]
        assert labels.steps[len(lines) - 1].withdrawn
        assert labels.steps[-1].sound
        assert labels.answer


def test_a_stage_is_a_mix(some: list[Problem]) -> None:
    rng = Random(1)
    mix = Mix(forward=0.2, forced=0.0, inverse=0.0, check=0.4, reflection=0.4)
    made = [example(problem, rng, mix) for problem in some]
    checks = sum(one.context.endswith(f"{CHECK}{ASSISTANT}") for one in made)
    reflections = sum(one.target.startswith("Wait, ") for one in made)
    assert 50 < checks < 110
    assert 50 < reflections < 110
    with pytest.raises(ValueError, match="more than 1"):
        Mix(check=0.2)


def test_a_mix_without_them_draws_what_it_drew(some: list[Problem]) -> None:
    """The stream is the published model's: one number for the kind, then the kind's own."""
    rng, twin = Random(2), Random(2)
    for problem in some:
        made = example(problem, rng, Mix())
        draw = twin.random()
        if draw < 0.5:
            assert made.target == f"{problem.solution}{END}"
        elif draw < 0.55:
            twin.randrange(len(problem.steps))
        elif draw < 0.9:
            if twin.random() >= 0.5:
                twin.randint(0, len(problem.steps))
        else:
            assert made.context == USER
    assert rng.getstate() == twin.getstate()
