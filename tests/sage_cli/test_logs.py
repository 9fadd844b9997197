from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sage_cli.history import Log
from tests.sage_cli.fake_engine import QUESTION, FakeOpener
from tests.sage_cli.fake_sage import SCRIPTS
from tests.sage_cli.runner import run


def test_path_is_printed_alone() -> None:
    assert run("logs", "path").out == os.environ["SAGE_LOG"] + "\n"
    assert not Path(os.environ["SAGE_LOG"]).exists()


@pytest.mark.parametrize("args", [["logs"], ["logs", "list"], ["logs", "-n", "3"], ["logs", "--json"]])
def test_an_empty_log_lists_nothing_and_is_not_made(args: list[str]) -> None:
    result = run(*args)
    assert (result.code, result.out) == (0, "")
    assert not Path(os.environ["SAGE_LOG"]).exists()


def test_listing_in_a_pipe_is_fields_separated_by_tabs() -> None:
    run("-m", "m", "one\ttwo\nthree")
    run("-m", "m", "q", engine=FakeOpener(SCRIPTS["plain"]))
    lines = run("logs").out.splitlines()
    first, second = (line.split("\t") for line in lines)
    assert first[2:] == ["", "The moon is up, the night is deep, and all the little tokens sleep.", "q"]
    assert second[2:] == ["0.9680", "27", "one two three"]
    assert run("logs", "-n", "1").out.splitlines() == lines[:1]


def test_listing_as_json_lines() -> None:
    run("-m", "m", "a")
    run("-m", "m", "b")
    objects = [json.loads(line) for line in run("logs", "--json").out.splitlines()]
    assert [o["question"] for o in objects] == ["b", "a"]
    assert set(objects[0]) == {"id", "created", "model", "question", "answer", "confidence", "finish_reason"}


def test_showing_an_answer() -> None:
    run("-m", "m", QUESTION)
    identifier = run("logs").out.split("\t")[0]
    shown = run("logs", "show", identifier)
    assert shown.code == 0
    assert shown.out.splitlines()[0] == QUESTION
    assert "27 · 97 % sure" in shown.out
    assert identifier in shown.out
    assert run("logs", "show").out == shown.out
    assert run("logs", "show", identifier[-5:]).out == shown.out
    assert "greedy, seed 7" in run("logs", "show", "-v").out


def test_showing_the_trace() -> None:
    asked = run("--json", "-m", "m", QUESTION).json
    assert run("logs", "show", "--json").json == asked


def test_what_cannot_be_shown() -> None:
    assert run("logs", "show").code == 66
    run("-m", "m", "a")
    run("-m", "m", "b")
    identifier = run("logs").out.split("\t")[0]
    assert run("logs", "show", "zzzz").code == 66
    assert run("logs", "show", identifier[:3]).code == 2
    with Log(Path(os.environ["SAGE_LOG"])) as log:
        unfinished = log.begin("c", "m")
    result = run("logs", "show", unfinished)
    assert result.code == 66
    assert "never finished" in result.err
