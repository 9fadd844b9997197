"""How far a long piece of work is: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from sage_cli.render.safe import one_line
from sage_cli.shell import Shell

Advance = Callable[[int, int], None]


@contextmanager
def bar(shell: Shell, what: str, *, quiet: bool, counted: bool = False) -> Iterator[Advance]:
    """Hands out a function that takes bytes done and bytes in all; with ``counted``, things of any kind."""
    face = shell.err_face
    shown = face.terminal and face.color and not quiet
    console = Console(file=sys.stderr, force_terminal=shown, legacy_windows=False, safe_box=not face.unicode)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn() if counted else DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not shown,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        task = progress.add_task(one_line(what), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
