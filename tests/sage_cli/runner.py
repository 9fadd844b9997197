"""Running the program: in this process over the fake engine, or as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage_cli.app import main
from sage_cli.shell import OpenEngine
from tests.sage_cli.fake_engine import FakeOpener

ROOT = Path(__file__).parents[2]
FAKE = (sys.executable, "-m", "tests.sage_cli.fake_sage")
REAL = (sys.executable, "-m", "sage_cli")


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


PATIENCE = 300.0  # seconds that a child may take; a busy machine must not fail a test


def wait_until(condition: Callable[[], bool]) -> None:
    """Fails if it does not come true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def run(*args: str, engine: OpenEngine | None = None, stdin: bytes = b"") -> Result:
    """One command line in this process. Standard input is a file, so it is read."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    saved = [os.dup(fd) for fd in range(3)]
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        try:
            for fd, file in enumerate((given, out, err)):
                os.dup2(file.fileno(), fd)
            code = main(args, engine=engine or FakeOpener())
        finally:
            for fd, copy in enumerate(saved):
                os.dup2(copy, fd)
                os.close(copy)
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Result(code, _text(out), _text(err))


def _text(file: Any) -> str:
    file.seek(0)
    return file.read().decode()


def write_config(tmp_path: Path) -> Path:
    """The settings of a test: none, and the alias ``m`` for a model that only a fake engine can open."""
    path = tmp_path / "config.toml"
    if not path.exists():
        path.write_text('[aliases]\nm = "/models/m.gguf"\n')
        path.chmod(0o600)
    return path


def environment(tmp_path: Path, **changes: str) -> dict[str, str]:
    """A clean environment for a child; the log is in ``tmp_path``."""
    kept = {key: value for key, value in os.environ.items() if key not in _OURS}
    ours = {"SAGE_LOG": str(tmp_path / "logs.db"), "XDG_CACHE_HOME": str(tmp_path / "cache"), "TERM": "xterm"}
    ours |= {"SAGE_CONFIG": str(write_config(tmp_path)), "HF_HUB_CACHE": str(tmp_path / "hub")}
    return kept | ours | changes


_OURS = {"NO_COLOR", "FORCE_COLOR", "SAGE_MODEL", "SAGE_DEBUG", "FAKE_SCRIPT", "PYTHONUTF8", "COLUMNS"}


def spawn(
    command: Sequence[str], env: Mapping[str, str], *, stdin: bytes | None = b"", **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run a child to its end. stdin None: whatever ``options`` say."""
    given = {"input": stdin} if stdin is not None else {}
    return subprocess.run(
        command,
        env=env,
        cwd=ROOT,
        timeout=PATIENCE,
        check=False,
        **{"stdout": -1, "stderr": -1} | given | options,
    )
