"""The log as a file: private, checked, opened so that what was acknowledged survives a power cut.

A damaged file is moved aside, never deleted; a file that is not ours is never touched.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from mch_runtime.errors import AccessError, DataError, FileError, UsageError, file_error
from sage_cli.log_schema import APPLICATION_ID, SCHEMA_VERSION, keep_index, upgrade

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100  # https://www.sqlite.org/fileformat.html
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def log_path(environ: Mapping[str, str]) -> tuple[Path, bool]:
    """Where the log is, and whether the user named that place (``SAGE_LOG``)."""
    named = environ.get("SAGE_LOG")
    if named:
        return Path(named).expanduser(), True
    import platformdirs

    return Path(platformdirs.user_data_dir("sage", appauthor=False)) / "logs.db", False


def switch(path: Path) -> Path:
    """The file whose presence beside the log says that nothing is to be kept."""
    return path.with_name(f"{path.name}.off")


def is_on(path: Path) -> bool:
    """Whether answers are kept in this log."""
    return not switch(path).exists()


def turn(path: Path, *, on: bool, named: bool) -> None:
    """From now on keep answers in this log, or do not. Raises AccessError and FileError."""
    try:
        if on:
            switch(path).unlink(missing_ok=True)
        else:
            if not named:
                private_directory(path.parent)
            switch(path).touch(mode=0o600)
    except OSError as error:
        raise file_error(error, "write", switch(path)) from error


def prepare(path: Path, *, named: bool) -> None:
    """Make the file, private from its first byte, or check the one that is there.

    Raises AccessError if others could read or change it, DataError if it is not ours, FileError and its like.
    """
    try:
        if not named:
            private_directory(path.parent)
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


def private_directory(directory: Path) -> None:
    """Make the folder, or check that nobody else may write in it. Raises AccessError and OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise AccessError(f"others may write in {directory}", hint=f"chmod 700 {directory}")


def connect(path: Path) -> sqlite3.Connection:
    """The log's connection, its tables made or brought up to date.

    Raises sqlite3.Error, DataError if it is another program's or a newer sage's.
    """
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
        if application != APPLICATION_ID and not (empty and not version):
            raise DataError(f"{path} is another program's database", hint="set SAGE_LOG to another place")
        if version > SCHEMA_VERSION:
            raise DataError(f"the log {path} is from a newer sage (version {version})", hint="upgrade sage")
        if version < SCHEMA_VERSION:
            upgrade(db, version)
        keep_index(db)


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether SQLite says that the file is broken."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGE


def move_aside(path: Path) -> Path:
    """Where the damaged log is now."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(f"{path}.corrupt-{stamp}{suffix}")
    return Path(f"{path}.corrupt-{stamp}")


def check_backup(target: Path, path: Path) -> None:
    """Raises UsageError if a copy of the log at ``path`` would take the place of itself or of what is no log."""
    try:
        if not target.is_file():
            return
        with target.open("rb") as file:
            foreign = _is_foreign(file.read(_HEADER_BYTES), target.stat().st_size)
        if target.samefile(path):
            raise UsageError(f"{target} is the log itself", hint="give another name")
    except OSError as error:
        raise file_error(error, "use", target) from error
    if foreign:
        raise UsageError(f"{target} is there already and is no log", hint="give another name")


@contextlib.contextmanager
def as_file_error(path: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise log_error(error, path) from error


def log_error(error: sqlite3.Error, path: Path) -> FileError:
    """The error that says what SQLite said."""
    return FileError(f"the log {path} cannot be used: {error}", hint="sage logs path; --no-log does without")
