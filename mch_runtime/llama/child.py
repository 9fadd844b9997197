"""Work of llama.cpp that should not end our process, and that Ctrl-C should end at once: in a child."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from time import monotonic

from mch_runtime.errors import Interrupted
from mch_runtime.session import Interrupt

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class ChildResult:
    """How a child ended. crash: the signal that ended it, None if it ended itself; said: its last line."""

    code: int
    crash: signal.Signals | None
    said: str


def run_child(
    module: str,
    *arguments: str,
    fd: int,
    seconds: float | None = None,
    interrupt: Interrupt | None = None,
) -> ChildResult:
    """Run ``python -m module`` with the open file ``fd``; a child that is not waited for is killed.

    It has a process group of its own, so that Ctrl-C on the terminal reaches us alone and is not taken
    for a failure of the child. Raises TimeoutError after ``seconds``, Interrupted at ``interrupt``.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=(fd,),
        process_group=0,
    )
    with child:
        try:
            stderr = _wait(child, seconds, interrupt)
        except BaseException:
            child.kill()
            raise
    crash = signal.Signals(-child.returncode) if child.returncode < 0 else None
    said = stderr.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
    return ChildResult(child.returncode, crash, said)


def _wait(child: subprocess.Popen[bytes], seconds: float | None, interrupt: Interrupt | None) -> bytes:
    """What the child wrote to standard error, once it has ended."""
    began = monotonic()
    while True:
        try:
            return child.communicate(timeout=_POLL_SECONDS)[1]
        except subprocess.TimeoutExpired:
            if interrupt is not None and interrupt.requested:
                raise Interrupted from None
            if seconds is not None and monotonic() - began > seconds:
                raise TimeoutError from None
