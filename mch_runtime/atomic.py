"""Output files that are whole or not there: written beside their place, synced, then renamed."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mch_runtime.errors import FileError, SageError, file_error

_SUFFIX = ".partial"
_STALE_SECONDS = 60
_COPY_BYTES = 8 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# What copy_file_range says where the file systems, or the kernel, cannot do it.
_NO_COPY_RANGE = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}


@contextmanager
def atomic_output(path: Path, *, expected_bytes: int | None = None) -> Iterator[Path]:
    """Yield an empty file beside ``path`` to be written by name; it becomes ``path`` at the end.

    When the ``with`` ends well, the file is synced and renamed over ``path`` (a link is replaced, not
    followed), and the folder is synced; whatever goes wrong, it is removed and ``path`` is as it was. What
    earlier processes left behind when they were killed is removed too. expected_bytes: the size to come, for
    the message on a full disk. Raises FileError, AccessError or MissingInputError, also for an OSError of the
    ``with``'s body; FileError for a device or a pipe, whose place a file may not take.
    """
    partial = None
    try:
        if path.is_dir():
            raise FileError(f"cannot write {path}: it is a folder", hint="give the name of a file")
        if path.exists() and not path.is_file():
            raise FileError(f"cannot write {path}: it is not a file", hint="give the name of a file")
        if not path.parent.is_dir():
            raise FileError(f"cannot write {path}: there is no folder {path.parent}", hint="make it first")
        _remove_stale(path)
        # Locked as long as it is being written, so that it is not taken for a left-over.
        lock, partial = _create_partial(path)
        try:
            yield partial
            _sync(partial)
            partial.replace(path)
            partial = None
            _sync(path.parent)
        finally:
            os.close(lock)
    except OSError as error:
        raise write_error(error, path, partial=partial, expected_bytes=expected_bytes) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def write_error(
    error: OSError, path: Path, *, partial: Path | None = None, expected_bytes: int | None = None
) -> SageError:
    """The error for a failed write of ``path``; on a full disk it says how much is free and needed."""
    if error.errno in _FULL:
        hint = _space(path, expected_bytes)
        return FileError(f"cannot write {path}: {(error.strerror or str(error)).lower()}", hint=hint)
    named = error.filename
    other = named is not None and partial is not None and os.fspath(named) != os.fspath(partial)
    return file_error(error, "use", named) if other else file_error(error, "write", path)


def copy_range(source: int, target: int, count: int) -> None:
    """Append the first ``count`` bytes of one open file to another, shared on disk where that is possible.

    Raises OSError; also if the source is shorter.
    """
    position = 0
    while position < count:
        copied = _copy_some(source, target, position, count - position)
        if copied == 0:
            raise OSError(errno.EIO, "the file became shorter while it was copied")
        position += copied


def _copy_some(source: int, target: int, position: int, count: int) -> int:
    try:
        return os.copy_file_range(source, target, min(count, 1 << 30), offset_src=position)
    except OSError as error:
        if error.errno not in _NO_COPY_RANGE:
            raise
    data = os.pread(source, min(count, _COPY_BYTES), position)
    written = 0
    while written < len(data):
        written += os.write(target, memoryview(data)[written:])
    return written


def _prefix(path: Path) -> str:
    # A file name has at most 255 bytes, and a character up to four.
    return f".{path.name[:50]}."


def _create_partial(path: Path) -> tuple[int, Path]:
    partial = path.parent / f"{_prefix(path)}{secrets.token_hex(4)}{_SUFFIX}"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(partial, flags, 0o666)
    with suppress(OSError):  # not every file system has locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor, partial


def _remove_stale(path: Path) -> None:
    """Remove partial files of ``path`` that nobody holds locked; the newest may not be locked yet."""
    prefix = _prefix(path)
    with os.scandir(path.parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(prefix)]
    for name in names:
        partial = path.parent / name
        if name.endswith(_SUFFIX) and not partial.is_symlink() and partial.is_file():
            _remove_if_unlocked(partial)


def _remove_if_unlocked(partial: Path) -> None:
    try:
        descriptor = os.open(partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # another process was faster, or it is not ours
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.time() - os.fstat(descriptor).st_mtime > _STALE_SECONDS:
            partial.unlink(missing_ok=True)
    except OSError:
        return
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _space(path: Path, expected_bytes: int | None) -> str:
    try:
        status = os.statvfs(path.parent)
    except OSError:
        return "free some space"
    free = status.f_bavail * status.f_frsize
    needed = "" if expected_bytes is None else f" and {expected_bytes:,} are needed"
    return f"{free:,} bytes are free{needed}"
