"""``sage chat`` on a pseudo-terminal: typing, completion, Ctrl-C, sizes, terminals that can do little."""

from __future__ import annotations

import json
import re
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.sage_cli.chat.terminal import ESCAPE, Env, Terminal, on_terminal

CHAT = (sys.executable, "-m", "tests.sage_cli.chat.fake_chat", "chat", "-m", "m")


@contextmanager
def terminal(env: Env, tmp_path: Path, *flags: str, columns: int = 80, **changes: str) -> Iterator[Terminal]:
    """The fake chat."""
    history = {"SAGE_HISTORY": str(tmp_path / "history")}
    with on_terminal([*CHAT, *flags], env | history | changes, columns=columns) as seen:
        yield seen


def test_typing_an_answer_and_leaving(env: Env, tmp_path: Path) -> None:
    with terminal(env, tmp_path) as seen:
        seen.wait(">>>")
        seen.type("How many?\r")
        seen.wait("● 0.99")
        seen.wait("Answer: 27")
        seen.wait("97 % sure · fast · 812 tokens/s")
        seen.wait("sage-pico Q8_0 · fast")  # the bottom line, drawn behind the prompt
        seen.type("/steps\r")
        seen.wait("Step 2")
        seen.wait(">>>")
        seen.type("\x04")
        assert seen.end() == 0
        assert "Traceback" not in seen.text
    assert "How many?" in (tmp_path / "history").read_text()
    assert (tmp_path / "history").stat().st_mode & 0o077 == 0


def test_commands_are_offered_while_they_are_typed(env: Env, tmp_path: Path) -> None:
    with terminal(env, tmp_path) as seen:
        seen.wait(">>>")
        seen.type("/sta")
        seen.wait("tokens and times of the last answer")
        seen.type("\x15/set reasoning fold\r")
        seen.wait("folded to a line")
        seen.wait(">>>")
        seen.type("q\r")
        seen.wait("the weakest is 2")
        seen.wait(">>>")
        seen.type("/bye\r")
        assert seen.end() == 0


def test_several_lines_by_quotes_paste_and_alt_enter(env: Env, tmp_path: Path) -> None:
    with terminal(env, tmp_path) as seen:
        seen.wait(">>>")
        seen.type('"""one\rtwo"""\r')
        seen.wait("97 % sure")
        seen.wait(">>>")
        seen.type("\x1b[200~three\nfour\x1b[201~\r")
        seen.wait("97 % sure")
        seen.wait(">>>")
        seen.type("five\x1b\rsix\r")
        seen.wait("97 % sure")
        seen.wait(">>>")
        saved = tmp_path / "talk.json"
        seen.type(f"/save {saved}\r")
        seen.wait("written to")
        seen.wait(">>>")
    turns = json.loads(saved.read_text())["turns"]
    assert [turn["question"] for turn in turns] == ["one\ntwo", "three\nfour", "five\nsix"]


def test_ctrl_c_stops_the_answer_and_keeps_what_is_there(env: Env, tmp_path: Path) -> None:
    with terminal(env, tmp_path, FAKE_SCRIPT="slow") as seen:
        seen.wait(">>>")
        seen.type("q\r")
        seen.wait("so on")
        seen.type("\x03")
        seen.wait("interrupted")
        seen.wait(">>>")
        seen.type("/context\r")
        seen.wait("(interrupted)")
        seen.wait(">>>")
        seen.type("\x03")
        seen.wait("Ctrl-D or /bye leaves")
        seen.wait(">>>")
        seen.type("\x04")
        assert seen.end() == 0


def test_an_answer_that_cannot_be_stopped_takes_three_and_leaves_the_terminal_as_it_was(
    env: Env, tmp_path: Path
) -> None:
    with terminal(env, tmp_path, FAKE_SCRIPT="stubborn") as seen:
        seen.wait(">>>")
        seen.type("q\r")
        seen.wait("so on")
        assert not seen.echoes
        seen.type("\x03")
        seen.wait("so on")
        seen.type("\x03")
        seen.wait("so on")
        seen.wait("so on")
        seen.type("\x03")
        assert seen.end() == 130
        assert seen.echoes


