"""Putting a head behind its base and taking it away again, in a new file or in place.

``docs/head-format.md`` has the layout.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mch_runtime.atomic import atomic_output, copy_range, write_error
from mch_runtime.errors import HeadError, UsageError, file_error
from mch_runtime.gguf.checked import CheckedFile, check_open_file, open_checked
from mch_runtime.gguf.reader import GgufFile
from mch_runtime.head.base import check_belongs, fingerprint
from mch_runtime.head.format import decode_head, encode_head
from mch_runtime.head.spec import Head
from mch_runtime.head.tail import REMEDY, Tail, is_zero, make_tail, read_tail, size_of


def attach(model: Path, head: Head | bytes, out: Path, *, force: bool = False) -> None:
    """Write the base of ``model`` with ``head`` behind it to ``out``, whole or not at all.

    A head that is already there is replaced. head: bytes are a head's GGUF. force: also if it does
    not fit. Raises HeadError, UsageError if ``out`` is the model, or the errors of the files.
    """
    data = _encoded(head)
    with open_checked(model) as opened:
        _refuse_source(model, out)
        _refuse_misfit(data, opened, force=force)
        tail = read_tail(opened.fd, opened.gguf, size_of(opened.fd))
        _refuse_unexplained(tail, opened.fd, model)
        total = tail.base_length + len(data)
        with atomic_output(out, expected_bytes=total) as partial, partial.open("r+b") as file:
            copy_range(opened.fd, file.fileno(), tail.base_length)
            _append(file.fileno(), tail.base_length, data)


def detach(model: Path, out: Path) -> None:
    """Write the base of ``model`` alone to ``out``, also if its head is damaged. Raises as ``attach``."""
    with open_checked(model) as opened:
        _refuse_source(model, out)
        tail = _detachable(opened.fd, opened.gguf, model)
        with (
            atomic_output(out, expected_bytes=tail.base_length) as partial,
            partial.open("r+b") as file,
        ):
            copy_range(opened.fd, file.fileno(), tail.base_length)


def save_head(model: Path, out: Path) -> None:
    """Write the head behind ``model`` as a file of its own to ``out``. Raises as ``attach``."""
    with open_checked(model) as opened:
        _refuse_source(model, out)
        tail = read_tail(opened.fd, opened.gguf, size_of(opened.fd))
        _refuse_damage(tail, model)
        if tail.kind != "head":
            raise _no_head(model)
        with atomic_output(out, expected_bytes=len(tail.head)) as partial:
            partial.write_bytes(tail.head)


def attach_in_place(model: Path, head: Head | bytes, *, force: bool = False) -> None:
    """Append ``head`` to ``model`` itself, replacing the head that is there.

    The footer is written last, so that a torn append is recognised, and ``detach_in_place`` repairs it.
    On a full disk the file is left without a head. Raises as ``attach``, and HeadError for a file with
    several names.
    """
    data = _encoded(head)
    with _open_in_place(model) as opened:
        _refuse_misfit(data, opened, force=force)
        tail = read_tail(opened.fd, opened.gguf, size_of(opened.fd))
        _refuse_damage(tail, model)
        _refuse_unexplained(tail, opened.fd, model)
        os.ftruncate(opened.fd, tail.base_length)
        try:
            _append(opened.fd, tail.base_length, data)
        except OSError as error:
            os.ftruncate(opened.fd, tail.base_length)
            raise write_error(error, model, expected_bytes=len(data)) from error


def detach_in_place(model: Path) -> None:
    """Cut ``model`` off behind its base: a head, a damaged head, or a torn append. Raises HeadError."""
    with _open_in_place(model) as opened:
        tail = _detachable(opened.fd, opened.gguf, model)
        os.ftruncate(opened.fd, tail.base_length)
        os.fsync(opened.fd)


def _encoded(head: Head | bytes) -> bytes:
    if isinstance(head, bytes):
        decode_head(head)
        return head
    return encode_head(head)


def _append(fd: int, base_length: int, data: bytes) -> None:
    """Put the head behind the base, and on the disk, before the footer that vouches for it."""
    body, footer = make_tail(base_length, data)
    _write_at(fd, base_length, body)
    os.fsync(fd)
    _write_at(fd, base_length + len(body), footer)
    os.fsync(fd)


def _write_at(fd: int, offset: int, data: bytes) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, memoryview(data)[done:], offset + done)


def _refuse_misfit(data: bytes, opened: CheckedFile, *, force: bool) -> None:
    if not force:
        base = fingerprint(opened.fd, opened.gguf)
        check_belongs(decode_head(data), opened.gguf, fingerprint=base)


def _refuse_source(model: Path, out: Path) -> None:
    try:
        same = out.exists() and out.samefile(model)
    except OSError as error:
        raise file_error(error, "write", out) from error
    if same:
        raise UsageError(f"{out} is the model itself", hint="write to another file, or use --in-place")


def _no_head(model: Path) -> HeadError:
    return HeadError(f"{model} has no head behind it", hint="a head in a sidecar is a file of its own")


def _refuse_damage(tail: Tail, model: Path) -> None:
    if tail.kind == "damaged":
        raise HeadError(f"the head in {model} is damaged: {tail.problem}", hint=REMEDY)


def _refuse_unexplained(tail: Tail, fd: int, model: Path) -> None:
    """Do not drop bytes that may be somebody's; zeros are what a torn append may leave."""
    if tail.kind == "unexplained" and not is_zero(fd, tail.base_length, size_of(fd)):
        raise HeadError(
            f"{model} has {tail.length:,} bytes behind the model that are no head",
            hint="they would be lost: cut them off yourself if they are not needed",
        )


def _detachable(fd: int, gguf: GgufFile, model: Path) -> Tail:
    tail = read_tail(fd, gguf, size_of(fd))
    if tail.kind == "none":
        raise _no_head(model)
    _refuse_unexplained(tail, fd, model)
    return tail


@contextmanager
def _open_in_place(model: Path) -> Iterator[CheckedFile]:
    """A checked model open for writing, locked; only a file that has no other name."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(model, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _shared(model, "is a link to another file") from error
        raise file_error(error, "change", model) from error
    try:
        # POSIX locks, since atomic_output holds the other kind on its file.
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink > 1:
            raise _shared(model, "has several names")
        yield CheckedFile(fd, check_open_file(fd, model))
    except BlockingIOError as error:
        raise HeadError(f"{model} is being changed by another process", hint="wait for it") from error
    except OSError as error:
        raise file_error(error, "change", model) from error
    finally:
        os.close(fd)


def _shared(model: Path, what: str) -> HeadError:
    hint = "others may use the same file, such as a download cache: write a copy with -o instead"
    return HeadError(f"{model} {what}, and is not changed in place", hint=hint)
