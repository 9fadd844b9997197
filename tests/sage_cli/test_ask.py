from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from mch_runtime.errors import (
    AccessError,
    HeadError,
    Interrupted,
    MissingInputError,
    ResourceError,
    UsageError,
)
from mch_runtime.options import SamplingOptions
from mch_runtime.wire import from_wire
from sage_cli import naming
from sage_cli.history import Log
from tests.sage_cli.fake_engine import QUESTION, FakeOpener, Script
from tests.sage_cli.fake_sage import SCRIPTS
from tests.sage_cli.runner import run


def entries() -> list:
    with Log(Path(os.environ["SAGE_LOG"])) as log:
        return log.latest(100)


def test_the_answer_alone_is_on_standard_output() -> None:
    result = run("-m", "m", QUESTION)
    assert (result.code, result.out) == (0, "27\n")
    assert result.err.splitlines() == [
        "Step 1: Ann has 12 + 3 = 15 apples.  ● 0.99",
        "Step 2: Together they have 12 + 15 = 27 apples.  ◐ 0.74",
        "Answer: 27  ● 0.97",
        "27 · 97 % sure · 812 tokens/s · sage-pico Q8_0",
    ]


def test_quiet_leaves_the_answer() -> None:
    result = run("-q", "-v", "-m", "m", QUESTION, engine=FakeOpener(Script(notices=("a notice",))))
    assert (result.code, result.out, result.err) == (0, "27\n", "")


def test_quiet_does_not_hide_errors() -> None:
    result = run("-q", "-m", "m", QUESTION, engine=FakeOpener(SCRIPTS["silent"]))
    assert (result.code, result.err) == (1, "sage: no answer found in the text\n")


def test_verbose_adds_the_details() -> None:
    lines = run("-v", "-m", "m", QUESTION).err.splitlines()
    assert "tokens     48 read, 25 written" in lines
    assert "sampling   greedy, seed 7" in lines


def test_notices_are_told_first() -> None:
    err = run("-m", "m", QUESTION, engine=FakeOpener(Script(notices=("7 unexplained\x1b bytes",)))).err
    assert err.startswith("note: 7 unexplained\\x1b bytes\n")


@pytest.mark.parametrize("verbose", [False, True])
def test_json_is_one_object_and_nothing_else(verbose: bool) -> None:
    result = run("--json", *(["-v"] if verbose else []), "-m", "m", QUESTION)
    assert result.code == 0
    assert result.out.count("\n") == 1
    assert result.json["schema"] == "sage.trace/1"
    assert result.json["answer"] == "27"
    assert from_wire(result.json).question == QUESTION
    assert ("sampling" in result.err) is verbose
    assert "Step 1" not in result.err


def test_json_is_ascii_and_holds_no_control_characters() -> None:
    out = run("--json", "-m", "m", "größer?", engine=FakeOpener(SCRIPTS["hostile"])).out
    assert out.isascii()
    assert out.rstrip("\n").isprintable()


def test_no_stream_shows_the_same() -> None:
    assert run("--no-stream", "-m", "m", QUESTION) == run("-m", "m", QUESTION)


def test_model_text_is_raw_in_pipes_unless_asked_otherwise() -> None:
    hostile = FakeOpener(SCRIPTS["hostile"])
    assert run("-m", "m", "q", engine=hostile).out == "\x1b[2J27\n"
    safe = run("--safe-output", "-m", "m", "q", engine=hostile)
    assert safe.out == "\\x1b[2J27\n"
    assert "\x1b" not in safe.err


def test_options_reach_the_engine() -> None:
    opener = FakeOpener()
    words = (
        "-m m.gguf -s system -n 9 --head h.gguf --force-head --seed 5 --ctx-size 64 --threads 2 -ngl 3 "
        "-o temperature 0.5 -o top_k=7 -o top_p .9 --option min_p=0.1 --stop Wait --stop=So"
    )
    assert run(*words.split(), QUESTION, engine=opener).code in {0, 1}
    engine = opener.engines[0]
    options, asked = engine.options, engine.asked[0][1]
    assert (str(options.model), str(options.head), options.force_head) == ("m.gguf", "h.gguf", True)
    assert (options.ctx_size, options.threads, options.gpu_layers) == (64, 2, 3)
    assert (asked.system, asked.max_tokens, asked.stop) == ("system", 9, ("Wait", "So"))
    assert asked.sampling == SamplingOptions(temperature=0.5, top_k=7, top_p=0.9, min_p=0.1, seed=5)
    assert opener.closed == 1


