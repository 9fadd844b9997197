from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import pico_accuracy
from benchmarks.evaluation import Simple, draw
from benchmarks.greedy import Answered, SimplyAnswered
from benchmarks.pico_accuracy import confidence_of, report_said, report_targets


def answered(kind: str, answers: list[str | None]) -> list[Answered]:
    """Problems of a set with answers to them; "" stands for the right one."""
    problems = draw(kind, count=len(answers), seed=1)
    return [
        Answered(p, p.answer if text == "" else text, 0.5, -0.1)
        for p, text in zip(problems, answers, strict=True)
    ]


def test_targets_count_false_alarms_of_answerable_problems_only() -> None:
    answers = {
        "easy": answered("easy", ["", "", "unknown", "-1"]),
        "standard": answered("standard", ["", "", "contradiction", None]),
        "unanswerable": answered("unanswerable", ["", "", "", "contradiction"]),
    }
    simple = [SimplyAnswered(Simple("Who?", "Mia"), "mia", None)]
    found = report_targets(answers, simple)
    assert found["easy"]["value"] == 0.5
    assert (found["false alarms"]["value"], found["false alarms"]["n"]) == (0.25, 8)
    assert found["unanswerable"]["value"] == 0.75
    assert (found["newcomers"]["value"], found["newcomers"]["verdict"]) == (1, "missed by 19 questions")


def test_the_two_kinds_without_an_answer_are_told_apart() -> None:
    said = report_said(
        {
            "easy": answered("easy", ["", "unknown"]),
            "unanswerable": answered("unanswerable", ["", "contradiction", "5", None]),
        }
    )
    assert {word: figure["n"] for word, figure in said["unanswerable"].items()} == {
        "unknown": 1,
        "contradiction": 1,
        "an answer": 1,
        "nothing": 1,
    }
    assert said["false alarms"]["value"] == 0.5


def test_answers_without_a_confidence_are_counted_apart() -> None:
    some = answered("easy", ["", "-1", "", ""])
    some[0] = replace(some[0], confidence=None)
    some[1] = replace(some[1], confidence=0.2)
    row = confidence_of(some, np.random.default_rng(0))
    assert (row["n"], row["null"], row["null_right"]) == (4, 1, 1)
    assert row["auroc"]["value"] == 1.0
    assert row["mean_confidence"] == 0.4
    none = confidence_of([replace(one, confidence=None) for one in some], np.random.default_rng(0))
    assert (none["null"], none["ece"], none["auroc"]) == (4, None, None)


def test_the_command_measures_the_shipped_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    few = tmp_path / "few.jsonl"
    few.write_text('{"question": "Ben has 4 apples. How many apples does Ben have?", "answer": "4"}\n')
    command = ["--problems", "4", "--sets", "easy", "unanswerable", "--newcomers", str(few)]
    pico_accuracy.main([*command, "--records", str(tmp_path)])
    record = json.loads((tmp_path / "pico_accuracy.json").read_text())
    results = record["results"]
    assert results["model"]["name"] == "sage-pico"
    assert results["right"]["easy"]["all"]["n"] == 4
    assert set(results["confidence"]) == {"easy", "unanswerable"}
    assert results["newcomers"]["n"] == 1
    assert "Right greedy answers, easy, %" in capsys.readouterr().out
