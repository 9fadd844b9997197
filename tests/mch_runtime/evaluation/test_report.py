"""The report of made-up samples."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mch_runtime.evaluation.overlap import overlap
from mch_runtime.evaluation.report import against, make_report, report_to_wire
from mch_runtime.evaluation.rows import GUIDED, PLAIN, by_votes, rows
from mch_runtime.strategies.selection import SelectionSettings
from tests.mch_runtime.evaluation.chains import chain, random_samples, sample, setup

SETTINGS = SelectionSettings()


def test_every_row_answers_the_same_problems() -> None:
    samples = random_samples()
    found = {row.name: row for row in rows(samples, SETTINGS)}
    expected = {
        "fast",
        GUIDED,
        "head off",
        "ICS off",
        PLAIN,
        "DeepConf",
        "best log-prob.",
        "best energy",
    }
    assert set(found) == expected
    majority = np.array([sum(c.answer == "7" for c in one.chains.scored) for one in samples if one.chains])
    clear = majority != 4
    assert (found[PLAIN].right == (majority > 4))[clear].all()
    assert found[GUIDED].right.mean() > found[PLAIN].right.mean()
    assert found[PLAIN].tokens[0] == 20 + 8 * 30
    assert found[GUIDED].tokens[0] == 20 + 8 * 30 + 200
    assert found[GUIDED].seconds[0] == pytest.approx(0.06)


def test_a_report_holds_every_figure() -> None:
    samples = random_samples()
    report = make_report(setup(), samples, of=100)
    assert report.against == PLAIN
    assert len(report.comparisons) == len(report.rows) * (len(report.rows) - 1) / 2
    best = next(one for one in against(report) if one.first == GUIDED)
    assert best.second == PLAIN
    assert best.difference.low > 0
    assert best.p < 0.05
    fast = report.rows[0]
    assert fast.calibrated
    assert fast.cost == 1
    assert fast.auroc is not None
    assert fast.auroc.value == 1
    assert fast.rejection_ratio == pytest.approx(1)
    assert fast.bits_per_tflop is not None
    assert [group.name for group in report.groups] == ["hard", "easy"]
    assert [count for count, _ in report.votes[PLAIN]] == [1, 2, 4, 8]
    assert report.oracle is not None
    assert report.oracle.value >= max(row.accuracy.value for row in report.rows)


def test_the_report_as_json_is_plain() -> None:
    samples = random_samples(12)
    shared = overlap([one.problem.question for one in samples], ["question 3?"])
    wire = report_to_wire(make_report(setup(), samples, overlap=shared))
    assert wire["schema"] == "sage.evaluation/1"
    assert wire["contamination"]["touched"] == 1
    assert json.loads(json.dumps(wire, allow_nan=False)) == wire


def test_without_a_head_there_is_less_to_say() -> None:
    bare = []
    for one in random_samples(12):
        assert one.chains is not None
        scored = tuple(
            replace(c, head=None, head_logit=None, sound=None, ics=None, ics_min=None)
            for c in one.chains.scored
        )
        fast = replace(one.modes["fast"], confidence=None, valid=None)
        chains = replace(one.chains, scored=scored, question_tokens=None)
        bare.append(replace(one, modes={"fast": fast}, chains=chains))
    report = make_report(setup(), bare)
    assert [row.name for row in report.rows] == ["fast", PLAIN, "DeepConf", "best log-prob."]
    assert report.rows[0].ece is None
    assert report.theory.effective_error is None
    assert report.theory.information is None


def test_fast_alone_and_one_problem() -> None:
    (one,) = random_samples(1)
    report = make_report(setup(modes=("fast",), votes=0), [replace(one, chains=None)])
    assert [row.name for row in report.rows] == ["fast"]
    assert report.against == "fast"
    assert (report.comparisons, report.votes, report.oracle) == ((), {}, None)


def test_spoken_confidence_has_a_row_where_chains_state_one() -> None:
    pair = (chain("7", good=0.2), chain("8", good=0.9))
    samples = [sample(k, pair, spoken=(0.9, 0.4)) for k in range(4)]
    row = next(row for row in rows(samples, SETTINGS) if row.name == "spoken confidence")
    assert row.right.all()
    assert row.confidence == pytest.approx(np.full(4, 0.9))


def test_more_votes_are_a_longer_curve() -> None:
    samples = random_samples(40)
    curve = by_votes(samples, "both", SETTINGS)
    assert [count for count, _ in curve] == [1, 2, 4, 8]
    assert curve[-1][1] > curve[0][1]
