"""One file from the hub: received into ``DIGEST.incomplete``, continued where it was left, checked, renamed."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path

import httpx2
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

from convert.hub_names import HubFile
from mch_runtime.atomic import write_error
from mch_runtime.errors import DataError, FileError, SageError

_SUFFIX = ".incomplete"
_OURS = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})\.incomplete")
CHUNK = 1 << 17
_LFS_DIGITS = 64
PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before another try after a cut connection that brought nothing


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What to receive. timeout: seconds without a byte."""

    url: str
    file: HubFile
    token: str | None
    timeout: float

    def run(self, blob: Path, *, advance: Callable[[int], None], check: Callable[[int], None]) -> int:
        """Make ``blob``; the bytes that were received now.

        advance: is told how many bytes are there. check: is given a descriptor of the whole file, and raises what is
        wrong with it. Raises DataError if the content is not the one that the hub announced, FileError on a full disk
        or while another process downloads the same; and the errors of the client library. After a wrong content or a
        failed check nothing is left; after everything else, what has arrived is kept for the next attempt.
        """
        try:
            with _partial(blob) as file:
                if is_whole(blob, self.file):  # another process was faster
                    return 0
                begun = self._begin(file)
                _check_space(blob, self.file.size - begun)
                self._receive(file, advance)
                self._check(file, check)
                os.fsync(file.fileno())
                _partial_path(blob).replace(blob)
        except httpx2.HTTPError:
            raise  # some are OSErrors too
        except OSError as error:
            raise write_error(error, blob, expected_bytes=self.file.size) from error
        return self.file.size - begun

    def _begin(self, file: BufferedRandom) -> int:
        """The bytes that an earlier attempt has left."""
        have = file.seek(0, os.SEEK_END)
        if have > self.file.size:
            _empty(file)
            return 0
        return have

    def _receive(self, file: BufferedRandom, advance: Callable[[int], None]) -> None:
        """All that is missing, over as many connections as it takes."""
        pauses = iter(PAUSES)
        while (have := file.tell()) < self.file.size:
            try:
                self._stream(file, have, advance)
            except httpx2.TransportError:
                if file.tell() > have:
                    pauses = iter(PAUSES)
                pause = next(pauses, None)
                if pause is None:
                    raise
                time.sleep(pause)
            else:
                if file.tell() <= have:
                    raise self._wrong(file, f"is shorter than the {self.file.size:,} bytes announced")

    def _stream(self, file: BufferedRandom, have: int, advance: Callable[[int], None]) -> None:
        advance(have)
        headers = build_hf_headers(token=self.token, library_name="sage")
        headers["Accept-Encoding"] = "identity"
        if have:
            headers["Range"] = f"bytes={have}-"
        with http_stream_backoff(
            "GET",
            self.url,
            headers=headers,
            timeout=self.timeout,
            retry_on_exceptions=(),
            retry_on_status_codes=(),
        ) as response:
            hf_raise_for_status(response)
            if have and response.status_code != httpx2.codes.PARTIAL_CONTENT:
                _empty(file)
            for chunk in response.iter_bytes(CHUNK):
                file.write(chunk)
                if file.tell() > self.file.size:
                    raise self._wrong(file, f"is longer than the {self.file.size:,} bytes announced")
                advance(file.tell())

    def _check(self, file: BufferedRandom, check: Callable[[int], None]) -> None:
        file.flush()
        if _digest(file, self.file) != self.file.digest:
            raise self._wrong(file, "is not the file that the hub describes: its checksum is another")
        try:
            check(file.fileno())
        except SageError:
            _empty(file)
            raise

    def _wrong(self, file: BufferedRandom, what: str) -> DataError:
        """Nothing of it is worth keeping."""
        _empty(file)
        return DataError(
            f"what was received of {self.file.path} {what}", hint="it has been removed; try again"
        )


def is_whole(blob: Path, file: HubFile) -> bool:
    """Whether the cache has a file. That its content is right was checked when it got there."""
    return blob.is_file() and blob.stat().st_size == file.size


def _digest(file: BufferedRandom, expected: HubFile) -> str:
    """SHA-256 of the content, or what git calls a blob's SHA-1, whichever the hub gave."""
    file.seek(0)
    if len(expected.digest) == _LFS_DIGITS:
        return hashlib.file_digest(file, "sha256").hexdigest()
    header = f"blob {expected.size}\0".encode()
    return hashlib.file_digest(file, lambda: hashlib.sha1(header, usedforsecurity=False)).hexdigest()


def _partial_path(blob: Path) -> Path:
    return blob.with_name(blob.name + _SUFFIX)


def _empty(file: BufferedRandom) -> None:
    file.seek(0)
    file.truncate()


@contextmanager
def _partial(blob: Path) -> Iterator[BufferedRandom]:
    """The incomplete file, locked; an empty one is not left behind. Raises FileError if another process has it."""
    path = _partial_path(blob)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "r+b") as file:
        if not _lock(descriptor):
            raise FileError(f"another process is downloading {path}", hint="wait for it")
        try:
            yield file
        finally:
            if os.fstat(descriptor).st_size == 0 == file.tell():
                path.unlink(missing_ok=True)


def _lock(descriptor: int) -> bool:
    """False if another process holds the lock; where the file system has no locks, nobody does."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in {errno.EWOULDBLOCK, errno.EACCES}
    return True


def _check_space(blob: Path, needed: int) -> None:
    status = os.statvfs(blob.parent)
    free = status.f_bavail * status.f_frsize
    if needed > free:
        raise FileError(
            f"not enough space in {blob.parent}: {needed:,} bytes are needed and {free:,} are free",
            hint="free some space, or set HF_HOME to another disk",
        )


def forget_stale(blobs: Path, *, keep: frozenset[str]) -> None:
    """Remove what is left of downloads of files that the repository no longer has, and nobody is busy with."""
    for path in blobs.glob(f"*{_SUFFIX}"):
        match = _OURS.fullmatch(path.name)
        if match is None or match[1] in keep or path.is_symlink():
            continue
        with path.open("rb") as file:
            if _lock(file.fileno()):
                path.unlink(missing_ok=True)
