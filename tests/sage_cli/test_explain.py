from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mch_runtime.errors import NativeError
from mch_runtime.explanation_wire import explanation_from_wire
from sage_cli.history import Log
from tests.explanation_samples import ALL, foreign, right
from tests.sage_cli.fake_engine import QUESTION, Script
from tests.sage_cli.fake_explainer import TOO_LONG, ExplainerOpener
from tests.sage_cli.runner import PATIENCE, ROOT, Result, environment, run, wait_until

FAKE = (sys.executable, "-m", "tests.sage_cli.fake_explainer")


def explain(*args: str, engine: ExplainerOpener | None = None, stdin: bytes = b"") -> Result:
    return run("explain", "-m", "m", *args, engine=engine or ExplainerOpener(), stdin=stdin)  # type: ignore[arg-type]


def records(*questions: str) -> bytes:
    lines = ({"question": q, "reasoning": "12 + 15 = 27", "answer": "27"} for q in questions)
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def asked(result: Result) -> list[str]:
    return [json.loads(line)["trace"]["question"] for line in result.out.splitlines()]


def last_id() -> str:
    with Log(Path(os.environ["SAGE_LOG"])) as log:
        return log.find("").id


@pytest.fixture
def logged() -> str:
    """An answer in the log."""
    assert run("-m", "m", QUESTION).code == 0
    return last_id()


# What is explained


def test_the_last_answer(logged: str) -> None:
    opener = ExplainerOpener()
    result = explain("--no-stdin", engine=opener)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("The answer is 27, right with a probability of 0.97.")
    assert result.out.endswith("against 0.97\n")
    [chain] = opener.engines[0].explained  # type: ignore[attr-defined]
    assert (chain.question, chain.token_ids[:2]) == (QUESTION, (0, 1))
    assert opener.closed == 1


@pytest.mark.parametrize("part", [slice(0, 9), slice(-4, None), slice(None)])
def test_an_answer_by_its_id(logged: str, part: slice) -> None:
    run("-m", "m", "another question?")
    opener = ExplainerOpener()
    assert explain(logged[part], engine=opener).code in {0, 2}  # several begin alike
    assert explain(logged.upper(), engine=opener).code == 0
    assert opener.engines[-1].explained[0].question == QUESTION  # type: ignore[attr-defined]


def test_a_file_comes_before_an_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(logged).write_bytes(records("from a file?"))
    opener = ExplainerOpener()
    assert explain(logged, engine=opener).code == 0
    assert opener.engines[0].explained[0].question == "from a file?"  # type: ignore[attr-defined]


def test_a_trace_through_a_pipe(logged: str) -> None:
    trace = run("logs", "show", "--json").out.encode()
    for args in (["-"], []):
        opener = ExplainerOpener()
        assert explain(*args, stdin=trace, engine=opener).code == 0
        assert opener.engines[0].explained[0].question == QUESTION  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--no-stdin"], 66, "there is no log at"),
        (["nothing/there.txt"], 66, "there is no file nothing/there.txt"),
        (["x" * 5000], 74, "file name too long"),
        (["."], 74, "it is a folder"),
        (["-", "--no-stdin"], 2, "- and --no-stdin contradict each other"),
        (["a", "b"], 2, "too many arguments: b"),
        (["--resume"], 2, "--resume continues a file"),
        (["--json", "--format", "md"], 2, "--json and --format md contradict each other"),
        (["--json", "--style", "brief"], 2, "JSON holds everything"),
        (["--format", "pdf"], 2, "--format 'pdf' is not possible"),
        (["--alternatives", "0"], 2, "--alternatives 0 is out of range"),
        (["--no-premises", "--faithfulness"], 2, "faithfulness is measured of premises"),
        (["--fail-under", "2"], 2, "is not a probability"),
        (["--no-head", "--fail-under", "0.5"], 2, "--fail-under needs a head"),
    ],
    ids=lambda value: " ".join(value)[:20] if isinstance(value, list) else None,
)
def test_wrong_usage(args: Sequence[str], code: int, said: str) -> None:
    result = explain(*args)
    assert (result.code, result.out) == (code, "")
    assert said in result.err.splitlines()[0]
    assert len(result.err.splitlines()) <= 2


