"""Output files are whole or not there, whatever goes wrong and wherever."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mch_runtime.atomic import atomic_output, copy_range
from mch_runtime.errors import FileError, HeadError, MissingInputError, SageError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, data: bytes) -> None:
    with atomic_output(path) as partial:
        partial.write_bytes(data)


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write(path, b"one")
    write(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["out"]


def test_target_appears_only_at_the_end(tmp_path: Path) -> None:
    with atomic_output(tmp_path / "out") as partial:
        assert partial.parent == tmp_path
        assert partial.name.startswith(".out.")
        assert partial.name.endswith(".partial")
        assert names(tmp_path) == [partial.name]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [HeadError("no"), KeyboardInterrupt(), ValueError("no")])
def test_failure_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before")

    def fail() -> None:
        with atomic_output(path) as partial:
            partial.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["out"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "out").symlink_to("precious")
    write(tmp_path / "out", b"new")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "out").is_symlink()


def test_folders_as_target_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="folder"):
        write(tmp_path, b"")
    with pytest.raises(FileError, match="there is no folder"):
        write(tmp_path / "none" / "out", b"")


@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_pipe_or_a_device_is_not_replaced(tmp_path: Path, through_a_link: bool) -> None:
    target = tmp_path / "pipe"
    os.mkfifo(target)
    if through_a_link:
        target = tmp_path / "link"
        target.symlink_to("pipe")
    before = names(tmp_path)
    with pytest.raises(FileError, match="not a file"):
        write(target, b"new")
    assert (tmp_path / "pipe").is_fifo()
    assert names(tmp_path) == before


def test_long_names(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    write(path, b"x")
    assert names(tmp_path) == [path.name]


def test_an_error_about_another_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="other"), atomic_output(tmp_path / "out"):
        (tmp_path / "other").read_bytes()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing beyond ``size`` bytes fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_full_disk_says_what_is_free(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before")
    with (
        largest_file(1000),
        pytest.raises(FileError) as caught,
        atomic_output(path, expected_bytes=2000) as partial,
    ):
        partial.write_bytes(bytes(2000))
    assert "cannot write" in caught.value.message
    assert str(path) in caught.value.message
    assert "2,000 are needed" in caught.value.hint
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["out"]


CALLS = ("open", "fsync", "replace", "close", "scandir")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("nth", range(4))
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_every_call_may_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int, number: int
) -> None:
    """An injected error at each system call: the old file or the new one, never a third thing."""
    path = tmp_path / "out"
    path.write_bytes(b"before")
    target, name = (Path, call) if call == "replace" else (os, call)
    real, count = getattr(target, name), iter(range(100))

    def failing(*args: object, **kwargs: object) -> object:
        if next(count) == nth:
            if call == "close":
                real(*args)
            raise OSError(number, os.strerror(number))
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(target, name, failing)
        try:
            write(path, b"after")
        except SageError as error:
            assert str(path) in error.message  # noqa: PT017
    assert path.read_bytes() in (b"before", b"after")
    assert names(tmp_path) == ["out"]


def test_order_of_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is on the disk before it gets its name, and the name before we say so."""
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def record_fsync(fd: int) -> None:
        calls.append(f"fsync {Path(f'/proc/self/fd/{fd}').readlink().suffix or 'folder'}")
        fsync(fd)

    def record_replace(self: Path, target: Path) -> Path:
        calls.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "out", b"x")
    assert calls == ["fsync .partial", "rename", "fsync folder"]


KILLED = """
import sys, time
from pathlib import Path
from mch_runtime.atomic import atomic_output
with atomic_output(Path(sys.argv[1])) as partial:
    partial.write_bytes(b"half")
    print(partial, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert child.stdout is not None
    partial = Path(child.stdout.readline().strip())
    old = time.time() - 3600
    os.utime(partial, (old, old))
    write(path, b"one")
    assert partial.exists(), "its writer still lives"
    child.kill()
    child.wait()
    child.stdout.close()
    assert partial.exists()
    write(path, b"two")
    assert names(tmp_path) == ["out"]


def test_a_fresh_partial_file_is_left_alone(tmp_path: Path) -> None:
    fresh = tmp_path / ".out.12345678.partial"
    fresh.touch()
    write(tmp_path / "out", b"x")
    assert fresh.exists()


@pytest.mark.parametrize("fast", [True, False])
def test_copy_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fast: bool) -> None:
    if not fast:

        def unsupported(*_: object, **__: object) -> int:
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(os, "copy_file_range", unsupported)
    data = os.urandom(9 << 20)
    (tmp_path / "source").write_bytes(data)
    with (tmp_path / "source").open("rb") as source, (tmp_path / "target").open("wb") as target:
        copy_range(source.fileno(), target.fileno(), len(data) - 5)
        with pytest.raises(OSError, match="shorter"):
            copy_range(source.fileno(), target.fileno(), len(data) + 5)
    assert (tmp_path / "target").read_bytes()[: len(data) - 5] == data[:-5]
