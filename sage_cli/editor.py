"""The user's own editor on a text."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from mch_runtime.errors import MissingInputError, SageError, UsageError


def edit(path: Path, environ: Mapping[str, str]) -> None:
    """Open a file in VISUAL, EDITOR or vi and wait until it is closed.

    Raises UsageError if that is no command line, MissingInputError if there is no such program, SageError if it fails.
    """
    named = environ.get("VISUAL") or environ.get("EDITOR") or "vi"
    try:
        command = shlex.split(named)
    except ValueError:
        raise UsageError(f"EDITOR is no command line: {named}", hint="for instance EDITOR=nano") from None
    if not command:
        raise UsageError("EDITOR is empty", hint="for instance EDITOR=nano")
    try:
        done = subprocess.run([*command, str(path)], check=False)
    except OSError:
        raise MissingInputError(
            f"the editor {command[0]} cannot be started", hint="set EDITOR to another one"
        ) from None
    if done.returncode != 0:
        raise SageError(f"the editor {command[0]} failed with {done.returncode}", hint="nothing was changed")