def test_ctrl_c_while_the_prompt_is_read(env: Env, tmp_path: Path) -> None:
    with terminal(env, tmp_path, FAKE_DELAY="0.2") as seen:
        seen.wait(">>>")
        seen.type("q\r")
        seen.wait("of 3,000 tokens")
        seen.type("\x03")
        seen.wait("interrupted before the answer began")
        seen.wait(">>>")
        seen.type("/undo\r")
        seen.wait("nothing was asked yet")
        seen.wait(">>>")
        seen.type("\x04")
        assert seen.end() == 0


def test_what_is_typed_during_an_answer_waits_for_the_next_line(env: Env, tmp_path: Path) -> None:
    with terminal(env, tmp_path, FAKE_DELAY="0.05") as seen:
        seen.wait(">>>")
        seen.type("q\r")
        seen.wait("of 3,000 tokens")
        seen.type("/context\r")
        seen.wait("97 % sure")
        assert "/context" not in seen.text[: seen.text.index("97 % sure")]
        seen.wait("policy full")
        seen.wait(">>>")
        seen.type("\x04")
        assert seen.end() == 0


def test_a_question_that_does_not_fit_waits_until_there_is_room(env: Env, tmp_path: Path) -> None:
    with terminal(env, tmp_path, FAKE_CONTEXT="60") as seen:
        for question in ("one", "two"):
            seen.wait(">>>")
            seen.type(f"{question}\r")
            seen.wait("97 % sure")
        seen.wait(">>>")
        seen.type("three\r")
        seen.wait("drops the oldest turn")
        seen.wait(">>>")
        seen.type("/forget 1\r")
        seen.wait("Enter asks it")
        seen.wait(">>> three")
        seen.type("\r")
        seen.wait("97 % sure")
        seen.wait(">>>")
        seen.type("\x04")
        assert seen.end() == 0


def test_sigterm_leaves_the_terminal_as_it_was(env: Env, tmp_path: Path) -> None:
    with terminal(env, tmp_path) as seen:
        before = termios.tcgetattr(seen._leader)
        seen.wait(">>>")
        seen.child.send_signal(signal.SIGTERM)
        assert seen.end() == 128 + signal.SIGTERM
        assert termios.tcgetattr(seen._leader)[3] == before[3]
        assert "Traceback" not in seen.text


KILLED_AT_WORK = """
import os, signal, runpy, sys
from sage_cli.chat import keyboard
load = keyboard.KeptHistory.load_history_strings
def killed(history):
    os.kill(os.getpid(), signal.SIGTERM)
    return load(history)
keyboard.KeptHistory.load_history_strings = killed
sys.argv = ["sage", "chat", "-m", "m"]
runpy.run_module("tests.sage_cli.chat.fake_chat", run_name="__main__")
"""


def test_sigterm_while_the_prompt_does_something_leaves_the_terminal_as_it_was(
    env: Env, tmp_path: Path
) -> None:
    """The editor's event loop reports what is raised in one of its tasks, and goes on: nothing may be raised there."""
    env |= {"SAGE_HISTORY": str(tmp_path / "history")}
    with on_terminal([sys.executable, "-c", KILLED_AT_WORK], env) as seen:
        before = termios.tcgetattr(seen._leader)
        assert seen.end() == 128 + signal.SIGTERM
        assert termios.tcgetattr(seen._leader)[3] == before[3]
        assert "ENTER" not in seen.text


def test_the_history_is_there_in_the_next_session(env: Env, tmp_path: Path) -> None:
    with terminal(env, tmp_path) as seen:
        seen.wait(">>>")
        seen.type("remembered words\r")
        seen.wait("97 % sure")
        seen.wait(">>>")
        seen.type("/set nohistory\r")
        seen.wait("not kept")
        seen.wait(">>>")
        seen.type("secret words\r")
        seen.wait("97 % sure")
        seen.wait(">>>")
        seen.type("\x04")
        seen.end()
    assert "secret" not in (tmp_path / "history").read_text()
    with terminal(env, tmp_path) as seen:
        seen.wait(">>>")
        seen.type("\x12remem")
        seen.wait("remembered words")
        seen.type("\r\r")
        seen.wait("97 % sure")


