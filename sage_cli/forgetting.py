"""Which answers are to be forgotten, and whether that is really meant."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from mch_runtime.errors import UsageError
from sage_cli.history import Log
from sage_cli.render.safe import one_line
from sage_cli.shell import Shell

_AGE = re.compile(r"(\d{1,5})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}


def forget(
    shell: Shell, log: Log, parts: Sequence[str], *, older_than: str | None, everything: bool, sure: bool
) -> None:
    """Remove what was named, after asking unless ``sure``.

    Raises UsageError if nothing or several things were named or nobody can be asked, MissingInputError if there is
    no such answer.
    """
    ways = [bool(parts), older_than is not None, everything]
    if sum(ways) != 1:
        raise UsageError(
            "name answers, or --older-than AGE, or --all: one of them", hint="sage logs lists them"
        )
    if older_than is not None:
        doomed = log.before(_moment(older_than))
    else:
        doomed = log.everything() if everything else [log.find(part).id for part in _named(parts)]
    doomed = list(dict.fromkeys(doomed))
    if not doomed:
        shell.note("there is nothing to remove")
        return
    many = f"{len(doomed):,} answers" if len(doomed) > 1 else f"the answer {doomed[0]}"
    if not sure and not _confirmed(shell, many):
        shell.note("nothing was removed")
        return
    log.remove(doomed)
    shell.note(f"{many} {'were' if len(doomed) > 1 else 'was'} removed")


def _named(parts: Sequence[str]) -> Sequence[str]:
    if not all(parts):
        raise UsageError("an id is empty", hint="sage logs lists them")
    return parts


def _moment(age: str) -> str:
    """The moment before which an answer is older, in the form of the log: ISO 8601, UTC."""
    found = _AGE.fullmatch(age)
    if found:
        then = datetime.now(UTC) - timedelta(hours=int(found[1]) * _HOURS[found[2]])
    else:
        try:
            then = datetime.fromisoformat(age).astimezone(UTC)
        except (ValueError, OverflowError):
            raise UsageError(
                f"--older-than {one_line(age)} is neither an age nor a date",
                hint="90d, 12h, 8w or 2026-01-31",
            ) from None
    return then.isoformat(timespec="seconds")


def _confirmed(shell: Shell, many: str) -> bool:
    if not shell.stdin_terminal():
        raise UsageError(f"nobody can be asked whether {many} may go", hint="add --yes")
    shell.err.write(f"Remove {many}? [y/N] ")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
