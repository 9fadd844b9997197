"""The family's own solutions are right, and its judge knows each kind of mistake."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest

pytest.importorskip("tokenizers")

from training.curriculum import Mixture, problems
from training.dialect import Mix, example
from training.families.quantities import Content, Quantities
from training.problems import Kind, Level, Problem, split_of

family = Quantities()


def some(level: Level, count: int = 200, **options: bool) -> list[Problem]:
    mixture = Mixture(level=level, steps={1: 1, 2: 1, 3: 1, 4: 1})
    return list(islice(problems(mixture, split_name="train", seed=3, **options), count))


@pytest.mark.parametrize("level", ["easy", "standard"])
def test_solutions_are_judged_right(level: Level) -> None:
    for problem in some(level):
        labels = family.judge(problem, problem.solution.splitlines())
        assert labels.answer
        assert all(step.valid and step.sound for step in labels.steps)
        assert [step.is_answer for step in labels.steps] == [False] * len(problem.steps) + [True]


def test_answers_are_the_truth() -> None:
    """The solver against a second one: everybody's value from the relations."""
    for problem in some("standard"):
        assert isinstance(problem.content, Content)
        values = problem.content.values()
        of = [values[name] for name in problem.content.of]
        expected = {"amount": of[0], "together": sum(of), "difference": of[0] - of[-1]}
        assert int(problem.answer) == expected[problem.content.asks]


def test_facts_used_are_named() -> None:
    for problem in some("standard"):
        for index, step in enumerate(problem.steps):
            assert all(0 <= fact < len(problem.facts) for fact in step.facts)
            assert all(earlier < index for earlier in step.steps)
            assert step.facts or step.steps


CHAIN = """\
Step 1: Ben has 3 more eggs than Ann: 4 + 3 = 7.
Step 2: Cem has 2 times as many eggs as Ben: 7 * 2 = 14.
Answer: 14"""


@pytest.fixture
def problem() -> Problem:
    from training.families.quantities import Fact, write

    facts = (Fact("Ann", "is", 4), Fact("Ben", "more", 3, "Ann"), Fact("Cem", "times", 2, "Ben"))
    content = Content("eggs", facts, "amount", ("Cem",))
    return write(Random(0), content, facts, level="easy", kind="answerable", unseen_wording=False)


@pytest.mark.parametrize(
    ("old", "new", "reasons", "answer"),
    [
        ("", "", ["", "", ""], True),
        ("4 + 3 = 7", "4 + 3 = 8", ["wrong arithmetic", "wrong operand", ""], True),
        ("7 * 2 = 14", "4 * 2 = 8", ["", "wrong operand", "does not follow from the steps"], True),
        ("3 more eggs", "5 more eggs", ["invented fact", "wrong operand", ""], True),
        ("Answer: 14", "Answer: 7", ["", "", "does not follow from the steps"], False),
        ("4 + 3 = 7", "3 + 4 = 7", ["wrong operand", "", ""], True),
        ("Step 1: ", "Well, ", ["not a step", "wrong operand", ""], True),
    ],
)
def test_mistakes(problem: Problem, old: str, new: str, reasons: list[str], answer: bool) -> None:
    labels = family.judge(problem, CHAIN.replace(old, new, 1).splitlines())
    assert [step.reason for step in labels.steps] == reasons
    assert labels.answer == answer
    first_bad = next((k for k, reason in enumerate(reasons) if reason), len(reasons))
    assert [step.sound for step in labels.steps] == [k < first_bad for k in range(len(reasons))]


def test_an_error_carried_on_consistently_is_valid_but_not_sound(problem: Problem) -> None:
    chain = (
        CHAIN.replace("4 + 3 = 7", "4 + 3 = 8").replace("7 * 2 = 14", "8 * 2 = 16").replace(": 14", ": 16")
    )
    labels = family.judge(problem, chain.splitlines())
    assert [(step.valid, step.sound) for step in labels.steps] == [
        (False, False),
        (True, False),
        (True, False),
    ]
    assert not labels.answer


def test_an_unfinished_chain_has_no_right_answer(problem: Problem) -> None:
    assert not family.judge(problem, CHAIN.splitlines()[:2]).answer
    assert family.judge(problem, []).steps == ()


@pytest.mark.parametrize("level", ["easy", "standard"])
@pytest.mark.parametrize(
    ("kind", "answer"), [("unanswerable", "unknown"), ("contradictory", "contradiction")]
)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_flawed_problems_end_where_it_shows(level: Level, kind: Kind, answer: str, steps: int) -> None:
    rng = Random(f"{level}{kind}{steps}")
    for _ in range(100):
        problem = family.problem(rng, level=level, steps=steps, kind=kind)
        assert (problem.answer, len(problem.steps)) == (answer, steps)
        labels = family.judge(problem, problem.solution.splitlines())
        assert labels.answer, problem
        assert all(step.valid for step in labels.steps), problem
        # The same words about somebody else, or a number for an answer, are wrong.
        *before, last = problem.reasoning.splitlines()
        assert isinstance(problem.content, Content)
        wrong = last.replace(problem.content.flaw, problem.content.facts[0].subject + "x")
        assert not family.judge(problem, [*before, wrong, f"Answer: {answer}"]).steps[-2].valid
        assert not family.judge(problem, [*before, last, "Answer: 12"]).answer


def test_an_answer_to_a_sound_problem_is_not_unknown(problem: Problem) -> None:
    for claim, answer in (
        ("It is not said how many eggs Ben has.", "unknown"),
        ("Ann has 4 eggs, but it is also said that Ann has 5 eggs.", "contradiction"),
    ):
        labels = family.judge(problem, [f"Step 1: {claim}", f"Answer: {answer}"])
        assert not labels.answer
        assert not labels.steps[0].valid


def test_splits_share_nothing() -> None:
    keys = {}
    for name in ("train", "validation", "test"):
        stream = problems(Mixture(), split_name=name, seed=0)  # type: ignore[arg-type]
        keys[name] = {problem.question for problem in islice(stream, 300)}
        assert all(split_of(problem) == name for problem in islice(stream, 50))
    assert not keys["train"] & keys["validation"]
    assert not keys["train"] & keys["test"]


def test_the_same_seed_gives_the_same_problems() -> None:
    assert [p.question for p in some("easy", 20)] == [p.question for p in some("easy", 20)]


def test_unseen_wordings_are_unseen() -> None:
    seen = " ".join(p.question for p in some("easy"))
    assert "keeps" not in seen
    assert "keeps" in " ".join(p.question for p in some("easy", unseen_wording=True))


def test_examples_carry_loss_on_the_right_part() -> None:
    rng = Random(0)
    mix = Mix()
    kinds = {"forward": 0, "forced": 0, "inverse": 0, "question": 0}
    for one in some("easy", 400):
        made = example(one, rng, mix)
        if made.context.startswith("<|inverse|>"):
            kinds["inverse"] += 1
            assert made.target == f"<|user|>{one.question}<|end|>"
            assert made.context.removeprefix("<|inverse|>") in one.solution
        elif made.context == "<|user|>":
            kinds["question"] += 1
        elif made.context.endswith("Answer:"):
            kinds["forced"] += 1
            assert made.target == f" {one.answer}<|end|>"
        else:
            kinds["forward"] += 1
            assert made.target == f"{one.solution}<|end|>"
    assert all(kinds.values())
