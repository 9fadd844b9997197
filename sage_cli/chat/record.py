"""A conversation's turns in the log."""

from __future__ import annotations

from collections.abc import Sequence

from mch_runtime.explanation import Explanation
from mch_runtime.options import EngineOptions, ExplainOptions
from mch_runtime.trace import Trace
from sage_cli.keeper import Keeper
from sage_cli.shell import Shell


class Record:
    """Keeps every question before it is answered, and its answer."""

    def __init__(self, shell: Shell, *, wanted: bool, quiet: bool = False) -> None:
        self.conversation = ""
        self._keeper = Keeper(
            shell, wanted=wanted, quiet=quiet, lost="this conversation is not kept from here on"
        )
        self._id = ""
        self._ids: list[str] = []  # of the turns that stand

    def begin(
        self, question: str, model: str, system: str, *, seen: int | None = None, again: bool = False
    ) -> None:
        """A question is about to be answered.

        seen: how many turns before it the model is shown, None for all. again: it takes the place of the latest turn.
        """
        before = self._ids[:-1] if again else self._ids
        since = None if seen is None or seen >= len(before) else before[-seen] if seen else ""
        self._id = self._keeper.begin(
            question, model, conversation=self.conversation, system=system, since=since
        )
        self.conversation = self.conversation or self._id

    def complete(self, trace: Trace) -> None:
        """It was answered."""
        self._ids.append(self._id)
        self._keeper.complete(self._id, trace)

    def fail(self, reason: str) -> None:
        """It was not: ``interrupted`` or ``failed``."""
        self._keeper.fail(self._id, reason)

    def withdraw(self, *, last_but: int = 0) -> None:
        """A turn was taken back: the latest one, or so many before it."""
        if len(self._ids) > last_but:
            self._keeper.withdraw(self._ids.pop(-1 - last_but))

    def explain(self, explanation: Explanation, engine: EngineOptions, options: ExplainOptions) -> None:
        """The latest turn was explained."""
        if self._ids:
            self._keeper.explain(self._ids[-1], explanation, engine, options)

    def restart(self, conversation: str = "", ids: Sequence[str] = ()) -> None:
        """The next turn begins another conversation, or goes on with one of the log, whose turns have these ids."""
        self.conversation = conversation
        self._ids = list(ids)

    def close(self) -> None:
        """Nothing is lost without it."""
        self._keeper.close()
