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
    fields = "id conversation created model system question answer confidence finish_reason since"
    assert set(objects[0]) == set(fields.split())


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


def ask_three() -> list[str]:
    """Ids of three answers, oldest first."""
    for question in ("red apples", "green apples", "pears"):
        assert run("-m", "m", question).code == 0
    return [line.split("\t")[0] for line in run("logs").out.splitlines()][::-1]


def questions(*args: str) -> list[str]:
    return [line.split("\t")[4] for line in run("logs", *args).out.splitlines()]


def test_searching() -> None:
    assert run("logs", "search", "apples").code == 0
    ask_three()
    assert questions("search", "GREE") == ["green apples"]
    assert questions("search", "apples", "red") == ["red apples"]
    assert questions("search", "-n", "1", "apples") == ["pears"]  # in the answer
    assert [
        json.loads(line)["question"] for line in run("logs", "search", "--json", "pear").out.splitlines()
    ] == ["pears"]
    assert run("logs", "search", "kiwi").out == ""
    assert run("logs", "search").code == 2


def test_one_conversation() -> None:
    ids = ask_three()
    with Log(Path(os.environ["SAGE_LOG"])) as log:
        later = log.begin("and red ones?", "m", conversation=ids[1])
    for part in (ids[1], later, later[-6:]):
        assert questions("list", "--cid", part) == ["and red ones?", "green apples"]
    assert run("logs", "list", "--cid", "zzzzzz").code == 66


def test_on_off_and_status() -> None:
    run("-m", "m", "kept")
    status = run("logs", "status", "--json").json
    assert (status["on"], status["path"], status["answers"]) == (True, os.environ["SAGE_LOG"], 1)
    assert status["bytes"] > 0
    assert run("logs", "off").code == 0
    assert run("-m", "m", "not kept").out == "27\n"
    assert run("logs", "status").out.startswith("off: answers are not kept in ")
    assert run("logs", "status").out.splitlines()[1].startswith("1 answer, ")
    assert run("logs", "on").code == 0
    run("-m", "m", "kept too")
    assert questions() == ["kept too", "kept"]
    assert run("logs", "status").out.startswith("on: answers are kept in ")


def test_status_of_no_log() -> None:
    assert run("logs", "status").out.splitlines()[1] == "0 answers, 0 bytes"
    assert not Path(os.environ["SAGE_LOG"]).exists()


def test_a_copy_is_used_as_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("logs", "backup", str(tmp_path / "copy.db")).code == 66
    ask_three()
    assert run("logs", "backup", str(tmp_path / "copy.db")).code == 0
    assert run("logs", "rm", "--all", "-y").code == 0
    assert questions() == []
    monkeypatch.setenv("SAGE_LOG", str(tmp_path / "copy.db"))
    assert questions() == ["pears", "green apples", "red apples"]


def test_removing() -> None:
    ids = ask_three()
    assert run("logs", "rm", ids[0], ids[1][-7:], ids[0], "--yes").err == "note: 2 answers were removed\n"
    assert questions() == ["pears"]
    assert run("logs", "rm", "--older-than", "1h", "-y").err == "note: there is nothing to remove\n"
    assert run("logs", "rm", "--older-than", "2026-01-31", "-y").code == 0
    assert questions() == ["pears"]
    assert run("logs", "rm", "--older-than", "2999-01-01", "-y").code == 0
    assert questions() == []


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "name answers, or --older-than AGE, or --all"),
        (["--all", "--older-than", "1d"], 2, "one of them"),
        (["--all"], 2, "nobody can be asked whether 3 answers may go"),
        (["--older-than", "soon", "-y"], 2, "--older-than soon is neither an age nor a date"),
        (["zzzzzz", "-y"], 66, "no answer zzzzzz"),
        (["", "-y"], 2, "an id is empty"),
    ],
)
def test_what_is_not_removed(args: list[str], code: int, said: str) -> None:
    ask_three()
    result = run("logs", "rm", *args)
    assert result.code == code
    assert said in result.err
    assert len(questions()) == 3
