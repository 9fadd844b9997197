from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.sage_cli.runner import environment, write_config


@pytest.fixture(autouse=True, scope="session")
def signals_are_heard() -> None:
    """Of a shell's background jobs the interrupt is ignored, of nohup's the hangup, and children inherit that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is in the test's own folder, and nothing from outside decides about colour or models."""
    for name in ("NO_COLOR", "FORCE_COLOR", "SAGE_MODEL", "SAGE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SAGE_LOG", str(tmp_path / "logs.db"))
    monkeypatch.setenv("SAGE_CONFIG", str(write_config(tmp_path)))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of a child process."""
    return environment(tmp_path)
