"""The log of answers: one SQLite file, readable by its owner only, that survives being killed.

A question is stored before it is answered and completed when it is, each in a transaction that has
reached the disk (WAL, ``synchronous=FULL``) before the next thing happens. A damaged file is moved
aside, never deleted; a file that is not ours is never touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mch_runtime.errors import AccessError, DataError, FileError, MissingInputError, UsageError, file_error

if TYPE_CHECKING:
    from mch_runtime.trace import Trace

SCHEMA_VERSION = 1
APPLICATION_ID = 0x53414745  # "SAGE"
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100  # https://www.sqlite.org/fileformat.html
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_SCHEMA = f"""
CREATE TABLE answers (
    id            TEXT PRIMARY KEY,
    created       TEXT NOT NULL,
    model         TEXT NOT NULL,
    question      TEXT NOT NULL,
    answer        TEXT,
    confidence    REAL,
    finish_reason TEXT,
    trace         TEXT
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""
_SUMMARY = "SELECT id, created, model, question, answer, confidence, finish_reason FROM answers"
_WHOLE = _SUMMARY.replace(" FROM", ", trace FROM")
_LATEST = " ORDER BY rowid DESC LIMIT ?"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One logged question. finish_reason None: it was never finished; "failed": it was refused.

    created: ISO 8601, UTC. trace: the JSON form, None without an answer or in lists.
    """

    id: str
    created: str
    model: str
    question: str
    answer: str | None
    confidence: float | None
    finish_reason: str | None
    trace: dict[str, Any] | None = None


def log_path(environ: Mapping[str, str]) -> tuple[Path, bool]:
    """Where the log is, and whether the user named that place (``SAGE_LOG``)."""
    named = environ.get("SAGE_LOG")
    if named:
        return Path(named).expanduser(), True
    import platformdirs

    return Path(platformdirs.user_data_dir("sage", appauthor=False)) / "logs.db", False


def new_id(milliseconds: int, randomness: int) -> str:
    """13 characters that sort by time: 45 bits of milliseconds, then 20 random ones."""
    value = (milliseconds & (1 << 45) - 1) << 20 | randomness & (1 << 20) - 1
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(60, -1, -5))


class Log:
    """An open log. ``moved`` is where a damaged one was put, None if there was none."""

    def __init__(self, path: Path, *, named: bool = False) -> None:
        """Open or make the log at ``path``.

        named: the user chose the place, so a file there that is not a log is left alone. Raises
        AccessError if others could read or change the log, DataError if the file is not ours or
        from a newer sage, FileError and its like if it cannot be opened.
        """
        self.path = path
        self.moved: Path | None = None
        self._named = named
        _prepare(path, named=named)
        try:
            self._db = _connect(path)
        except sqlite3.DatabaseError as error:
            self._start_over(error)

    def _start_over(self, error: sqlite3.DatabaseError) -> None:
        """With an empty log if ``error`` says that this one is damaged; else raises FileError."""
        if not _is_damage(error) or self.moved is not None:
            raise _log_error(error, self.path) from error
        self.moved = _move_aside(self.path)
        _prepare(self.path, named=self._named)
        self._db = _connect(self.path)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is lost without it."""
        self._db.close()

    def begin(self, question: str, model: str) -> str:
        """Store a question that is about to be answered; its id."""
        created = datetime.now(UTC).isoformat(timespec="seconds")
        while True:
            identifier = new_id(time.time_ns() // 1_000_000, secrets.randbits(20))
            try:
                self._execute(
                    "INSERT INTO answers (id, created, model, question) VALUES (?, ?, ?, ?)",
                    (identifier, created, model, question),
                )
            except sqlite3.IntegrityError:
                continue
            except sqlite3.DatabaseError as error:
                self._start_over(error)
                continue
            return identifier

    def complete(self, identifier: str, trace: Trace) -> None:
        """Store the answer."""
        from mch_runtime.wire import to_wire

        self._write(
            "UPDATE answers SET answer = ?, confidence = ?, finish_reason = ?, trace = ? WHERE id = ?",
            trace.answer,
            trace.confidence,
            trace.finish_reason,
            json.dumps(to_wire(trace)),
            identifier,
        )

    def fail(self, identifier: str, reason: str = "failed") -> None:
        """Store that there will be no answer."""
        self._write("UPDATE answers SET finish_reason = ? WHERE id = ?", reason, identifier)

    def latest(self, limit: int) -> list[Entry]:
        """The last entries, newest first, without their traces."""
        return [_entry(row) for row in self._read(_SUMMARY + _LATEST, limit)]

    def find(self, part: str) -> Entry:
        """The entry whose id begins or ends with ``part``; "" is the last one.

        Raises MissingInputError if there is none, UsageError if there are several.
        """
        if part:
            part, size = part.lower(), len(part)
            where = " WHERE substr(id, 1, ?) = ? OR substr(id, -?) = ? LIMIT 4"
            rows = self._read(_WHOLE + where, size, part, size, part)
        else:
            rows = self._read(_WHOLE + _LATEST, 1)
        if not rows:
            raise MissingInputError(
                f"no answer {part} in the log" if part else "the log is empty", hint="sage logs lists them"
            )
        if len(rows) > 1:
            several = ", ".join(row["id"] for row in rows[:3])
            raise UsageError(f"several answers go by {part}", hint=f"{several}{', …' if rows[3:] else ''}")
        return _entry(rows[0])

    def _write(self, statement: str, *values: object) -> None:
        with _as_file_error(self.path):
            self._execute(statement, values)

    def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(statement, values)

    def _read(self, query: str, *values: object) -> list[sqlite3.Row]:
        with _as_file_error(self.path):
            return self._db.execute(query, values).fetchall()


def _entry(row: sqlite3.Row) -> Entry:
    fields = dict(row)
    stored = fields.pop("trace", None)
    try:
        trace = json.loads(stored) if stored else None
    except ValueError:
        raise DataError(f"the stored answer {row['id']} is damaged") from None
    return Entry(**fields, trace=trace)


def _prepare(path: Path, *, named: bool) -> None:
    """Make the file, private from its first byte, or check the one that is there."""
    try:
        if not named:
            _private_directory(path.parent)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise file_error(error, "open the log", path) from error
    with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
            raise AccessError(f"the log {path} is not a file of yours", hint="set SAGE_LOG to another place")
        if named and _is_foreign(file.read(_HEADER_BYTES), status.st_size):
            raise DataError(f"{path} is not a log of answers", hint="set SAGE_LOG to another place")
        os.fchmod(fd, 0o600)


def _is_foreign(header: bytes, size: int) -> bool:
    """Whether a file is no log, by SQLite's header; a log that was just being made is one blank page."""
    if not header:
        return False
    page_bytes, mark = (int.from_bytes(header[at:end], "big") for at, end in ((16, 18), (68, 72)))
    blank = mark == 0 and size <= page_bytes
    return not header.startswith(_MAGIC) or not (mark == APPLICATION_ID or blank)


def _private_directory(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise AccessError(f"others may write in {directory}", hint=f"chmod 700 {directory}")


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=5.0, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
        _check_schema(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _check_schema(db: sqlite3.Connection, path: Path) -> None:
    with db:
        db.execute("BEGIN IMMEDIATE")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        application = db.execute("PRAGMA application_id").fetchone()[0]
        empty = not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if empty and not version:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
        elif application != APPLICATION_ID:
            raise DataError(f"{path} is another program's database", hint="set SAGE_LOG to another place")
        elif version > SCHEMA_VERSION:
            raise DataError(f"the log {path} is from a newer sage (version {version})", hint="upgrade sage")


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGE


def _move_aside(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(f"{path}.corrupt-{stamp}{suffix}")
    return Path(f"{path}.corrupt-{stamp}")


@contextlib.contextmanager
def _as_file_error(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _log_error(error, path) from error


def _log_error(error: sqlite3.Error, path: Path) -> FileError:
    return FileError(f"the log {path} cannot be used: {error}", hint="sage logs path; --no-log does without")
