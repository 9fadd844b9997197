"""``sage eval`` over an engine that adds two numbers and errs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sage_cli.app import open_engine
from tests.sage_cli.fake_engine import Script
from tests.sage_cli.fake_evaluated import TOO_LONG, CalculatorOpener
from tests.sage_cli.fake_sage import PLAIN_MODEL
from tests.sage_cli.runner import PATIENCE, ROOT, Result, environment, run

FAKE = (sys.executable, "-m", "tests.sage_cli.fake_evaluated")


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    return written(tmp_path / "sums.jsonl", 40)


def written(path: Path, count: int) -> Path:
    records = (
        {"question": f"What is {k} + {k + 1}?", "answer": 2 * k + 1, "group": "odd" if k % 2 else "even"}
        for k in range(count)
    )
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def evaluate(*args: object, engine: CalculatorOpener | None = None) -> Result:
    words = [str(word) for word in args]
    return run("eval", *words, engine=engine or CalculatorOpener())  # type: ignore[arg-type]


def kept(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# The report


def test_a_report(sums: Path) -> None:
    result = evaluate("free", sums, "--votes", 4)
    assert result.code == 0, result.err
    assert result.out.startswith(
        "free answers: 40 problems, 4 chains each at temperature 0.8\nsage-pico Q8_0"
    )
    for row in ("fast", "head and ICS", "head off", "ICS off", "plain vote", "DeepConf", "best log-prob."):
        assert f"\n{row} " in result.out
    assert "\x1b" not in result.out
    assert all(len(line) <= 100 for line in result.out.splitlines())
    assert "note: the samples are in" in result.err


def test_json_is_the_whole_report(sums: Path) -> None:
    report = evaluate("free", sums, "--votes", "4", "--json", "-q").json
    assert report["schema"] == "sage.evaluation/1"
    assert report["count"] == 40
    assert {group["name"] for group in report["groups"]} == {"odd", "even"}
    guided = next(row for row in report["rows"] if row["name"] == "head and ICS")
    assert guided["accuracy"]["low"] <= guided["accuracy"]["value"] <= guided["accuracy"]["high"]


def test_the_page_needs_nothing_else(sums: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert evaluate("free", sums, "--votes", "4", "--html", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") > 4
    assert all(word not in text for word in ("<script", "http://", "https://", "<img"))
    assert "prefers-color-scheme: dark" in text


def test_a_model_without_a_head_is_measured_too(sums: Path) -> None:
    opener = CalculatorOpener(Script(model=PLAIN_MODEL))
    result = evaluate("free", sums, "--votes", "2", engine=opener)
    assert result.code == 0
    assert "no head" in result.out
    assert "head and ICS" not in result.out


def test_the_problems_that_are_built_in() -> None:
    opener = CalculatorOpener()
    result = evaluate("pico", "--limit", "5", "--modes", "fast", engine=opener)
    assert result.code == 0
    assert "5 of " in result.out
    assert len(opener.engines[0].texts) == 5  # type: ignore[attr-defined]


def test_overlap_with_training(sums: Path, tmp_path: Path) -> None:
    data = tmp_path / "train.txt"
    data.write_text("so, what is 3 + 4?\n", encoding="utf-8")
    result = evaluate("free", sums, "--modes", "fast", "--train-data", data)
    assert "1 of 40 questions share 13 words in a row with the training data (1 records)" in result.out


def test_a_row_to_compare_with(sums: Path) -> None:
    assert "against fast" in evaluate("free", sums, "--votes", "2", "--against", "fast").out
    wrong = evaluate("free", sums, "--votes", "2", "--against", "nobody")
    assert (wrong.code, wrong.out) == (2, "")
    assert "hint: there are: fast, head and ICS" in wrong.err


# What is kept


def test_samples_can_be_reported_again_without_a_model(sums: Path, tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    first = evaluate("free", sums, "--votes", "4", "--samples", path)
    opener = CalculatorOpener()
    again = evaluate("samples", path, engine=opener)
    assert again.out == first.out
    assert opener.engines == []


def test_samples_are_continued_and_never_overwritten(sums: Path, tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    whole = evaluate("free", sums, "--votes", "2", "--samples", tmp_path / "whole.jsonl", "--json").json
    assert evaluate("free", sums, "--votes", "2", "--samples", path, "--limit", "7").code == 0
    with path.open("a", encoding="utf-8") as file:
        file.write('{"problem": {"id"')  # cut off
    assert evaluate("free", sums, "--votes", "2", "--samples", path).code == 2
    opener = CalculatorOpener()
    result = evaluate("free", sums, "--votes", "2", "--samples", path, "--resume", "--json", engine=opener)
    assert len(opener.engines[0].texts) == 2 * 33  # type: ignore[attr-defined]
    accuracies = [[row["accuracy"] for row in report["rows"]] for report in (whole, result.json)]
    assert accuracies[0] == accuracies[1]


@pytest.mark.parametrize(
    ("changed", "named"), [(("--seed", "1"), "seed"), (("--votes", "3"), "votes"), (("--no-head",), "model")]
)
def test_samples_of_another_setup_are_not_continued(
    sums: Path, tmp_path: Path, changed: tuple[str, ...], named: str
) -> None:
    path = tmp_path / "samples.jsonl"
    assert evaluate("free", sums, "--votes", "2", "--samples", path, "--limit", "3").code == 0
    votes = () if "--votes" in changed else ("--votes", "2")
    result = evaluate("free", sums, *votes, "--samples", path, "--resume", *changed)
    assert result.code == 2
    assert f"another {named}" in result.err


def test_without_a_name_samples_go_to_the_state_folder(sums: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert evaluate("free", sums, "--votes", "2", "--limit", "3").code == 0
    names = sorted(path.name for path in (tmp_path / "state" / "sage" / "eval").iterdir())
    assert len(names) == 2
    assert names[1] == names[0].replace(".jsonl", "").removesuffix(".previous") + ".previous.jsonl" or (
        names[0].endswith(".previous.jsonl")
    )
    opener = CalculatorOpener()
    assert evaluate("free", sums, "--votes", "2", "--resume", "--limit", "4", engine=opener).code == 0
    assert len(opener.engines[0].texts) == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_what_was_sampled_survives(tmp_path: Path, number: signal.Signals, code: int) -> None:
    sums, path = written(tmp_path / "sums.jsonl", 40), tmp_path / "samples.jsonl"
    words = ["eval", "free", str(sums), "--votes", "2", "--samples", str(path)]
    child = subprocess.Popen(
        [*FAKE, *words],
        env=environment(tmp_path, FAKE_DELAY="0.05"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not path.exists() or len(path.read_bytes().splitlines()) < 4:
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(number)
    _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == code
    if number == signal.SIGINT:
        assert b"of 40 problems are in" in err
    there = len(kept(path)) - 1
    assert 3 <= there < 40
    opener = CalculatorOpener()
    result = evaluate("free", sums, "--votes", "2", "--samples", path, "--resume", engine=opener)
    assert result.code == 0, result.err
    assert len(opener.engines[0].texts) == 2 * (40 - there)  # type: ignore[attr-defined]


def test_a_problem_that_does_not_fit_is_not_answered(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    lines = [{"question": "1 + 1?", "answer": 2}, {"question": f"{TOO_LONG} 1 + 2?", "answer": 3}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    result = evaluate("free", path, "--votes", "2")
    assert result.code == 0
    assert "note: problem 2 counts as not answered: the question has 5,000 tokens" in result.err
    path.write_text(json.dumps(lines[1]), encoding="utf-8")
    assert evaluate("free", path, "--votes", "2").code == 2


# What is refused


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("gsm8k",), 2, "gsm8k needs its FILE"),
        (("samples",), 2, "FILE is missing"),
        (("nothing",), 2, "TASK 'nothing' is not possible"),
        (("pico", "--modes", "slow"), 2, "--modes 'slow' is not possible"),
        (("pico", "--modes", ","), 2, "--modes is empty"),
        (("pico", "--votes", "0"), 2, "--votes 0 is out of range"),
        (("gsm8k", "/nowhere.jsonl"), 66, "there is no file /nowhere.jsonl"),
        (("samples", "/nowhere.jsonl"), 66, "there is no file /nowhere.jsonl"),
        (("pico", "--html", "/nowhere/x.html"), 74, "there is no folder /nowhere"),
        (("pico", "--train-data", "/nowhere/x.txt"), 66, "there is no file /nowhere/x.txt"),
    ],
)
def test_refusals(args: tuple[str, ...], code: int, said: str) -> None:
    result = evaluate(*args)
    assert result.code == code, result.err
    assert said in result.err
    assert "internal" not in result.err
    assert result.out == ""


def test_other_files_are_no_samples(sums: Path, tmp_path: Path) -> None:
    result = evaluate("samples", sums)
    assert result.code == 65
    assert "not samples of schema" in result.err
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert evaluate("samples", empty).code == 65


def test_the_embedded_model_in_all_modes() -> None:
    result = run(
        "eval",
        "pico",
        "--limit",
        "2",
        "--votes",
        "2",
        "--modes",
        "auto,think,vote,fast",
        "--json",
        engine=open_engine,
    )
    assert result.code == 0, result.err
    rows = {row["name"]: row for row in result.json["rows"]}
    assert list(rows)[:3] == ["fast", "think", "auto"]
    assert {"head and ICS", "plain vote", "DeepConf"} <= set(rows)
    assert rows["head and ICS"]["tokens"] > rows["plain vote"]["tokens"] > rows["fast"]["tokens"] > 20
    assert result.json["setup"]["parameters"] > 1_000_000