def test_max_tokens_may_be_an_option() -> None:
    opener = FakeOpener()
    run("-m", "m", "-o", "max_tokens", "3", QUESTION, engine=opener)
    assert opener.engines[0].asked[0][1].max_tokens == 3


@pytest.mark.parametrize(
    ("stdin", "argument", "asked"),
    [
        (b"from a pipe\n", [], "from a pipe"),
        (b"text\r\n\n", ["what is it?"], "text\n\nwhat is it?"),
        (b"", ["q"], "q"),
        (b" \n ", ["q"], "q"),
        (b"\xef\xbb\xbfbom", [], "bom"),
        ("größe 你好\n".encode(), ["q"], "größe 你好\n\nq"),
        (b"ignored", ["--no-stdin", "q"], "q"),
        (b"\xff\x00", ["--no-stdin", "q"], "q"),
    ],
)
def test_piped_input_comes_first(stdin: bytes, argument: list[str], asked: str) -> None:
    opener = FakeOpener()
    assert run("-m", "m", *argument, engine=opener, stdin=stdin).code == 0
    assert opener.engines[0].asked[0][0] == asked


@pytest.mark.parametrize(
    ("stdin", "where"),
    [(b"abc\xff", "0xff at offset 3"), (b"a\x00b", "0x00 at offset 1"), (b"\x00\xff", "0x00 at offset 0")],
)
def test_binary_input_is_refused(stdin: bytes, where: str) -> None:
    opener = FakeOpener()
    result = run("-m", "m", "q", engine=opener, stdin=stdin)
    assert (result.code, result.out) == (65, "")
    assert f"standard input is not UTF-8 text: byte {where}" in result.err
    assert not opener.engines


def test_endless_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sage_cli.question.LIMIT", 1000)
    assert run("-m", "m", stdin=b"x" * 1001).code == 2


def test_an_argument_that_the_locale_could_not_decode() -> None:
    opener = FakeOpener()
    assert run("-m", "m", os.fsdecode("größe".encode()), engine=opener).code == 0
    assert opener.engines[0].asked[0][0] == "größe"
    assert run("-m", "m", "a\udcffb").code == 65


def test_the_model_is_the_one_asked_for_then_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGE_MODEL", "/env/model.gguf")
    opener = FakeOpener()
    run("q", engine=opener)
    run("-m", "flag.gguf", "q", engine=opener)
    assert [str(engine.options.model) for engine in opener.engines] == ["/env/model.gguf", "flag.gguf"]


def test_without_an_embedded_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(naming, "DEFAULT_MODEL", tmp_path / "none.gguf")
    assert run("q").code == 66


@pytest.mark.parametrize(
    "error",
    [
        MissingInputError("no such model", hint="check"),
        HeadError("the head belongs to another model", hint="use its own"),
        ResourceError("not enough memory"),
        AccessError("permission denied"),
    ],
)
def test_errors_of_loading_are_one_line_with_their_code(error: MissingInputError) -> None:
    result = run("-m", "m", "q", engine=FakeOpener(Script(load_error=error)))
    assert (result.code, result.out) == (error.exit_code, "")
    assert result.err == f"sage: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else "")


def test_a_question_that_is_refused_is_logged_as_such() -> None:
    script = Script(ask_error=UsageError("the question has 9,000 tokens, the context holds 4,096"))
    assert run("-m", "m", "q", engine=FakeOpener(script)).code == 2
    assert [(entry.question, entry.finish_reason) for entry in entries()] == [("q", "failed")]


def test_a_bug_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("-m", "m", "q", engine=FakeOpener(SCRIPTS["bug"]))
    assert result.code == 70
    assert result.err.splitlines()[0].startswith("sage: internal error (ValueError")
    assert "Traceback" not in result.err


def test_memory_running_out() -> None:
    def opener(*_: object, **__: object) -> None:
        raise MemoryError

    result = run("-m", "m", "q", engine=opener)  # type: ignore[arg-type]
    assert (result.code, result.err.splitlines()[0]) == (71, "sage: out of memory")


@pytest.mark.parametrize(
    ("confidence", "limit", "code"),
    [
        (0.968, "0.9", 0),
        (0.968, "0.968", 0),
        (0.968, "0.99", 3),
        (None, "0", 3),
        (None, "0.5", 3),
        (0.0, "0", 0),
    ],
)
def test_fail_under(confidence: float | None, limit: str, code: int) -> None:
    result = run("-m", "m", "--fail-under", limit, "q", engine=FakeOpener(Script(confidence=confidence)))
    assert (result.code, result.out) == (code, "27\n")


