"""Reasoning and answer, however the text arrives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mch_runtime.answers import AnswerSplitter, normalise
from prompts.dialects import Dialect, shipped

PICO = shipped()["sage-pico"]
THINK = Dialect("custom", "")


def split(pieces: list[str], dialect: Dialect, *, opened: bool = False) -> dict[str, str]:
    splitter = AnswerSplitter(dialect, opened=opened)
    parts = {"reasoning": "", "answer": ""}
    for text, part in [found for piece in pieces for found in splitter.feed(piece)] + splitter.flush():
        parts[part] += text
    return parts


@pytest.mark.parametrize(
    ("text", "dialect", "reasoning", "answer"),
    [
        ("Step 1: a.\nAnswer: 27", PICO, "Step 1: a.\nAnswer:", " 27"),
        ("Step 1: no end", PICO, "Step 1: no end", ""),
        ("plain words", THINK, "", "plain words"),
        ("<think>hm</think>yes", THINK, "<think>hm</think>", "yes"),
        ("\n <think>hm</think>yes", THINK, "\n <think>hm</think>", "yes"),
        ("<thin", THINK, "", "<thin"),
        ("<think>hm", THINK, "<think>hm", ""),
        ("a <think>b</think>", THINK, "", "a <think>b</think>"),
        ("", THINK, "", ""),
    ],
)
def test_parts(text: str, dialect: Dialect, reasoning: str, answer: str) -> None:
    assert split([text], dialect) == {"reasoning": reasoning, "answer": answer}
    assert split(list(text), dialect) == {"reasoning": reasoning, "answer": answer}


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<", "th", "Answer:", "Ans", "\n", "x", " "])), st.data()
)
def test_cutting_does_not_matter(words: list[str], data: st.DataObject) -> None:
    text = "".join(words)
    for dialect in (PICO, THINK):
        cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert split(pieces, dialect) == split([text], dialect)
        assert "".join(split([text], dialect).values()) == text


def test_opened_by_the_prompt() -> None:
    assert split(["hm</think>yes"], THINK, opened=True) == {"reasoning": "hm</think>", "answer": "yes"}


@pytest.mark.parametrize(("text", "answer"), [(" 27\n", "27"), ("27.", "27"), ("a  b", "a b"), (" \n", None)])
def test_normalise(text: str, answer: str | None) -> None:
    assert normalise(text) == answer