def test_an_answer_that_is_not_there(logged: str) -> None:
    assert explain("0000000000000").code == 66
    with Log(Path(os.environ["SAGE_LOG"])) as log:
        log.begin("never answered", "m")
    result = explain("--no-stdin")
    assert (result.code, "has no answer to explain" in result.err) == (66, True)


@pytest.mark.parametrize(
    "given",
    [b"", b"\n\n", b"\xff\xfe", b'{"question": "q"', b'{"schema": "sage.trace/1"}', b"[1, 2]", b'"x"', b"\0"],
    ids=repr,
)
def test_bad_input_is_one_clear_line(given: bytes) -> None:
    result = explain("-", stdin=given)
    assert (result.code, result.out) in {(65, ""), (2, "")}, result.err
    assert result.err.startswith("sage: ")
    assert "internal" not in result.err
    assert len(result.err.splitlines()) <= 2


# How it is shown


def test_brief() -> None:
    out = explain("--style", "brief", "-", stdin=records("q?")).out
    assert out.startswith("The answer is 27")
    assert "STEP" not in out


def test_markdown_and_html() -> None:
    assert explain("--format", "md", "-", stdin=records("q?")).out.startswith("**The answer is 27")
    assert explain("--format", "html", "-", stdin=records("q?")).out.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("flag", [["--json"], ["--format", "json"]])
def test_json(flag: list[str]) -> None:
    result = explain(*flag, "-", stdin=records("q?"))
    assert len(result.out.splitlines()) == 1
    assert explanation_from_wire(result.json).consistency == right().consistency


def test_no_escape_codes_in_pipes_but_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in explain("-", stdin=records("q?")).out
    assert "\x1b[" in explain("--color", "always", "-", stdin=records("q?")).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in explain("--color", "always", "-", stdin=records("q?")).out


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("form", ["text", "md", "html", "json"])
def test_nothing_in_any_format_acts_on_a_terminal(name: str, form: str) -> None:
    result = explain("--format", form, "-", stdin=records("q?"), engine=ExplainerOpener(ALL[name]))
    assert (result.code, "\x1b" in result.out, "\x1b" in result.err) == (0, False, False)


def test_flags_reach_the_engine() -> None:
    opener = ExplainerOpener()
    flags = ["--no-premises", "--alternatives", "5", "-s", "be brief", "--ctx-size", "99", "--no-head"]
    assert explain(*flags, "-", stdin=records("q?"), engine=opener).code == 0
    [options] = opener.engines[0].options_given  # type: ignore[attr-defined]
    assert (options.premises, options.alternatives, options.alternatives_each) == (False, True, 5)
    assert (options.system, options.faithfulness) == ("be brief", False)
    assert (opener.engines[0].options.ctx_size, opener.engines[0].options.use_head) == (99, False)
    opener = ExplainerOpener()
    explain("--no-alternatives", "--faithfulness", "-", stdin=records("q?"), engine=opener)
    [options] = opener.engines[0].options_given  # type: ignore[attr-defined]
    assert (options.alternatives, options.faithfulness) == (False, True)


def test_own_words_are_generated_from_the_evidence() -> None:
    opener = ExplainerOpener()
    result = explain("--offline-self", "-", stdin=records("q?"), engine=opener)
    assert "The model's own words: generated, not measured\n| Step 1:" in result.out
    [(request, options)] = opener.engines[0].asked
    assert "The answer is 27, right with a probability of 0.97." in request
    assert "[evidence]" not in request
    assert options.max_tokens


def test_notices_go_to_standard_error() -> None:
    opener = ExplainerOpener(script=Script(notices=("a notice",)))
    assert explain("-", stdin=records("q?"), engine=opener).err == "note: a notice\n"
    opener = ExplainerOpener(script=Script(notices=("a notice",)))
    assert explain("-q", "-", stdin=records("q?"), engine=opener).err == ""


