"""JSON files of a checkpoint: bounded in size, every field of the expected type or one clear error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mch_runtime.errors import DataError, file_error


@dataclass(frozen=True)
class JsonObject:
    """An object out of a JSON file. ``where`` names the file, and the place in it, in errors."""

    where: str
    values: Mapping[str, object]

    def integer(self, key: str, *, low: int, high: int, default: int | None = None) -> int:
        """An integer within [low, high]."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(key, f"an integer from {low} to {high}")
        return value

    def number(
        self, key: str, *, high: float, low: float | None = None, default: float | None = None
    ) -> float:
        """A number up to ``high``: from ``low`` on, or above zero."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, int | float) and not isinstance(value, bool):
            enough = value > 0 if low is None else value >= low
            if enough and value <= high:  # NaN is neither
                return float(value)
        start = "above 0" if low is None else f"from {low:g}"
        raise self.error(key, f"a number {start}, up to {high:g}")

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false; null counts as absent."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def text(self, key: str) -> str | None:
        """A string, None if it is absent or null."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise self.error(key, "a string")
        return value

    def items(self, key: str) -> list[object]:
        """A list, empty if it is absent or null."""
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error(key, "a list")
        return value

    def section(self, key: str) -> JsonObject | None:
        """An object inside this one, None if it is absent or null."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(key, "an object")
        return JsonObject(f"{self.where}: {key}", value)

    def error(self, key: str, expected: str) -> DataError:
        """The error of a field that is not what it should be."""
        found = "is missing" if key not in self.values else f"is {_shown(self.values[key])}"
        return DataError(
            f"{self.where}: {key} {found}, expected {expected}",
            hint="the checkpoint is incomplete or damaged",
        )


def read_json(path: Path, *, limit: int) -> JsonObject:
    """The object in a JSON file of at most ``limit`` bytes.

    Raises MissingInputError, DataError, or FileError if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise file_error(error, "read", path) from error
    if len(raw) > limit:
        raise DataError(f"{path} is larger than {limit:,} bytes", hint="this is no file of a model")
    return parse_json(raw, where=path.name)


def read_optional_json(path: Path, *, limit: int) -> JsonObject:
    """Like ``read_json``; a file that does not exist is an empty object."""
    return read_json(path, limit=limit) if path.exists() else JsonObject(path.name, {})


def parse_json(raw: bytes, *, where: str) -> JsonObject:
    """The object that ``raw`` spells. A key that comes twice is an error: readers disagree about it."""
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not valid JSON: {error}", hint="the file is damaged") from error
    if not isinstance(value, dict):
        raise DataError(f"{where} holds no JSON object", hint="the file is damaged")
    return JsonObject(where, value)


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {_shown(twice)} comes twice")
    return values


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
