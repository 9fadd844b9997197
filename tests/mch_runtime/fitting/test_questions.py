"""Questions for a fit: what is read, what is refused and where, which part a question belongs to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mch_runtime.errors import DataError
from mch_runtime.fitting import questions
from mch_runtime.fitting.questions import LabelledStep, read_queries


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "FEWEST", 1)


def written(path: Path, *records: Any) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def test_records_are_read_as_they_look(tmp_path: Path) -> None:
    path = written(
        tmp_path / "q.jsonl",
        {"question": "How many?", "answer": 12},
        {"question": "How much?", "answer": "So 3 * 4 = 12.\n#### 12"},
        {"question": "Which?", "options": ["red", "blue"], "answer": "B"},
    )
    free, gsm8k, choice = (query.problem for query in read_queries(path))
    assert (free.kind, free.answer) == ("text", "12")
    assert (gsm8k.kind, gsm8k.answer) == ("number", "12")
    assert (choice.kind, choice.answer, choice.options) == ("choice", "B", ("red", "blue"))


def test_labelled_chains_of_a_question_come_together(tmp_path: Path) -> None:
    chain = {"steps": [{"text": "1 + 1 = 3.", "valid": False}, {"text": "Answer: 3"}]}
    record = {"question": "How many?", "answer": "2", "chains": [chain]}
    (query,) = read_queries(
        written(tmp_path / "q.jsonl", record, record, {"question": "How many?", "answer": 2})
    )
    assert query.chains == ((LabelledStep("1 + 1 = 3.", False), LabelledStep("Answer: 3", None)),) * 2


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"question": "x"}, 'line 2: "answer" is missing'),
        ({"answer": "x"}, 'line 2: "question" is missing'),
        ([], "line 2: not a JSON object"),
        ({"question": "x", "answer": "y", "chains": {}}, 'line 2: "chains" is not a list'),
        ({"question": "x", "answer": "y", "chains": [{}]}, 'line 2: chain 1 has no "steps"'),
        ({"question": "x", "answer": "y", "chains": [{"steps": []}]}, 'line 2: chain 1 has no "steps"'),
        (
            {"question": "x", "answer": "y", "chains": [{"steps": [{"text": "a\nb"}]}]},
            'line 2: chain 1, step 1 has no "text" of one line',
        ),
        (
            {"question": "x", "answer": "y", "chains": [{"steps": [{"text": "a", "valid": "no"}]}]},
            "line 2: chain 1, step 1: \"valid\" is 'no'",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, record: Any, said: str) -> None:
    path = written(tmp_path / "q.jsonl", {"question": "fine", "answer": "1"}, record)
    with pytest.raises(DataError) as caught:
        read_queries(path)
    assert caught.value.message.startswith(said)
    assert caught.value.exit_code == 65


def test_too_few_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "FEWEST", 200)
    record = {"question": "the same", "answer": "1"}
    with pytest.raises(DataError, match=r"holds 1 different questions, and at least 200 are needed"):
        read_queries(written(tmp_path / "q.jsonl", *[record] * 500))


def test_parts_are_about_as_large_as_they_should_be(tmp_path: Path) -> None:
    path = written(tmp_path / "q.jsonl", *({"question": f"q{k}", "answer": "1"} for k in range(2000)))
    parts = [query.part for query in read_queries(path)]
    assert 0.65 < parts.count("fit") / 2000 < 0.75
    assert 0.12 < parts.count("test") / 2000 < 0.18
    assert 0.12 < parts.count("calibrate") / 2000 < 0.18
