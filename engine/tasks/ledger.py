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
_LATER = f"""
SELECT attempt FROM {TABLE} WHERE run = ? AND task = ? AND attempt > ? AND purpose = ? LIMIT 1"""
_FIND = f"""
SELECT statement_hash, at FROM {TABLE} WHERE run = ? AND task = ? AND attempt = ? AND purpose = ?"""


class Row(NamedTuple):
    statement_hash: str
    at: str


def statement_hash(script: str) -> str:
    return hashlib.sha256(script.encode()).hexdigest()


def record(connection: sqlite3.Connection, job: Job, script: str) -> None:
    """Write the row of this attempt, in the transaction that is open. Raises sqlite3.IntegrityError if there
    is one already, or one of a later attempt: then this one's engine was stopped, and another has taken over.
    """
    connection.execute(_CREATE)
    later = connection.execute(_LATER, _key(job)).fetchone()
    if later:
        raise sqlite3.IntegrityError(
            f"attempt {later[0]} of run {job.run} has taken effect already: this one comes too late"
        )
    connection.execute(_INSERT, (*_key(job), statement_hash(script)))


def find(connection: sqlite3.Connection, job: Job) -> Row | None:
    """The row of this attempt, if it took effect."""
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (TABLE,))
    if there.fetchone() is None:
        return None
    found = connection.execute(_FIND, _key(job)).fetchone()
    return Row(*found) if found else None


def balance(connection: sqlite3.Connection, job: Job) -> tuple[int, int]:
    """How many attempts at the task, and how many at its rollback, took effect in the job's past runs."""
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (TABLE,))
    if there.fetchone() is None:
        return 0, 0
    marks = ", ".join("?" * len(job.past_runs))
    counted = dict(
        connection.execute(
            f"SELECT purpose, count(*) FROM {TABLE} WHERE task = ? AND run IN ({marks}) GROUP BY purpose",
            (job.task.id, *job.past_runs),
        )
    )
    return counted.get("run", 0), counted.get("rollback", 0)


def _key(job: Job) -> tuple[str, str, int, str]:
    return job.run, job.task.id, job.attempt, job.purpose
