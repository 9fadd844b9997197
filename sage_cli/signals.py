"""What Ctrl-C, SIGTERM and SIGHUP do: stop the engine at once, or end the program."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal asked the program to end while no engine was at work."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interruptible(Protocol):
    """What a signal sets: ``mch_runtime.session.Interrupt``."""

    def request(self) -> None: ...


class Signals:
    """Receives signals; ``received`` is the first one that came while an engine was at work.

    patience: how many signals behind it are not taken for one that ends the process at once. before_exit: what is done
    then.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.patience = 0
        self.before_exit: Callable[[], None] = lambda: None
        self._engine: Interruptible | None = None
        self._more = 0
        self._wake: Callable[[], None] | None = None
        self._came: int | None = None

    @property
    def exit_code(self) -> int:
        """What shells report for a program ended by the signal that came, SIGINT if none did."""
        return 128 + (self.received or signal.SIGINT)

    def install(self) -> None:
        """Take over the signals that the parent process did not ask us to ignore."""
        for number in HANDLED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    def restore(self) -> None:
        """Back to the system's own handlers: from now on a signal simply ends the process."""
        for number in HANDLED:
            if signal.getsignal(number) == self._handle:
                signal.signal(number, signal.SIG_DFL)

    def forget_interrupt(self) -> None:
        """A Ctrl-C has done what it was meant to do; the program goes on."""
        if self.received == signal.SIGINT:
            self.received = None

    @contextmanager
    def guarding(self, engine: Interruptible) -> Iterator[None]:
        """Signals ask ``engine`` to stop, so that what it has done so far is kept.

        A second signal does not wait for it, unless there is patience.
        """
        self._engine, self._more = engine, 0
        try:
            yield
        finally:
            self._engine = None

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """A signal calls ``wake``, and is raised as Stopped behind the body, whatever comes of that.

        For bodies that must not end between any two instructions, as an event loop that holds the terminal. A second
        signal does.
        """
        self._wake, self._came = wake, None
        try:
            yield
        finally:
            self._wake = None
            if self._came is not None:
                raise Stopped(self._came)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._wake is not None and self._came is None:
            self._came = number
            self._wake()
            return
        if self._engine is None:
            raise Stopped(number)
        if self.received is not None:
            self._more += 1
            if self._more > self.patience:
                self.before_exit()
                os._exit(128 + number)
            return
        self.received = number
        self._engine.request()
