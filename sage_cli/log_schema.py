"""The tables of the log, each version made from the one before, and the index that searches use.

A new log runs all versions; an old one those it lacks, in one transaction. The index is no part of a version: it is
made where SQLite can search in full text and left out where it cannot, so that a log may move between the two.
"""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x53414745  # "SAGE"

_FIRST = (
    """
    CREATE TABLE answers (
        id            TEXT PRIMARY KEY,
        created       TEXT NOT NULL,
        model         TEXT NOT NULL,
        question      TEXT NOT NULL,
        answer        TEXT,
        confidence    REAL,
        finish_reason TEXT,
        trace         TEXT
    )
    """,
    f"PRAGMA application_id = {APPLICATION_ID}",
)
# Conversations, what was generated as text of its own, explanations. Rows get a number of their own because the
# one that SQLite gives them changes when the file is compacted, and the index goes by it.
_SECOND = (
    """
    CREATE TABLE kept (
        number        INTEGER PRIMARY KEY,
        id            TEXT NOT NULL UNIQUE,
        conversation  TEXT NOT NULL,
        withdrawn     INTEGER NOT NULL DEFAULT 0,
        created       TEXT NOT NULL,
        model         TEXT NOT NULL,
        system        TEXT NOT NULL DEFAULT '',
        question      TEXT NOT NULL,
        text          TEXT,
        answer        TEXT,
        confidence    REAL,
        finish_reason TEXT,
        trace         TEXT
    )
    """,
    """
    INSERT INTO kept (id, conversation, created, model, question, text, answer, confidence, finish_reason, trace)
    SELECT id, id, created, model, question,
           CASE WHEN json_valid(trace) THEN json_extract(trace, '$.text') END,
           answer, confidence, finish_reason, trace
    FROM answers ORDER BY rowid
    """,
    "DROP TABLE answers",
    "ALTER TABLE kept RENAME TO answers",
    "CREATE INDEX answers_of_conversations ON answers (conversation)",
    """
    CREATE TABLE explanations (
        number      INTEGER PRIMARY KEY,
        answer      TEXT NOT NULL,
        created     TEXT NOT NULL,
        conditions  TEXT NOT NULL,
        explanation TEXT NOT NULL,
        UNIQUE (answer, conditions)
    )
    """,
)
# How much of its conversation an answer was given under.
_THIRD = ("ALTER TABLE answers ADD COLUMN since TEXT",)
_VERSIONS = (_FIRST, _SECOND, _THIRD)
SCHEMA_VERSION = len(_VERSIONS)

_OUT = (
    "INSERT INTO words (words, rowid, question, text) VALUES ('delete', old.number, old.question, old.text)"
)
_IN = "INSERT INTO words (rowid, question, text) VALUES (new.number, new.question, new.text)"
REBUILD = "INSERT INTO words (words) VALUES ('rebuild')"
_TRIGGERS = {
    "words_in": f"CREATE TRIGGER words_in AFTER INSERT ON answers BEGIN {_IN}; END",
    "words_out": f"CREATE TRIGGER words_out AFTER DELETE ON answers BEGIN {_OUT}; END",
    "words_changed": f"CREATE TRIGGER words_changed AFTER UPDATE OF question, text ON answers BEGIN {_OUT}; {_IN}; END",
}
_INDEX = (
    """
    CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
        question, text, content = 'answers', content_rowid = 'number', tokenize = 'unicode61 remove_diacritics 2'
    )
    """,
    *_TRIGGERS.values(),
    REBUILD,
)


def upgrade(db: sqlite3.Connection, version: int) -> None:
    """Bring the tables from ``version`` to the present one; inside of a transaction."""
    for statements in _VERSIONS[version:]:
        for statement in statements:
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def keep_index(db: sqlite3.Connection) -> None:
    """Have the index follow the answers if this SQLite has full text search, else not; inside of a transaction."""
    follows = is_indexed(db)
    if has_full_text(db) == follows:
        return
    for statement in [f"DROP TRIGGER {name}" for name in _TRIGGERS] if follows else _INDEX:
        db.execute(statement)


def is_indexed(db: sqlite3.Connection) -> bool:
    """Whether the index follows the answers."""
    rows = db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    return {row["name"] for row in rows} >= set(_TRIGGERS)


def has_full_text(db: sqlite3.Connection) -> bool:
    """Whether this SQLite has FTS5."""
    return bool(db.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone())
