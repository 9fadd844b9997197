"""Answers that are the same, and answers that are not."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mch_runtime.evaluation.equality import canonical, number, rational, written
from mch_runtime.evaluation.problems import Kind


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("number", "$1,200.00", "1200"),
        ("number", "18 dollars", "18"),
        ("number", "-0.50", "-1/2"),
        ("number", "20%", "20"),
        ("number", "€ 3.50 per kilo", "3.5"),
        ("number", "−7", "-7"),
        ("number", r"\frac{3}{4}", "0.75"),
        ("number", "1.5e3", "1500"),
        ("math", r"\dfrac{1}{2}", r"\frac12"),
        ("math", r"\frac{1}{2}", "0.5"),
        ("math", r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
        ("math", r"10{,}080", "10080"),
        ("math", r"\$18.90", "18.9"),
        ("math", r"90^\circ", "90"),
        ("math", r"x = 5", "5"),
        ("math", r"5\text{ cm}^2", "5"),
        ("math", r"\text{east}", "east"),
        ("math", r"1,-2", "-2, 1"),
        ("math", r"2\frac{1}{2}", r"\frac{5}{2}"),
        ("math", r"\sqrt2", r"\sqrt{2}"),
        ("math", r"$\{2, 1\}$", r"\{1,2\}"),
        ("math", r"x \le 3", r"x\leq3"),
        ("math", r"50\%", "50"),
        ("choice", "(b)", "B"),
        ("choice", "B.", "B"),
        ("text", " Paris. ", "paris"),
        ("text", "1,200", "1200.0"),
    ],
)
def test_the_same(kind: Kind, one: str, other: str) -> None:
    assert canonical(one, kind) == canonical(other, kind)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("number", "12", "21"),
        ("number", "-3", "3"),
        ("math", "(1,2)", "(2,1)"),
        ("math", "(1,2)", "[1,2]"),
        ("math", r"\frac{1}{3}", "0.333"),
        ("math", "1,234", "1, 234"),
        ("choice", "A", "B"),
        ("text", "unknown", "contradiction"),
    ],
)
def test_not_the_same(kind: Kind, one: str, other: str) -> None:
    assert canonical(one, kind) != canonical(other, kind)


@given(st.fractions(max_denominator=10_000))
def test_a_written_number_is_read_back(value: Fraction) -> None:
    assert rational(written(value)) == value


@given(st.text(max_size=60), st.sampled_from(["number", "math", "choice", "text"]))
def test_any_text_has_a_form_that_stays(text: str, kind: Kind) -> None:
    form = canonical(text, kind)
    assert isinstance(form, str)
    if kind in {"number", "choice"}:
        assert canonical(form, kind) == form


def test_a_fraction_of_nothing_is_no_number() -> None:
    assert rational("3/0") is None
    assert rational(r"\frac{1}{0}") is None
    assert number("none") is None
