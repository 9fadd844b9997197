"""Task sets from files in their published forms, and what is said of files that are not."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mch_runtime.errors import DataError, MissingInputError, SageError, UsageError
from mch_runtime.evaluation.formats import FORMATS
from mch_runtime.evaluation.tasks import read_task
from sage_cli.assets import PICO_PROBLEMS
from tests.mch_runtime.evaluation.records import (
    AQUA,
    COMMONSENSE,
    COMMONSENSE_HUB,
    GPQA,
    GSM8K,
    MATH,
    MMLU_PRO,
)


def written(path: Path, *records: Mapping[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def as_csv(path: Path, *records: Mapping[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    return path


@pytest.mark.parametrize(
    ("name", "record", "answer", "shown"),
    [
        ("gsm8k", GSM8K, "1016", "How many rolls"),
        ("math-500", MATH, r"(3,\frac{\pi}{2})", "polar"),
        ("aqua", AQUA, "B", "\nB) 60\n"),
        ("commonsenseqa", COMMONSENSE, "C", "\nC) rain\n"),
        ("commonsenseqa", COMMONSENSE_HUB, "C", "\nC) rain\n"),
        ("mmlu-pro", MMLU_PRO, "C", "\nC) heart\n"),
        ("choice", {"question": "2 + 2?", "options": ["3", "4"], "answer": 1}, "B", "\nB) 4"),
        ("choice", {"question": "2 + 2?", "choices": ["3", "4"], "answer": "4"}, "B", "\nB) 4"),
        ("choice", {"question": "2 + 2?", "options": ["A) 3", "B) 4"], "answer": "b"}, "B", "\nB) 4"),
        ("free", {"question": "Capital of France?", "answer": "Paris."}, "paris", "Capital"),
        ("free", {"question": "2 + 2?", "answer": 4}, "4", "2 + 2"),
    ],
)
def test_published_records(
    tmp_path: Path, name: str, record: Mapping[str, Any], answer: str, shown: str
) -> None:
    task = read_task(name, written(tmp_path / "test.jsonl", record))
    (problem,) = task.problems
    assert problem.answer == answer
    assert shown in task.prompt(problem)
    assert problem.id
    assert "N/A" not in problem.question


def test_gpqa_is_shuffled_by_the_seed_and_the_question(tmp_path: Path) -> None:
    path = as_csv(tmp_path / "gpqa_diamond.csv", GPQA)
    orders = set()
    for seed in range(8):
        (problem,) = read_task("gpqa", path, seed=seed).problems
        assert problem.options["ABCD".index(problem.answer)] == "argon"
        assert problem.group == "Chemistry"
        orders.add(problem.options)
        assert read_task("gpqa", path, seed=seed).problems == (problem,)
    assert len(orders) > 1


def test_the_original_math_has_its_answer_in_a_box(tmp_path: Path) -> None:
    record = {key: value for key, value in MATH.items() if key != "answer"} | {"level": "Level 2"}
    (problem,) = read_task("math-500", written(tmp_path / "x.jsonl", record)).problems
    assert (problem.answer, problem.group) == (r"(3,\frac{\pi}{2})", "level 2")


def test_an_instruction_stands_below_the_question_and_can_be_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", GSM8K)
    task = read_task("gsm8k", path)
    assert task.prompt(task.problems[0]).endswith(f"\n\n{FORMATS['gsm8k'].instruction}")
    bare = read_task("gsm8k", path, instruction="")
    assert bare.prompt(bare.problems[0]) == GSM8K["question"]


def test_the_built_in_problems() -> None:
    task = read_task("pico", PICO_PROBLEMS)
    assert len(task.problems) >= 1000
    assert {problem.group for problem in task.problems[:5]} == {
        "easy",
        "standard",
        "hard",
        "unanswerable",
        "contradictory",
    }
    assert all(problem.depth for problem in task.problems)
    assert PICO_PROBLEMS.stat().st_size <= 300_000


def test_arrays_gzip_and_repeated_problems(tmp_path: Path) -> None:
    path = tmp_path / "test.json.gz"
    path.write_bytes(gzip.compress(json.dumps([AQUA, AQUA], indent=1).encode()))
    assert len(read_task("aqua", path).problems) == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gsm8k", '{"question": "1 + 1?", "answer": "2"}', 'line 1: "answer" has no line'),
        ("gsm8k", '{"answer": "#### 2"}', '"question" is missing'),
        ("gsm8k", "[1, 2]", "record 1: not a JSON object"),
        ("gsm8k", "not json", "line 1: not JSON"),
        ("gsm8k", "", "holds no problems"),
        ("aqua", '{"question": "?", "options": ["A)1", "B)2"], "correct": "E"}', "is none of the options"),
        ("aqua", '{"question": "?", "options": ["A)1"], "correct": "A"}', "there are 1 options"),
        ("commonsenseqa", json.dumps(COMMONSENSE | {"answerKey": None}), "test split has no answers"),
        ("mmlu-pro", json.dumps(MMLU_PRO | {"answer": "A"}), '"answer_index" 2'),
        ("choice", '{"question": "?", "options": ["1", "2"]}', '"answer" is missing'),
        ("free", '{"question": "?", "answer": null}', '"answer" is missing'),
        ("free", '{"question": "?", "question": "?"}', "occurs twice"),
    ],
)
def test_bad_records_are_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as error:
        read_task(name, path)
    assert said in error.value.message
    assert error.value.hint


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError):
        read_task("free", tmp_path / "none.jsonl")
    (tmp_path / "x.jsonl.gz").write_bytes(b"no gzip")
    (tmp_path / "y.jsonl.gz").write_bytes(gzip.compress(b'{"question": "?"}' * 50)[:-9])
    (tmp_path / "z.jsonl").write_bytes(b'{"question": "\xff"}')
    (tmp_path / "c.csv").write_text('Question,"broken\n', encoding="utf-8")
    for name in ("x.jsonl.gz", "y.jsonl.gz", "z.jsonl", "c.csv"):
        with pytest.raises(SageError) as error:
            read_task("free", tmp_path / name)
        assert error.value.exit_code == 65


def test_parquet_asks_for_pyarrow_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    path.write_bytes(b"PAR1")
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        with pytest.raises(UsageError, match="needs pyarrow"):
            read_task("mmlu-pro", path)
    else:
        with pytest.raises(DataError, match="not Parquet"):
            read_task("mmlu-pro", path)
