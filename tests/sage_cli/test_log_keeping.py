"""Conversations, explanations, search, forgetting and copies of the log; a log of the first version."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from mch_runtime.errors import DataError, FileError, UsageError
from mch_runtime.wire import to_wire
from sage_cli import log_schema
from sage_cli.history import Log
from sage_cli.log_file import is_on, turn
from tests.explanation_samples import right
from tests.sage_cli.fake_engine import Script
from tests.sage_cli.render.test_terminal import trace_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sage" / "logs.db"


def test_a_conversation_has_its_turns(path: Path) -> None:
    trace = trace_of(Script())
    with Log(path) as log:
        assert log.last_conversation() is None
        first = log.begin("one", "m", system="Be brief.")
        log.complete(first, trace)
        other = log.begin("elsewhere", "m")
        second = log.begin("two", "m", conversation=first)
        third = log.begin("three", "m", conversation=first)
        log.withdraw(third)
        assert log.last_conversation() == first
        turns = log.turns(first)
        assert [turn.question for turn in turns] == ["one", "two"]
        assert turns[0].trace == to_wire(trace)
        assert (turns[0].system, turns[1].trace) == ("Be brief.", None)
        assert [turn.id for turn in log.turns(other)] == [other]
        assert [entry.id for entry in log.latest(9, conversation=first)] == [third, second, first]
        assert log.find(second).conversation == first


def test_what_was_said_before_an_answer(path: Path) -> None:
    with Log(path) as log:
        first = log.begin("one", "m")
        second = log.begin("two", "m", conversation=first)
        third = log.begin("three", "m", conversation=first, since=second)
        alone = log.begin("four", "m", conversation=first, since="")
        last = log.begin("five", "m", conversation=first)

        def before(identifier: str) -> list[str]:
            return [turn.question for turn in log.turns(first, before=log.find(identifier))]

        assert before(first) == []
        assert before(third) == ["two"]
        assert before(alone) == []
        assert before(last) == ["one", "two", "three", "four"]
        log.withdraw(third)
        assert before(third) == ["two"], "an answer that was taken back had what came before it"
        assert before(last) == ["one", "two", "four"]


def test_explanations_are_kept_with_their_answer(path: Path) -> None:
    explanation = right()
    with Log(path) as log:
        identifier = log.begin("q", "m")
        assert log.explanation(identifier) is None
        log.keep_explanation(identifier, replace(explanation, words="first"), conditions={"n": 1})
        log.keep_explanation(identifier, replace(explanation, words="second"), conditions={"n": 2})
        log.keep_explanation(identifier, replace(explanation, words="third"), conditions={"n": 1})
        stored = log.explanation(identifier)
        assert stored is not None
        assert (stored.explanation.words, stored.conditions) == ("third", {"n": 1})
        assert stored.explanation.trace == explanation.trace
        suited = log.explanation(identifier, suits=lambda conditions: conditions["n"] == 2)
        assert suited is not None
        assert suited.explanation.words == "second"
        assert log.explanation(identifier, suits=lambda _: False) is None
        log._db.execute("UPDATE explanations SET explanation = '{'")
        with pytest.raises(DataError, match="damaged"):
            log.explanation(identifier)


@pytest.mark.parametrize("full_text", [True, False])
def test_searching(path: Path, full_text: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not full_text:
        monkeypatch.setattr(log_schema, "has_full_text", lambda _: False)
    with Log(path) as log:
        apples = log.begin("How many Apples has Ann?", "m")
        log.complete(apples, trace_of(Script()))
        pears = log.begin('What does "100%" of a pear mean?', "m")
        assert [entry.id for entry in log.search("apples", 9)] == [apples]
        assert [entry.id for entry in log.search("ANN app", 9)] == [apples]
        assert [entry.id for entry in log.search("together", 9)] == [apples]  # in the answer's text
        assert [entry.id for entry in log.search("mean", 9)] == [pears]
        assert [entry.id for entry in log.search("a", 9)] == [pears, apples]
        assert len(log.search("a", 1)) == 1
        for nothing in ("", "  ", "pear apples", 'x" OR "a', "NEAR(", "kiwi*"):
            assert log.search(nothing, 9) == []


def test_the_index_follows_a_log_that_moves(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a SQLite with full text search and one without it."""
    with Log(path) as log:
        log.begin("apples", "m")
    with monkeypatch.context() as without:
        without.setattr(log_schema, "has_full_text", lambda _: False)
        with Log(path) as log:
            log.begin("more apples", "m")
            assert len(log.search("apples", 9)) == 2
    with Log(path) as log:
        assert log_schema.is_indexed(log._db)
        log.begin("no apples", "m")
        assert len(log.search("appl", 9)) == 3


