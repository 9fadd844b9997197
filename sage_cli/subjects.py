"""What is to be explained: an answer from the log, a file, or what comes through a pipe."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mch_runtime.errors import DataError, FileError, MissingInputError, SageError, file_error
from mch_runtime.wire import from_wire
from sage_cli.console import STDIN
from sage_cli.history import Log
from sage_cli.log_file import log_path
from sage_cli.past import past_of
from sage_cli.shell import Shell

if TYPE_CHECKING:
    from mch_runtime.inverse.subject import Written
    from mch_runtime.options import Message
    from mch_runtime.records import Record
    from mch_runtime.trace import Trace

STANDARD_INPUT = "-"
_ID = re.compile(r"[0-9a-z]{1,13}")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A chain to be explained, or why it cannot be. line: where it begins in its input, from 1.

    id: of the answer in the log, "" if it does not come from there. system and past: under what it was asked.
    """

    line: int
    given: Trace | Written | None
    error: SageError | None = None
    id: str = ""
    system: str = ""
    past: tuple[Message, ...] = ()

    def chain(self) -> Trace | Written:
        """Raises the subject's error if it has one."""
        if self.given is None:
            raise self.error or DataError("nothing to explain")
        return self.given

    @property
    def sha256(self) -> str:
        """Of question, text and answer: the same for the same record in another run."""
        if self.given is None:
            return ""
        parts = (self.given.question, self.given.text, self.given.answer or "")
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


@contextmanager
def subjects(shell: Shell, source: str | None, *, use_stdin: bool) -> Iterator[Iterator[Subject]]:
    """What ``source`` names: a file, ``-``, an answer's id; None is what is piped in, else the last answer.

    Raises MissingInputError if there is no such thing, FileError and its like if it cannot be read.
    """
    piped = use_stdin and not shell.stdin_terminal()
    if source == STANDARD_INPUT or (source is None and piped):
        with open(STDIN, "rb", closefd=False) as file:
            yield _read(file, "standard input")
    elif source is not None and (_is_there(source) or not _ID.fullmatch(source.lower())):
        with _opened(Path(source)) as file:
            yield _read(file, source)
    else:
        yield iter([_from_log(shell, source or "")])


def _is_there(source: str) -> bool:
    try:
        return Path(source).exists()
    except OSError:  # no name that a file could have
        return False


def _opened(path: Path) -> BinaryIO:
    try:
        if path.is_dir():
            raise FileError(f"cannot read {path}: it is a folder", hint="give the name of a file")
        return path.open("rb")
    except FileNotFoundError:
        raise MissingInputError(
            f"there is no file {path}", hint="give a file, - or an id of sage logs"
        ) from None
    except OSError as error:
        raise file_error(error, "read", path) from error


def _from_log(shell: Shell, identifier: str) -> Subject:
    path, named = log_path(shell.environ)
    if not path.exists():
        raise MissingInputError(f"there is no log at {path}", hint="ask something first, or give a file")
    with Log(path, named=named) as log:
        entry = log.find(identifier)
        past = past_of(log, entry.conversation, before=entry)
    if entry.trace is None:
        raise MissingInputError(f"{entry.id} has no answer to explain", hint="sage logs lists what was asked")
    if entry.answer is None:
        raise SageError(
            f"no answer was found in the text of {entry.id}", hint="sage logs show has what there is"
        )
    return Subject(line=1, given=from_wire(entry.trace), id=entry.id, system=entry.system, past=past.messages)


def _read(file: BinaryIO, name: str) -> Iterator[Subject]:
    from mch_runtime.records import BadRecord, read_records

    records = read_records(file)
    while True:
        try:
            record = next(records)
        except StopIteration:
            return
        except OSError as error:
            raise file_error(error, "read", name) from error
        if isinstance(record, BadRecord):
            yield Subject(line=record.line, given=None, error=record.error)
        else:
            yield Subject(line=record.line or 1, given=record.trace or _written(record))


def _written(record: Record) -> Written:
    from mch_runtime.inverse.subject import Written

    return Written(question=record.question, text=record.text, answer=record.answer)