def test_an_unfamiliar_question_is_told_and_has_no_confidence() -> None:
    engine = FakeOpener(Script(familiar=False))
    result = run("-m", "m", "--fail-under", "0.1", "q", engine=engine)
    assert (result.code, result.out) == (3, "27\n")
    told, line, low = result.err.splitlines()[-3:]
    assert told.startswith("note: the question is worded unlike")
    assert "unfamiliar question, confidence not known (raw 0.97)" in line
    assert "confidence is not known" in low
    as_json = run("-m", "m", "--json", "q", engine=engine)
    assert from_wire(json.loads(as_json.out)).familiar is False
    assert as_json.err.startswith("note: the question is worded unlike")
    assert run("-q", "-m", "m", "q", engine=engine).err == ""


def test_fail_under_needs_a_head_before_anything_is_decoded() -> None:
    opener = FakeOpener(SCRIPTS["plain"])
    result = run("-m", "m", "--fail-under", "0.5", "q", engine=opener)
    assert (result.code, result.out) == (2, "")
    assert opener.engines[0].asked == []
    assert run("-m", "m", "--fail-under", "0.5", "--no-head", "q").code == 2


def test_no_answer_is_exit_1_and_before_low_confidence() -> None:
    result = run("-m", "m", "--fail-under", "0.99", "q", engine=FakeOpener(SCRIPTS["silent"]))
    assert (result.code, result.out) == (1, "")
    assert "no answer found" in result.err


def test_a_text_cut_off_says_so() -> None:
    result = run("-m", "m", "-n", "3", "q")
    assert result.code == 1
    assert "cut off after 3 tokens" in result.err
    assert "hint: it was cut off: raise --max-tokens" in result.err


def test_without_a_head_numbers_are_called_uncalibrated() -> None:
    err = run("-m", "m", "--no-head", QUESTION).err
    assert "logp -0.12" in err
    assert "uncalibrated: mean log-probability -0.12" in err
    assert "sure" not in err


def test_answers_are_kept_with_their_trace() -> None:
    run("-m", "m", QUESTION)
    (entry,) = entries()
    assert (entry.question, entry.answer, entry.confidence, entry.model) == (
        QUESTION,
        "27",
        0.968,
        "sage-pico",
    )
    assert entry.finish_reason == "stop"
    with Log(Path(os.environ["SAGE_LOG"])) as log:
        assert from_wire(log.find(entry.id).trace or {}).answer == "27"


def test_no_log_keeps_nothing() -> None:
    run("-m", "m", "--no-log", QUESTION)
    assert not Path(os.environ["SAGE_LOG"]).exists()


def test_a_log_that_cannot_be_used_never_costs_the_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SAGE_LOG", str(tmp_path / "file" / "logs.db"))
    result = run("-m", "m", QUESTION)
    assert (result.code, result.out) == (0, "27\n")
    assert "note: this answer is not kept: " in result.err
    assert run("-q", "-m", "m", QUESTION).err == ""


def test_a_damaged_log_is_moved_aside_and_told_of(tmp_path: Path) -> None:
    run("-m", "m", "one")
    path = Path(os.environ["SAGE_LOG"])
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 5000)
    result = run("-m", "m", "two")
    assert result.out == "27\n"
    assert "was damaged and is now" in result.err
    assert [entry.question for entry in entries()] == ["two"]
    assert len(list(tmp_path.glob("logs.db.corrupt-*"))) == 1


def test_an_interrupted_answer_is_shown_and_kept() -> None:
    opener = FakeOpener()

    class Interrupting(type(opener)):  # type: ignore[misc]
        def __call__(self, options, *, interrupt=None):  # type: ignore[no-untyped-def]
            interrupt.request()
            return super().__call__(options, interrupt=interrupt)

    result = run("-m", "m", "q", engine=Interrupting(replace(Script())))
    assert result.out == ""
    assert "interrupted" in result.err
    assert [entry.finish_reason for entry in entries()] == ["interrupted"]


def test_an_interrupt_before_the_first_token() -> None:
    result = run("-m", "m", "q", engine=FakeOpener(Script(ask_error=Interrupted())))
    assert (result.code, result.out, result.err) == (130, "", "")
    assert [entry.finish_reason for entry in entries()] == ["interrupted"]
