from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.errors import FileError
from sage_cli.console import Face, Output
from sage_cli.live import AnswerStream, NoSteps, Recorder, Relay
from sage_cli.steps import PlainSteps
from tests.sage_cli.fake_engine import FakeEngine, Script, pico_answer, pieces
from tests.sage_cli.fake_sage import SCRIPTS
from tests.sage_cli.render.test_terminal import trace_of

FACE = Face(terminal=False, color=False, unicode=True)


class Sink(Output):
    """Collects what is written."""

    def __init__(self, *, terminal: bool = False, failing: bool = False) -> None:
        self.fd = -1
        self.encoding = "utf-8"
        self.terminal = terminal
        self.text = ""
        self.writes = 0
        self.failing = failing

    def write(self, text: str) -> None:
        if self.failing:
            raise FileError("cannot write standard output: no space left on device")
        self.text += text
        self.writes += bool(text)


def ask(script: Script, relay: Relay | Recorder) -> None:
    from mch_runtime.options import AskOptions, EngineOptions

    engine = FakeEngine(script, EngineOptions(model=Path("m")), None)
    trace = engine.ask("q", AskOptions(), observer=relay)
    relay.finish(trace)


def stream(out: Output) -> AnswerStream:
    return AnswerStream(out, make_safe=False, on_failure=lambda: None)


@settings(max_examples=200)
@given(st.lists(st.text(" \n\tab", max_size=30), max_size=20), st.booleans())
def test_standard_output_is_the_answer_and_a_newline(parts: list[str], terminal: bool) -> None:
    out = Sink(terminal=terminal)
    relay = Relay(stream(out), NoSteps())
    script = Script(steps=[[(part, "answer") for part in parts]], confidences=[None])
    ask(script, relay)
    answer = "".join(parts).strip()
    assert out.text == (answer + "\n" if answer else "")


def test_a_short_answer_is_one_write_into_a_pipe() -> None:
    out = Sink()
    ask(Script(), Relay(stream(out), NoSteps()))
    assert (out.text, out.writes) == ("27\n", 1)


def test_a_long_answer_streams() -> None:
    out = Sink()
    script = Script(steps=[[(f"word{i} ", "answer") for i in range(100)]], confidences=[None])
    ask(script, Relay(stream(out), NoSteps()))
    assert out.writes > 50


def test_a_failing_output_stops_the_engine_and_is_raised_at_the_end() -> None:
    stopped: list[bool] = []
    out = Sink(failing=True, terminal=True)
    relay = Relay(AnswerStream(out, make_safe=False, on_failure=lambda: stopped.append(True)), NoSteps())
    with pytest.raises(FileError):
        ask(Script(), relay)
    assert stopped == [True]


def test_recording_shows_the_same_in_the_end() -> None:
    live, late = Sink(), Sink()
    ask(Script(), Relay(stream(Sink()), PlainSteps(live, FACE, make_safe=False)))
    ask(Script(), Recorder(Relay(stream(Sink()), PlainSteps(late, FACE, make_safe=False))))
    assert live.text == late.text


@pytest.mark.parametrize("unicode", [True, False])
def test_plain_steps(unicode: bool) -> None:
    err = Sink()
    face = Face(terminal=False, color=False, unicode=unicode)
    ask(Script(), Relay(stream(Sink()), PlainSteps(err, face, make_safe=False)))
    sure, likely = ("●", "◐") if unicode else ("+", "~")
    assert err.text.splitlines() == [
        f"Step 1: Ann has 12 + 3 = 15 apples.  {sure} 0.99",
        f"Step 2: Together they have 12 + 15 = 27 apples.  {likely} 0.74",
        f"Answer: 27  {sure} 0.97",
    ]


def test_plain_steps_do_not_repeat_an_answer_without_reasoning() -> None:
    err = Sink()
    ask(SCRIPTS["plain"], Relay(stream(Sink()), PlainSteps(err, FACE, make_safe=False)))
    assert err.text == ""


def test_plain_steps_of_thinking_that_ends_before_the_answer() -> None:
    err, out = Sink(), Sink()
    ask(SCRIPTS["thinking"], Relay(stream(out), PlainSteps(err, FACE, make_safe=False)))
    assert err.text.splitlines() == [
        "<think>  ● 0.90",
        "Let me add: 12 + 15 = 27.  ● 0.90",
        "</think>  ● 0.90",
    ]
    assert out.text == "They have 27 apples,\nwhich is a lot.\n"


def test_model_text_is_raw_in_pipes_unless_asked_otherwise() -> None:
    for make_safe in (False, True):
        out, err = Sink(), Sink()
        answer = AnswerStream(out, make_safe=make_safe, on_failure=lambda: None)
        ask(SCRIPTS["hostile"], Relay(answer, PlainSteps(err, FACE, make_safe=make_safe)))
        assert ("\x1b" in out.text) is not make_safe
        assert ("\x1b" in err.text) is not make_safe


def test_the_answers_own_mark_is_the_answers_confidence() -> None:
    err = Sink()
    script = Script(
        steps=[*pieces("Step 1: a"), pico_answer("1")], confidences=[{"valid": 0.9}] * 2, confidence=0.2
    )
    ask(script, Relay(stream(Sink()), PlainSteps(err, FACE, make_safe=False)))
    assert err.text.splitlines()[-1] == "Answer: 1  ○ 0.20"
    assert trace_of(script).confidence == 0.2


def test_output_writes_all_of_it_to_a_pipe_that_is_slow(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    import threading

    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(b"".join(iter(lambda: os.read(read, 4096), b""))))
    reader.start()
    Output(write, "utf-8").write("x" * 1_000_000)
    os.close(write)
    reader.join()
    os.close(read)
    assert len(got[0]) == 1_000_000
