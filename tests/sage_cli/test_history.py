from __future__ import annotations

import os
import sqlite3
import stat
import threading
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.log_kills import is_sound, kill_writers
from mch_runtime.errors import AccessError, DataError, FileError, MissingInputError, SageError, UsageError
from sage_cli.entries import new_id
from sage_cli.history import Log
from sage_cli.log_file import log_path
from tests.sage_cli.fake_engine import Script
from tests.sage_cli.render.test_terminal import trace_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sage" / "logs.db"


@given(st.integers(0, 2**45 - 2), st.integers(0, 2**20 - 1), st.integers(0, 2**20 - 1))
def test_ids_sort_by_time(when: int, one: int, two: int) -> None:
    assert new_id(when, one) < new_id(when + 1, two)
    assert len(new_id(when, one)) == 13


def test_only_the_owner_can_read_it(path: Path) -> None:
    old = os.umask(0)
    try:
        with Log(path) as log:
            log.begin("q", "m")
            modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert modes == {"logs.db": 0o600, "logs.db-wal": 0o600, "logs.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_log_whose_making_was_cut_short_is_finished(path: Path) -> None:
    """The file may be empty, or hold the page with which SQLite switches to WAL."""
    path.parent.mkdir(mode=0o700)
    path.touch()
    Log(path, named=True).close()
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
    db.close()
    assert path.stat().st_size > 0
    with Log(path, named=True) as log:
        assert log.begin("q", "m")


def test_permissions_that_were_lax_are_tightened(path: Path) -> None:
    Log(path).close()
    path.chmod(0o644)
    Log(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_others_may_write_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o777)
    with pytest.raises(AccessError, match="others may write"):
        Log(path)
    Log(path, named=True).close()


def test_everything_reaches_the_disk(path: Path) -> None:
    with Log(path) as log:
        assert log._db.execute("PRAGMA synchronous").fetchone()[0] == 2
        assert log._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert log._db.execute("PRAGMA secure_delete").fetchone()[0] == 1


def test_a_question_is_there_before_its_answer(path: Path) -> None:
    trace = trace_of(Script())
    with Log(path) as log, Log(path) as other:
        first = log.begin("one", "m")
        assert other.find(first).finish_reason is None
        assert other.find(first).trace is None
        log.complete(first, trace)
        done = other.find(first)
        assert (done.answer, done.confidence, done.finish_reason) == ("27", 0.968, "stop")
        second = log.begin("two", "m")
        log.fail(second)
        assert [(e.question, e.finish_reason) for e in other.latest(9)] == [
            ("two", "failed"),
            ("one", "stop"),
        ]
        assert other.latest(1)[0].id == second


def test_finding(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Log(path) as log:
        with pytest.raises(MissingInputError, match="empty"):
            log.find("")
        ids = [log.begin(f"q{i}", "m") for i in range(5)]
        assert log.find("").question == "q4"
        for number, identifier in enumerate(ids):
            assert log.find(identifier).question == f"q{number}"
            assert log.find(identifier.upper()).question == f"q{number}"
            assert log.find(identifier[-6:]).question == f"q{number}"
        with pytest.raises(UsageError, match="several answers"):
            log.find(ids[0][:4])
        with pytest.raises(MissingInputError, match="no answer zzz"):
            log.find("zzz")
        with pytest.raises(MissingInputError):
            log.find("%")


def test_ids_that_collide_are_drawn_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bits = iter([1, 1, 1, 2])
    monkeypatch.setattr("sage_cli.history.secrets.randbits", lambda _: next(bits))
    monkeypatch.setattr("sage_cli.history.time.time_ns", lambda: 10**18)
    with Log(path) as log:
        assert log.begin("a", "m") != log.begin("b", "m")


@pytest.mark.parametrize(
    "content",
    [b"not a database, but long enough to be read as one" * 99, b"SQLite format 3\0" + b"\1" * 4096],
)
def test_a_damaged_log_is_moved_never_deleted(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(content)
    with Log(path) as log:
        assert log.moved is not None
        assert log.moved.read_bytes() == content
        assert log.moved.name.startswith("logs.db.corrupt-")
        assert log.latest(9) == []


def test_a_named_log_may_be_in_a_folder_of_everybody(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    path = tmp_path / "x.db"
    Log(path, named=True).close()
    path.write_bytes(path.read_bytes()[:100] + b"\1" * 4096)
    with Log(path, named=True) as log:
        assert log.moved is not None
        assert log.begin("q", "m")


def test_flipped_bytes_lose_nothing_silently(path: Path) -> None:
    """Whatever is flipped, the log opens, or is moved aside, or says in a sentence why not."""
    trace = trace_of(Script())
    with Log(path) as log:
        for number in range(20):
            log.complete(log.begin(f"question {number}", "m"), trace)
    good = path.read_bytes()
    random = Random(0)
    for _ in range(60):
        bad = bytearray(good)
        for _ in range(random.choice([1, 4, 64])):
            bad[random.randrange(len(bad))] ^= 1 << random.randrange(8)
        for stale in path.parent.iterdir():
            stale.unlink()
        path.write_bytes(bad)
        try:
            with Log(path) as log:
                kept = log.begin("new", "m")
                assert log.find(kept).question == "new"
                if log.moved is not None:
                    assert log.moved.stat().st_size == len(bad)
                log.latest(99)
        except SageError:
            continue


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("my notes")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE things (x)")
    db.close()
    for file in (notes, other):
        file.chmod(0o644)
        before = file.read_bytes()
        with pytest.raises(DataError, match="not a log"):
            Log(file, named=True)
        assert file.read_bytes() == before
        assert stat.S_IMODE(file.stat().st_mode) == 0o644

    with pytest.raises(DataError, match="another program"):
        Log(other)
    assert not list(tmp_path.glob("*.corrupt-*"))

    with pytest.raises((AccessError, FileError)):
        Log(tmp_path, named=True)


def test_a_newer_log_is_left_alone(path: Path) -> None:
    with Log(path) as log:
        log._db.execute("PRAGMA user_version = 99")
    with pytest.raises(DataError, match="newer sage"):
        Log(path)


def test_a_damaged_trace_is_an_error_of_that_answer(path: Path) -> None:
    with Log(path) as log:
        identifier = log.begin("q", "m")
        log._db.execute("UPDATE answers SET trace = '{'")
        with pytest.raises(DataError, match="damaged"):
            log.find(identifier)


def test_a_full_disk_is_a_sentence(path: Path) -> None:
    with Log(path) as log:
        pages = log._db.execute("PRAGMA page_count").fetchone()[0]
        log._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(FileError, match="full"):
            log.begin("q" * 100_000, "m")


def test_several_processes_write_at_once(path: Path) -> None:
    errors: list[Exception] = []

    def work(number: int) -> None:
        try:
            with Log(path) as log:
                for _ in range(10):
                    log.begin(f"q{number}", "m")
        except SageError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with Log(path) as log:
        assert len(log.latest(100)) == 60


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert log_path({}) == (tmp_path / "sage" / "logs.db", False)
    assert log_path({"SAGE_LOG": ""}) == (tmp_path / "sage" / "logs.db", False)
    assert log_path({"SAGE_LOG": "/x/y.db"}) == (Path("/x/y.db"), True)


@pytest.mark.slow
def test_being_killed_loses_nothing_that_was_acknowledged(path: Path) -> None:
    """Questions, answers and explanations; ``benchmarks.log_kills`` does it a thousand times."""
    told = kill_writers(path, kills=30, seed=0)
    assert len(told.asked) >= 30
    assert told.lost(path) == 0
    assert is_sound(path)
    assert not list(path.parent.glob("*.corrupt-*"))
