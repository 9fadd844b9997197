"""A program on a pseudo-terminal, typed at and read."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.sage_cli.runner import PATIENCE, ROOT

ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>78])")
Env = dict[str, str]


class Terminal:
    """A program on a terminal. ``raw`` is all that it has written."""

    def __init__(self, leader: int, child: subprocess.Popen[bytes]) -> None:
        self.child = child
        self.raw = b""
        self._leader = leader
        self._seen = 0

    @property
    def text(self) -> str:
        return ESCAPE.sub("", self.raw.decode(errors="replace")).replace("\r", "")

    @property
    def echoes(self) -> bool:
        """Whether it shows what is typed by itself."""
        return bool(termios.tcgetattr(self._leader)[3] & termios.ECHO)

    def wait(self, text: str) -> None:
        """Until ``text`` has been written behind what was waited for last."""
        end = time.monotonic() + PATIENCE
        while (place := self.text.find(text, self._seen)) < 0:
            fresh = self.text[self._seen :][-600:]
            assert time.monotonic() < end, f"no {text!r} in {fresh!r}"
            assert self._read(), f"ended without {text!r}: {fresh!r}"
        self._seen = place + len(text)

    def type(self, keys: str) -> None:
        os.write(self._leader, keys.encode())

    def resize(self, columns: int, rows: int = 24) -> None:
        fcntl.ioctl(self._leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self.child.wait(timeout=PATIENCE)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._leader], [], [], PATIENCE / 2)
        try:
            data = os.read(self._leader, 65536) if ready else b""
        except OSError:
            return False
        self.raw += data
        if b"\x1b[6n" in data:  # where is the cursor?
            os.write(self._leader, b"\x1b[1;1R")
        return bool(data)


@contextmanager
def on_terminal(command: Sequence[str], env: Mapping[str, str], *, columns: int = 80) -> Iterator[Terminal]:
    """The program with a terminal of its own, 24 lines high; it is killed at the end."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stdin=follower, stdout=follower, stderr=follower,
        env=env, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(follower)
    try:
        yield Terminal(leader, child)
    finally:
        child.kill()
        child.wait()
        os.close(leader)
