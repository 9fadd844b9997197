"""The program as a process: pipes, disks, closed streams, signals, locales, start-up."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from sage_cli.history import Log
from tests.sage_cli.runner import FAKE, PATIENCE, REAL, ROOT, spawn, wait_until

Env = dict[str, str]
HEAVY = ("llama_cpp", "numpy", "gguf", "jinja2", "prompt_toolkit", "pydantic", "rich", "torch")


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["ask", "--help"],
        ["explain", "--help"],
        ["head", "--help"],
        ["--version"],
        ["logs", "path"],
    ],
)
def test_help_imports_nothing_heavy(args: list[str], env: Env) -> None:
    code = (
        "import sys; from sage_cli.app import main; code = main(sys.argv[1:]); "
        f"loaded = [m for m in {HEAVY} if m in sys.modules]; "
        "sys.exit(code or (repr(loaded) if loaded else 0))"
    )
    done = spawn([sys.executable, "-c", code, *args], env)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout


def test_python_m_is_the_same_program(env: Env) -> None:
    assert spawn([*REAL, "--version"], env).stdout.startswith(b"sage ")


def test_no_escape_codes_and_no_spinner_in_pipes(env: Env) -> None:
    done = spawn([*FAKE, "-m", "m", "q"], env | {"FAKE_SCRIPT": "prefill"})
    assert done.stdout == b"27\n"
    assert b"\x1b" not in done.stderr
    assert b"\r" not in done.stderr


def test_a_reader_that_leaves_ends_it_quietly(env: Env) -> None:
    child = subprocess.Popen(
        [*FAKE, "-m", "m", "q"],
        env=env | {"FAKE_SCRIPT": "long"}, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=-1, stderr=-1,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.read(10) == b"line 0 xxx"
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait(timeout=PATIENCE) == 141
    with Log(Path(env["SAGE_LOG"])) as log:
        assert log.find("").finish_reason == "interrupted"


@pytest.mark.parametrize("args", [["-m", "m", "q"], ["-m", "m", "--json", "q"], ["--help"], ["logs", "path"]])
def test_a_full_disk_on_output(args: list[str], env: Env) -> None:
    with Path("/dev/full").open("wb") as full:
        done = spawn([*FAKE, *args], env, stdout=full)
    assert done.returncode == 74
    lines = done.stderr.decode().splitlines()
    assert any("no space left on device" in line for line in lines)
    assert not any("Traceback" in line or "Exception ignored" in line for line in lines)


def test_a_full_disk_on_standard_error_costs_nothing(env: Env) -> None:
    with Path("/dev/full").open("wb") as full:
        done = spawn([*FAKE, "-m", "m", "q"], env, stderr=full)
    assert (done.returncode, done.stdout) == (0, b"27\n")


def closed(*fds: int) -> list[str]:
    """A shell that starts what follows with these streams closed."""
    redirections = " ".join({0: "<&-", 1: ">&-", 2: "2>&-"}[fd] for fd in fds)
    return ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh"]


@pytest.mark.parametrize(
    ("fds", "code", "out"),
    [((0,), 0, b"27\n"), ((2,), 0, b"27\n"), ((0, 2), 0, b"27\n"), ((1,), 74, b""), ((0, 1, 2), 74, b"")],
)
def test_closed_streams(fds: tuple[int, ...], code: int, out: bytes, env: Env) -> None:
    done = spawn([*closed(*fds), *FAKE, "-m", "m", "q"], env)
    assert (done.returncode, done.stdout) == (code, out)
    assert b"Traceback" not in done.stderr
    with Log(Path(env["SAGE_LOG"])) as log:
        assert log._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert log.find("").question == "q"


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["--nonsense"]])
def test_closed_streams_without_an_engine(args: list[str], env: Env) -> None:
    done = spawn([*closed(0, 1, 2), *REAL, *args], env)
    assert done.returncode in {0, 2, 74}


def start_slow(env: Env, script: str = "slow") -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [*FAKE, "-m", "m", "q"],
        env=env | {"FAKE_SCRIPT": script}, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=-1, stderr=-1,
    )  # fmt: skip
    assert child.stderr is not None
    assert child.stderr.readline().startswith(b"Step 1")
    return child


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_keeps_what_was_written(number: int, code: int, env: Env) -> None:
    child = start_slow(env)
    child.send_signal(number)
    out, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == code
    assert out == b""
    assert b"interrupted" in err
    assert b"Traceback" not in err
    with Log(Path(env["SAGE_LOG"])) as log:
        entry = log.find("")
        assert entry.finish_reason == "interrupted"
        assert entry.trace is not None
        assert entry.trace["text"].startswith("Step 1")


def test_a_second_signal_does_not_wait(env: Env) -> None:
    child = start_slow(env, "stubborn")
    child.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert child.poll() is None
    while child.poll() is None:  # two that come too close together are one
        child.send_signal(signal.SIGINT)
        time.sleep(0.2)
    child.communicate(timeout=PATIENCE)
    assert child.returncode == 130


def test_an_interrupted_json_answer_is_still_an_object(env: Env) -> None:
    child = subprocess.Popen(
        [*FAKE, "-m", "m", "--json", "q"],
        env=env | {"FAKE_SCRIPT": "slow"}, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=-1, stderr=-1,
    )  # fmt: skip
    wait_until(lambda: was_asked(Path(env["SAGE_LOG"])))
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 130
    if out:
        assert json.loads(out)["finish_reason"] == "interrupted"


def was_asked(path: Path) -> bool:
    """Whether the log holds a question."""
    if not path.exists():
        return False
    with Log(path) as log:
        return log.count() > 0


def is_drained(fd: int) -> bool:
    """Whether somebody has read what was in a pipe."""
    left = bytearray(4)
    fcntl.ioctl(fd, termios.FIONREAD, left)
    return not any(left)


def test_waiting_for_input_can_be_interrupted(env: Env) -> None:
    read, write = os.pipe()
    child = subprocess.Popen([*FAKE, "-m", "m", "q"], env=env, cwd=ROOT, stdin=read, stdout=-1, stderr=-1)
    os.write(write, b"the beginning of a question")
    wait_until(lambda: is_drained(read))
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=PATIENCE)
    os.close(read)
    os.close(write)
    assert (child.returncode, out, err) == (130, b"", b"")


def test_signals_that_the_parent_ignores_stay_ignored(env: Env) -> None:
    code = "import signal,os,sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    child = subprocess.Popen(
        [sys.executable, "-c", code, *FAKE, "-m", "m", "-n", "20", "q"],
        env=env | {"FAKE_SCRIPT": "slow"}, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=-1, stderr=-1,
    )  # fmt: skip
    assert child.stderr is not None
    child.stderr.readline()
    child.send_signal(signal.SIGHUP)
    child.communicate(timeout=PATIENCE)
    assert child.returncode == 1  # cut off after 20 tokens, not ended by the signal


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C.UTF-8"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_locales(locale: Env, env: Env) -> None:
    done = spawn([*FAKE, "-m", "m", "größe 你好?"], env | locale | {"FAKE_SCRIPT": "wide"})
    assert done.returncode == 0
    assert done.stdout.decode() == "你好\n"  # pipes carry UTF-8
    with Log(Path(env["SAGE_LOG"])) as log:
        assert log.find("").question == "größe 你好?"
    marks = done.stderr.decode("utf-8" if locale.get("LC_ALL") == "C.UTF-8" else "latin-1")
    assert ("●" in marks) is (locale.get("LC_ALL") == "C.UTF-8")
    assert ("+ 0.90" in marks) is (locale.get("LC_ALL") != "C.UTF-8")


@pytest.mark.parametrize("home", [None, "/", "/nonexistent", "/dev/null"])
def test_homes(home: str | None, env: Env, tmp_path: Path) -> None:
    """Without a place for the log the answer comes all the same. The real home is left alone."""
    changed = {key: value for key, value in env.items() if key not in {"HOME", "SAGE_LOG"}}
    changed |= {"XDG_DATA_HOME": f"{home}/data" if home and home != "/" else str(tmp_path / "data")}
    if home is not None:
        changed["HOME"] = home
    try:
        done = spawn([*FAKE, "-m", "m", "q"], changed)
    finally:
        if home == "/nonexistent" and Path(home).exists():
            import shutil

            shutil.rmtree(home)
    assert (done.returncode, done.stdout) == (0, b"27\n")
    assert b"Traceback" not in done.stderr


def test_a_file_size_limit_is_an_error_not_a_signal(env: Env, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    with (tmp_path / "out.json").open("wb") as file:
        done = spawn([*FAKE, "-m", "m", "--json", "--no-log", "q"], env, stdout=file, preexec_fn=limit)
    assert done.returncode == 74
    assert b"cannot write standard output: file too large" in done.stderr


def test_a_bug_shows_where_on_request(env: Env) -> None:
    done = spawn([*FAKE, "-m", "m", "q"], env | {"FAKE_SCRIPT": "bug", "SAGE_DEBUG": "1"})
    assert done.returncode == 70
    assert b"Traceback" in done.stderr


def test_completion(env: Env) -> None:
    asking = env | {"_SAGE_COMPLETE": "bash"}
    assert b"show" in spawn([*REAL, "sage logs s", "s"], asking).stdout.split()
    assert spawn([*REAL, "sage ask --no-h", "--no-h"], asking).stdout.split() == [b"--no-head"]


def test_a_loop_is_not_swallowed_with_no_stdin(env: Env) -> None:
    script = 'while read q; do "$@" -q --no-stdin -m m "$q"; done'
    done = spawn(["/bin/sh", "-c", script, "sh", *FAKE], env, stdin=b"one\ntwo\n")
    assert done.stdout == b"27\n27\n"
