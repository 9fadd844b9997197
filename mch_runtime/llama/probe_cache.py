"""A model file that was never seen is first tried in a child process; the verdict is remembered.

The guard knows what crashes llama.cpp; the child is for what the guard does not know.
"""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

import platformdirs

from mch_runtime.errors import ModelError, ResourceError
from mch_runtime.llama import abi
from mch_runtime.llama.child import run_child
from mch_runtime.session import Interrupt

SECONDS = 300
_FINE = "ok"
_CRASHES = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)


def ensure_probed(path: Path, fd: int, *, interrupt: Interrupt) -> None:
    """Raise ModelError if the open file ``fd`` crashes or is refused by llama.cpp in a child.

    An interrupt ends the child and raises Interrupted; ResourceError means that memory did not suffice.
    """
    verdict = recall(fd, "load")
    if verdict is None:
        verdict, final = _try_in_child(fd, interrupt)
        if final:
            remember(fd, "load", verdict)
    if verdict != _FINE:
        raise ModelError(
            f"{path.name}: {verdict}", rule="probe", hint="the file is damaged or not supported by llama.cpp"
        )


def recall(fd: int, purpose: str) -> str | None:
    """What was remembered about this very file, if anything."""
    try:
        return _place(fd, purpose).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def remember(fd: int, purpose: str, verdict: str) -> None:
    """Keep a verdict. A cache that cannot be written costs time, nothing else."""
    place = _place(fd, purpose)
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = place.with_suffix(f".{os.getpid()}")
        partial.write_text(verdict, encoding="utf-8")
        partial.replace(place)
    except OSError:
        return


def _place(fd: int, purpose: str) -> Path:
    """Where a verdict is kept: by the file's identity and the library's version."""
    stat = os.fstat(fd)
    identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, abi.VERSION)
    name = hashlib.sha256(repr((identity, purpose)).encode()).hexdigest()[:32]
    return platformdirs.user_cache_path("sage") / "probes" / name


def _try_in_child(fd: int, interrupt: Interrupt) -> tuple[str, bool]:
    """The verdict, and whether it is the file's doing and not a lack of time or memory."""
    try:
        result = run_child(
            "mch_runtime.llama.probe", f"/proc/self/fd/{fd}", fd=fd, seconds=SECONDS, interrupt=interrupt
        )
    except TimeoutError:
        return f"llama.cpp did not finish a try in {SECONDS} s", False
    if result.code == 0:
        return _FINE, True
    if result.code == ResourceError.exit_code:
        raise ResourceError(result.said, hint="try a smaller model or a smaller quantization")
    if result.crash is not None:
        verdict = f"llama.cpp crashes on this file ({result.crash.name}) {result.said}".strip()
        return verdict, result.crash in _CRASHES
    return result.said or f"llama.cpp fails on this file (code {result.code})", False
