"""What a person sees: the program on a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from dataclasses import dataclass

import pytest

from tests.sage_cli.runner import FAKE, PATIENCE, ROOT

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
Env = dict[str, str]


@dataclass
class Seen:
    code: int
    raw: str

    @property
    def text(self) -> str:
        return ESCAPE.sub("", self.raw).replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def on_terminal(
    env: Env,
    *args: str,
    script: str = "pico",
    width: int = 80,
    stdout: int | None = None,
    interrupt_at: bytes | None = None,
) -> Seen:
    """Run ``sage`` with the fake engine on a terminal; ``stdout`` may go elsewhere.

    interrupt_at: Ctrl-C once the terminal shows this.
    """
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    child = subprocess.Popen(
        [*FAKE, "-m", "m", *args],
        env=env | {"FAKE_SCRIPT": script}, cwd=ROOT, start_new_session=True,
        stdin=follower, stdout=follower if stdout is None else stdout, stderr=follower,
    )  # fmt: skip
    os.close(follower)
    data = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # EIO: the other side is closed
            break
        if not chunk:
            break
        data += chunk
        if interrupt_at is not None and interrupt_at in data:
            interrupt_at = None
            child.send_signal(signal.SIGINT)
    os.close(leader)
    return Seen(child.wait(timeout=PATIENCE), data.decode())


def test_steps_with_marks_then_one_line(env: Env) -> None:
    seen = on_terminal(env, "q", width=72)
    assert seen.code == 0
    assert seen.lines == [
        "Step 1: Ann has 12 + 3 = 15 apples.                               ● 0.99",
        "Step 2: Together they have 12 + 15 = 27 apples.                   ◐ 0.74",
        "Answer: 27                                                        ● 0.97",
        "",
        "27 · 97 % sure · 812 tokens/s · sage-pico Q8_0",
    ]


def test_colour_says_what_the_shape_says(env: Env) -> None:
    raw = on_terminal(env, "q", script="doubtful").raw
    assert "\x1b[32m● 0.99" in raw
    assert "\x1b[33m◐ 0.74" in raw
    assert "\x1b[31m○ 0.31" in raw
    assert "\x1b[1m36\x1b[0m" in raw


@pytest.mark.parametrize(
    ("changes", "args", "colour"),
    [
        ({}, [], True),
        ({"NO_COLOR": "1"}, [], False),
        ({"NO_COLOR": "1"}, ["--color", "always"], False),
        ({"NO_COLOR": ""}, [], True),
        ({}, ["--color", "never"], False),
        ({"FORCE_COLOR": "1"}, ["--color=never"], False),
        ({"TERM": "dumb"}, [], False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, [], True),
        ({"TERM": "dumb"}, ["--color", "always"], True),
        ({"FORCE_COLOR": "0"}, [], False),
    ],
)
def test_who_decides_about_colour(changes: Env, args: list[str], colour: bool, env: Env) -> None:
    seen = on_terminal(env | changes, *args, "q")
    assert ("\x1b" in seen.raw) is colour
    assert "● 0.99" in seen.text


def test_errors_and_help_follow_the_same_rules(env: Env) -> None:
    assert "\x1b[1;31msage:\x1b[0m" in on_terminal(env, "--nonsense").raw
    assert "\x1b" not in on_terminal(env | {"NO_COLOR": "1"}, "--nonsense").raw
    assert "\x1b[1mModel:\x1b[0m" in on_terminal(env, "--help").raw
    assert "\x1b" not in on_terminal(env | {"NO_COLOR": "1"}, "--help").raw


def test_an_answer_without_reasoning(env: Env) -> None:
    seen = on_terminal(env, "q", script="plain", width=60)
    assert seen.lines == [
        "The moon is up,                                   logp -0.12",
        "the night is deep,                                logp -0.12",
        "",
        "and all the little tokens sleep.                  logp -0.12",
        "",
        "uncalibrated: mean log-probability -0.12 · 812 tokens/s",
        "other Q4_K_M",
    ]


def test_thinking_then_an_answer_of_several_lines(env: Env) -> None:
    lines = on_terminal(env, "q", script="thinking", width=60).lines
    assert [line.split("  ")[0] for line in lines[:6]] == [
        "<think>",
        "Let me add: 12 + 15 = 27.",
        "</think>",
        "",
        "They have 27 apples,",
        "which is a lot.",
    ]
    assert lines[4].endswith("● 0.90")
    assert lines[5].endswith("● 0.97"), "the last line has the answer's own mark"


def test_a_line_as_wide_as_the_terminal_and_more(env: Env) -> None:
    for width in range(40, 60):
        for line in on_terminal(env | {"NO_COLOR": "1"}, "q", script="doubtful", width=width).lines:
            if line.endswith(("0.74", "0.31")):
                assert len(line) <= width or line.startswith("Step 2")


@pytest.mark.parametrize("width", [1, 2, 7, 20, 500])
def test_any_width(width: int, env: Env) -> None:
    for script in ("pico", "plain"):
        seen = on_terminal(env, "q", script=script, width=width)
        assert seen.code == 0
        assert "Traceback" not in seen.text


def test_a_terminal_without_a_size(env: Env) -> None:
    assert on_terminal(env, "q", width=0).lines[0].endswith("● 0.99")


def test_hostile_text_reaches_no_terminal(env: Env) -> None:
    seen = on_terminal(env | {"NO_COLOR": "1"}, "q", script="hostile")
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", seen.raw)
    assert "\\x1b]52;c;" in seen.text
    assert "Answer: \\x1b[2J27" in seen.text


def test_the_answer_elsewhere(env: Env) -> None:
    read, write = os.pipe()
    seen = on_terminal(env, "q", stdout=write, width=60)
    os.close(write)
    assert os.read(read, 100) == b"27\n"
    os.close(read)
    assert seen.lines == [
        "Step 1: Ann has 12 + 3 = 15 apples.                   ● 0.99",
        "Step 2: Together they have 12 + 15 = 27 apples.       ◐ 0.74",
        "Answer: 27                                            ● 0.97",
        "",
        "27 · 97 % sure · 812 tokens/s · sage-pico Q8_0",
    ]


def test_an_answer_without_reasoning_elsewhere(env: Env) -> None:
    read, write = os.pipe()
    seen = on_terminal(env, "q", script="plain", stdout=write)
    os.close(write)
    assert os.read(read, 1000).startswith(b"The moon is up,\n")
    os.close(read)
    assert seen.lines == ["uncalibrated: mean log-probability -0.12 · 812 tokens/s · other Q4_K_M"]


def test_json_on_a_terminal_is_the_object_alone(env: Env) -> None:
    assert on_terminal(env, "--json", "q").text.startswith('{"schema"')


def test_quiet(env: Env) -> None:
    assert on_terminal(env, "-q", "q").raw == "27\r\n"


def test_ascii_where_the_locale_has_nothing_else(env: Env) -> None:
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "NO_COLOR": "1"}
    seen = on_terminal(env | locale, "q", script="wide", width=60)
    assert seen.raw.isascii()
    assert "+ 0.90" in seen.text
    assert "| 97 % sure |" in seen.text


def test_reading_a_long_question_is_told_and_gone(env: Env) -> None:
    seen = on_terminal(env, "q", script="prefill")
    assert "reading 0 of 3,000 tokens" in seen.text
    assert "\r\x1b[2K" in seen.raw


def test_ctrl_c_keeps_the_line_and_ends_it(env: Env) -> None:
    seen = on_terminal(env, "q", script="slow", interrupt_at=b"so on")
    assert seen.code == 130
    assert "interrupted" in seen.lines[-1]
    assert "Traceback" not in seen.text


def test_bare_sage_on_a_terminal_is_help(env: Env) -> None:
    leader, follower = pty.openpty()
    done = subprocess.run(FAKE, env=env, cwd=ROOT, stdin=follower, stdout=-1, stderr=-1, check=False)
    os.close(leader)
    os.close(follower)
    assert done.returncode == 0
    assert done.stdout.startswith(b"Usage: sage")


def test_no_question_on_a_terminal_is_an_error(env: Env) -> None:
    assert on_terminal(env).code == 2


def test_the_log_as_a_table(env: Env) -> None:
    on_terminal(env, "what?", script="pico")
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 90, 0, 0))
    child = subprocess.Popen(
        [*FAKE, "logs"], env=env, cwd=ROOT, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    child.wait(timeout=PATIENCE)
    shown = ESCAPE.sub("", os.read(leader, 65536).decode())
    os.close(leader)
    assert shown.split()[:4] == ["ID", "WHEN", "ANSWER", "QUESTION"]
    assert "● 0.97  27" in shown
    assert "what?" in shown
