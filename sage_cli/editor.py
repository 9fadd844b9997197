"""The user's own editor, on a file or on a text."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
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
        raise SageError(
            f"the editor {command[0]} failed with {done.returncode}", hint="VISUAL or EDITOR names it"
        )


def edited(text: str, environ: Mapping[str, str], *, name: str) -> str:
    """A text as it comes back from the editor; the editor sees it as a file of that name. Raises as ``edit``."""
    with tempfile.TemporaryDirectory(prefix="sage-") as folder:
        draft = Path(folder) / name
        draft.write_text(text, encoding="utf-8")
        edit(draft, environ)
        return draft.read_text(encoding="utf-8", errors="replace")