def test_thresholds() -> None:
    for flags, code in (
        (["--fail-under", "0.9"], 0),
        (["--fail-under", "0.97"], 3),
        (["--fail-under-ics", "0.8"], 0),
        (["--fail-under-ics", "0.9"], 4),
        (["--fail-under", "0.97", "--fail-under-ics", "0.9"], 3),
    ):
        result = explain(*flags, "-", stdin=records("q?"))
        assert (result.code, result.out != "") == (code, True)
    unknown = explain("--fail-under-ics", "-9", "-", stdin=records("q?"), engine=ExplainerOpener(foreign))
    assert unknown.code == 4


# Files


def test_a_document_replaces_a_file_whole(tmp_path: Path) -> None:
    page = tmp_path / "why.html"
    page.write_text("old")
    result = explain("--format", "html", "-o", str(page), "-", stdin=records("q?"))
    assert (result.code, result.out, result.err) == (0, "", "")
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert stat.S_IMODE(page.stat().st_mode) & 0o600 == 0o600


def test_a_file_of_text_is_the_same_everywhere(tmp_path: Path) -> None:
    page = tmp_path / "why.txt"
    assert explain("--color", "always", "-o", str(page), "-", stdin=records("q?")).code == 0
    text = page.read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert "├─" in text


def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    page = tmp_path / "why.html"
    page.write_text("old")
    result = explain(
        "-o", str(page), "-", stdin=records("q?"), engine=ExplainerOpener(error=NativeError("broken"))
    )
    assert (result.code, page.read_text()) == (70, "old")
    assert list(tmp_path.glob(".*")) == []


# Batches


def test_several_records_give_json_lines() -> None:
    result = explain("-", stdin=records("a?", "b?", "c?"))
    assert (result.code, asked(result)) == (0, ["a?", "b?", "c?"])
    assert result.err == "3 explained\n"
    assert [json.loads(line)["record"]["line"] for line in result.out.splitlines()] == [1, 2, 3]
    explanation_from_wire(json.loads(result.out.splitlines()[0]))


def test_a_bad_record_does_not_stop_the_rest() -> None:
    given = records("a?", f"{TOO_LONG}?") + b'{"question": 3}\n{oops\n\xff\n' + records("z?")
    result = explain("-", stdin=given)
    assert asked(result) == ["a?", "z?"]
    lines = result.err.splitlines()
    assert lines[0] == "sage: line 2: the chain needs 5,000 tokens (shorten it)"
    assert [line.split(":")[1] for line in lines[:4]] == [" line 2", " line 3", " line 4", " line 5"]
    assert lines[4] == "2 explained, 4 refused"
    assert result.code == 2  # of the first that failed
    assert explain("-q", "-", stdin=given).err.splitlines() == lines[:4]


def test_documents_show_one_chain() -> None:
    result = explain("--format", "html", "-", stdin=records("a?", "b?"))
    assert (result.code, result.out) == (2, "")
    assert "--format html shows one chain" in result.err


