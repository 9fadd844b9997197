"""Keeping questions and answers as they come. A log that cannot be used is told of once and costs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mch_runtime.errors import SageError
from sage_cli.history import Log
from sage_cli.log_file import is_on, log_path
from sage_cli.shell import Shell

if TYPE_CHECKING:
    from mch_runtime.explanation import Explanation
    from mch_runtime.options import EngineOptions, ExplainOptions
    from mch_runtime.trace import Trace


class Keeper:
    """Writes to the log, if that is wanted, on, and possible. The id of what is not kept is ""."""

    def __init__(self, shell: Shell, *, wanted: bool, quiet: bool, lost: str) -> None:
        """lost: begins the sentence that says that the log cannot be used."""
        self._shell = shell
        self._wanted = wanted
        self._quiet = quiet
        self._lost = lost
        self._log: Log | None = None
        self._told_moved = False

    def begin(
        self,
        question: str,
        model: str,
        *,
        conversation: str = "",
        system: str = "",
        since: str | None = None,
    ) -> str:
        """A question that is about to be answered; its id. See ``Log.begin``."""
        begun = ""

        def work(log: Log) -> None:
            nonlocal begun
            begun = log.begin(question, model, conversation=conversation, system=system, since=since)

        self._with_log(work)
        return begun

    def complete(self, identifier: str, trace: Trace) -> None:
        """It was answered."""
        if identifier:
            self._with_log(lambda log: log.complete(identifier, trace))

    def fail(self, identifier: str, reason: str) -> None:
        """It was not: ``interrupted`` or ``failed``."""
        if identifier:
            self._with_log(lambda log: log.fail(identifier, reason))

    def withdraw(self, identifier: str) -> None:
        """It is no longer a turn of its conversation."""
        if identifier:
            self._with_log(lambda log: log.withdraw(identifier))

    def explain(
        self, identifier: str, explanation: Explanation, engine: EngineOptions, options: ExplainOptions
    ) -> None:
        """It was explained, with this engine and these options."""
        if not identifier:
            return
        from sage_cli.measured import conditions

        measured = conditions(engine, options)
        self._with_log(lambda log: log.keep_explanation(identifier, explanation, conditions=measured))

    def close(self) -> None:
        """Nothing is lost without it."""
        if self._log is not None:
            self._log.close()

    def _with_log(self, work: Callable[[Log], None]) -> None:
        path, named = log_path(self._shell.environ)
        if not self._wanted or not is_on(path):
            return
        try:
            log = self._log or Log(path, named=named)
            self._log = log
            work(log)
        except SageError as error:
            self._wanted = False
            self._note(f"{self._lost}: {error.message}")
            return
        if log.moved is not None and not self._told_moved:
            self._told_moved = True
            self._note(f"the log {path} was damaged and is now {log.moved}")

    def _note(self, sentence: str) -> None:
        if not self._quiet:
            self._shell.note(sentence)
