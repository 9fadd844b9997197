"""What the shifts do to a question."""

from __future__ import annotations

from random import Random

from benchmarks.evaluation import draw
from benchmarks.familiarity import SHIFTS, names_of, shifted


def test_every_shift_changes_most_questions() -> None:
    groups = dict(shifted(40, 7))
    assert set(SHIFTS) < set(groups)
    assert all(len(questions) >= 12 for questions in groups.values())


def test_the_absent_entity_is_a_known_name() -> None:
    for problem in draw("easy", count=40, seed=3):
        changed = SHIFTS["absent entity"](problem.question, Random(0))
        if changed != problem.question:
            (new,) = set(names_of(changed)) - set(names_of(problem.question))
            assert new not in changed.rpartition(". ")[0]


def test_shuffling_keeps_the_words() -> None:
    question = draw("easy", count=1, seed=3)[0].question
    assert sorted(SHIFTS["shuffled words"](question, Random(1)).split()) == sorted(question.split())
