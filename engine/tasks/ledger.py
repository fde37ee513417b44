"""The ledger in a SQLite target: a row for each attempt that took effect, committed together with it."""

import hashlib
import sqlite3
from typing import NamedTuple

from engine.tasks.base import Job

TABLE = "_wesley_ledger"

_CREATE = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
  run TEXT NOT NULL, task TEXT NOT NULL, attempt INTEGER NOT NULL, purpose TEXT NOT NULL,
  statement_hash TEXT NOT NULL, at TEXT NOT NULL,
  PRIMARY KEY (run, task, attempt, purpose)
) WITHOUT ROWID"""
_INSERT = f"INSERT INTO {TABLE} VALUES (?, ?, ?, ?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))"
_FIND = f"""
SELECT statement_hash, at FROM {TABLE} WHERE run = ? AND task = ? AND attempt = ? AND purpose = ?"""


class Row(NamedTuple):
    statement_hash: str
    at: str


def statement_hash(script: str) -> str:
    return hashlib.sha256(script.encode()).hexdigest()


def record(connection: sqlite3.Connection, job: Job, script: str) -> None:
    """Write the row of this attempt, in the transaction that is open. Raises sqlite3.IntegrityError if there
    is one already."""
    connection.execute(_CREATE)
    connection.execute(_INSERT, (*_key(job), statement_hash(script)))


def find(connection: sqlite3.Connection, job: Job) -> Row | None:
    """The row of this attempt, if it took effect."""
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (TABLE,))
    if there.fetchone() is None:
        return None
    found = connection.execute(_FIND, _key(job)).fetchone()
    return Row(*found) if found else None


def _key(job: Job) -> tuple[str, str, int, str]:
    return job.run, job.task.id, job.attempt, job.purpose
