from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
from rich.cells import cell_len
from rich.text import Text

from mch_runtime.explanation import Explanation
from sage_cli.render.explanation import explained
from sage_cli.render.lines import cut, fill, joined
from sage_cli.render.safe import safe
from sage_cli.render.styles import Style
from tests.explanation_samples import ALL, hostile, long, right, wrong

STYLES: tuple[Style, ...] = get_args(Style)

RIGHT = """\
The answer is 27, right with a probability of 0.97. No step was found wrong; the
weakest of 3 steps is step 2, valid with a probability of 0.91. The answer was
settled by step 2, which raised its probability from 0.12 to 0.97. The question
can be told from the reasoning: 0.82 nats per token, 0.03 with its words
shuffled. Another word at step 1 leads to another answer.

STEP  VALID       SETTLED  VERDICT              RESTS ON
1     ● 0.99      0.12     ✓ valid              Q1, Q2
   Ann has 3 more apples than Tom: 12 + 3 = 15
     12 + 3 = 15 holds
     rests on Q1 and Q2
2     ● 0.91      0.97     ✓ valid              Q1, 1
   Tom and Ann together have 12 + 15 = 27
     12 + 15 = 27 holds
3     ● 0.98      0.99     ✓ valid              2
   Answer: 27

WHAT RESTS ON WHAT
Q1 ●─┬─╮ Tom has 12 apples.
Q2 ●─┤ │ Ann has 3 more apples than Tom.
Q3 ● │ │ Ben has 7 pears.
Q4 ● │ │ How many apples have Tom and Ann?
 1 ●◂┴─┤ Ann has 3 more apples than Tom: 12 + 3 = 15
 2 ●◂┬─╯ Tom and Ann together have 12 + 15 = 27
 3 ●◂╯   Answer: 27

ROADS NOT TAKEN
step 1 went on with “12” · 0.81
├─ “7 + 3 = 10” · 0.11
│  → 22 · ○ 0.21 · ICS 0.31 · another answer
│  its confidence is 0.21 against 0.97, its inverse consistency 0.31 against
│  0.82
└─ “3 + 12 = 15” · 0.06
   → 27 · ● 0.95 · ICS 0.80 · the same answer
   it leads to the same answer with a confidence of 0.95 against 0.97"""

WRONG_NARROW = """\
STEPS
 1 ○ 0.12 · settled 0.67
   ✗ wrong arithmetic · from Q1, Q2
   Ann has 3 more apples than Tom: 12 +
   3 = 16
     12 + 3 is 15, not 16
 2 ◐ 0.61 · settled 0.95
   ? inherits an error · from Q1, 1"""


def test_a_right_answer() -> None:
    assert explained(right(), "steps", width=80, unicode=True).plain == RIGHT


def test_a_narrow_terminal() -> None:
    assert WRONG_NARROW in explained(wrong(), "steps", width=40, unicode=True).plain


def test_brief_is_the_paragraph() -> None:
    assert explained(right(), "brief", width=80, unicode=True).plain == RIGHT.partition("\n\n")[0]


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [40, 80, 200])
def test_lines_fit_and_nothing_is_obeyed(make: Callable[[], Explanation], style: Style, width: int) -> None:
    for unicode in (True, False):
        plain = explained(make(), style, width=width, unicode=unicode).plain
        assert max(cell_len(line) for line in plain.splitlines()) <= width
        assert safe(plain) == plain
        assert "\t" not in plain


def test_without_unicode_our_own_signs_are_ascii() -> None:
    for style in STYLES:
        assert explained(wrong(), style, width=60, unicode=False).plain.isascii()


def test_a_flow_without_room_is_named() -> None:
    drawn = explained(long(), "steps", width=100, unicode=True).plain
    assert "│ │" in drawn
    named = explained(long(), "steps", width=40, unicode=True).plain
    assert "\n  2 ← 1  the running sum" in named


def test_own_words_are_marked_in_every_style() -> None:
    for style in STYLES:
        plain = explained(hostile(), style, width=80, unicode=True).plain
        assert "The model's own words: generated, not measured\n| I think" in plain


def test_withdrawn_and_wrong_are_told_without_colour() -> None:
    plain = explained(hostile(), "steps", width=80, unicode=True).plain
    assert "✗ contradicts" in plain
    assert "withdrawn" in plain


def test_a_style_stays_with_its_words() -> None:
    text = explained(wrong(), "steps", width=40, unicode=True)
    styled = {text.plain[span.start : span.end].strip(): str(span.style) for span in text.spans}
    assert styled["✗ wrong arithmetic"] == "red"
    assert styled["○ 0.12"] == "red"
    assert styled["1"] == "bold"
    assert not any("settled" in words for words in styled)
    assert text.style == ""


def test_evidence_has_every_number() -> None:
    plain = explained(right(), "evidence", width=100, unicode=True).plain
    for told in (
        "commitment: -2.10 nats",
        "usefulness: 1.70 nats",
        "rests on step 1: attention 0.47, ablation 2.10 nats per token, agreed",
        "tokens made likelier: 4 of 5",
        "lost without them: 1.62 nats per token, 0.21 without as many random ones",
        "head: sage-pico-mch",
    ):
        assert told in plain


def test_lines() -> None:
    assert list(fill("ab cde f", 4)) == ["ab", "cde", "f"]
    assert list(fill("ab cde f", 6)) == ["ab cde", "f"]
    assert list(fill("你好吗", 4)) == ["你好", "吗"]
    assert cut("abcdef", 4, "…") == "abc…"
    assert [line.plain for line in joined([Text("ab"), Text("cd"), Text("ef")], ", ", 6)] == ["ab, cd", "ef"]
