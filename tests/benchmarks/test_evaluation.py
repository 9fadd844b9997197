from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.evaluation import SETS, draw, draw_all, newcomers, said
from benchmarks.greedy import groups, logprob_mean
from mch_runtime.trace import Step
from training.families import FAMILIES
from training.problems import CONTRADICTION, UNKNOWN, split_of

COUNT = 40


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_of_the_test_split_and_has_no_question_twice(name: str) -> None:
    problems = draw(name, count=COUNT, seed=3)
    assert len({problem.question for problem in problems}) == len(problems) == COUNT
    assert {split_of(problem) for problem in problems} == {"test"}
    assert {problem.family for problem in problems} == set(FAMILIES)


def test_no_question_is_in_two_sets() -> None:
    drawn = draw_all(SETS, count=COUNT, seed=3)
    questions = [problem.question for problems in drawn.values() for problem in problems]
    assert len(set(questions)) == len(questions)


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    assert draw("standard", count=50, seed=3)[:20] == draw("standard", count=20, seed=3)
    assert draw("standard", count=20, seed=3) != draw("standard", count=20, seed=4)


def test_sets_are_what_their_names_say() -> None:
    drawn = draw_all(SETS, count=COUNT, seed=5)
    assert {p.answer for p in drawn["unanswerable"]} == {UNKNOWN}
    assert {p.answer for p in drawn["contradictory"]} == {CONTRADICTION}
    for name in ("unanswerable", "contradictory", "test-wording", "mixed"):
        assert Counter(p.level for p in drawn[name]) == {"easy": COUNT // 2, "standard": COUNT // 2}
    assert {len(p.steps) for p in drawn["easy"]} == {1, 2, 3}
    assert {len(p.steps) for p in drawn["test-length"]} == {6, 7}
    assert {p.kind for name in ("easy", "standard", "hard") for p in drawn[name]} == {"answerable"}


def test_groups_cut_problems_in_every_way() -> None:
    problems = draw("test-wording", count=COUNT, seed=5)
    members = groups(problems)
    assert members["all"].all()
    for keys in (["easy", "standard"], list(FAMILIES)):
        assert np.array_equal(np.sum([members[key] for key in keys], axis=0), np.ones(COUNT))
    both = [of for key, of in members.items() if "," in key]
    assert sum(int(of.sum()) for of in both) == COUNT
    assert "easy" not in groups(draw("easy", count=COUNT, seed=5))


def test_what_an_answer_says() -> None:
    assert [said(text) for text in ("unknown", "contradiction", "17", None)] == [
        "unknown",
        "contradiction",
        "an answer",
        "nothing",
    ]


def test_a_mean_weighs_steps_by_their_tokens() -> None:
    steps = [
        Step(text="a", tokens=(0, 3), logprob_mean=-1.0, logprob_min=-2.0, entropy_mean=0.0),
        Step(text="b", tokens=(3, 4), logprob_mean=-5.0, logprob_min=-5.0, entropy_mean=0.0),
    ]
    assert logprob_mean(steps) == -2.0
    assert logprob_mean([]) == float("-inf")


def test_the_newcomers_questions_are_many_and_different() -> None:
    questions = newcomers()
    assert len(questions) >= 20
    assert len({one.question for one in questions}) == len(questions)
    assert all(one.question.strip() and one.answer.strip() for one in questions)


def test_blank_lines_in_a_list_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "few.jsonl"
    path.write_text('{"question": "Is it?", "answer": "yes"}\n\n', encoding="utf-8")
    assert [(one.question, one.answer) for one in newcomers(path)] == [("Is it?", "yes")]
