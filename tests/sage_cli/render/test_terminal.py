from __future__ import annotations

import textwrap
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from mch_runtime.options import AskOptions, EngineOptions
from mch_runtime.trace import Trace
from sage_cli.entries import Entry
from sage_cli.render import terminal
from sage_cli.render.terminal import ASCII, UNICODE
from tests.sage_cli.fake_engine import QUESTION, FakeEngine, Script
from tests.sage_cli.fake_sage import SCRIPTS


def trace_of(script: Script) -> Trace:
    from pathlib import Path

    from mch_runtime.observer import SilentObserver

    engine = FakeEngine(script, EngineOptions(model=Path("m.gguf")), None)
    return engine.ask(QUESTION, AskOptions(), observer=SilentObserver())


@pytest.mark.parametrize(
    ("confidence", "shown", "ascii_shown", "style"),
    [
        (0.994, "● 0.99", "+ 0.99", "green"),
        (0.9, "● 0.90", "+ 0.90", "green"),
        (0.74, "◐ 0.74", "~ 0.74", "yellow"),
        (0.31, "○ 0.31", "! 0.31", "red"),
        (1.0, "● 0.99", "+ 0.99", "green"),
        (0.0, "○ 0.01", "! 0.01", "red"),
    ],
)
def test_marks(confidence: float, shown: str, ascii_shown: str, style: str) -> None:
    mark = terminal.mark(confidence, UNICODE)
    assert (mark.plain, mark.style) == (shown, style)
    assert terminal.mark(confidence, ASCII).plain == ascii_shown


def test_summary_of_a_sure_answer() -> None:
    text = terminal.summary(trace_of(Script()), UNICODE, width=80)
    assert text.plain == "27 · 97 % sure · 812 tokens/s · sage-pico Q8_0"


def test_summary_leaves_out_a_quantization_that_is_not_known() -> None:
    trace = trace_of(Script())
    trace = replace(trace, model=replace(trace.model, name="m", quantization=None))
    assert terminal.summary(trace, UNICODE, width=80).plain.endswith(" · m")


def test_summary_on_a_narrow_terminal() -> None:
    text = terminal.summary(trace_of(Script()), UNICODE, width=40)
    assert text.plain == "27 · 97 % sure · 812 tokens/s\nsage-pico Q8_0"


def test_summary_in_ascii() -> None:
    text = terminal.summary(trace_of(Script()), ASCII, width=80)
    assert text.plain == "27 | 97 % sure | 812 tokens/s | sage-pico Q8_0"


def test_summary_without_a_head_is_called_uncalibrated() -> None:
    text = terminal.summary(trace_of(SCRIPTS["plain"]), UNICODE, width=80)
    assert "uncalibrated: mean log-probability -0.12" in text.plain
    assert "sure" not in text.plain


def test_summary_of_what_is_not_known_shows_the_raw_number() -> None:
    trace = replace(trace_of(Script()), confidence=None, confidence_raw=0.5)
    assert "confidence not known (raw 0.50)" in terminal.summary(trace, UNICODE, width=80).plain


@pytest.mark.parametrize(
    ("reason", "said"), [("interrupted", "interrupted"), ("length", "cut off after 20 tokens")]
)
def test_summary_says_how_it_ended(reason: str, said: str) -> None:
    trace = trace_of(Script())
    trace = replace(trace, finish_reason=reason, cost=replace(trace.cost, generated_tokens=20))
    assert said in terminal.summary(trace, UNICODE, width=80).plain


def test_without_an_answer_nothing_is_sure() -> None:
    text = terminal.summary(replace(trace_of(Script()), answer=None), UNICODE, width=80).plain
    assert text == "no answer · 812 tokens/s · sage-pico Q8_0"


def test_a_long_answer_is_not_repeated() -> None:
    trace = replace(trace_of(Script()), answer="x" * 41)
    assert "xxx" not in terminal.summary(trace, UNICODE, width=80).plain