def test_what_is_removed_is_gone_from_the_file(path: Path) -> None:
    secret = "xylophone-4711"
    with Log(path) as log:
        kept = log.begin("stays", "m")
        identifier = log.begin(f"My word is {secret}", "m")
        log.complete(identifier, replace(trace_of(Script()), text=f"It is {secret}."))
        sample = right()
        log.keep_explanation(identifier, replace(sample, words=f"because of {secret}"), conditions={})
        log.remove([identifier])
        files = list(path.parent.iterdir())
        assert not any(secret.encode() in file.read_bytes() for file in files)
        assert log.everything() == [kept]
        assert log.search("word", 9) == []
        assert log.explanation(identifier) is None
        assert log._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert [entry.id for entry in log.search("stays", 9)] == [kept]


def test_many_are_removed_together(path: Path) -> None:
    with Log(path) as log:
        log._db.executemany(
            "INSERT INTO answers (id, conversation, created, model, question) VALUES (?, ?, '', 'm', 'q')",
            [(f"{number:013}", "") for number in range(1203)],
        )
        log.remove(log.everything()[3:])
        assert len(log.everything()) == 3
        assert log.before("9999") == log.everything()


def test_a_copy_is_whole_and_private(path: Path, tmp_path: Path) -> None:
    old = os.umask(0o077)
    target = tmp_path / "copies" / "copy.db"
    target.parent.mkdir()
    try:
        with Log(path) as log:
            log.begin("one", "m")
            log.back_up(target)
            log.begin("two", "m")
            log.back_up(target)  # an older copy is replaced
    finally:
        os.umask(old)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [file.name for file in target.parent.iterdir()] == ["copy.db"]
    with Log(target, named=True) as copy:
        assert [entry.question for entry in copy.latest(9)] == ["two", "one"]


def test_a_copy_takes_no_place_that_is_not_its_own(path: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    with Log(path) as log:
        log.begin("one", "m")
        for target, said in ((notes, "no log"), (path, "the log itself")):
            with pytest.raises(UsageError, match=said):
                log.back_up(target)
        with pytest.raises(FileError, match="no folder"):
            log.back_up(tmp_path / "nowhere" / "copy.db")
        assert log.count() == 1
    assert notes.read_text() == "mine"


def test_a_copy_that_fails_leaves_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk is full")

    target = tmp_path / "copies" / "copy.db"
    target.parent.mkdir()
    with Log(path) as log:
        log.begin("one", "m")
        log.back_up(target)
        before = target.read_bytes()
        with monkeypatch.context() as broken:
            broken.setattr("sage_cli.history.sqlite3.connect", fail)
            with pytest.raises(FileError, match="full"):
                log.back_up(target)
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]


def test_the_switch(path: Path) -> None:
    assert is_on(path)
    turn(path, on=False, named=False)
    turn(path, on=False, named=False)
    assert not is_on(path)
    assert [stat.S_IMODE(file.stat().st_mode) & 0o077 for file in path.parent.iterdir()] == [0]
    turn(path, on=True, named=False)
    turn(path, on=True, named=False)
    assert is_on(path)


# A log as the first version made it


def first_version(path: Path) -> dict[str, tuple[object, ...]]:
    """Its rows by id."""
    trace = json.dumps(to_wire(trace_of(Script())))
    rows: list[tuple[object, ...]] = [
        ("0000000000001", "2026-01-02T03:04:05+00:00", "pico", "one", "27", 0.9, "stop", trace),
        ("0000000000002", "2026-01-02T03:04:06+00:00", "pico", "two", None, None, "failed", None),
        ("0000000000003", "2026-01-02T03:04:07+00:00", "pico", "three", None, None, None, None),
        ("0000000000004", "2026-01-02T03:04:08+00:00", "pico", "four", "1", None, "stop", "{"),
    ]
    path.parent.mkdir(mode=0o700)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for statement in log_schema._FIRST:
            db.execute(statement)
        db.executemany("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        db.execute("PRAGMA user_version = 1")
    db.close()
    return {str(row[0]): row for row in rows}


def test_a_log_of_the_first_version_is_brought_up_to_date(path: Path) -> None:
    before = first_version(path)
    for _ in range(2):
        with Log(path) as log:
            assert log.moved is None
            entries = log.latest(9)
            assert [entry.id for entry in entries] == sorted(before, reverse=True)
            for entry in entries:
                found = (entry.created, entry.model, entry.question, entry.answer, entry.confidence)
                assert (*found, entry.finish_reason) == before[entry.id][1:7]
                assert (entry.conversation, entry.system) == (entry.id, "")
            assert log.find("0000000000001").trace == to_wire(trace_of(Script()))
            assert [entry.question for entry in log.search("together", 9)] == ["one"]
            assert log._db.execute("PRAGMA user_version").fetchone()[0] == log_schema.SCHEMA_VERSION


def test_an_upgrade_that_is_cut_short_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = first_version(path)
    broken = (log_schema._FIRST, (*log_schema._SECOND, "SELECT nothing FROM nowhere"))
    with monkeypatch.context() as failing:
        failing.setattr(log_schema, "_VERSIONS", broken)
        with pytest.raises(FileError):
            Log(path)
    with Log(path) as log:
        assert [entry.id for entry in log.latest(9)] == sorted(before, reverse=True)
