"""Verdicts: one by one, on labelled wrong steps by the thousand, and never an error."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.explanation import Premise
from mch_runtime.inverse.segment import segments, sentences
from mch_runtime.inverse.verdicts import Judgement, first_wrong, judge_steps
from training.curriculum import FLAWED, STANDARD_STEPS, Mixture, problems
from training.families import FAMILIES
from training.mistakes import hard_negatives

QUESTION = (
    "Anna has 4 pens.",
    "Ben has 3 times as many pens as Anna.",
    "Carl has 5 fewer pens than Ben.",
    "How many pens does Carl have?",
)
RIGHT = (
    "Step 1: Ben has 3 times as many pens as Anna: 4 * 3 = 12.",
    "Step 2: Carl has 5 fewer pens than Ben: 12 - 5 = 7.",
    "Answer: 7",
)


def verdict(*steps: str) -> Judgement:
    return judge_steps(steps, question=QUESTION)[-1]


def test_a_right_chain_is_valid() -> None:
    judged = judge_steps(RIGHT, question=QUESTION)
    assert [one for one, _ in judged] == ["valid"] * 3
    assert judged[0][1] == ("4 * 3 = 12 holds", "4 is from Q1")
    assert first_wrong(judged) is None


@pytest.mark.parametrize(
    ("step", "name", "words"),
    [
        ("Step 1: Ben has 3 times as many pens as Anna: 4 * 3 = 13.", "wrong_arithmetic", "left side is 12"),
        ("Step 1: Ben has 3 times as many pens as Anna: 5 * 3 = 15.", "contradicts", "uses 5"),
        ("Step 1: Ben has 4 times as many pens as Anna: 4 * 4 = 16.", "contradicts", "Q2 says 3"),
        ("Step 1: Ben has 3 more pens than Anna: 4 + 3 = 7.", "contradicts", "Q2"),
        ("Step 1: Anna has 3 times as many pens as Ben: 4 * 3 = 12.", "contradicts", "for each other"),
        ("Step 1: Carl has 3 times as many pens as Anna: 4 * 3 = 12.", "unsupported", "Carl and Anna"),
        ("So 4 * 9 = 36.", "unsupported", "no fact or earlier step names 9"),
        ("Step 1: It is not said how many pens Anna has.", "contradicts", "gives a value"),
        ("Answer: unknown", None, ""),
    ],
)
def test_a_wrong_step(step: str, name: str | None, words: str) -> None:
    found, evidence = verdict(step)
    assert found == name
    assert words in " ".join(evidence)


def test_an_error_is_inherited_and_the_answer_must_follow() -> None:
    wrong = "Step 1: Ben has 3 times as many pens as Anna: 4 * 3 = 13."
    after = "Step 2: Carl has 5 fewer pens than Ben: 13 - 5 = 8."
    assert verdict(wrong, after) == ("inherits_error", ("uses 13, which step 1 got wrong",))
    assert verdict(*RIGHT[:2], "Answer: 99")[0] == "contradicts"


def test_a_step_taken_back_no_longer_counts() -> None:
    wrong = "Step 1: Ben has 3 times as many pens as Anna: 5 * 3 = 15."
    judged = judge_steps([wrong, "Wait, step 1 is wrong.", *RIGHT], question=QUESTION)
    assert [one for one, _ in judged] == ["withdrawn", "valid", "valid", "valid", "valid"]
    assert first_wrong(judged) is None
    judged = judge_steps([RIGHT[0], "Wait, step 1 is wrong."], question=QUESTION)
    assert [one for one, _ in judged] == ["withdrawn", "contradicts"]


def test_the_head_decides_what_the_text_leaves_open() -> None:
    steps = ["Let us think about it."] * 3
    judged = judge_steps(
        steps,
        question=QUESTION,
        confidences=[{"valid": 0.34}, {"valid": 0.65}, {"valid": 0.9}],
        logprob_min=[-3.0, -0.1, None],
    )
    assert judged[0] == ("doubtful", ("head: valid 0.34", "its least likely token has log P -3.00"))
    assert judged[1] == (None, ("head: valid 0.65",))
    assert judged[2][0] == "valid"
    assert judge_steps(RIGHT, question=QUESTION, confidences=[{"valid": 0.3}] * 3)[0][0] == "valid"
    assert judge_steps(RIGHT, question=QUESTION, confidences=[{"valid": 0.01}] * 3)[0][0] == "doubtful"


def test_a_measured_premise_is_named() -> None:
    premise = Premise(step=0, source="question", index=1, span=(17, 54), text=QUESTION[1], ablation=0.75)
    judged = judge_steps(RIGHT, question=QUESTION, premises=[premise])
    assert judged[0][1][-1] == "rests on Q2: 0.75 nats per token without it"


def test_order() -> None:
    question = (
        "Ann is taller than Bob.",
        "Of Bob and Cid, Cid is the shorter one.",
        "Is Ann shorter than Cid?",
    )
    right = "Step 1: Ann is taller than Bob and Bob is taller than Cid: Ann > Bob > Cid."
    assert judge_steps([right, "Answer: no"], question=question)[0][0] == "valid"
    assert judge_steps([right, "Answer: yes"], question=question)[1][0] == "contradicts"
    row = right.replace("Bob > Cid", "Cid > Bob")
    assert judge_steps([row], question=question)[0][0] == "contradicts"
    assert judge_steps(["Step 1: Dan is taller than Ann."], question=question)[0][0] == "unsupported"


FOREIGN = [
    (
        "A shirt costs $40 and is on sale for 25% off. Sales tax is 10%. What does Maria pay?",
        (
            "The discount is 40 * 0.25 = $10.\nThe price is 40 - 10 = $30.\nThe tax is 30 * 10% = $3.\nMaria pays "
            "30 + 3 = $33.\n#### 33"
        ),
    ),
    (
        "Tom reads 12 pages a day. How many pages does he read in 2 weeks?",
        "Two weeks are 7 * 2 = 14 days. Tom reads 12 * 14 = 168 pages. The answer is 168.",
    ),
    (
        "Anna is twice as old as Ben. In 5 years the sum of their ages will be 40. How old is Ben?",
        "Let x be Ben's age. In 5 years: (x + 5) + (2x + 5) = 40. So x = 10. The answer is 10.",
    ),
    (
        "There are 15 boys and 10 more girls than boys. A third of the boys wear glasses. Who does not?",
        (
            "Girls: 15 + 10 = 25. Students: 15 + 25 = 40. A third of the boys is 15 / 3 = 5. Without: 40 - 5 = 35. "
            "The answer is 35."
        ),
    ),
    (
        "Lena bakes 24 muffins in the morning and half as many later. She sells them for $2 each. How much?",
        (
            "Later she bakes 24/2 = <<24/2=12>>12 muffins.\nIn total 24+12 = <<24+12=36>>36 muffins.\nShe makes "
            "36*2 = $<<36*2=72>>72.\n#### 72"
        ),
    ),
]


@pytest.mark.parametrize(("question", "chain"), FOREIGN)
def test_right_chains_of_another_style_raise_no_alarm(question: str, chain: str) -> None:
    facts = [question[start:end] for start, end in sentences(question)]
    assert first_wrong(judge_steps([one.text for one in segments(chain)], question=facts)) is None


@pytest.mark.parametrize("casual", [0.0, 1.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_wrong_step_is_found_by_the_text_alone(family: str, casual: float) -> None:
    mixture = Mixture((family,), level="standard", steps=STANDARD_STEPS, kinds=FLAWED, casual=casual)
    rng = Random(family)
    found = wrong = alarms = 0
    for problem in islice(problems(mixture, split_name="validation", seed=3), 40):
        facts = [problem.question[start:end] for start, end in sentences(problem.question)]
        lines = problem.solution.splitlines()
        alarms += first_wrong(judge_steps(lines, question=facts)) is not None
        index = rng.randrange(len(problem.steps))
        for mistake in hard_negatives(problem, index, rng):
            chain = [*lines[:index], mistake.line, *lines[index + 1 :]]
            found += first_wrong(judge_steps(chain, question=facts)) == index
            wrong += 1
    assert alarms <= 2
    assert found / wrong > (0.85 if casual == 0 else 0.75)


words = st.sampled_from(
    "Anna|Ben|she|has|3|four|more|fewer|times as many|pens|a pen|than|costs|$5|: 4 * 3 = 12.|= 5|twice|half|"
    "taller than|is|who|and|,|.|?|If|It is not said|but it is also said that|Step 2:|Answer:|yes|unknown|> Ben|"
    "the tallest|together|gives|to|Wait, step 1 is wrong.|some|between".split("|")
)


@given(
    st.lists(st.lists(words, max_size=12).map(" ".join), max_size=5),
    st.lists(st.one_of(st.lists(words, max_size=12).map(" ".join), st.text(max_size=40)), max_size=6),
)
@settings(max_examples=200)
def test_never_raises_on_any_text(question: list[str], steps: list[str]) -> None:
    assert len(judge_steps(steps, question=question)) == len(steps)