def test_a_batch_continues_where_it_was_cut_off(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert explain("-o", str(out), "-", stdin=records("a?", "b?", "c?")).code == 0
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    out.write_bytes(lines[0] + lines[1][:40])
    opener = ExplainerOpener()
    result = explain("-o", str(out), "--resume", "-", stdin=records("a?", "b?", "c?"), engine=opener)
    assert (result.code, result.out) == (0, "")
    assert result.err == "2 explained, 1 skipped\n"
    assert out.read_bytes() == whole
    assert len(opener.engines[0].explained) == 2  # type: ignore[attr-defined]


def test_resume_begins_where_there_is_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    result = explain("-o", str(out), "--resume", "-", stdin=records("a?"))
    assert (result.code, result.err, len(out.read_bytes().splitlines())) == (0, "1 explained\n", 1)
    assert explain("-o", str(out), "--resume", "-", stdin=records("a?")).err == "0 explained, 1 skipped\n"


def test_a_changed_record_is_explained_again(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    explain("-o", str(out), "-", stdin=records("a?", "b?"))
    result = explain("-o", str(out), "--resume", "-", stdin=records("a?", "B?"))
    assert result.err == "1 explained, 1 skipped\n"


@pytest.mark.parametrize(
    ("there", "flags", "code", "said"),
    [
        (b"mine\n", [], 2, "is there already"),
        (b"mine\n", ["--resume"], 65, "line 1 of"),
        (b"{}\n", ["--resume"], 65, "holds something else"),
        (b'{"trace": 3, "record": {}}\n', ["--resume"], 65, "holds something else"),
    ],
)
def test_a_file_that_is_not_ours_is_left_alone(
    tmp_path: Path, there: bytes, flags: list[str], code: int, said: str
) -> None:
    out = tmp_path / "out.jsonl"
    out.write_bytes(there)
    result = explain("-o", str(out), *flags, "-", stdin=records("a?", "b?"))
    assert (result.code, said in result.err) == (code, True)
    assert out.read_bytes() == there


def test_another_model_does_not_continue(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    explain("-o", str(out), "-", stdin=records("a?", "b?"))
    line: Any = json.loads(out.read_text().splitlines()[0])
    line["trace"]["model"]["fingerprint"] = "0" * 64
    out.write_text(json.dumps(line) + "\n")
    result = explain("-o", str(out), "--resume", "-", stdin=records("a?", "b?"))
    assert (result.code, "was made with another model" in result.err) == (2, True)


def test_another_control_vector_does_not_continue(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    explain("-o", str(out), "-", stdin=records("a?", "b?"))
    line: Any = json.loads(out.read_text().splitlines()[0])
    line["trace"]["model"]["control_vectors"] = [{"file": "v.gguf", "sha256": "0" * 64, "scale": 1.0}]
    out.write_text(json.dumps(line) + "\n")
    result = explain("-o", str(out), "--resume", "-", stdin=records("a?", "b?"))
    assert (result.code, "under another --control-vector" in result.err) == (2, True)


# The process


def start(tmp_path: Path, *args: str) -> subprocess.Popen[bytes]:
    given = tmp_path / "in.jsonl"
    given.write_bytes(records(*(f"{i}?" for i in range(200))))
    return subprocess.Popen(
        [*FAKE, "explain", "-m", "m", str(given), *args],
        env=environment(tmp_path, FAKE_DELAY="0.1"), cwd=ROOT,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for_lines(path: Path, count: int) -> None:
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_batch_that_is_killed_keeps_what_it_has(tmp_path: Path, number: int, code: int) -> None:
    out = tmp_path / "out.jsonl"
    child = start(tmp_path, "-o", str(out))
    wait_for_lines(out, 2)
    child.send_signal(number)
    assert child.wait(timeout=PATIENCE) == code
    assert child.stderr is not None
    assert b"Traceback" not in child.stderr.read()
    kept = out.read_bytes().count(b"\n")
    assert kept >= 2
    short = tmp_path / "in.jsonl"
    short.write_bytes(records(*(f"{i}?" for i in range(kept + 1))))
    result = explain("-o", str(out), "--resume", str(short))
    assert result.err == f"1 explained, {kept} skipped\n"
    assert [json.loads(line)["trace"]["question"] for line in out.read_text().splitlines()] == [
        f"{i}?" for i in range(kept + 1)
    ]


def test_two_do_not_write_one_file(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    child = start(tmp_path, "-o", str(out))
    wait_for_lines(out, 1)
    result = explain("-o", str(out), "--resume", "-", stdin=records("a?", "b?"))
    assert (result.code, "another process is writing" in result.err) == (74, True)
    child.kill()
    child.wait()


def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    child = start(tmp_path)
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline().startswith(b'{"schema"')
    child.stdout.close()
    assert child.wait(timeout=PATIENCE) == 141
    assert b"Traceback" not in child.stderr.read()
