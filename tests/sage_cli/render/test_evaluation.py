"""Reports as text and as a page: they fit, they are well-formed, and names cannot break out."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from mch_runtime.evaluation.report import Report, make_report
from sage_cli.console import Face
from sage_cli.paint import paint
from sage_cli.render import evaluation, evaluation_page
from sage_cli.render.plots import Axis, Series, plot
from tests.mch_runtime.evaluation.chains import MODEL, random_samples, setup

PLAIN = Face(terminal=False, color=False, unicode=True)
HOSTILE = '<b onclick="x">\x1b[31m& co'
_VOID = {"meta", "br"}


@pytest.fixture(scope="module")
def report() -> Report:
    return make_report(setup(), random_samples(40), of=100)


class Balanced(HTMLParser):
    """Every element is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_tables_fit_a_narrow_terminal(report: Report) -> None:
    text = paint(evaluation.evaluated(report, unicode=True), PLAIN, width=80)
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())
    for title in (
        "Right answers",
        "Confidence",
        "Cost of a problem",
        "Reliability by steps",
        "Error by information",
    ):
        assert f"\n{title}" in text
    assert "40 of 100 problems, 8 chains each" in text


def test_a_row_stays_on_its_line(report: Report) -> None:
    text = paint(evaluation.evaluated(report, unicode=True), PLAIN, width=80)
    for row in report.rows:
        assert len(re.findall(rf"^{row.name} +\d", text, re.MULTILINE)) >= 2


def test_without_unicode_there_is_ascii_alone(report: Report) -> None:
    face = Face(terminal=False, color=False, unicode=False)
    text = paint(evaluation.evaluated(report, unicode=False), face, width=100)
    assert text.isascii()


def test_the_page_is_balanced_and_its_drawings_are_well_formed(report: Report) -> None:
    page = evaluation_page.evaluated(report)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) > 5
    for drawing in drawings:
        ET.fromstring(drawing)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_names_are_no_markup() -> None:
    samples = [
        replace(s, problem=replace(s.problem, group=HOSTILE + s.problem.group)) for s in random_samples(8)
    ]
    hostile = make_report(setup(title=HOSTILE, model=replace(MODEL, name=HOSTILE)), samples)
    page = evaluation_page.evaluated(hostile)
    assert "<b onclick" not in page
    assert "\x1b" not in page
    text = paint(evaluation.evaluated(hostile, unicode=True), PLAIN, width=100)
    assert "\x1b" not in text


def test_a_plot_of_one_point_and_of_none() -> None:
    axis = Axis(title="x", low=0, high=0)
    drawn = plot("p", "t", axis, axis, [Series(name="one", points=[(0, 0)]), Series(name="none", points=[])])
    assert "NaN" not in drawn
    ET.fromstring(drawn[: drawn.index("</svg>") + 6])


def test_differences_have_no_negative_zero() -> None:
    from mch_runtime.evaluation.metrics import Estimate

    assert evaluation.points(Estimate(-0.0001, -0.0, 0.1)) == "+0.0 [+0.0, +10.0]"