def test_markdown_is_rendered_with_marks(env: Env, tmp_path: Path) -> None:
    with terminal(env, tmp_path, FAKE_SCRIPT="markdown") as seen:
        seen.wait(">>>")
        seen.type("q\r")
        seen.wait("90 % sure")
        raw = seen.raw.decode()
        assert "\x1b[1mtwo\x1b[0m" in raw
        assert "print('a *b* c')" in seen.text
        assert "<b>sour</b>" in seen.text, "what looks like HTML is not lost"
        assert seen.text.count("● 0.97") >= 5
        seen.wait(">>>")
        seen.type("\x04")
        assert seen.end() == 0


def test_escape_sequences_of_a_model_stay_text(env: Env, tmp_path: Path) -> None:
    for changes in ({}, {"NO_COLOR": "1"}, {"TERM": "dumb"}):
        with terminal(env, tmp_path, FAKE_SCRIPT="escapes", **changes) as seen:
            seen.wait(">>>")
            seen.type("q\r")
            seen.wait("tokens/s")
            raw = seen.raw.decode(errors="replace")
            assert "\x1b]0;title" not in raw
            assert "\x1b[2J" not in raw
            assert "\x9b" not in raw
            assert "\u202e" not in raw
            assert "\\x1b]0;title\\x07" in seen.text


@pytest.mark.parametrize("columns", [20, 40, 200])
def test_any_width_and_a_change_of_it(columns: int, env: Env, tmp_path: Path) -> None:
    with terminal(env, tmp_path, columns=columns, FAKE_SCRIPT="markdown") as seen:
        seen.wait(">>>")
        seen.type("q\r")
        seen.wait("tokens")
        seen.wait(">>>")
        seen.resize(50)
        seen.child.send_signal(signal.SIGWINCH)
        seen.type("again\r")
        seen.wait("That is all.")
        seen.wait(">>>")
        seen.type("\x04")
        assert seen.end() == 0
        assert "Traceback" not in seen.text


def test_a_dumb_terminal_gets_no_escape_codes(env: Env, tmp_path: Path) -> None:
    with terminal(env, tmp_path, TERM="dumb") as seen:
        seen.wait(">>>")
        seen.type("q\r")
        seen.wait("97 % sure")
        seen.wait(">>>")
        seen.type("/bye\r")
        assert seen.end() == 0
        assert b"\x1b" not in seen.raw


def test_no_color(env: Env, tmp_path: Path) -> None:
    with terminal(env, tmp_path, NO_COLOR="1", FAKE_SCRIPT="markdown") as seen:
        seen.wait(">>>")
        seen.type("q\r")
        seen.wait("**two**")
        seen.wait("90 % sure")
        seen.wait(">>>")
        seen.type("\x04")
        assert seen.end() == 0
        colours = re.findall(rb"\x1b\[([0-9;]+)m", seen.raw)
        assert not [code for code in colours if re.search(rb"(^|;)(3[0-7]|9[0-7]|4[0-7])(;|$)", code)]


def test_a_locale_without_utf_8(env: Env, tmp_path: Path) -> None:
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with terminal(env, tmp_path, **locale) as seen:
        seen.wait(">>>")
        seen.type("q\r")
        seen.wait("+ 0.99")
        seen.wait("97 % sure | fast")
        seen.wait(">>>")
        seen.type("/why\r")
        seen.wait("VALID")
        seen.wait(">>>")
        seen.type("\x04")
        assert seen.end() == 0
        assert seen.raw.isascii()


def test_edit_opens_the_editor(env: Env, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nprintf 'from the editor' > \"$1\"\n")
    editor.chmod(0o700)
    with terminal(env, tmp_path, EDITOR=str(editor), VISUAL="") as seen:
        seen.wait(">>>")
        seen.type("!edit\r")
        seen.wait("97 % sure")
        seen.wait(">>>")
        seen.type("/context\r")
        seen.wait("from the editor")


def test_the_count_of_chains_gives_way_to_the_answer(env: Env, tmp_path: Path) -> None:
    with terminal(env, tmp_path, "--votes", "4") as seen:
        seen.wait(">>>")
        seen.type("q\r")
        seen.wait("% sure")
        _, _, after = seen.raw.decode().rpartition("4 of 4 chains")
        count, _, answer = after.partition("Step 1")
        assert "\x1b[2K" in count
        assert "\x1b[2K" not in answer
        assert "Answer: 27" in ESCAPE.sub("", answer)
