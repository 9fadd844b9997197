"""The family's own solutions are right, and its judge knows each kind of mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.families.changes import Changes, Content, Fact, write
from training.families.changes.wording import WORDINGS
from training.families.writing import NAMES, match_pattern
from training.problems import Kind, Level, Problem

family = Changes()
LEVELS: tuple[Level, ...] = ("easy", "standard", "hard")
KINDS: tuple[Kind, ...] = ("answerable", "unanswerable", "contradictory")


def some(count: int = 8, *, unseen_wording: bool = False) -> Iterator[Problem]:
    """Problems of every level, kind and number of steps."""
    for level in LEVELS:
        for kind in KINDS:
            for steps in range(1, 8):
                rng = Random(f"{level}{kind}{steps}")
                for _ in range(count):
                    problem = family.problem(
                        rng, level=level, steps=steps, kind=kind, unseen_wording=unseen_wording
                    )
                    assert (problem.kind, len(problem.steps)) == (kind, steps)
                    yield problem


def test_solutions_are_judged_right() -> None:
    for problem in some():
        labels = family.judge(problem, problem.solution.splitlines())
        assert labels.answer, problem
        assert all(step.valid and step.sound for step in labels.steps), problem
        assert [step.is_answer for step in labels.steps] == [False] * len(problem.steps) + [True]


def read(sentence: str, item: str) -> tuple[str, str, str, int | None]:
    """A sentence back into what it says: verb, person, who is given something, number."""
    words = "|".join(sorted(WORDINGS["vague"], key=len, reverse=True))
    plain = re.sub(rf"(?<!as )\b({words})\b", "vague", sentence)
    readings = set()
    for verb, patterns in WORDINGS.items():
        for pattern in patterns:
            match = match_pattern(pattern, plain) if "{a}" in pattern else None
            if match is None or match["a"] not in NAMES or match["x"] != item:
                continue
            found = match.groupdict()
            number = found.get("n", "vague")
            if found.get("b", match["a"]) in NAMES and (number == "vague" or number.isdecimal()):
                amount = None if number == "vague" else int(number)
                readings.add((verb, match["a"], found.get("b", ""), amount))
    assert len(readings) == 1, (sentence, readings)
    return readings.pop()


def told(problem: Problem) -> str:
    """The answer to the question as it is written; None stands for what nobody can know."""
    assert isinstance(problem.content, Content)
    item, have = problem.content.item, dict[str, int | None]()
    for sentence in problem.facts:
        verb, who, whom, n = read(sentence, item)
        old, other = have.get(who), have.get(whom)
        if verb in ("start", "now"):
            if old is not None and old != n:
                return "contradiction"
            have[who] = n
        elif verb in ("doubles", "triples", "halves"):
            assert verb != "halves" or not (old or 0) % 2
            new = {"doubles": 2 * (old or 0), "triples": 3 * (old or 0), "halves": (old or 0) // 2}[verb]
            have[who] = None if old is None else new
        elif verb == "gives all":
            have[whom] = None if old is None or other is None else old + other
            have[who] = 0
        else:
            sign = 1 if verb in ("buys", "finds", "gets") else -1
            have[who] = None if old is None or n is None else old + sign * n
            if verb == "gives":
                have[whom] = None if other is None or n is None else other + n
        assert all(value is None or 0 <= value <= 99 for value in have.values())
    question = problem.question.removeprefix(" ".join(problem.facts))
    asked = [have.get(name) for name in re.findall(r"\w+", question) if name in NAMES]
    known = [value for value in asked if value is not None]
    return str(sum(known)) if len(known) == len(asked) else "unknown"


@pytest.mark.parametrize("unseen_wording", [False, True])
def test_answers_are_what_a_reader_of_the_words_finds(unseen_wording: bool) -> None:
    for problem in some(3, unseen_wording=unseen_wording):
        assert problem.question.isascii()
        assert told(problem) == problem.answer, problem
        if problem.kind == "answerable":
            assert 1 <= int(problem.answer) <= 200


def test_facts_used_are_named() -> None:
    for problem in some():
        for index, step in enumerate(problem.steps):
            assert all(0 <= fact < len(problem.facts) for fact in step.facts)
            assert all(earlier < index for earlier in step.steps)
            assert step.facts or step.steps or step.text.endswith("has at first.")


def test_a_level_without_distractors_tells_only_what_is_needed() -> None:
    for steps in range(1, 8):
        problem = family.problem(Random(steps), level="easy", steps=steps)
        assert {fact for step in problem.steps for fact in step.facts} == set(range(len(problem.facts)))


def made(*facts: Fact, asks: str = "amount", of: tuple[str, ...] = ("Ann",)) -> Problem:
    content = Content("eggs", facts, asks, of)
    return write(Random(0), content, level="easy", kind="answerable", unseen_wording=False)


STORY = (
    Fact("Ann", "start", 4),
    Fact("Ben", "start", 9),
    Fact("Ann", "buys", 3),
    Fact("Ben", "gives", 2, "Ann"),
    Fact("Ann", "doubles"),
)
CHAIN = """\
Step 1: Ann buys 3 more eggs: 4 + 3 = 7.
Step 2: Ann gets 2 eggs from Ben: 7 + 2 = 9.
Step 3: Ann doubles the number of eggs: 9 * 2 = 18.
Answer: 18"""


@pytest.fixture
def problem() -> Problem:
    return made(*STORY)


def test_the_exact_solution(problem: Problem) -> None:
    assert problem.solution == CHAIN
    assert [(step.facts, step.steps) for step in problem.steps] == [
        ((0, 2), ()),
        ((3,), (0,)),
        ((4,), (1,)),
    ]


def test_what_passes_between_two_people_who_matter_is_two_steps() -> None:
    together = made(*STORY[:4], asks="together", of=("Ann", "Ben"))
    assert together.reasoning.splitlines()[1:] == [
        "Step 2: Ben gives 2 eggs to Ann: 9 - 2 = 7.",
        "Step 3: Ann gets 2 eggs from Ben: 7 + 2 = 9.",
        "Step 4: Ann and Ben together: 9 + 7 = 16.",
    ]
    everything = made(*STORY[:4], Fact("Ben", "gives all", other="Ann"))
    assert everything.reasoning.splitlines()[3] == "Step 4: Ann gets all the eggs of Ben: 9 + 7 = 16."
    assert everything.steps[3].facts == (4,)
    assert everything.steps[3].steps == (1, 2)


DOUBT = "does not follow from the steps"


@pytest.mark.parametrize(
    ("old", "new", "reasons", "answer"),
    [
        ("", "", ["", "", "", ""], True),
        ("4 + 3 = 7", "4 + 3 = 8", ["wrong arithmetic", "wrong operand", "", ""], True),
        ("4 + 3 = 7", "9 + 3 = 12", ["wrong operand", "wrong operand", "", ""], True),
        ("4 + 3 = 7", "3 + 4 = 7", ["wrong operand", "", "", ""], True),
        ("4 + 3 = 7", "4 - 3 = 1", ["wrong operand", "wrong operand", "", ""], True),
        ("3 more eggs", "5 more eggs", ["invented fact", "wrong operand", "", ""], True),
        ("buys 3", "finds 3", ["invented fact", "wrong operand", "", ""], True),
        # A change left out, or before its time.
        ("9 * 2 = 18", "7 * 2 = 14", ["", "", "wrong operand", DOUBT], True),
        ("Step 2: Ann gets", "Step 2: Ben gets", ["", "invented fact", "wrong operand", ""], True),
        ("Answer: 18", "Answer: 9", ["", "", "", DOUBT], False),
        ("Step 1: ", "Well, ", ["not a step", "wrong operand", "", ""], True),
        # What happens to Ben is right and does not matter.
        (
            "Step 3: ",
            "Step 3: Ben gives 2 eggs to Ann: 9 - 2 = 7.\nStep 4: ",
            ["", "", "", "", ""],
            True,
        ),
    ],
)
def test_mistakes(problem: Problem, old: str, new: str, reasons: list[str], answer: bool) -> None:
    labels = family.judge(problem, CHAIN.replace(old, new, 1).splitlines())
    assert [step.reason for step in labels.steps] == reasons
    assert labels.answer == answer
    first_bad = next((k for k, reason in enumerate(reasons) if reason), len(reasons))
    assert [step.sound for step in labels.steps] == [k < first_bad for k in range(len(reasons))]


def test_an_error_carried_on_consistently_is_valid_but_not_sound(problem: Problem) -> None:
    chain = [
        "Step 1: Ann buys 3 more eggs: 4 + 3 = 8.",
        "Step 2: Ann gets 2 eggs from Ben: 8 + 2 = 10.",
        "Step 3: Ann doubles the number of eggs: 10 * 2 = 20.",
        "Answer: 20",
    ]
    labels = family.judge(problem, chain)
    assert [step.valid for step in labels.steps] == [False, True, True, True]
    assert not any(step.sound for step in labels.steps)
    assert not labels.answer


def test_an_unfinished_chain_has_no_right_answer(problem: Problem) -> None:
    assert not family.judge(problem, CHAIN.splitlines()[:3]).answer
    assert family.judge(problem, []).steps == ()


@pytest.mark.parametrize(
    ("claim", "answer", "reason"),
    [
        ("It is not said how many eggs Ann has at first.", "unknown", "it is said"),
        ("It is not said how many eggs Ben gives to Ann.", "unknown", "it is said"),
        ("It is not said how many eggs Ben sells.", "unknown", "invented fact"),
        ("It is not said how many eggs Cem has at first.", "unknown", "invented fact"),
        ("It is not said how many keys Ann buys.", "unknown", "not a step"),
        ("Ann has 4 eggs, but it is also said that Ann has 5 eggs.", "contradiction", "no contradiction"),
        ("Ann has 7 eggs, but it is also said that Ann has 4 eggs.", "contradiction", "no contradiction"),
    ],
)
def test_a_sound_problem_has_no_flaw(problem: Problem, claim: str, answer: str, reason: str) -> None:
    chain = ["Step 1: Ann buys 3 more eggs: 4 + 3 = 7.", f"Step 2: {claim}", f"Answer: {answer}"]
    labels = family.judge(problem, chain)
    assert [step.reason for step in labels.steps[:2]] == ["", reason]
    assert not labels.answer


def test_a_gap_that_does_not_matter_is_no_answer() -> None:
    beside = made(*STORY, Fact("Ben", "loses"))
    assert beside.answer == "18"
    labels = family.judge(beside, ["Step 1: It is not said how many eggs Ben loses.", "Answer: unknown"])
    assert [step.reason for step in labels.steps] == ["", DOUBT]


def test_an_invented_number_fills_no_gap() -> None:
    vague = made(*STORY[:2], Fact("Ann", "buys"), *STORY[3:])
    assert vague.solution == "Step 1: It is not said how many eggs Ann buys.\nAnswer: unknown"
    labels = family.judge(vague, CHAIN.splitlines())
    assert [step.reason for step in labels.steps] == ["invented fact", "wrong operand", "", ""]
    assert not labels.answer


def test_a_contradiction_is_about_one_moment() -> None:
    twice = made(*STORY[:3], Fact("Ann", "now", 8), *STORY[3:])
    first, closing, _ = twice.solution.splitlines()
    assert closing == "Step 2: Ann has 7 eggs, but it is also said that Ann has 8 eggs."
    for old, new in (("7", "4"), ("Ann", "Ben"), ("7", "8"), ("Ann", "Cem")):
        wrong = closing.replace(old, new)
        labels = family.judge(twice, [first, wrong, "Answer: contradiction"])
        assert [step.reason for step in labels.steps] == ["", "no contradiction", ""]
    assert not family.judge(twice, CHAIN.splitlines()).answer


PROBLEMS = tuple(some(2))


@settings(max_examples=100)
@given(data=st.data())
def test_any_text_can_be_judged(data: st.DataObject) -> None:
    problem = data.draw(st.sampled_from(PROBLEMS))
    text = problem.solution
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 8)))
        edit = st.text(max_size=4) | st.sampled_from((" / 0 = ", "9" * 5000, "\nStep 1: ", *NAMES[:3]))
        text = text[:start] + data.draw(edit) + text[stop:]
    lines = text.splitlines()
    labels = family.judge(problem, lines)
    assert len(labels.steps) == len(lines)
    assert not labels.answer or lines[-1].split() == ["Answer:", problem.answer]


def test_the_same_seed_gives_the_same_problems() -> None:
    assert [p.question for p in some(1)] == [p.question for p in some(1)]


def test_unseen_wordings_are_unseen() -> None:
    seen = " ".join(p.question for p in some(5))
    unseen = " ".join(p.question for p in some(5, unseen_wording=True))
    for words in ("to begin with", "parts with", "hands", "At this point", "quite a few", "when all is done"):
        assert words not in seen
        assert words in unseen


def test_a_problem_has_a_step() -> None:
    with pytest.raises(ValueError, match="at least 1 step"):
        family.problem(Random(0), level="easy", steps=0)
