"""Making the journal of a run: new and empty, or with the history that it goes on with."""

import sqlite3
from collections.abc import Sequence

import msgspec

from engine.journal.errors import RunExists, StateDirUnusable
from engine.journal.integrity import has_begun
from engine.journal.rundir import RunDir, fsync_dir
from engine.journal.store import SCHEMA, Meta, Row, connect
from engine.journal.witness import Head, create_head


def install_journal(rundir: RunDir, meta: Meta, plan_json: bytes, rows: Sequence[Row] = ()) -> None:
    """Make the journal of a run, with the chained `rows` in it. The caller owns the run directory.

    The file appears under its name only when it is complete, so that a crash leaves either a journal or none.
    One without events is replaced: its run was cut off before it began.
    Raises RunExists where the run has begun, StateDirUnusable where the journal cannot be written.
    """
    if has_begun(rundir):
        raise RunExists(rundir.id, rundir.path)
    new = rundir.path / "journal.db.new"
    seq, head = (rows[-1].seq, rows[-1].hash.hex()) if rows else (0, meta.genesis)
    try:
        # The log above all: it would be taken for that of the new journal.
        for leftover in (*rundir.path.glob("journal.db-*"), *rundir.path.glob("journal.db.new*")):
            leftover.unlink()
        _write(connect(new, "rwc"), meta, plan_json, rows)
        create_head(rundir.head, Head(run=meta.run, epoch=meta.epoch, seq=seq, hash=head, closed=True))
        new.rename(rundir.journal)
        fsync_dir(rundir.path)
    except (OSError, sqlite3.Error) as error:
        raise StateDirUnusable(rundir.path, error) from error


def _write(connection: sqlite3.Connection, meta: Meta, plan_json: bytes, rows: Sequence[Row]) -> None:
    """Everything a journal starts with. It becomes a WAL database last, so that it is one complete file."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for definition in SCHEMA.values():
            connection.execute(definition)
        fields = msgspec.structs.asdict(meta)
        connection.executemany("INSERT INTO meta VALUES (?, ?)", [(k, str(v)) for k, v in fields.items()])
        connection.execute("INSERT INTO plan VALUES (?)", (plan_json,))
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise sqlite3.OperationalError("this file system does not support SQLite's write-ahead log")
    finally:
        connection.close()
