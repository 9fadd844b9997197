"""Runs of words that questions share with training data: what a model may have seen before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mch_runtime.errors import DataError, MissingInputError, file_error
from mch_runtime.strict_json import loads

WORDS = 13  # in a row, as Brown et al. (2020) compare
LONGEST = 1 << 24  # characters of one record of training data

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Overlap:
    """shared, (n_questions,): how many of a question's runs of words occur in training, as a share of them."""

    words: int
    records: int
    shared: tuple[float, ...]


def overlap(questions: Sequence[str], texts: Iterable[str], *, words: int = WORDS) -> Overlap:
    """Compare questions with the texts of training. Shorter questions are compared as a whole."""
    runs = [set(_runs(question, words)) for question in questions]
    wanted = set().union(*runs) if runs else set()
    lengths = {len(run) for run in wanted}
    found: set[tuple[str, ...]] = set()
    records = 0
    for text in texts:
        records += 1
        said = _words(text)
        for length in lengths:
            found |= wanted & set(_windows(said, length))
    return Overlap(words, records, tuple(len(run & found) / len(run) if run else 0.0 for run in runs))


def training_texts(path: Path) -> Iterator[str]:
    """The texts of a file: all strings of each object of JSON Lines, else each line. Raises DataError and its like."""
    try:
        with path.open(encoding="utf-8") as file:
            while line := file.readline(LONGEST):
                if line.strip():
                    yield _text(line)
    except FileNotFoundError:
        raise MissingInputError(f"there is no file {path}", hint="check --train-data") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8", hint="give text or JSON Lines") from error
    except OSError as error:
        raise file_error(error, "read", path) from error


def _text(line: str) -> str:
    if not line.lstrip().startswith("{"):
        return line
    try:
        return "\n".join(_strings(loads(line)))
    except DataError:
        return line


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _runs(text: str, words: int) -> Iterator[tuple[str, ...]]:
    said = _words(text)
    return _windows(said, min(words, len(said)) or 1)


def _windows(said: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    return (tuple(said[start : start + length]) for start in range(len(said) - length + 1))
