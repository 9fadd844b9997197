"""Records of a file, whatever its form: JSON Lines, a JSON array, CSV, Parquet; compressed by gzip or not."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from mch_runtime.errors import DataError, FileError, MissingInputError, SageError, UsageError, file_error
from mch_runtime.strict_json import loads

LONGEST = 1 << 20  # bytes of one line
LARGEST = 256 << 20  # bytes of a file that has to be read as a whole

Row = tuple[str, Mapping[str, Any]]
"""Where a record is, and its fields."""


def read_rows(path: Path) -> Iterator[Row]:
    """The records of a file, one after the other.

    Raises MissingInputError and its like if it cannot be read, DataError, which names the place, where it is
    damaged, and UsageError for Parquet without pyarrow.
    """
    names = [suffix.lower() for suffix in path.suffixes]
    if names[-1:] == [".parquet"]:
        yield from _parquet(path)
        return
    try:
        with _opened(path, compressed=names[-1:] == [".gz"]) as stream:
            yield from _csv(stream) if ".csv" in names[-2:] else _json(stream)
    except gzip.BadGzipFile as error:
        raise DataError(f"{path} is not compressed by gzip", hint="take .gz off its name") from error
    except EOFError as error:
        raise DataError(f"{path} is cut off", hint="get it again") from error
    except OSError as error:
        raise file_error(error, "read", path) from error


@contextmanager
def _opened(path: Path, *, compressed: bool) -> Iterator[BinaryIO]:
    if path.is_dir():
        raise FileError(f"cannot read {path}: it is a folder", hint="give the name of a file")
    if not path.exists():
        raise MissingInputError(f"there is no file {path}", hint="check the path")
    with gzip.open(path) if compressed else path.open("rb") as stream:
        yield cast(BinaryIO, stream)


def _json(stream: BinaryIO) -> Iterator[Row]:
    number = 0
    while line := stream.readline(LONGEST + 2):
        number += 1
        if number == 1 and line.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
            yield from _array(line + stream.read(LARGEST))
            return
        if len(line) > LONGEST + 1:
            raise DataError(f"line {number}: longer than {LONGEST:,} bytes", hint="is it JSON Lines?")
        if line.strip():
            place = f"line {number}"
            yield place, _object(_parsed(line, place), place)


def _array(data: bytes) -> Iterator[Row]:
    if len(data) >= LARGEST:
        raise DataError("the JSON array is too large", hint="write one object per line instead")
    values = _parsed(data, "the array")
    for index, value in enumerate(values, start=1):
        yield f"record {index}", _object(value, f"record {index}")


def _parsed(data: bytes, place: str) -> Any:
    try:
        return loads(_text(data))
    except SageError as error:
        raise DataError(f"{place}: {error.message}", hint=error.hint) from error


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 at byte {error.start}", hint="save it as UTF-8") from error


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{place}: not a JSON object", hint="write one JSON object per line")
    return value


def _csv(stream: BinaryIO) -> Iterator[Row]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        for number, row in enumerate(csv.DictReader(text, strict=True), start=1):
            yield f"record {number}", {key: value for key, value in row.items() if key is not None}
    except csv.Error as error:
        raise DataError(f"not CSV: {error}", hint="export it as CSV with quotes around texts") from error
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 at byte {error.start}", hint="save it as UTF-8") from error


def _parquet(path: Path) -> Iterator[Row]:
    """Needs pyarrow, which sage does not bring."""
    if not path.exists():
        raise MissingInputError(f"there is no file {path}", hint="check the path")
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise UsageError(
            "reading Parquet needs pyarrow, which is not installed",
            hint="install pyarrow beside sage, or export the file as JSON Lines",
        ) from None
    try:
        number = 0
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield f"record {number}", row
    except (ArrowException, OSError) as error:
        raise DataError(f"{path} is not Parquet that can be read: {error}", hint="get it again") from error
