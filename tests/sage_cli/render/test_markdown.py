from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mch_runtime.explanation import Explanation
from sage_cli.render.markdown import code, explained, prose
from sage_cli.render.safe import safe
from sage_cli.render.styles import Style
from tests.explanation_samples import ALL, hostile, wrong

STYLES: tuple[Style, ...] = get_args(Style)
READER = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")
LINES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).map(
    lambda text: " ".join(text.split())
)


def test_a_wrong_answer() -> None:
    page = explained(wrong(), "steps")
    assert page.startswith("**The answer is 28, right with a probability of 0.08.** Step 1 is the first")
    assert (
        "| 1 | `Ann has 3 more apples than Tom: 12 + 3 = 16`<br>12 + 3 is 15, not 16 "
        "| 0.12 | 0.67 | ✗ wrong arithmetic | Q1, Q2 |" in page
    )
    assert "```text\nQ1 ●─┬─╮ Tom has 12 apples.\n" in page
    assert "- Step 1 went on with `16` (0.58)\n  - `12 + 3 = 15` (0.34) → `27` (another answer)" in page


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
@pytest.mark.parametrize("style", STYLES)
def test_nothing_the_model_wrote_is_markup(make: Callable[[], Explanation], style: Style) -> None:
    page = explained(make(), style)
    assert safe(page) == page
    for token in READER.parse(page):
        assert token.type != "html_block"
        for child in token.children or ():
            assert child.type not in {"image", "link_open", "html_inline", "em_open", "s_open"} or (
                child.content == "<br>"
            )


def test_the_table_keeps_its_columns() -> None:
    rows = [token for token in READER.parse(explained(hostile(), "steps")) if token.type == "td_open"]
    assert len(rows) == 3 * 6


def test_nobody_is_called_and_nothing_referred_to() -> None:
    page = prose("ask @someone about #12 at https://example.org or www.example.org")
    for calling in ("@someone", "#12", "://", "www."):
        assert calling not in page


@given(LINES)
def test_code_is_what_it_was(line: str) -> None:
    [paragraph] = [token for token in READER.parse(code(line)) if token.type == "inline"]
    assert paragraph.children is not None
    [span] = paragraph.children
    assert span.type == "code_inline"
    assert span.content.strip() == safe(line).strip()


@given(LINES)
def test_prose_is_text(line: str) -> None:
    tokens = READER.parse(f"x {prose(line)}")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    inline = tokens[1].children or []
    assert {child.type for child in inline} <= {"text", "text_special"}
    shown = "".join(child.content for child in inline).replace("\u2060", "")
    assert shown.strip() == f"x {safe(line)}".replace("\u2060", "").strip()
