"""The journal's file format: the SQLite database, what it holds, and the hash chain over it.

Both the journal and its checks build on this; neither needs the other to read a file.
The hash of event n is sha256(hash of event n-1, then the event's bytes); the hash before the first event,
the genesis, binds all that never changes in a run: its id, its plan and when it was created.
"""

import hashlib
import sqlite3
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from engine.journal.rundir import RunDir

FORMAT = 1
"""The format version this program writes, and the newest it reads."""

SCHEMA: dict[str, str] = {
    "meta": "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "plan": "CREATE TABLE plan (body BLOB NOT NULL) STRICT",
    "events": "CREATE TABLE events (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL, "
    "hash BLOB NOT NULL) STRICT",
}
"""Every object of the database, as its own definition."""

BUSY_TIMEOUT_S = 5.0


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """The table `meta`. Only `epoch`, the number of take-overs, ever changes. Hashes are hex."""

    format: int
    run: str
    plan_hash: str
    plan_digest: str
    created: str
    genesis: str
    epoch: int


class Row(NamedTuple):
    """An event as the table `events` holds it: `hash` is its place in the chain."""

    seq: int
    kind: str
    body: bytes
    hash: bytes


def genesis(meta: Meta) -> bytes:
    """The hash that the chain of this run starts from."""
    bound = ["wesley-console journal", meta.format, meta.run, meta.plan_hash, meta.plan_digest, meta.created]
    return hashlib.sha256(msgspec.json.encode(bound)).digest()


def link(previous: bytes, body: bytes) -> bytes:
    """The hash of the event in `body`, whose predecessor's hash is `previous`."""
    return hashlib.sha256(previous + body).digest()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def connect(path: Path, mode: Literal["ro", "rw", "rwc", "immutable"]) -> sqlite3.Connection:
    """A connection with explicit transactions; only `rwc` may make the file. Raises sqlite3.Error.

    It may be handed from thread to thread, as long as one at a time uses it.
    """
    query = "mode=ro&immutable=1" if mode == "immutable" else f"mode={mode}"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{query}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    # Damage may have left bytes in a text column that are no text: that is for the checks to say.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA synchronous = FULL")
        # The log is folded back by us, so that a failing fsync there is not swallowed by an automatic one.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        # Only now are the files opened, the log's among them: what is wrong with them shows here.
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def has_log(rundir: RunDir) -> bool:
    """Whether the write-ahead log holds anything. Readers may leave an empty one behind."""
    try:
        return rundir.wal.stat().st_size > 0
    except FileNotFoundError:
        return False


def connect_readonly(rundir: RunDir) -> sqlite3.Connection:
    """A connection that sees what is appended later, but appends nothing. Raises sqlite3.Error.

    It reads a finished run in a read-only directory, too.
    """
    try:
        return connect(rundir.journal, "ro")
    except sqlite3.OperationalError as error:
        unopened = primary_code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if not unopened or has_log(rundir):
            raise
        # WAL mode needs a writable directory even to read; with no log left there is nothing it could miss.
        return connect(rundir.journal, "immutable")


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without the extension; -1 where the error is Python's own."""
    code: int = getattr(error, "sqlite_errorcode", -1)
    return code & 0xFF if code >= 0 else code


def read_meta(connection: sqlite3.Connection) -> Meta:
    """The table `meta`. Raises sqlite3.Error, or msgspec.ValidationError where it is not as it should be."""
    rows = dict(connection.execute("SELECT key, value FROM meta"))
    return msgspec.convert(rows, Meta, strict=False)


def read_head_row(connection: sqlite3.Connection, start: bytes) -> tuple[int, bytes]:
    """(seq, hash) of the last event; (0, `start`) where there is none."""
    row = connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return (row[0], row[1]) if row else (0, start)
