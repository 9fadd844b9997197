"""Opening model files: read the header, pass the guard, keep the very file that was checked open."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mch_runtime.errors import ModelError, file_error
from mch_runtime.gguf.guard import check_model
from mch_runtime.gguf.reader import GgufFile, read_gguf, reason


class CheckedFile(NamedTuple):
    """An open model file that the guard has accepted. Load it as ``/proc/self/fd/FD``, never by name."""

    fd: int
    gguf: GgufFile


@contextmanager
def open_checked(path: Path) -> Iterator[CheckedFile]:
    """Open a model for reading and check it; closed at the end of the ``with``.

    Raises ModelError if it is refused, MissingInputError, AccessError or FileError if it cannot be read.
    """
    try:
        # Not blocking, or a named pipe would wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise file_error(error, "open", path) from error
    try:
        yield CheckedFile(fd, check_open_file(fd, path))
    finally:
        os.close(fd)


def check_open_file(fd: int, path: Path) -> GgufFile:
    """The header of an open file that must be a model. Raises as ``open_checked`` does."""
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ModelError("not a file", rule="not-a-file", hint="give a model file in GGUF format")
        gguf = read_gguf(fd)
        check_model(gguf, status.st_size)
    except ModelError as error:
        raise ModelError(f"{path}: {reason(error)}", rule=error.rule, hint=error.hint) from error
    except OSError as error:
        raise file_error(error, "read", path) from error
    return gguf
