"""How the runtime tells what it is doing: an observer, silent unless somebody listens."""

from __future__ import annotations

from typing import Literal, Protocol

from mch_runtime.trace import Step

Part = Literal["reasoning", "answer"]


class Observer(Protocol):
    """Listens to one answer. Called from the thread that decodes; must not raise."""

    def prefill(self, done: int, total: int) -> None:
        """``done`` of ``total`` prompt tokens have been read."""
        ...

    def text(self, text: str, part: Part) -> None:
        """New text, in order; ``answer`` text is what standard output wants."""
        ...

    def step(self, step: Step) -> None:
        """A step is complete; its text has been told before."""
        ...

    def drawn(self, ended: int, wanted: int) -> None:
        """Of several chains for one question ``ended`` have been written to their ends; ``wanted`` is how many at most."""
        ...


Measurement = Literal["consistency", "steps", "premises", "faithfulness", "alternatives"]


class ExplainObserver(Protocol):
    """Listens to an explanation being made, under the same rules."""

    def measuring(self, what: Measurement) -> None:
        """A measurement is begun."""
        ...


class SilentObserver:
    """Ignores everything."""

    def prefill(self, done: int, total: int) -> None:
        """Ignored."""

    def text(self, text: str, part: Part) -> None:
        """Ignored."""

    def step(self, step: Step) -> None:
        """Ignored."""

    def drawn(self, ended: int, wanted: int) -> None:
        """Ignored."""

    def measuring(self, what: Measurement) -> None:
        """Ignored."""
