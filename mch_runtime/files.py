"""Reading a whole small file that may be anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mch_runtime.errors import DataError, file_error


def read_regular_file(path: Path, *, limit: int) -> bytes:
    """The bytes of a file of at most ``limit`` bytes.

    Raises DataError if it is larger or no regular file, MissingInputError, AccessError or FileError.
    """
    try:
        # Not blocking, or a named pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DataError(f"{path} is not a file")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(limit + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise file_error(error, "read", path) from error
    if len(data) > limit:
        raise DataError(f"{path} is larger than {limit >> 20} MiB")
    return data
