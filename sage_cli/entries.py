"""What the log holds: questions with their answers, explanations, and the ids they go by."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mch_runtime.errors import DataError

if TYPE_CHECKING:
    from mch_runtime.explanation import Explanation

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One logged question. finish_reason None: it was never finished; "failed": it was refused.

    conversation: the id of its first answer. since: the turn from which on the model was shown what was said before;
    None for all turns, "" for none. created: ISO 8601, UTC. trace: the JSON form, None without an answer or in lists.
    """

    id: str
    conversation: str
    created: str
    model: str
    system: str
    question: str
    answer: str | None
    confidence: float | None
    finish_reason: str | None
    since: str | None = None
    trace: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class StoredExplanation:
    """An explanation as it was measured, and under which conditions."""

    created: str
    conditions: dict[str, Any]
    explanation: Explanation


def new_id(milliseconds: int, randomness: int) -> str:
    """13 characters that sort by time: 45 bits of milliseconds, then 20 random ones."""
    value = (milliseconds & (1 << 45) - 1) << 20 | randomness & (1 << 20) - 1
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(60, -1, -5))


def entry_of(row: sqlite3.Row) -> Entry:
    """The entry of a row. Raises DataError if its trace is damaged."""
    fields = dict(row)
    stored = fields.pop("trace", None)
    try:
        trace = json.loads(stored) if stored else None
    except ValueError:
        raise DataError(f"the stored answer {row['id']} is damaged") from None
    return Entry(**fields, trace=trace)