def test_a_rounded_zero_has_no_minus() -> None:
    assert terminal.nats(-0.001) == "0.00"
    assert terminal.nats(-0.01) == "-0.01"


@given(column=st.integers(0, 500), width=st.integers(1, 300))
def test_a_mark_never_crosses_the_edge(column: int, width: int) -> None:
    mark = Text("● 0.99")
    placed = terminal.at_gutter(mark, column=column, width=width).plain
    before, line_break, line = placed.rpartition("\n")
    start = 0 if line_break else (column - 1) % width + 1 if column else 0
    end = start + cell_len(line)
    assert placed.endswith("● 0.99")
    assert before == ""
    assert end <= max(width, cell_len(mark.plain))
    assert line_break or line.startswith("  ")


def test_marks_of_short_lines_are_aligned() -> None:
    ends = {
        column + cell_len(terminal.at_gutter(Text("● 0.99"), column=column, width=width).plain)
        for column in range(1, 40)
        for width in (100, 200)
    }
    assert ends == {terminal.GUTTER}


def test_the_whole_answer() -> None:
    shown = terminal.whole(trace_of(Script()), UNICODE, width=72).plain
    assert shown.splitlines() == [
        *textwrap.wrap(QUESTION, 72),
        "",
        "Step 1: Ann has 12 + 3 = 15 apples.                               ● 0.99",
        "Step 2: Together they have 12 + 15 = 27 apples.                   ◐ 0.74",
        "Answer: 27                                                        ● 0.97",
        "",
        "27 · 97 % sure · 812 tokens/s · sage-pico Q8_0",
    ]


def test_nothing_the_model_wrote_is_obeyed() -> None:
    trace = replace(trace_of(SCRIPTS["hostile"]), question="\x1b[2J?")
    for text in (
        terminal.whole(trace, UNICODE, width=72),
        terminal.summary(trace, UNICODE, width=80),
        terminal.details(trace),
    ):
        assert "\x1b" not in text.plain
        assert "\x9b" not in text.plain


def test_details_name_seed_and_sampling() -> None:
    trace = trace_of(Script())
    assert "greedy, seed 7" in terminal.details(trace).plain
    warm = replace(trace, sampling=replace(trace.sampling, temperature=0.8))
    assert "top-k 40, top-p 0.95, min-p 0.05, temperature 0.8, seed 7" in terminal.details(warm).plain


@pytest.mark.parametrize(
    ("reason", "said"),
    [(None, "never finished"), ("failed", "refused"), ("interrupted", "interrupted"), ("stop", "no answer")],
)
def test_the_table_says_why_there_is_no_answer(reason: str | None, said: str) -> None:
    entry = Entry(
        id="1m7y0g5y8bft1", conversation="1m7y0g5y8bft1", created="2020-01-02T03:04:05+00:00", model="m",
        system="", question="a\n\x1b[2Jb", answer=None, confidence=None, finish_reason=reason,
    )  # fmt: skip
    shown = terminal.answers_table([entry], UNICODE, width=80).plain
    assert said in shown
    assert "a \\x1b[2Jb" in shown
    assert "2020-01-02" in shown


@pytest.mark.parametrize("signs", [UNICODE, ASCII])
@pytest.mark.parametrize("width", [1, 60, 100])
def test_the_table_is_cut_to_fit(signs: terminal.Glyphs, width: int) -> None:
    entry = Entry(
        id="1m7y0g5y8bft1", conversation="1m7y0g5y8bft1", created="2020-01-02T03:04:05+00:00", model="m",
        system="", question="who is 你好 " * 30, answer="so it is " * 30, confidence=0.97, finish_reason="stop",
    )  # fmt: skip
    header, line = terminal.answers_table([entry], signs, width=width).plain.splitlines()
    assert cell_len(line) == cell_len(header)
    assert cell_len(line) <= max(width, 71)
    assert line.rstrip().endswith(signs.ellipsis)
    assert terminal.mark(0.97, signs).plain in line
