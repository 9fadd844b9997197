"""What is to be fitted, where unfinished work is kept, and who is told how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mch_runtime.fitting.collecting import Journal, Settings, Standing
from mch_runtime.fitting.questions import Query
from mch_runtime.head.fit import FitConfig
from mch_runtime.options import EngineOptions
from mch_runtime.trace import Mode


@dataclass(frozen=True, kw_only=True)
class Work:
    """Where unfinished work is kept. journal: opens one of its files by name."""

    folder: Path
    journal: Callable[[str], AbstractContextManager[Journal]]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A head to be fitted. data: what the questions are, in words. wanted: the modes to calibrate beside fast."""

    options: EngineOptions
    queries: Sequence[Query]
    settings: Settings
    config: FitConfig
    wanted: Sequence[Mode]
    data: str
    work: Work


class Watcher(Protocol):
    """Is told how far it is."""

    def sampled(self, standing: Standing) -> None:
        """Questions whose chains are there."""
        ...

    def working(self, what: str, done: int, total: int) -> None:
        """Anything else that takes its time."""
        ...

    def note(self, sentence: str) -> None:
        """Something worth knowing."""
        ...
