"""A conversation's turns in the log. A log that cannot be used is told of once and costs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mch_runtime.errors import SageError
from mch_runtime.trace import Trace
from sage_cli.history import Log
from sage_cli.log_file import is_on, log_path
from sage_cli.shell import Shell


class Record:
    """Keeps every question before it is answered, and its answer."""

    def __init__(self, shell: Shell, *, wanted: bool) -> None:
        self.conversation = ""
        self._shell = shell
        self._wanted = wanted
        self._log: Log | None = None
        self._id = ""
        self._ids: list[str] = []  # of the turns that stand

    def begin(self, question: str, model: str, system: str) -> None:
        """A question is about to be answered."""
        self._id = ""
        self._forgiving(lambda: self._begin(question, model, system))

    def complete(self, trace: Trace) -> None:
        """It was answered."""
        self._ids.append(self._id)
        self._with_log(lambda log: log.complete(self._id, trace))

    def fail(self, reason: str) -> None:
        """It was not: ``interrupted`` or ``failed``."""
        self._with_log(lambda log: log.fail(self._id, reason))

    def withdraw(self, *, last_but: int = 0) -> None:
        """A turn was taken back: the latest one, or so many before it."""
        if len(self._ids) > last_but:
            self._id = self._ids.pop(-1 - last_but)
            self._with_log(lambda log: log.withdraw(self._id))

    def restart(self, conversation: str = "", ids: Sequence[str] = ()) -> None:
        """The next turn begins another conversation, or goes on with one of the log, whose turns have these ids."""
        self.conversation = conversation
        self._ids = list(ids)

    def close(self) -> None:
        """Nothing is lost without it."""
        if self._log is not None:
            self._log.close()

    def _begin(self, question: str, model: str, system: str) -> None:
        log = self._opened()
        if log is not None:
            self._id = log.begin(question, model, conversation=self.conversation, system=system)
            self.conversation = self.conversation or self._id

    def _opened(self) -> Log | None:
        if self._log is None and self._wanted:
            path, named = log_path(self._shell.environ)
            if is_on(path):
                self._log = Log(path, named=named)
                if self._log.moved is not None:
                    self._shell.note(f"the log {path} was damaged and is now {self._log.moved}")
        return self._log

    def _with_log(self, change: Callable[[Log], None]) -> None:
        if not self._id:
            return

        def work() -> None:
            log = self._opened()
            if log is not None:
                change(log)

        self._forgiving(work)

    def _forgiving(self, work: Callable[[], None]) -> None:
        try:
            work()
        except SageError as error:
            self._wanted = False
            self._log = None
            self._shell.note(f"this conversation is not kept from here on: {error.message}")
