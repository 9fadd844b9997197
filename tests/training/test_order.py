"""The family's own solutions are right, and its judge knows each kind of mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.families.order import Order, write
from training.families.order.content import Content, Fact
from training.families.order.wording import DIMENSIONS, WORDINGS
from training.problems import UNFOUNDED, Kind, Level, Problem

family = Order()
HEIGHT = DIMENSIONS[0]
KINDS: tuple[Kind, ...] = ("answerable", "unanswerable", "contradictory")
LEVELS: tuple[Level, ...] = ("easy", "standard", "hard")


def some(level: Level, kind: Kind, steps: int, count: int = 40) -> list[Problem]:
    rng = Random(f"{level}/{kind}/{steps}")
    return [family.problem(rng, level=level, steps=steps, kind=kind) for _ in range(count)]


def content_of(problem: Problem) -> Content:
    assert isinstance(problem.content, Content)
    return problem.content


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", range(1, 8))
def test_solutions_are_judged_right(level: Level, kind: Kind, steps: int) -> None:
    for problem in some(level, kind, steps, 25):
        assert (problem.kind, len(problem.steps)) == (kind, steps)
        assert problem.question.isascii()
        labels = family.judge(problem, problem.solution.splitlines())
        assert labels.answer, problem
        assert all(step.valid and step.sound for step in labels.steps), problem
        assert [step.is_answer for step in labels.steps] == [False] * steps + [True]


def rows(above: set[tuple[str, str]], people: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """Every row of the people that agrees with all that is told: whoever has nobody above goes first."""
    if not people:
        yield ()
    for first in sorted(people):
        if not any(low == first and high in people for high, low in above):
            yield from ((first, *rest) for rest in rows(above, people - {first}))


def answer_in(row: tuple[str, ...], content: Content) -> str:
    """What the answer is if people really stand like this."""
    row = row if content.more else row[::-1]
    asked = [name for name in row if name in content.of]
    if content.asks == "compare":
        return "yes" if asked[0] == content.of[0] else "no"
    return {"which": asked, "group": asked, "middle": asked[1:], "first": row, "second": row[1:]}[
        content.asks
    ][0]


@pytest.mark.parametrize("level", ["easy", "standard"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_answers_are_the_truth(level: Level, steps: int) -> None:
    """Against every row of people that the facts allow: one answer, several, or no row at all."""
    checked = 0
    for kind in KINDS:
        for problem in some(level, kind, steps, 25):
            content = content_of(problem)
            if len(content.people) > 7:
                continue
            checked += 1
            above = {fact.pair for fact in content.facts}
            answers = {answer_in(row, content) for row in rows(above, content.people)}
            if kind == "answerable":
                assert answers == {problem.answer}, problem
            elif kind == "unanswerable":
                assert len(answers) > 1, problem
                assert problem.answer == "unknown"
            else:
                assert not answers, problem
                assert problem.answer == "contradiction"
    assert checked > 30


def test_facts_used_are_named() -> None:
    """A step restates exactly the facts it names; all that is needed is used, and each fact once."""
    for level in LEVELS:
        for problem in some(level, "answerable", 4, 60):
            content = content_of(problem)
            for index, step in enumerate(problem.steps):
                assert all(earlier < index for earlier in step.steps)
                assert 1 <= len(step.facts) + len(step.steps) <= 2
                for fact in step.facts:
                    assert content.facts[fact].statement(content.dimension) in step.text
            used = [fact for step in problem.steps for fact in step.facts]
            assert sorted(used) == [content.facts.index(fact) for fact in content.needed]


def test_easy_problems_are_told_in_order_of_use_without_distractors() -> None:
    for steps in (2, 4):
        for problem in some("easy", "answerable", steps, 60):
            used = [fact for step in problem.steps for fact in step.facts]
            assert used == list(range(len(problem.facts)))


def test_standard_problems_are_shuffled_and_have_distractors() -> None:
    made = some("standard", "answerable", 4, 100)
    assert any(len(content_of(one).needed) < len(one.facts) for one in made)
    used = [[fact for step in one.steps for fact in step.facts] for one in made]
    assert any(facts != sorted(facts) for facts in used)


@pytest.mark.parametrize("steps", [0, 13])
def test_too_few_or_too_many_steps_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match="has 1 to 12 steps"):
        family.problem(Random(0), level="easy", steps=steps)


# Dan, Cem, Ben, Ann from the shortest; Eva is only mentioned.
FACTS = (
    Fact("Ben", False, "Ann"),
    Fact("Ben", True, "Cem"),
    Fact("Eva", False, "Ann"),
    Fact("Dan", False, "Cem"),
)


def asking(asks: str, *of: str, more: bool = True, facts: tuple[Fact, ...] = FACTS) -> Problem:
    needed = tuple(fact for fact in facts if fact.subject != "Eva") if of else facts
    content = Content(HEIGHT, facts, needed, asks, of, more)
    return write(Random(0), content, level="standard", unseen_wording=False)


CHAIN = """\
Step 1: Ben is shorter than Ann and Ben is taller than Cem: Ann > Ben > Cem.
Step 2: Dan is shorter than Cem: Ann > Ben > Cem > Dan.
Step 3: Ann is taller than Dan.
Answer: yes"""


def test_a_solution_reads_like_this() -> None:
    assert asking("compare", "Ann", "Dan").solution == CHAIN
    assert asking("compare", "Dan", "Ann").solution.endswith("Step 3: Dan is shorter than Ann.\nAnswer: no")
    assert asking("which", "Ann", "Dan", more=False).solution.endswith(
        "Dan is shorter than Ann.\nAnswer: Dan"
    )
    assert asking("group", "Ann", "Dan", "Ben", more=False).solution.endswith(
        "Step 3: Of Ann, Dan and Ben, the shortest is Dan.\nAnswer: Dan"
    )
    assert asking("middle", "Ann", "Dan", "Ben").solution.endswith(
        "Step 3: Ben is between Ann and Dan.\nAnswer: Ben"
    )
    everybody = tuple(fact for fact in FACTS if fact.subject != "Eva")
    assert asking("second", more=False, facts=everybody).solution.endswith(
        "Step 3: The second shortest is Cem.\nAnswer: Cem"
    )
    assert asking("first", facts=everybody).solution.endswith("Step 3: The tallest is Ann.\nAnswer: Ann")


@pytest.mark.parametrize(
    ("old", "new", "reasons", "answer"),
    [
        ("", "", ["", "", "", ""], True),
        # Orders that the restated facts and the row so far do not give.
        ("Ann > Ben > Cem.", "Ben > Ann > Cem.", [UNFOUNDED, UNFOUNDED, "", ""], True),
        ("Cem > Dan.", "Dan > Cem.", ["", UNFOUNDED, "", ""], True),
        ("Ann > Ben > Cem > Dan.", "Ann > Ann > Cem > Dan.", ["", UNFOUNDED, UNFOUNDED, ""], True),
        # People whom the step does not connect, or a row without the fact it restates.
        ("Dan is shorter than Cem:", "Eva is shorter than Ann:", ["", "wrong operand", "", ""], True),
        ("Ann > Ben > Cem.", "Ann > Ben > Eva.", ["wrong operand", "wrong operand", "", ""], True),
        # Facts and people that nobody told of.
        ("Dan is shorter than Cem:", "Dan is taller than Cem:", ["", "invented fact", "", ""], True),
        ("Cem > Dan.", "Cem > Max.", ["", "invented fact", UNFOUNDED, ""], True),
        # The same facts in other words, a shorter first step, an unneeded one: all right.
        ("Ben is shorter than Ann and", "Ann is taller than Ben and", ["", "", "", ""], True),
        ("Ben is shorter than Ann and ", "", ["", "", "", ""], True),
        ("Ann is taller than Dan.", "Dan is shorter than Ann.", ["", "", "", ""], True),
        ("Ann is taller than Dan.", "Ben is taller than Dan.", ["", "", "", ""], True),
        # Closing steps and answers.
        ("Ann is taller than Dan.", "Ann is shorter than Dan.", ["", "", UNFOUNDED, UNFOUNDED], True),
        ("Ann is taller than Dan.", "Eva is shorter than Dan.", ["", "", UNFOUNDED, ""], True),
        ("Ann is taller than Dan.", "The tallest is Ann.", ["", "", UNFOUNDED, ""], True),
        ("Ann is taller than Dan.", "Ann is taller than Max.", ["", "", "invented fact", ""], True),
        ("Ann is taller than Dan.", "Ann is older than Dan.", ["", "", "not a step", ""], True),
        ("Ann is taller than Dan.", "Ann is taller than Ann.", ["", "", "not a step", ""], True),
        ("Answer: yes", "Answer: no", ["", "", "", UNFOUNDED], False),
        ("Answer: yes", "Answer: unknown", ["", "", "", UNFOUNDED], False),
        ("Step 1: ", "Well, ", ["not a step", "wrong operand", "", ""], True),
        (": Ann > Ben > Cem.", ": 2 + 3 = 5.", ["not a step", "wrong operand", "", ""], True),
        ("is shorter than Cem:", "is short:", ["", "not a step", UNFOUNDED, ""], True),
    ],
)
def test_mistakes(old: str, new: str, reasons: list[str], answer: bool) -> None:
    labels = family.judge(asking("compare", "Ann", "Dan"), CHAIN.replace(old, new, 1).splitlines())
    assert [step.reason for step in labels.steps] == reasons
    assert labels.answer == answer
    first_bad = next((k for k, reason in enumerate(reasons) if reason), len(reasons))
    assert [step.sound for step in labels.steps] == [k < first_bad for k in range(len(reasons))]


def test_an_error_carried_on_consistently_is_valid_but_not_sound() -> None:
    chain = (
        "Step 1: Ben is shorter than Ann and Ben is taller than Cem: Cem > Ben > Ann.",
        "Step 2: Eva is shorter than Ann: Cem > Ben > Ann > Eva.",
        "Step 3: Ann is shorter than Cem.",
        "Answer: no",
    )
    labels = family.judge(asking("compare", "Ann", "Cem"), chain)
    assert [step.valid for step in labels.steps] == [False, True, True, True]
    assert not any(step.sound for step in labels.steps)
    assert not labels.answer


def test_a_corrected_row_replaces_the_wrong_one() -> None:
    wrong = "Step 1: Ben is shorter than Ann and Ben is taller than Cem: Cem > Ben > Ann."
    right = "Step 2: Ben is shorter than Ann and Ben is taller than Cem: Ann > Ben > Cem."
    closing = "Step 3: Ann is shorter than Cem."
    labels = family.judge(asking("compare", "Ann", "Cem"), [wrong, right, closing])
    assert [step.reason for step in labels.steps] == [UNFOUNDED, "", UNFOUNDED]


def test_an_answer_may_follow_from_the_row_itself() -> None:
    *steps, _, answer = CHAIN.splitlines()
    problem = asking("compare", "Ann", "Dan")
    assert all(step.valid for step in family.judge(problem, [*steps, answer]).steps)
    assert [step.valid for step in family.judge(problem, [answer]).steps] == [False]
    assert not family.judge(problem, steps).answer
    assert family.judge(problem, []).steps == ()


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ("It is not said whether Ann is taller than Dan.", "it is said"),
        ("It is not said whether Dan is shorter than Ann.", "it is said"),
        ("It is not said whether Ann is taller than Max.", "invented fact"),
        ("It is not said whether Ben is taller than Eva.", ""),
        ("It is not said who is the tallest.", "it is said"),
        ("It is not said who is the second tallest.", ""),
        ("It is not said who is in the middle of Ann, Cem and Dan.", "it is said"),
        ("It is not said who is the shortest of Cem, Dan and Eva.", ""),
        ("Ann is taller than Ben, but it is also said that Ann is shorter than Ben.", "no contradiction"),
        ("Ann is shorter than Ben, but it is also said that Ann is taller than Ben.", "no contradiction"),
        ("Ann is taller than Ben, but it is also said that Cem is shorter than Ben.", "no contradiction"),
        ("Ann is tall, but it is also said that Ann is short.", "not a step"),
    ],
)
def test_claims_that_there_is_no_answer(claim: str, reason: str) -> None:
    problem = asking("compare", "Ann", "Dan")
    for answer in ("unknown", "contradiction"):
        labels = family.judge(problem, [f"Step 1: {claim}", f"Answer: {answer}"])
        assert labels.steps[0].reason == reason
        assert not labels.answer


@pytest.mark.parametrize("kind", ["unanswerable", "contradictory"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_flawed_problems_have_no_other_end(kind: Kind, steps: int) -> None:
    for problem in some("standard", kind, steps):
        *before, last = problem.reasoning.splitlines()
        for end in ("yes", "no", "Ann", *content_of(problem).people):
            labels = family.judge(problem, [*before, last, f"Answer: {end}"])
            assert not labels.answer
            assert not labels.steps[-1].valid
        stranger = re.sub(r"\b[A-Z]\w+(?=\W*$)", "Xerxes", last)
        assert stranger == last or not family.judge(problem, [*before, stranger]).steps[-1].valid


def test_a_cycle_is_not_said_to_be_open() -> None:
    cycle = (Fact("Ann", True, "Ben"), Fact("Ben", True, "Cem"), Fact("Ann", False, "Cem"))
    problem = asking("compare", "Ann", "Cem", facts=cycle)
    assert problem.solution.splitlines()[1:] == [
        "Step 2: Ann is taller than Cem, but it is also said that Ann is shorter than Cem.",
        "Answer: contradiction",
    ]
    claim = ["Step 1: It is not said whether Ann is taller than Cem."]
    assert family.judge(problem, claim).steps[0].reason == "it is said"
    # What denies the row does not make it longer.
    row = "Step 2: Ann is shorter than Cem: Cem > Ann > Ben."
    labels = family.judge(problem, [problem.solution.splitlines()[0], row])
    assert labels.steps[0].valid


PROBLEMS = [one for kind in KINDS for steps in (1, 3) for one in some("standard", kind, steps, 5)]
PIECES = st.sampled_from(["Ann", " > ", "and", ": ", ".", "Step 9: ", "Answer: ", "taller", "\\", "(", ""])


@settings(max_examples=150)
@given(st.sampled_from(PROBLEMS), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 9), PIECES)))
def test_any_text_can_be_judged(problem: Problem, edits: list[tuple[int, int, str]]) -> None:
    chain = problem.solution
    for start, length, piece in edits:
        chain = chain[:start] + piece + chain[start + length :]
    lines = chain.splitlines()
    labels = family.judge(problem, lines)
    assert len(labels.steps) == len(lines)
    assert all(step.valid == (not step.reason) for step in labels.steps)


def test_a_sound_chain_never_ends_wrong() -> None:
    """Words put for other words: whatever the judge lets pass leads to the truth, or to no answer."""
    rng = Random(11)
    kept = 0
    problems = [one for one in PROBLEMS if one.kind != "contradictory"]
    for _ in range(3000):
        problem = rng.choice(problems)
        content = content_of(problem)
        words = problem.solution.split(" ")
        spare = [*content.people, *(f"{name}." for name in content.people), content.dimension.more.than]
        for _ in range(rng.randint(1, 3)):
            words[rng.randrange(len(words))] = rng.choice([*spare, *words])
        if (mutant := " ".join(words)) == problem.solution:
            continue
        labels = family.judge(problem, mutant.splitlines())
        if labels.steps[-1].is_answer and labels.steps[-1].sound:
            kept += 1
            assert labels.answer, (problem, mutant)
    assert 0 < kept < 600


@pytest.mark.parametrize("row", [" > ".join(["Ann", "Ben"] * 5000), "Ann > Ben" + " > " * 5000])
def test_a_long_row_is_judged_at_once(row: str) -> None:
    line = f"Step 1: Ben is shorter than Ann: {row}."
    assert not family.judge(asking("compare", "Ann", "Dan"), [line]).steps[0].valid


def test_the_same_seed_gives_the_same_problems() -> None:
    assert some("hard", "answerable", 5) == some("hard", "answerable", 5)


def test_the_split_does_not_depend_on_how_it_is_told() -> None:
    told = asking("compare", "Ann", "Dan").key
    assert told == asking("which", "Dan", "Ann", facts=FACTS[::-1]).key
    assert told != asking("compare", "Ann", "Dan", facts=FACTS[:3]).key


def reads_like(wording: str, text: str) -> bool:
    return re.fullmatch(re.sub(r"\\\{\w\\\}", r"\\w+", re.escape(wording)), text) is not None


def test_unseen_wordings_are_unseen() -> None:
    rng = Random(5)
    last = {patterns[-1] for patterns in WORDINGS.values()}
    for unseen in (False, True):
        for _ in range(150):
            made = family.problem(rng, level="standard", steps=2, unseen_wording=unseen)
            ask = made.question.removeprefix(" ".join(made.facts)).strip()
            for sentence in (*made.facts, ask):
                assert any(reads_like(wording, sentence) for wording in last) == unseen
