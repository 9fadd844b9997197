"""A step that is taken back leaves no trace, and only a wrong one should be."""

from __future__ import annotations

from random import Random

import pytest

from mch_runtime.withdrawal import WITHDRAWAL, is_withdrawal, withdraws
from training.families import FAMILIES
from training.families.quantities import write
from training.families.quantities.content import Content, Fact
from training.mistakes import hard_negatives
from training.problems import Kind, Problem

RIGHT = (
    "Step 1: Ben has 3 more eggs than Ann: 4 + 3 = 7.",
    "Step 2: Cem has 2 times as many eggs as Ben: 7 * 2 = 14.",
    "Answer: 14",
)
WRONG = "Step 1: Ben has 3 more eggs than Ann: 4 + 3 = 8."
CARRIED_ON = "Step 2: Cem has 2 times as many eggs as Ben: 8 * 2 = 16."
WAIT = WITHDRAWAL.format(number=1)


@pytest.fixture
def problem() -> Problem:
    facts = (Fact("Ann", "is", 4), Fact("Ben", "more", 3, "Ann"), Fact("Cem", "times", 2, "Ben"))
    content = Content("eggs", facts, "amount", ("Cem",))
    return write(Random(0), content, facts, level="easy", kind="answerable", unseen_wording=False)


@pytest.mark.parametrize(
    ("lines", "valid", "sound"),
    [
        ((WRONG, WAIT, *RIGHT), "01111", "01111"),
        # What a withdrawn step stated is forgotten.
        ((WRONG, WAIT, CARRIED_ON), "010", "010"),
        ((RIGHT[0], WAIT, RIGHT[1]), "100", "100"),
        # A right step taken back: the mistake is the line that does so, and nobody can take it back.
        ((RIGHT[0], WAIT, *RIGHT), "10111", "10000"),
        # Two wrong steps in a row, each taken back.
        ((WRONG, WAIT, WRONG, WAIT, *RIGHT), "0101111", "0101111"),
        # Twice, with another number, of nothing, of what is no step, or too late.
        ((WRONG, WAIT, WAIT, *RIGHT), "010111", "010000"),
        ((WRONG, WITHDRAWAL.format(number=2), *RIGHT), "00111", "00000"),
        ((WAIT, *RIGHT), "0111", "0000"),
        (("Well.", WAIT, *RIGHT), "00111", "00000"),
        ((WRONG, CARRIED_ON, WAIT, *RIGHT), "010111", "000000"),
        # Only the last step can be taken back; the error before it stays.
        ((WRONG, CARRIED_ON, WITHDRAWAL.format(number=2), *RIGHT[1:]), "01001", "00000"),
    ],
)
def test_labels(problem: Problem, lines: tuple[str, ...], valid: str, sound: str) -> None:
    labels = FAMILIES["quantities"].judge(problem, lines).steps
    assert "".join(str(int(step.valid)) for step in labels) == valid
    assert "".join(str(int(step.sound)) for step in labels) == sound
    for line, after, label in zip(lines, [*lines[1:], ""], labels, strict=True):
        assert label.withdrawn == withdraws(after, line)


def test_the_answer_is_judged_by_what_remains(problem: Problem) -> None:
    judge = FAMILIES["quantities"].judge
    assert judge(problem, (WRONG, WAIT, *RIGHT)).answer
    wrong = judge(problem, (RIGHT[0], CARRIED_ON, WITHDRAWAL.format(number=2), "Answer: 16"))
    assert not wrong.answer
    assert not wrong.steps[-1].valid


@pytest.mark.parametrize("kind", ["answerable", "unanswerable", "contradictory"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_forgets_every_mistake(name: str, kind: Kind) -> None:
    family = FAMILIES[name]
    rng = Random(f"{name}/{kind}")
    for _ in range(60):
        one = family.problem(rng, level="standard", steps=3, kind=kind, unseen_wording=False)
        *lines, answer = one.solution.splitlines()
        index = rng.randrange(len(lines))
        wait = WITHDRAWAL.format(number=index + 1)
        for mistake in hard_negatives(one, index, rng):
            chain = [*lines[:index], mistake.line, wait, *lines[index:], answer]
            labels = family.judge(one, chain)
            assert [k for k, step in enumerate(labels.steps) if not step.valid] == [index], chain
            assert [k for k, step in enumerate(labels.steps) if not step.sound] == [index], chain
            assert labels.answer


@pytest.mark.parametrize(
    ("line", "before", "is_one", "fits"),
    [
        ("Wait, step 2 is wrong.", "Step 2: so.", True, True),
        ("Wait, step 2 is wrong.", "Step 12: so.", True, False),
        ("Wait, step 12 is wrong.", "Step 12: so.", True, True),
        ("Wait, step 2 is wrong.", "Wait, step 2 is wrong.", True, False),
        ("Wait, step 2 is wrong", "Step 2: so.", False, False),
        ("Step 2: Wait, step 2 is wrong.", "Step 2: so.", False, False),
        (f"Wait, step {'9' * 5000} is wrong.", f"Step {'9' * 5000}: so.", True, True),
    ],
)
def test_the_line(line: str, before: str, is_one: bool, fits: bool) -> None:
    assert (is_withdrawal(line), withdraws(line, before)) == (is_one, fits)
