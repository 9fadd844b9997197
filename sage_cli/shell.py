"""What every command is handed: the streams, the signals and the way to an engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import typer

from sage_cli.console import ColorChoice, Face, Output, face, labelled
from sage_cli.signals import Signals

if TYPE_CHECKING:
    from mch_runtime.answering import Answered, Question
    from mch_runtime.explanation import Explanation
    from mch_runtime.inverse.subject import Written
    from mch_runtime.observer import ExplainObserver, Observer
    from mch_runtime.options import AskOptions, EngineOptions, ExplainOptions, Message
    from mch_runtime.session import Interrupt
    from mch_runtime.trace import ModelInfo, Trace


class Asking(Protocol):
    """The part of ``mch_runtime.engine.Engine`` that commands use."""

    @property
    def model(self) -> ModelInfo: ...

    @property
    def notices(self) -> tuple[str, ...]: ...

    def ask(self, question: str, options: AskOptions, *, observer: Observer) -> Trace: ...

    def answers(self, questions: Iterable[Question]) -> Iterator[Answered]: ...

    def explain(
        self, chain: Trace | Written, options: ExplainOptions, *, observer: ExplainObserver
    ) -> Explanation: ...


class Chatting(Asking, Protocol):
    """What a conversation needs beyond that."""

    @property
    def n_ctx(self) -> int: ...

    @property
    def n_cells(self) -> int: ...

    @property
    def dialect(self) -> str: ...

    @property
    def template(self) -> str: ...

    def size(self, question: str, options: AskOptions) -> int: ...

    def message(self, trace: Trace) -> Message: ...


class OpenEngine(Protocol):
    """Loads a model; the engine closes at the end of the ``with``."""

    def __call__(
        self, options: EngineOptions, *, interrupt: Interrupt | None = None
    ) -> AbstractContextManager[Asking]: ...


@dataclass(kw_only=True)
class Shell:
    """One run of the program. ``color`` is what ``--color`` said; ``umask`` the user's own."""

    out: Output
    err: Output
    environ: Mapping[str, str]
    signals: Signals
    open_engine: OpenEngine
    stdin_terminal: Callable[[], bool]
    umask: int
    color: ColorChoice = "auto"

    @property
    def out_face(self) -> Face:
        return face(self.out, self.color, self.environ)

    @property
    def err_face(self) -> Face:
        return face(self.err, self.color, self.environ)

    def note(self, sentence: str) -> None:
        """Something worth knowing that is not an error, on standard error."""
        color = "\x1b[33m" if self.err_face.color else ""
        self.err.write(labelled("note", sentence, color=color, width=self.err.columns))

    @contextmanager
    def users_umask(self) -> Iterator[None]:
        """Files written here are the user's own and get the permissions the user wants."""
        private = os.umask(self.umask)
        try:
            yield
        finally:
            os.umask(private)


def shell_of(ctx: typer.Context) -> Shell:
    """The shell that ``main`` made."""
    return cast(Shell, ctx.obj)
