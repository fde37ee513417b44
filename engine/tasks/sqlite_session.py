"""One connection to a SQLite target, for one attempt, inside a worker thread."""

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from engine.machine.events import Effect
from engine.tasks import ledger
from engine.tasks.base import Job
from engine.tasks.rows import ROWS_SHOWN, count_of, show
from engine.tasks.statements import Statement

_BUSY_SLICE_S = 0.1
"""SQLite's own wait for a lock cannot be interrupted; so it waits in slices of this many seconds."""
_LOOK_EVERY = 20_000
"""Steps of SQLite's virtual machine between two looks at whether to stop: some milliseconds."""
_FLUSH_S = 0.2

Problem = sqlite3.Error | sqlite3.Warning | ValueError
"""What the sqlite3 module raises for a statement: ValueError for text that it cannot pass on."""


class InterruptedHere(sqlite3.OperationalError):
    """Stopped between two statements: the same to everybody as being stopped within one."""

    sqlite_errorcode = sqlite3.SQLITE_INTERRUPT
    sqlite_errorname = "SQLITE_INTERRUPT"


def primary_code(error: BaseException) -> int | None:
    """SQLite's primary result code; None for an error that is not SQLite's own."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


class Session:
    """`interrupted` ends the work when it is set. `say` takes lines for the output, from this thread.

    After `work`: `problem` is what went wrong, if anything did, at `place`; `effect` is what is left behind
    then, `unsettled` that the transaction is closed although its COMMIT failed. `rows` counts changed rows,
    `found` is the first row of the last result (an empty one had no rows), None where there was no result."""

    def __init__(
        self,
        job: Job,
        path: Path,
        script: str,
        statements: Sequence[Statement],
        interrupted: threading.Event,
        say: Callable[[str], None],
    ) -> None:
        self.problem: Problem | None = None
        self.place = "opening the database"
        self.effect: Effect = "none"
        self.unsettled = False
        self.rows = 0
        self.found: tuple[Any, ...] | None = None
        self._job = job
        self._path = path
        self._script = script
        self._statements = statements
        self._interrupted = interrupted
        self._say = say
        self._unsaid: list[str] = []
        self._said_at = time.monotonic()

    def work(self) -> None:
        try:
            with closing(self._open()) as connection:
                if self._job.purpose == "verify":
                    self._look(connection)
                elif all(statement.is_transactional for statement in self._statements):
                    self._in_one_transaction(connection)
                else:
                    self._one_by_one(connection)
        except (sqlite3.Error, sqlite3.Warning, ValueError) as problem:
            self.problem = problem
        self._flush()

    def _open(self) -> sqlite3.Connection:
        create = self._job.purpose != "verify"
        connection = connect(self._path, self._job.lock_timeout_s, create=create)
        connection.set_progress_handler(self._interrupted.is_set, _LOOK_EVERY)
        return connection

    def _in_one_transaction(self, connection: sqlite3.Connection) -> None:
        self.place = "BEGIN IMMEDIATE"
        try:
            self._execute(connection, "BEGIN IMMEDIATE")
            self.place = "writing the ledger"
            ledger.record(connection, self._job, self._script)
            for statement in self._statements:
                self._carry_out(connection, statement)
            self.place = "COMMIT"
            self._execute(connection, "COMMIT")
        except BaseException:
            self.unsettled = self.place == "COMMIT" and not connection.in_transaction
            if connection.in_transaction:
                with suppress(sqlite3.Error):  # closing the connection rolls back just as well
                    connection.execute("ROLLBACK")
            raise

    def _one_by_one(self, connection: sqlite3.Connection) -> None:
        for statement in self._statements:
            self._carry_out(connection, statement)
            self.effect = "unknown"

    def _look(self, connection: sqlite3.Connection) -> None:
        """Read only, and all of it from one state of the database."""
        connection.execute("PRAGMA query_only = ON")
        self._execute(connection, "BEGIN")
        for statement in self._statements:
            self._carry_out(connection, statement)
        connection.execute("ROLLBACK")

    def _carry_out(self, connection: sqlite3.Connection, statement: Statement) -> None:
        number, line = statement.number, statement.line
        self.place = f"statement {number} of {len(self._statements)} (line {line}), `{statement.summary()}`"
        cursor = self._execute(connection, statement.text)
        returned = self._read(cursor) if cursor.description else ""
        changed = max(cursor.rowcount, 0)
        self.rows += changed
        outcome = count_of(changed, "changed") if cursor.rowcount >= 0 else "" if returned else "done"
        self._note("\n".join(filter(None, (f"{number}: {statement.summary(80)}", returned, outcome))))

    def _execute(self, connection: sqlite3.Connection, sql: str) -> sqlite3.Cursor:
        """Execute one statement, waiting up to the lock timeout for a lock."""
        within = connection.in_transaction
        give_up_at = time.monotonic() + self._job.lock_timeout_s
        while not self._interrupted.is_set():
            try:
                return connection.execute(sql)
            except sqlite3.OperationalError as error:
                retry = primary_code(error) == sqlite3.SQLITE_BUSY and connection.in_transaction == within
                if not retry or time.monotonic() >= give_up_at:
                    raise
        raise InterruptedHere("interrupted")

    def _read(self, cursor: sqlite3.Cursor) -> str:
        """Read a result to its end, for some statements have done their work only then; its first rows."""
        shown: list[tuple[Any, ...]] = []
        count = 0
        for row in cursor:
            count += 1
            if count <= ROWS_SHOWN:
                shown.append(row)
        self.found = shown[0] if shown else ()
        lines = [" | ".join(str(column[0]) for column in cursor.description)]
        lines += [" | ".join(show(value, self._job.output.clean) for value in row) for row in shown]
        more = f", the first {ROWS_SHOWN} shown" if count > ROWS_SHOWN else ""
        return "\n".join([*lines, f"({count_of(count)}{more})"])

    def _note(self, text: str) -> None:
        # Many small statements must not wait for the output one by one.
        self._unsaid.append(text)
        if time.monotonic() - self._said_at > _FLUSH_S or len(self._unsaid) > 100:
            self._flush()

    def _flush(self) -> None:
        if self._unsaid:
            self._say("\n".join(self._unsaid))
        self._unsaid = []
        self._said_at = time.monotonic()


def connect(path: Path, lock_timeout_s: float, *, create: bool) -> sqlite3.Connection:
    """A connection whose transactions are all explicit, and that enforces foreign keys."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
        uri=True,
        isolation_level=None,
        timeout=min(lock_timeout_s, _BUSY_SLICE_S),
    )
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection
