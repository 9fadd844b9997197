"""``sage``: runs a command, and is the one place that prints errors and decides the exit code.

The commands are imported only after signals are taken care of, so that Ctrl-C during the slow imports shows
no traceback.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from mch_runtime.errors import Interrupted, SageError
from sage_cli.console import (
    STDIN,
    STDOUT,
    complaint,
    occupy_closed_streams,
    standard_error,
    standard_output,
)
from sage_cli.signals import Signals, Stopped

if TYPE_CHECKING:
    from mch_runtime.options import EngineOptions
    from mch_runtime.session import Interrupt
    from sage_cli.shell import Asking, OpenEngine, Shell

EXIT_INTERNAL = 70
EXIT_MEMORY = 71
EXIT_IO = 74
EXIT_BROKEN_PIPE = 141


def open_engine(
    options: EngineOptions, *, interrupt: Interrupt | None = None
) -> AbstractContextManager[Asking]:
    """The engine over llama.cpp, imported when a model is opened."""
    from mch_runtime.engine import Engine

    return Engine.open(options, interrupt=interrupt)


def main(argv: Sequence[str] | None = None, *, engine: OpenEngine = open_engine) -> int:
    """Run one command line; the process should exit with what it returns."""
    # numpy's threads would keep the cores busy while they wait for the head's next product, and llama.cpp's wait.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    occupy_closed_streams()
    signals = Signals()
    signals.install()
    umask = os.umask(0o077)
    try:
        return _run(sys.argv[1:] if argv is None else argv, signals, engine, umask)
    finally:
        os.umask(umask)
        signals.restore()


def _run(argv: Sequence[str], signals: Signals, engine: OpenEngine, umask: int) -> int:
    shell: Shell | None = None
    try:
        from sage_cli.root import invoke
        from sage_cli.shell import Shell

        shell = Shell(
            out=standard_output(),
            err=standard_error(),
            environ=os.environ,
            signals=signals,
            open_engine=engine,
            stdin_terminal=lambda: os.isatty(STDIN),
            umask=umask,
        )
        return invoke(list(argv), shell)
    except Stopped as stopped:
        return 128 + stopped.number
    except Interrupted:
        return signals.exit_code
    except SageError as error:
        return _fail(shell, error.message, error.hint, error.exit_code)
    except BrokenPipeError:
        _forget_standard_output()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        _forget_standard_output()
        return _fail(shell, *_operating_system_said(error))
    except MemoryError:
        return _fail(shell, "out of memory", "try a smaller model or --ctx-size", EXIT_MEMORY)
    except Exception as error:  # noqa: BLE001 - a bug becomes one line here, and nowhere else
        return _fail_unexpectedly(shell, error)


def _fail(shell: Shell | None, message: str, hint: str, code: int) -> int:
    """Two lines on standard error: what happened, and what to do."""
    err = shell.err if shell else standard_error()
    color = shell is not None and shell.err_face.color
    err.write(complaint(message, hint, color=color, width=err.columns))
    return code


def _operating_system_said(error: OSError) -> tuple[str, str, int]:
    reason = (error.strerror or str(error)).lower()
    where = f" {error.filename}" if error.filename else ""
    hint = "free some space and try again" if error.errno == errno.ENOSPC else ""
    return f"input or output failed:{where} {reason}", hint, EXIT_IO


def _fail_unexpectedly(shell: Shell | None, error: Exception) -> int:
    if os.environ.get("SAGE_DEBUG"):
        import traceback

        traceback.print_exception(error)
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return _fail(shell, f"internal error ({what})", "SAGE_DEBUG=1 shows where it happened", EXIT_INTERNAL)


def _forget_standard_output() -> None:
    """Let the interpreter flush what is left into nothing when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, STDOUT)
    os.close(null)
