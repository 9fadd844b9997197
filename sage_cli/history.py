"""The log of answers: one SQLite file, readable by its owner only, that survives being killed.

A question is stored before it is answered and completed when it is, each in a transaction that has
reached the disk (WAL, ``synchronous=FULL``) before the next thing happens. Answers belong to
conversations; an explanation is kept with the answer it explains.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mch_runtime.errors import DataError, MissingInputError, UsageError
from sage_cli.entries import Entry, StoredExplanation, entry_of, new_id
from sage_cli.log_file import (
    as_file_error,
    check_backup,
    connect,
    is_damage,
    log_error,
    move_aside,
    prepare,
)
from sage_cli.log_schema import REBUILD, is_indexed

if TYPE_CHECKING:
    from mch_runtime.explanation import Explanation
    from mch_runtime.trace import Trace

_COLUMNS = "id, conversation, created, model, system, question, answer, confidence, finish_reason, since"
_SUMMARY = f"SELECT {_COLUMNS} FROM answers"  # noqa: S608 - constants
_WHOLE = f"SELECT {_COLUMNS}, trace FROM answers"  # noqa: S608 - constants
_LATEST = " ORDER BY number DESC LIMIT ?"
_REMOVED_AT_ONCE = 500  # SQLite bounds the values of one statement


class Log:
    """An open log. ``moved`` is where a damaged one was put, None if there was none."""

    def __init__(self, path: Path, *, named: bool = False) -> None:
        """Open or make the log at ``path``.

        named: the user chose the place, so a file there that is not a log is left alone. Raises
        AccessError if others could read or change the log, DataError if the file is not ours or
        from a newer sage, FileError and its like if it cannot be opened.
        """
        self.path = path
        self.moved: Path | None = None
        self._named = named
        prepare(path, named=named)
        try:
            self._db = connect(path)
        except sqlite3.DatabaseError as error:
            self._start_over(error)

    def _start_over(self, error: sqlite3.DatabaseError) -> None:
        """With an empty log if ``error`` says that this one is damaged; else raises FileError."""
        if not is_damage(error) or self.moved is not None:
            raise log_error(error, self.path) from error
        self.moved = move_aside(self.path)
        prepare(self.path, named=self._named)
        self._db = connect(self.path)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is lost without it."""
        self._db.close()

    def begin(
        self,
        question: str,
        model: str,
        *,
        conversation: str = "",
        system: str = "",
        since: str | None = None,
    ) -> str:
        """Store a question that is about to be answered; its id.

        conversation: the one it belongs to; "" begins one, which goes by this id. system: its system prompt. since: the
        turn from which on the model is shown what was said before, None for all, "" for none.
        """
        statement = (
            "INSERT INTO answers (id, conversation, created, model, system, question, since) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        while True:
            identifier = new_id(time.time_ns() // 1_000_000, secrets.randbits(20))
            begun = conversation or identifier
            values = (identifier, begun, _now(), model, system, question, since)
            try:
                self._execute(statement, values)
            except sqlite3.IntegrityError:
                continue
            except sqlite3.DatabaseError as error:
                self._start_over(error)
                continue
            return identifier

    def complete(self, identifier: str, trace: Trace) -> None:
        """Store the answer."""
        from mch_runtime.wire import to_wire

        self._write(
            "UPDATE answers SET text = ?, answer = ?, confidence = ?, finish_reason = ?, trace = ? WHERE id = ?",
            trace.text,
            trace.answer,
            trace.confidence,
            trace.finish_reason,
            json.dumps(to_wire(trace)),
            identifier,
        )

    def fail(self, identifier: str, reason: str = "failed") -> None:
        """Store that there will be no answer."""
        self._write("UPDATE answers SET finish_reason = ? WHERE id = ?", reason, identifier)

    def withdraw(self, identifier: str) -> None:
        """The answer stays in the log and is no longer a turn of its conversation."""
        self._write("UPDATE answers SET withdrawn = 1 WHERE id = ?", identifier)

    def turns(self, conversation: str, *, before: Entry | None = None) -> list[Entry]:
        """The questions of a conversation with their traces, oldest first, those without an answer too.

        before: only those that the model was shown before this answer. What was withdrawn is left out.
        """
        where, values = " WHERE conversation = ? AND NOT withdrawn", [conversation]
        if before is not None:
            where += " AND number < (SELECT number FROM answers WHERE id = ?)"
            values.append(before.id)
        if before is not None and before.since is not None:
            where += " AND number >= (SELECT number FROM answers WHERE id = ?)"
            values.append(before.since)
        return [entry_of(row) for row in self._read(_WHOLE + where + " ORDER BY number", *values)]

    def last_conversation(self) -> str | None:
        """The conversation of the last question, None in an empty log."""
        latest = self.latest(1)
        return latest[0].conversation if latest else None

    def count(self) -> int:
        """How many questions there are."""
        return int(self._read("SELECT count(*) AS n FROM answers")[0]["n"])

    def latest(self, limit: int, *, conversation: str | None = None) -> list[Entry]:
        """The last entries, newest first, without their traces; those of one conversation if it is given."""
        if conversation is None:
            return [entry_of(row) for row in self._read(_SUMMARY + _LATEST, limit)]
        where = " WHERE conversation = ?"
        return [entry_of(row) for row in self._read(_SUMMARY + where + _LATEST, conversation, limit)]

    def search(self, words: str, limit: int) -> list[Entry]:
        """The last entries whose question or text has all the words, newest first, without their traces.

        With SQLite's full text search a word may be the beginning of one; without, it may be anywhere.
        """
        parts = words.split()
        if not parts:
            return []
        if is_indexed(self._db):
            quoted = " ".join('"{}"*'.format(part.replace('"', '""')) for part in parts)
            where, values = " WHERE number IN (SELECT rowid FROM words WHERE words MATCH ?)", [quoted]
        else:
            where = " WHERE " + " AND ".join(
                ["instr(lower(question || ' ' || coalesce(text, '')), ?)"] * len(parts)
            )
            values = [part.lower() for part in parts]
        return [entry_of(row) for row in self._read(_SUMMARY + where + _LATEST, *values, limit)]

    def find(self, part: str) -> Entry:
        """The entry whose id begins or ends with ``part``; "" is the last one.

        Raises MissingInputError if there is none, UsageError if there are several.
        """
        if part:
            part, size = part.lower(), len(part)
            where = " WHERE substr(id, 1, ?) = ? OR substr(id, -?) = ? LIMIT 4"
            rows = self._read(_WHOLE + where, size, part, size, part)
        else:
            rows = self._read(_WHOLE + _LATEST, 1)
        if not rows:
            raise MissingInputError(
                f"no answer {part} in the log" if part else "the log is empty", hint="sage logs lists them"
            )
        if len(rows) > 1:
            several = ", ".join(row["id"] for row in rows[:3])
            raise UsageError(f"several answers go by {part}", hint=f"{several}{', …' if rows[3:] else ''}")
        return entry_of(rows[0])

    def keep_explanation(
        self, identifier: str, explanation: Explanation, *, conditions: Mapping[str, Any]
    ) -> None:
        """Keep what was measured of an answer; it takes the place of what was measured under the same conditions."""
        from mch_runtime.explanation_wire import explanation_to_wire

        self._write(
            "INSERT OR REPLACE INTO explanations (answer, created, conditions, explanation) VALUES (?, ?, ?, ?)",
            identifier,
            _now(),
            json.dumps(conditions, sort_keys=True),
            json.dumps(explanation_to_wire(explanation)),
        )

    def explanation(
        self, identifier: str, *, suits: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> StoredExplanation | None:
        """The last explanation of an answer whose conditions suit, None if there is none.

        Raises DataError if it is damaged.
        """
        from mch_runtime.explanation_wire import explanation_from_wire

        query = (
            "SELECT created, conditions, explanation FROM explanations WHERE answer = ? ORDER BY number DESC"
        )
        for row in self._read(query, identifier):
            try:
                conditions = json.loads(row["conditions"])
                if suits(conditions):
                    made = explanation_from_wire(json.loads(row["explanation"]))
                    return StoredExplanation(created=row["created"], conditions=conditions, explanation=made)
            except ValueError:
                raise DataError(
                    f"the stored explanation of {identifier} is damaged", hint="--again makes it anew"
                ) from None
        return None

    def before(self, created: str) -> list[str]:
        """The ids of the questions asked before a moment: ISO 8601, UTC."""
        return [row["id"] for row in self._read("SELECT id FROM answers WHERE created < ?", created)]

    def everything(self) -> list[str]:
        """The ids of all questions."""
        return [row["id"] for row in self._read("SELECT id FROM answers")]

    def remove(self, identifiers: Iterable[str]) -> None:
        """Forget answers and their explanations, all of them or none, and leave no trace of them in the file."""
        doomed = list(identifiers)
        with as_file_error(self.path):
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                for first in range(0, len(doomed), _REMOVED_AT_ONCE):
                    some = doomed[first : first + _REMOVED_AT_ONCE]
                    marks = ", ".join("?" * len(some))
                    self._db.execute(f"DELETE FROM explanations WHERE answer IN ({marks})", some)  # noqa: S608 - marks
                    self._db.execute(f"DELETE FROM answers WHERE id IN ({marks})", some)  # noqa: S608 - marks
                if is_indexed(self._db):
                    self._db.execute(REBUILD)
            with contextlib.suppress(
                sqlite3.OperationalError
            ):  # what was deleted is blank; shrinking can wait
                self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def back_up(self, target: Path) -> None:
        """Write the log as it is now to a file, whole or not at all, also while others are writing to the log.

        Raises UsageError if that is no place for a copy, FileError and its like.
        """
        from mch_runtime.atomic import atomic_output

        check_backup(target, self.path)
        with atomic_output(target) as partial, as_file_error(self.path):
            copy = sqlite3.connect(partial)
            try:
                self._db.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
            finally:
                copy.close()

    def _write(self, statement: str, *values: object) -> None:
        with as_file_error(self.path):
            self._execute(statement, values)

    def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(statement, values)

    def _read(self, query: str, *values: object) -> list[sqlite3.Row]:
        with as_file_error(self.path):
            return self._db.execute(query, values).fetchall()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
