from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_cli.render.safe import one_line, safe

ANYTHING = st.text(st.characters(codec=None, categories=None), max_size=200)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode 你好 🙂\n\ttab", "plain, ünïcode 你好 🙂\n\ttab"),
        ("\x1b]52;c;ZXZpbA==\x07", "\\x1b]52;c;ZXZpbA==\\x07"),
        ("\x9b31m\x7f\r\x00", "\\x9b31m\\x7f\\x0d\\x00"),
        ("a\u202eb\u2066c\u200f\u2028\ufeff", "a\\u202eb\\u2066c\\u200f\\u2028\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_acts_on_becomes_visible(text: str, shown: str) -> None:
    assert safe(text) == shown


@given(ANYTHING)
def test_nothing_a_terminal_acts_on_is_left(text: str) -> None:
    for character in safe(text):
        assert character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs"}
        assert unicodedata.bidirectional(character) not in {
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        }
        assert not 0xE0000 <= ord(character) <= 0xE007F


@given(ANYTHING)
def test_twice_is_once(text: str) -> None:
    assert safe(safe(text)) == safe(text)


@given(ANYTHING, ANYTHING)
def test_cutting_changes_nothing(one: str, two: str) -> None:
    assert safe(one) + safe(two) == safe(one + two)


@given(ANYTHING)
def test_one_line_is_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1
