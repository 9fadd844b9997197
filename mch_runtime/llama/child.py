"""Work of llama.cpp that should not end our process, and that Ctrl-C should end at once: in a child."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class ChildResult:
    """How a child ended. crash: the signal that ended it, None if it ended itself; said: its last line."""

    code: int
    crash: signal.Signals | None
    said: str


def run_child(module: str, *arguments: str, fd: int, seconds: float | None = None) -> ChildResult:
    """Run ``python -m module`` with the open file ``fd``; a child that is not waited for is killed.

    Raises TimeoutError after ``seconds``.
    """
    command = [sys.executable, "-m", module, *arguments]
    try:
        child = subprocess.run(command, pass_fds=(fd,), capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    crash = signal.Signals(-child.returncode) if child.returncode < 0 else None
    said = child.stderr.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
    return ChildResult(child.returncode, crash, said)
