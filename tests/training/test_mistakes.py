"""Wrong steps that look right: wrong by the judge, of every kind, and of the right steps' form."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from training.families import FAMILIES
from training.families.judging import NOT_A_STEP
from training.families.writing import EQUATION
from training.mistakes import hard_negatives
from training.problems import Kind, Level

KINDS: tuple[Kind, ...] = ("answerable", "unanswerable", "contradictory")


@pytest.mark.parametrize("level", ["easy", "standard"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAMILIES)
def test_they_are_wrong_where_the_solution_is_right(name: str, kind: Kind, level: Level) -> None:
    family = FAMILIES[name]
    rng = Random(f"{name}/{kind}/{level}")
    for _ in range(40):
        problem = family.problem(rng, level=level, steps=rng.randint(1, 4), kind=kind, unseen_wording=False)
        lines = problem.reasoning.splitlines()
        for index, right in enumerate(lines):
            mistakes = hard_negatives(problem, index, rng)
            assert len({right, *(mistake.line for mistake in mistakes)}) == len(mistakes) + 1
            assert len({mistake.kind for mistake in mistakes}) == len(mistakes)
            assert family.judge(problem, lines[: index + 1]).steps[-1].valid
            for mistake in mistakes:
                *before, label = family.judge(problem, [*lines[:index], mistake.line]).steps
                assert not label.valid, (problem.question, mistake)
                assert label.reason != NOT_A_STEP, mistake
                assert all(step.valid for step in before)
                assert mistake.line.startswith(f"Step {index + 1}: ")


@pytest.mark.parametrize("name", FAMILIES)
def test_nearly_every_step_has_one_of_each_kind(name: str) -> None:
    rng = Random(name)
    found: Counter[str] = Counter()
    for _ in range(200):
        problem = FAMILIES[name].problem(
            rng, level="standard", steps=3, kind="answerable", unseen_wording=False
        )
        found.update(mistake.kind for mistake in hard_negatives(problem, rng.randrange(3), rng))
    assert all(found[kind] > 170 for kind in ("operand", "invented", "arithmetic")), found


@pytest.mark.parametrize("name", ["quantities", "changes", "prices"])
def test_only_wrong_arithmetic_is_not_fluent(name: str) -> None:
    rng = Random(name)
    signs = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}
    for _ in range(100):
        problem = FAMILIES[name].problem(
            rng, level="standard", steps=2, kind="answerable", unseen_wording=False
        )
        for mistake in hard_negatives(problem, rng.randrange(2), rng):
            parsed = EQUATION.fullmatch(mistake.line)
            if parsed is not None:
                is_right = signs[parsed["sign"]](int(parsed["a"]), int(parsed["b"])) == int(parsed["c"])
                assert is_right == (mistake.kind != "arithmetic"), mistake


@pytest.mark.parametrize("name", FAMILIES)
def test_some_go_on_where_there_is_no_answer_and_some_give_up_where_there_is(name: str) -> None:
    rng = Random(name)
    said: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        for _ in range(60):
            problem = FAMILIES[name].problem(rng, level="standard", steps=2, kind=kind, unseen_wording=False)
            said[kind] += [mistake.line for mistake in hard_negatives(problem, 1, rng)]
    assert any("not said" in line for line in said["answerable"])
    assert any("also said" in line for line in said["answerable"])
    for kind in KINDS[1:]:
        assert any("not said" not in line and "also said" not in line for line in said[kind])


def test_the_same_seed_gives_the_same_mistakes() -> None:
    problem = FAMILIES["changes"].problem(
        Random(5), level="standard", steps=3, kind="unanswerable", unseen_wording=False
    )
    assert hard_negatives(problem, 2, Random(1)) == hard_negatives(problem, 2, Random(1))
