"""The family's own solutions are right, and its judge knows each kind of mistake."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest

from training.families.prices import LONGEST, Prices, write
from training.families.prices.content import Content, Fact
from training.families.prices.wording import RELATIONS, SINGULARS, WORDINGS
from training.problems import Kind, Level, Problem

family = Prices()
LEVELS: tuple[Level, ...] = ("easy", "standard", "hard")
KINDS: tuple[Kind, ...] = ("answerable", "unanswerable", "contradictory")
ANSWERS = {"unanswerable": "unknown", "contradictory": "contradiction"}


def some(
    level: Level, kind: Kind, *, steps: int = 3, count: int = 12, unseen_wording: bool = False
) -> list[Problem]:
    rng = Random(f"{level}{kind}{steps}")
    return [
        family.problem(rng, level=level, steps=steps, kind=kind, unseen_wording=unseen_wording)
        for _ in range(count)
    ]


ALL = list(product(LEVELS, KINDS, range(1, LONGEST + 1)))


def content_of(problem: Problem) -> Content:
    assert isinstance(problem.content, Content)
    return problem.content


@pytest.mark.parametrize(("level", "kind", "steps"), ALL)
def test_solutions_are_judged_right(level: Level, kind: Kind, steps: int) -> None:
    for problem in some(level, kind, steps=steps):
        assert len(problem.steps) == steps
        labels = family.judge(problem, problem.solution.splitlines())
        assert labels.answer
        assert all(step.valid and step.sound for step in labels.steps), problem
        assert [step.is_answer for step in labels.steps] == [False] * steps + [True]
        assert problem.answer == ANSWERS.get(kind, problem.answer)
        assert (problem.question + problem.solution).isascii()
        for index, step in enumerate(problem.steps):
            assert all(0 <= fact < len(problem.facts) for fact in step.facts)
            assert all(earlier < index for earlier in step.steps)
            assert step.facts or step.steps or step.text.startswith("It is not said")


@pytest.mark.parametrize("steps", [0, LONGEST + 1])
def test_other_lengths_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match="1 to 7 steps"):
        family.problem(Random(0), level="easy", steps=steps)


def prices_of(content: Content) -> dict[str, set[float]]:
    """Every price the facts allow."""
    prices: dict[str, set[float]] = {}
    for fact in content.facts * len(content.facts):
        n = fact.amount
        if fact.kind == "costs":
            prices.setdefault(fact.subject, set()).add(n)
        for price in prices.get(fact.reference, set()):
            made = {"more": price + n, "less": price - n, "times": price * n, "fraction": price / n}
            prices.setdefault(fact.subject, set()).add(made[fact.kind])
    return prices


def simulated(content: Content) -> set[float]:
    """Every answer the facts allow, without the solver: none if unknown, several if contradictory."""
    prices = prices_of(content)
    of = content.of
    if content.asks == "price":
        return prices.get(of[0], set())
    if content.asks == "difference":
        return {a - b for a in prices.get(of[0], set()) for b in prices.get(of[1], set())}
    mine = [fact for fact in content.facts if fact.subject == of[0]]
    sums = {0.0}
    for count, item in (part for fact in mine for part in fact.basket):
        if content.asks != "cost" or item == of[1]:
            sums = {s + count * price for s in sums for price in prices.get(item, set()) if count}
    if content.asks == "cost":
        return sums
    off = sum(fact.amount for fact in mine if fact.kind == "off")
    told = {float(fact.amount) for fact in mine if fact.kind == "pays"}
    paid = told | {s - off for s in sums if any(fact.basket for fact in mine)}
    if content.asks == "pay":
        return paid
    return {fact.amount - p for fact in mine if fact.kind == "note" for p in paid}


@pytest.mark.parametrize(("level", "kind", "steps"), ALL)
def test_answers_are_the_truth(level: Level, kind: Kind, steps: int) -> None:
    for problem in some(level, kind, steps=steps):
        answers = simulated(content_of(problem))
        if kind == "answerable":
            assert answers == {int(problem.answer)}
            assert 0 < int(problem.answer) <= 200
        elif kind == "unanswerable":
            assert not answers
        else:
            assert len(answers) > 1, problem


def test_sentences_say_what_the_facts_are() -> None:
    for problem in some("standard", "answerable", steps=4, count=100):
        for fact, sentence in zip(content_of(problem).facts, problem.facts, strict=True):
            assert SINGULARS.get(fact.subject, fact.subject).removesuffix("y") in sentence
            assert all(f"{count or 'some'} {item}" in sentence for count, item in fact.basket)
            if fact.kind not in ("times", "fraction", "buys"):
                assert f" {fact.amount} " in sentence
        assert problem.question.startswith(" ".join(problem.facts))
        assert problem.key.count("(") >= len(problem.facts)


def test_easy_problems_have_no_distractors() -> None:
    for problem in some("easy", "answerable", steps=3, count=100):
        used = {fact for step in problem.steps for fact in step.facts}
        spare = {content_of(problem).facts[k].kind for k in set(range(len(problem.facts))) - used}
        assert spare <= {"note"}  # a note shows who pays, even where no change is asked for
    assert any(
        len({fact for step in problem.steps for fact in step.facts}) < len(problem.facts) - 1
        for problem in some("standard", "answerable")
    )


CHAIN = """\
Step 1: Tom's 4 pens cost: 4 * 3 = 12.
Step 2: A cup costs 2 dollars more than a pen: 3 + 2 = 5.
Step 3: Tom's 2 cups cost: 2 * 5 = 10.
Step 4: Tom's pens and cups together: 12 + 10 = 22.
Step 5: Tom gets 4 dollars off: 22 - 4 = 18.
Step 6: Tom's change from 50: 50 - 18 = 32.
Answer: 32"""
FACTS = (
    Fact("costs", "pens", 3),
    Fact("more", "cups", 2, "pens"),
    Fact("buys", "Tom", basket=((4, "pens"), (2, "cups"))),
    Fact("off", "Tom", 4),
    Fact("note", "Tom", 50),
    Fact("buys", "Ann", basket=((0, "eggs"),)),
)


def told(
    *facts: Fact, asks: str = "change", of: tuple[str, ...] = ("Tom",), kind: Kind = "answerable"
) -> Problem:
    return write(Random(0), Content(facts, asks, of), level="easy", kind=kind, unseen_wording=False)


@pytest.fixture
def problem() -> Problem:
    return told(*FACTS)


def test_the_solution_reads_like_this(problem: Problem) -> None:
    assert problem.solution == CHAIN
    assert [step.facts for step in problem.steps] == [(0, 2), (0, 1), (2,), (), (3,), (4,)]
    assert [step.steps for step in problem.steps] == [(), (), (1,), (0, 2), (3,), (4,)]


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("4 * 3 = 12", "4 * 3 = 13", 1, "wrong arithmetic"),
        ("4 * 3 = 12", "4 * 5 = 20", 1, "wrong operand"),
        ("4 * 3 = 12", "4 + 3 = 7", 1, "wrong operand"),
        ("Tom's 4 pens", "Tom's 6 pens", 1, "invented fact"),
        ("Tom's 4 pens", "Ann's 4 pens", 1, "invented fact"),
        ("Tom's 4 pens", "Well, 4 pens", 1, "invented fact"),
        ("3 + 2 = 5", "12 + 2 = 14", 2, "wrong operand"),
        ("2 dollars more", "3 dollars more", 2, "invented fact"),
        (
            "A cup costs 2 dollars more than a pen",
            "A pen costs 2 dollars more than a cup",
            2,
            "invented fact",
        ),
        ("12 + 10 = 22", "12 + 5 = 17", 4, "wrong operand"),
        ("pens and cups together", "pens and eggs together", 4, "invented fact"),
        ("pens and cups together", "pens and pens together", 4, "invented fact"),
        ("22 - 4 = 18", "12 - 4 = 8", 5, "wrong operand"),
        ("4 dollars off", "5 dollars off", 5, "invented fact"),
        ("50 - 18 = 32", "50 - 22 = 28", 6, "wrong operand"),
        ("change from 50", "change from 20", 6, "invented fact"),
        ("Step 1: ", "Well, ", 1, "not a step"),
        ("4 * 3 = 12.", "twelve.", 1, "not a step"),
        ("Answer: 32", "Answer: 18", 7, "does not follow from the steps"),
    ],
)
def test_mistakes(problem: Problem, old: str, new: str, line: int, reason: str) -> None:
    labels = family.judge(problem, CHAIN.replace(old, new, 1).splitlines())
    assert labels.steps[line - 1].reason == reason
    assert [step.sound for step in labels.steps] == [k < line for k in range(1, len(labels.steps) + 1)]


def test_a_right_step_that_is_not_needed_is_valid(problem: Problem) -> None:
    first, second, *rest = CHAIN.splitlines()
    extra = "Step 3: A cup costs more than a pen: 5 - 3 = 2."
    labels = family.judge(problem, [first, second, extra, *rest])
    assert labels.answer
    assert all(step.sound for step in labels.steps)


def test_an_error_carried_on_consistently_is_valid_but_not_sound(problem: Problem) -> None:
    lines = ["Step 1: Tom's 4 pens cost: 4 * 3 = 13.", *CHAIN.splitlines()[1:3]]
    lines += [
        "Step 4: Tom's pens and cups together: 13 + 10 = 23.",
        "Step 5: Tom gets 4 dollars off: 23 - 4 = 19.",
    ]
    lines += ["Step 6: Tom's change from 50: 50 - 19 = 31.", "Answer: 31"]
    labels = family.judge(problem, lines)
    assert [step.valid for step in labels.steps] == [False, *[True] * 6]
    assert not any(step.sound for step in labels.steps)
    assert not labels.answer


def test_an_unfinished_chain_has_no_right_answer(problem: Problem) -> None:
    assert not family.judge(problem, CHAIN.splitlines()[:-1]).answer
    assert family.judge(problem, []).steps == ()


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ("It is not said what a cup costs.", "it is said"),
        ("It is not said how many cups Tom buys.", "it is said"),
        ("It is not said what note Tom pays with.", "it is said"),
        ("It is not said what a ring costs.", "invented fact"),
        ("It is not said how many eggs Tom buys.", "invented fact"),
        ("It is not said how many eggs Ann buys.", ""),
        ("It is not said why Tom buys pens.", "not a step"),
        ("A pen costs 3 dollars, but it is also said that a pen costs 5 dollars.", "no contradiction"),
        ("A pen costs 3 dollars, but it is also said that a pen costs 3 dollars.", "no contradiction"),
        ("A ring costs 3 dollars, but it is also said that a ring costs 5 dollars.", "no contradiction"),
        ("Tom pays 18 dollars, but it is also said that Tom pays 20 dollars.", "no contradiction"),
        ("A pen costs 3 dollars, but it is also said that a cup costs 5 dollars.", "not a step"),
    ],
)
def test_claims_about_a_sound_problem(problem: Problem, claim: str, reason: str) -> None:
    for answer in ("unknown", "contradiction"):
        labels = family.judge(problem, [f"Step 1: {claim}", f"Answer: {answer}"])
        assert labels.steps[0].reason == reason
        assert not labels.answer
        assert not all(step.valid for step in labels.steps)


def test_what_is_not_said_and_not_needed_makes_nothing_unknown() -> None:
    lines = ["Step 1: It is not said how many eggs Ann buys.", "Answer: unknown"]
    labels = family.judge(told(*FACTS), lines)
    assert [step.reason for step in labels.steps] == ["", "does not follow from the steps"]


@pytest.mark.parametrize(
    ("left_out", "last"),
    [
        (0, "It is not said what a pen costs."),
        (1, "It is not said what a cup costs."),
        (4, "It is not said what note Tom pays with."),
    ],
)
def test_missing_facts(left_out: int, last: str) -> None:
    problem = told(*(fact for k, fact in enumerate(FACTS) if k != left_out), kind="unanswerable")
    assert (problem.steps[-1].text, problem.answer) == (last, "unknown")


@pytest.mark.parametrize(
    ("fact", "last"),
    [
        (Fact("costs", "cups", 9), "A cup costs 5 dollars, but it is also said that a cup costs 9 dollars."),
        (Fact("pays", "Tom", 20), "Tom pays 18 dollars, but it is also said that Tom pays 20 dollars."),
    ],
)
def test_facts_told_differently(fact: Fact, last: str) -> None:
    problem = told(*FACTS, fact, kind="contradictory")
    assert (problem.steps[-1].text, problem.answer) == (last, "contradiction")
    *before, final = problem.reasoning.splitlines()
    labels = family.judge(
        problem, [*before, final.replace("also said", "also told"), "Answer: contradiction"]
    )
    assert labels.steps[-2].reason == "not a step"
    assert not family.judge(problem, [*before, final, "Answer: 32"]).answer


@pytest.mark.parametrize("kind", KINDS)
def test_the_judge_takes_any_text(kind: Kind) -> None:
    """Words of one chain swapped, dropped or put into another's: labels, whatever comes."""
    rng = Random(kind)
    chains = [(one, one.solution.split(" ")) for one in some("hard", kind, steps=5, count=20)]
    for (problem, words), (_, others) in product(chains, chains[:3]):
        made = list(words)
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(made))
            made[place] = rng.choice((*words, *others, "", "-3", "9" * 5000, "\u0663", "\n", "coins", "("))
        lines = " ".join(made).splitlines()
        labels = family.judge(problem, lines)
        assert len(labels.steps) == len(lines)


def test_the_same_seed_gives_the_same_problems() -> None:
    assert some("hard", "unanswerable") == some("hard", "unanswerable")


def test_unseen_wordings_are_unseen() -> None:
    assert all(len(patterns) == 5 and len(set(patterns)) == 5 for patterns in WORDINGS.values())
    kinds = {"costs", "buys", "off", "pays", "note", *RELATIONS}
    asks = {f"ask {name}" for name in ("price", "difference", "cost", "pay", "change")}
    assert WORDINGS.keys() == kinds | asks
    seen = [p.question for p in some("standard", "answerable", count=100)]
    unseen = [p.question for p in some("standard", "answerable", count=100, unseen_wording=True)]
    for question, other in zip(seen, unseen, strict=True):
        assert "Find the" in other
        assert not {"$", "Find the", "asks", "voucher", "cart"} & set(question.replace("$", " $ ").split(" "))
        assert "Find the" not in question
