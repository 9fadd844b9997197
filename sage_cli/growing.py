"""A file of JSON Lines that grows by whole lines, so that work that was killed can be continued."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mch_runtime.atomic import write_error
from mch_runtime.errors import DataError, FileError, UsageError, file_error
from mch_runtime.trace import ModelInfo
from mch_runtime.wire import model_from_wire


class GrowingFile:
    """Made by :func:`growing`. ``lines`` holds what was there already, without a line that was cut off."""

    def __init__(self, path: Path, descriptor: int, lines: list[dict[str, Any]]) -> None:
        self.path = path
        self.lines = lines
        self._descriptor = descriptor

    def append(self, line: str) -> None:
        """One line, on the disk before this returns. Raises FileError."""
        data = memoryview(f"{line}\n".encode())
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise write_error(error, self.path) from error


@contextmanager
def growing(path: Path, *, resume: bool) -> Iterator[GrowingFile]:
    """Open ``path`` to add lines to it.

    Without ``resume`` it must be new or empty. Raises UsageError if it is not, FileError if another
    process is writing it or it cannot be opened, DataError if a whole line of it is not a JSON object.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise file_error(error, "write", path) from error
    try:
        _lock(descriptor, path)
        yield GrowingFile(path, descriptor, _kept(descriptor, path, resume=resume))
    finally:
        os.close(descriptor)


def marks(
    file: GrowingFile,
    model: ModelInfo,
    *,
    model_of: Callable[[dict[str, Any]], dict[str, Any]],
    wrote: str,
) -> set[tuple[int, str]]:
    """The line and sha256 of the records that a file to be continued holds.

    model_of: the model in one of its lines; wrote: the command that writes such files. Raises DataError if it is no such file,
    UsageError if another model's.
    """
    try:
        models = [model_from_wire(model_of(line)) for line in file.lines]
        found = {(line["record"]["line"], line["record"]["sha256"]) for line in file.lines}
    except (KeyError, TypeError) as error:
        hint = f"--resume continues what {wrote} wrote"
        raise DataError(f"{file.path} holds something else than that", hint=hint) from error
    if any(one.fingerprint != model.fingerprint for one in models):
        raise UsageError(f"{file.path} was made with another model", hint="give that one with -m")
    if any(one.steered_by != model.steered_by for one in models):
        raise UsageError(f"{file.path} was made under another --control-vector", hint="give that one")
    return found


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FileError(f"another process is writing {path}", hint="wait for it, or stop it") from None
    except OSError:
        return  # not every file system has locks


def _kept(descriptor: int, path: Path, *, resume: bool) -> list[dict[str, Any]]:
    try:
        if not path.is_file():
            raise FileError(f"cannot continue {path}: it is not a file", hint="give the name of a file")
        with open(descriptor, "rb", closefd=False) as file:
            lines = []
            whole = 0
            for number, line in enumerate(file, start=1):
                if not resume:
                    raise UsageError(f"{path} is there already", hint="--resume continues it")
                if not line.endswith(b"\n"):
                    break
                lines.append(_object(line, f"line {number} of {path}"))
                whole += len(line)
        os.ftruncate(descriptor, whole)
        os.lseek(descriptor, whole, os.SEEK_SET)
    except OSError as error:
        raise file_error(error, "continue", path) from error
    return lines


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise DataError(f"{where} is not a JSON object", hint="--resume continues what sage wrote")
    return value
