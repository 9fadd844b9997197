"""``sage ask`` in its modes and in batches, over an engine that says what it is told to."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from mch_runtime.effort import Effort
from mch_runtime.errors import Interrupted, UsageError
from mch_runtime.options import EngineOptions
from mch_runtime.records import read_questions
from mch_runtime.trace import Choice, Mode, Vote
from sage_cli.history import Log
from sage_cli.modes import ModeFlags, with_room
from sage_cli.render.votes import votes_table
from tests.sage_cli.fake_engine import QUESTION, FakeOpener, Script
from tests.sage_cli.runner import run

NOTHING = ModeFlags(
    mode=None,
    votes=None,
    budget=None,
    skepticism=None,
    show_votes=False,
    require_majority=False,
    fail_under_ics=None,
)
VOTES = (
    Vote(answer="27", count=6, weight=0.8, kept=True),
    Vote(answer="a\x1b[1mb", count=1, weight=0.15, kept=True),
    Vote(answer=None, count=1, weight=0.05, kept=False, why_dropped="no answer"),
)


def test_votes_imply_their_mode() -> None:
    assert NOTHING.effort() == Effort()
    assert replace(NOTHING, votes=12).effort() == Effort(mode="vote", votes=12)
    assert replace(NOTHING, mode="auto", votes=12).effort().mode == "auto"
    assert replace(NOTHING, fail_under_ics=0.1).effort().wants_ics


@pytest.mark.parametrize(
    "flags", [{"votes": 3}, {"skepticism": 2.0}, {"show_votes": True}, {"require_majority": True}]
)
def test_what_needs_several_chains_contradicts_fast(flags: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="mode fast writes one"):
        replace(NOTHING, mode="fast", **flags).effort()  # type: ignore[arg-type]


def test_the_engine_gets_the_room_that_the_mode_needs(tmp_path: Path) -> None:
    plain = EngineOptions(model=tmp_path)
    assert with_room(plain, Effort(), batch=False) == plain
    few = with_room(plain, Effort(mode="vote", votes=2), batch=False)
    many = with_room(plain, Effort(mode="vote", votes=500), batch=False)
    assert 8 < few.max_sequences < many.max_sequences < 64
    assert with_room(plain, Effort(), batch=True).room > 0


def test_the_table_of_votes() -> None:
    table = votes_table(VOTES, unicode=True).plain.splitlines()
    assert table[0].split() == ["27", "6", "80%", "█" * 16]
    assert table[2].endswith("dropped: no answer")
    assert "\x1b" not in "".join(table)
    assert votes_table(VOTES, unicode=False).plain.isascii()


def test_questions_of_a_batch() -> None:
    lines = b'How many?\n\n{"question": "Why?", "id": 7, "system": "s"}\n{"id": 1}\n\xff\n{"question": "x", "id": true}\n'
    found = list(read_questions(io.BytesIO(lines)))
    assert [(one.line, one.question, one.id, one.system) for one in found[:2]] == [
        (1, "How many?", None, None),
        (3, "Why?", 7, "s"),
    ]
    assert [one.line for one in found[2:]] == [4, 5, 6]
    assert all(one.error is not None and f"line {one.line}:" in one.error.message for one in found[2:])


def several(weighted_share: float = 0.8, *, ics: float = 0.2, confidence: float | None = 0.9) -> FakeOpener:
    """An engine whose chains agree as far as that."""
    choice = Choice(
        rule="both",
        ics_weight=16.0,
        head_weight=1.0,
        sound_weight=1.0,
        chains=8,
        share=0.75,
        weighted_share=weighted_share,
        margin=0.1,
    )
    return FakeOpener(Script(votes=VOTES, choice=choice, ics=ics, confidence=confidence))


@pytest.mark.parametrize(
    ("flags", "opener", "code"),
    [
        (["--votes", "8"], several(), 0),
        (["--votes", "8", "--require-majority"], several(0.51), 0),
        (["--votes", "8", "--require-majority"], several(0.5), 5),
        (["--mode", "auto", "--require-majority", "--fail-under-ics", "0.5"], several(0.5), 4),
        (["--votes", "8", "--require-majority", "--fail-under", "0.95"], several(0.5), 3),
        (["--fail-under-ics", "0.1"], several(), 0),
        (["--fail-under-ics", "0.3"], several(), 4),
    ],
)
def test_the_lowest_code_wins_and_the_answer_is_printed(
    flags: list[str], opener: FakeOpener, code: int
) -> None:
    result = run("ask", *flags, QUESTION, engine=opener)
    assert (result.code, result.out) == (code, "27\n")
    assert result.err.count("note:") == (
        0 if code == 0 else 2 if "--require-majority" in flags and code < 5 else 1
    )


def test_votes_are_shown_on_standard_error() -> None:
    result = run("ask", "--votes", "8", "--show-votes", QUESTION, engine=several())
    assert "dropped: no answer" in result.err
    assert "6 of 8 chains" in result.err
    assert result.out == "27\n"
    quiet = run("ask", "--votes", "8", "--json", "--show-votes", QUESTION, engine=several())
    assert [vote["count"] for vote in quiet.json["votes"]] == [6, 1, 1]


@pytest.mark.parametrize("mode", ["fast", "vote", "think", "auto"])
def test_the_mode_arrives(mode: Mode) -> None:
    opener = several()
    result = run(
        "ask", "--mode", mode, "--budget", "99", "--deterministic", "--json", QUESTION, engine=opener
    )
    assert result.json["mode"] == mode
    ((_, options),) = opener.engines[0].asked
    assert (options.effort.mode, options.effort.budget, options.sampling.seed) == (mode, 99, 0)
    assert opener.engines[0].options.deterministic


BATCH = b'How many?\n{"question": "How much?", "id": "b"}\n{"nothing": 1}\n?\nHow long?\n'


def test_a_batch_answers_every_line_and_reports_the_others() -> None:
    result = run("ask", "--jsonl", engine=several(), stdin=BATCH)
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [(line["question"], line["record"]["line"], line["record"].get("id")) for line in lines] == [
        ("How many?", 1, None),
        ("How much?", 2, "b"),
        ("How long?", 5, None),
    ]
    assert result.code == 65
    assert "line 3: " in result.err
    assert "line 4: the question is too short" in result.err
    assert "3 answered, 2 refused" in result.err


def test_a_batch_is_continued(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    assert run("ask", "--jsonl", "--resume", str(file), engine=several(), stdin=b"How many?\n").code == 0
    again = several()
    result = run("ask", "--jsonl", "--resume", str(file), engine=again, stdin=b"How many?\nHow much?\n")
    assert (result.code, result.out) == (0, "")
    assert "1 answered, 1 skipped" in result.err
    assert [question for question, _ in again.engines[0].asked] == ["How much?"]
    assert len(file.read_text().splitlines()) == 2
    other = run(
        "ask", "--jsonl", "--votes", "3", "--resume", str(file), engine=several(), stdin=b"How many?\n"
    )
    assert "1 answered" in other.err


@pytest.mark.parametrize(
    "args", [["--jsonl", "hi"], ["--jsonl", "--no-stdin"], ["--jsonl", "-t", "x"], ["--resume", "f", "hi"]]
)
def test_batches_that_make_no_sense(args: list[str]) -> None:
    result = run("ask", *args, engine=several(), stdin=b"")
    assert (result.code, result.out) == (2, "")


def test_the_exit_code_of_a_batch_is_the_lowest() -> None:
    result = run("ask", "--jsonl", "--fail-under", "0.95", engine=several(), stdin=b"How many?\n")
    assert result.code == 3
    assert run("ask", "--jsonl", engine=several(), stdin=b"").code == 0


def test_a_batch_is_kept(tmp_path: Path) -> None:
    opener = several()
    assert run("ask", "--jsonl", engine=opener, stdin=BATCH).code != 0
    with Log(tmp_path / "logs.db", named=True) as log:
        entries = log.latest(9)
        found = [(entry.question, entry.system, entry.answer, entry.finish_reason) for entry in entries]
        assert len({entry.conversation for entry in entries}) == len(entries)
    assert found[::-1] == [
        ("How many?", "", "27", "stop"),
        ("How much?", "", "27", "stop"),
        ("?", "", None, "failed"),
        ("How long?", "", "27", "stop"),
    ]


def test_a_batch_that_is_not_to_be_kept(tmp_path: Path) -> None:
    assert run("ask", "--jsonl", "--no-log", engine=several(), stdin=b"How many?\n").code == 0
    assert not (tmp_path / "logs.db").exists()
    assert run("logs", "off").code == 0
    assert run("ask", "--jsonl", engine=several(), stdin=b"How many?\n").code == 0
    assert not (tmp_path / "logs.db").exists()


def test_what_an_interrupt_leaves_of_a_batch(tmp_path: Path) -> None:
    opener = FakeOpener(Script(ask_error=Interrupted()))
    run("ask", "--jsonl", engine=opener, stdin=b"How many?\n")
    with Log(tmp_path / "logs.db", named=True) as log:
        assert [entry.finish_reason for entry in log.latest(9)] == ["interrupted"]
