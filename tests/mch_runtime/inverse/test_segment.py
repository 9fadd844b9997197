"""Segmentation: kinds, exact spans, any chunking, linear time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.inverse.segment import Segment, Segmenter, final_answer, segments, sentences
from prompts.dialects import Dialect, shipped
from training.curriculum import ALL_FAMILIES, Mixture, problems

PICO, CHATML = shipped()["sage-pico"], shipped()["chatml"]


def texts(text: str, dialect: Dialect | None = None) -> list[tuple[str, str]]:
    return [(one.kind, one.text) for one in segments(text, dialect=dialect)]


def test_numbered_lines_a_withdrawal_and_the_answer() -> None:
    chain = "Step 1: Ada has 3. So.\nWait, step 1 is wrong.\nStep 2: 3 + 1 = 4.\nAnswer: 4"
    assert texts(chain, PICO) == [
        ("step", "Step 1: Ada has 3. So."),
        ("withdrawal", "Wait, step 1 is wrong."),
        ("step", "Step 2: 3 + 1 = 4."),
        ("answer", "Answer: 4"),
    ]


@pytest.mark.parametrize(
    ("chain", "steps"),
    [
        ("Step 1: 3 + 4 = 7. Step 2: 7 + 1 = 8. Answer: 8", 3),
        ("1. First.\n2) Second. And more.\n- third\n\n3. Answer: 5", 4),
        ("Step 3:\nSo it is 5.", 1),
        ("It is 3.5, e.g. in Mr. Lee's shop. J. Doe pays $1.50. He is 5 ft. tall.", 3),
        ("See No. 5 and Dr. A. B. Smith.", 1),
        ("The answer is A. So B is not.", 2),
        ("he has 5. she has 6. so 11.", 3),
        ("Let x be 3.\\nThen 2x \\neq 7.\\nAnswer is B", 3),
        ("Sold 48/2 = <<48/2=24>>24 clips in May.\nSold 72.\n#### 72", 3),
        ("as in Step 2: it is", 1),
        ("---\n\nfoo", 1),
        ("", 0),
        (" \n\t\n", 0),
    ],
)
def test_where_steps_are_cut(chain: str, steps: int) -> None:
    assert len(segments(chain)) == steps


def test_reasoning_blocks_opened_closed_and_not() -> None:
    assert texts("<think>\nA is 1. B is 2.\n</think>\n\n3", CHATML) == [
        ("step", "A is 1."),
        ("step", "B is 2."),
        ("answer", "3"),
    ]
    assert texts("I add.</think>27", CHATML) == [("step", "I add."), ("answer", "27")]
    assert texts("<think>never closed", CHATML) == [("step", "never closed")]
    assert texts("<think>\n\n</think>\nOne.\n#### 5", CHATML) == [("step", "One."), ("answer", "#### 5")]
    assert texts("<reasoning>a</reasoning><answer>b</answer>") == [("step", "a"), ("answer", "b")]


@pytest.mark.parametrize(
    ("chain", "answer"),
    [
        ("Step 1: a\nAnswer: 27", "27"),
        ("a\n#### 1,200", "1,200"),
        ("a\n#### Notes", None),
        ("So the final answer is \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("Thus, the correct answer is (C).", "C"),
        ("**Answer:** 27.", "27"),
        ("Answer:", None),
        ("no answer here", None),
        ("The answer is 3. No, the answer is 4.", "3"),
        ("x \\boxed{3", None),
    ],
)
def test_the_final_answer(chain: str, answer: str | None) -> None:
    assert final_answer(chain) == answer


def test_the_final_answer_behind_reasoning() -> None:
    assert final_answer("<think>a</think>27", dialect=CHATML) == "27"
    assert final_answer("<think>a", dialect=CHATML) is None


def check(text: str, found: tuple[Segment, ...]) -> None:
    end = 0
    for one in found:
        assert text[one.span[0] : one.span[1]] == one.text == one.text.strip() != ""
        assert one.span[0] >= end
        end = one.span[1]


pieces = st.sampled_from(
    "Step 1: |Step 12: |2. |3) |- |Answer: |#### 7|the answer is 5|\\boxed{5}|<think>|</think>|<answer>|\n|\r\n|"
    "\\n|\\neq| |. |.|! |e.g. |Mr. |J. |3.5|$1.50|a|Bob|x = 4|Wait, step 1 is wrong.|…|。|<<1+1=2>>2|  \n\n|</thi"
    "|**|---|in Step 2: b".split("|")
)
chains = st.one_of(st.lists(pieces, max_size=40).map("".join), st.text(max_size=60))


@given(chains, st.lists(st.integers(1, 400), max_size=30), st.sampled_from([None, PICO, CHATML]))
@settings(max_examples=150)
def test_the_same_in_any_chunking(text: str, sizes: list[int], dialect: Dialect | None) -> None:
    text = text * 12  # longer than the window
    whole = segments(text, dialect=dialect)
    check(text, whole)
    segmenter = Segmenter(dialect=dialect)
    found: list[Segment] = []
    start = 0
    for size in (*sizes, len(text)):
        found += segmenter.feed(text[start : start + size])
        start += size
    assert (*found, *segmenter.flush()) == whole


@given(st.lists(pieces, max_size=60).map("".join))
@settings(max_examples=100)
def test_nothing_visible_is_lost_but_the_marks(text: str) -> None:
    kept = "".join(one.text for one in segments(text))
    for mark in ("<think>", "</think>", "<answer>", "\\n"):
        text, kept = text.replace(mark, ""), kept.replace(mark, "")
    assert "".join(kept.split()) == "".join(text.split())


@pytest.mark.parametrize("unit", ["a. ", "\n", ". ", "<think", "1.\n", " "])
def test_the_time_is_linear(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        segmenter = Segmenter(dialect=CHATML)
        start = time.process_time()
        for first in range(0, len(text), 64):
            segmenter.feed(text[first : first + 64])
        segmenter.flush()
        return time.process_time() - start

    assert seconds(1 << 17) < 24 * max(seconds(1 << 14), 0.01)  # 8 times the text; quadratic would be 64


def test_a_megabyte_in_one_line() -> None:
    text = "x" * (1 << 19) + ", y" * (1 << 17)
    assert [one.text for one in segments(text)] == [text]


def test_the_sentences_of_a_question_are_its_facts() -> None:
    stream = problems(Mixture(ALL_FAMILIES, level="standard"), split_name="test", seed=5)
    for _ in range(150):
        problem = next(stream)
        found = [problem.question[start:end] for start, end in sentences(problem.question)]
        assert tuple(found[:-1]) == problem.facts


def test_sentences_do_not_care_for_labels() -> None:
    question = "1. A pen costs $1.50. B is 2.\nHow much?"
    assert [question[a:b] for a, b in sentences(question)] == [
        "1. A pen costs $1.50.",
        "B is 2.",
        "How much?",
    ]
