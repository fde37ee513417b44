"""The event journal of one run: append, durably and chained, and read.

All of it is synchronous. A `Journal` may move between threads, but one call at a time.
Reading never blocks the writer, nor the other way round.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from engine.journal.errors import (
    EventRefused,
    Fenced,
    JournalBusy,
    JournalFailed,
    JournalFull,
    JournalUnreadable,
    NeverStarted,
    StateDirUnusable,
)
from engine.journal.integrity import require_sound
from engine.journal.making import install_journal
from engine.journal.room import no_room
from engine.journal.rundir import RunDir
from engine.journal.store import (
    BUSY_TIMEOUT_S,
    FORMAT,
    Meta,
    Row,
    connect,
    connect_readonly,
    digest,
    genesis,
    has_log,
    link,
    primary_code,
    read_head_row,
    read_meta,
)
from engine.journal.witness import Head, write_head
from engine.machine.events import Event, decode_event, encode_event

_READ_ROWS = 1000
_FOLD_PAGES = 32
# Pages in the log after which it is folded back into the database, to be written over from its start. Few of
# them: a commit that makes the log's file longer costs two to three times one that writes over it.
_PAGE_BYTES = 4096
_PAGES_A_COMMIT = 2

_OF_WRITING = (sqlite3.SQLITE_IOERR_WRITE,)
_BEFORE_COMMIT = (*_OF_WRITING, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMOPEN)
# What a lack of room may look like to SQLite besides SQLITE_FULL (a quota, a limit on the size of files).
# While committing, failing shared memory is not among them: by then the commit may be in the log.


class Record(NamedTuple):
    """An event as the journal holds it: `body` is its exact bytes, `hash` (hex) its place in the chain."""

    event: Event
    body: bytes
    hash: str


class Journal:
    """Made by `create` or `open`; a context manager that closes.

    Invariants of a writer: `_seq` and `_hash` are those of the last acknowledged event; `_broken` is set
    as soon as nobody can tell any more what is on the disk, and from then on nothing is written.
    """

    def __init__(self, rundir: RunDir, connection: sqlite3.Connection, *, writes: bool) -> None:
        self.rundir = rundir
        self.meta: Meta = read_meta(connection)
        self._connection = connection
        self._genesis = genesis(self.meta)
        self._seq, self._hash = read_head_row(connection, self._genesis)
        self._epoch = self.meta.epoch
        self._broken: str | None = None if writes else "it was opened for reading only"
        self._head_fd = os.open(rundir.head, os.O_WRONLY) if writes else None
        self._files = (os.fspath(rundir.journal), os.fspath(rundir.wal))
        self._inodes = _identities(self._files) if writes else ()
        self._unfolded_pages = 0

    @classmethod
    def create(cls, rundir: RunDir, run: str, plan_json: bytes, plan_hash: str) -> Self:
        """The journal of a new run, open for writing. The caller owns the run directory.

        Raises as `install_journal`.
        """
        created = datetime.now(UTC).isoformat(timespec="seconds")
        unbound = Meta(
            format=FORMAT,
            run=run,
            plan_hash=plan_hash,
            plan_digest=digest(plan_json),
            created=created,
            genesis="",
            epoch=0,
        )
        meta = msgspec.structs.replace(unbound, genesis=genesis(unbound).hex())
        install_journal(rundir, meta, plan_json)
        return cls._open_writer(rundir)

    @classmethod
    def open(cls, rundir: RunDir, readonly: bool = False, *, check: bool = True) -> Self:
        """The journal of an existing run, once its state has passed every check of `verify_run`.

        To open for writing is to take the run over: whoever wrote before is fenced off. Own the run first.
        `check=False` skips the checks: for a reader that only lists runs and acts on nothing it reads, and
        for an owner that has had them passed since it owns the run.
        Raises Damaged, NeverStarted, JournalUnreadable; for writing also StateDirUnusable, and as `append`.
        """
        if check:
            require_sound(rundir)
        elif not rundir.journal.exists():
            raise NeverStarted(rundir.path)
        if not readonly:
            return cls._open_writer(rundir)
        try:
            connection = connect_readonly(rundir)
        except sqlite3.Error as error:
            raise JournalUnreadable(rundir.journal, error) from error
        try:
            return cls(rundir, connection, writes=False)
        except (sqlite3.Error, msgspec.ValidationError) as error:
            connection.close()
            raise JournalUnreadable(rundir.journal, error) from error

    @classmethod
    def _open_writer(cls, rundir: RunDir) -> Self:
        with ExitStack() as undo:
            try:
                connection = connect(rundir.journal, "rw")
                undo.callback(connection.close)
                journal = cls(rundir, connection, writes=True)
                undo.callback(journal.close)
            except (OSError, sqlite3.Error) as error:
                raise StateDirUnusable(rundir.path, error) from error
            journal.take_over()
            undo.pop_all()
            return journal

    # -- writing

    @property
    def epoch(self) -> int:
        """How often the run had been taken over when this journal did."""
        return self._epoch

    def take_over(self) -> None:
        """Raise the epoch: every other writer's next append raises Fenced. Raises as `append` does."""
        with self._transaction() as connection:
            epoch = self._current_epoch() + 1
            connection.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (str(epoch),))
            seq, head = read_head_row(connection, self._genesis)
        self._epoch = epoch
        self._acknowledge(seq, head)

    def append(self, events: Sequence[Event]) -> str:
        """Make `events` durable, all or none, in one commit; the hash (hex) at the last of them.

        Raises Fenced, EventRefused, JournalBusy or JournalFull when nothing was written (the latter two
        may be tried again), JournalFailed when nobody can tell: then the run has to halt.
        """
        if not events:
            return self._hash.hex()
        with self._transaction() as connection:
            self._require_ours()
            rows = self._chained(events)
            connection.executemany("INSERT INTO events (seq, kind, body, hash) VALUES (?, ?, ?, ?)", rows)
        self._acknowledge(rows[-1].seq, rows[-1].hash)
        self._unfolded_pages += _PAGES_A_COMMIT + sum(len(row.body) for row in rows) // _PAGE_BYTES
        if self._unfolded_pages >= _FOLD_PAGES:
            self._fold_log()
        return self._hash.hex()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody takes the run over while the block is run: for what is written beside the journal.

        Raises Fenced where somebody has taken it over already, and JournalBusy or JournalFailed as `append`.
        """
        with self._transaction():
            self._require_ours()
            yield

    def _require_ours(self) -> None:
        if (current := self._current_epoch()) != self._epoch:
            raise Fenced(self.rundir.path, self._epoch, current)

    def _chained(self, events: Sequence[Event]) -> list[Row]:
        rows: list[Row] = []
        seq, previous = self._seq, self._hash
        for event in events:
            seq += 1
            if event.seq != seq:
                raise EventRefused(self.rundir.journal, event.seq, f"its number should be {seq}")
            try:
                body = encode_event(event)
                # Not every value that can be written can be read back (an infinite delay turns null).
                decode_event(body)
            except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
                raise EventRefused(self.rundir.journal, seq, f"{event.kind}: {error}") from error
            previous = link(previous, body)
            rows.append(Row(seq, event.kind, body, previous))
        return rows

    def _current_epoch(self) -> int:
        return int(self._connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction: when the block is left without an error, it is on the disk."""
        if self._broken is not None:
            raise JournalFailed(self.rundir.journal, self._broken)
        reached = "begin"
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            reached = "write"
            yield self._connection
            reached = "commit"
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._write_error(error, reached) from error
        except BaseException:
            if not self._rolled_back(reached):
                self._broken = "it was interrupted while writing"
            raise
        if not self._in_place():
            # The commit went to files that have no name any more; nobody will ever read it.
            raise self._break("its files were moved, replaced or removed while the run was going on")

    def _write_error(self, error: sqlite3.Error, reached: str) -> JournalFull | JournalBusy | JournalFailed:
        code = getattr(error, "sqlite_errorcode", -1)
        if not self._rolled_back(reached):
            return self._break(str(error))
        if primary_code(error) == sqlite3.SQLITE_BUSY and reached == "begin":
            return JournalBusy(self.rundir.journal, BUSY_TIMEOUT_S)
        lacking_room = _OF_WRITING if reached == "commit" else _BEFORE_COMMIT
        if code == sqlite3.SQLITE_FULL or (code in lacking_room and no_room(self.rundir)):
            return JournalFull(self.rundir.journal, str(error))
        return self._break(str(error))

    def _rolled_back(self, reached: str) -> bool:
        """Roll back what is open; whether it is certain that nothing of it will be read again."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            return reached != "commit" or read_head_row(self._connection, self._genesis)[0] == self._seq
        except sqlite3.Error:
            return False

    def _in_place(self) -> bool:
        try:
            return _identities(self._files) == self._inodes
        except OSError:
            return False

    def _break(self, why: str) -> JournalFailed:
        self._broken = why
        return JournalFailed(self.rundir.journal, why)

    def _acknowledge(self, seq: int, head: bytes) -> None:
        self._seq, self._hash = seq, head
        self._testify(closed=False)

    def _testify(self, closed: bool) -> None:
        assert self._head_fd is not None
        run, head = self.meta.run, self._hash.hex()
        # Where it cannot be written, the witness says less than it could, and nothing wrong.
        with suppress(OSError):
            write_head(
                self._head_fd, Head(run=run, epoch=self._epoch, seq=self._seq, hash=head, closed=closed)
            )

    def _fold_log(self) -> None:
        """Move what the log holds into the database, so that the log does not grow for ever."""
        self._unfolded_pages = 0
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            lacks_room = getattr(error, "sqlite_errorcode", -1) in _OF_WRITING and no_room(self.rundir)
            if not lacks_room and primary_code(error) not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
                raise self._break(str(error)) from error

    # -- reading

    def head(self) -> tuple[int, str]:
        """(seq, hash) of the last event; before the first, 0 and the hash that the chain starts from."""
        with self._reading() as connection:
            seq, head = read_head_row(connection, self._genesis)
        return seq, head.hex()

    def hash_at(self, seq: int) -> str:
        """The hash (hex) at event `seq`, or at the start for 0. Raises LookupError where there is none."""
        if seq == 0:
            return self.meta.genesis
        with self._reading() as connection:
            row = connection.execute("SELECT hash FROM events WHERE seq = ?", (seq,)).fetchone()
        if row is None:
            raise LookupError(f"there is no event {seq}")
        return bytes(row[0]).hex()

    def plan_json(self) -> bytes:
        """The plan that the run pinned when it started."""
        with self._reading() as connection:
            return bytes(connection.execute("SELECT body FROM plan").fetchone()[0])

    def read(self, from_seq: int = 1, to_seq: int | None = None) -> Iterator[Record]:
        """The events from `from_seq` up to and including `to_seq`, or to the end there is when it gets there.

        Raises JournalUnreadable.
        """
        while True:
            with self._reading() as connection:
                # In pieces, each its own transaction: a slow reader must not keep the log from being folded.
                rows = connection.execute(
                    "SELECT seq, body, hash FROM events WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?",
                    (from_seq, to_seq if to_seq is not None else 2**62, _READ_ROWS),
                ).fetchall()
                records = [Record(decode_event(body), body, hash.hex()) for _, body, hash in rows]
            yield from records
            if len(rows) < _READ_ROWS:
                return
            from_seq = rows[-1][0] + 1

    def newest(self, *kinds: type[Event]) -> Record | None:
        """The last event that is of one of `kinds`, or None. Raises JournalUnreadable."""
        names = [str(kind.__struct_config__.tag) for kind in kinds]
        marks = ", ".join("?" * len(names))
        with self._reading() as connection:
            row = connection.execute(
                f"SELECT body, hash FROM events WHERE kind IN ({marks}) ORDER BY seq DESC LIMIT 1", names
            ).fetchone()
            return Record(decode_event(row[0]), bytes(row[0]), bytes(row[1]).hex()) if row else None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._connection
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise JournalUnreadable(self.rundir.journal, error) from error

    # -- closing

    def close(self) -> None:
        """Close; every append is durable already. Closing twice is once."""
        if self._head_fd is None:
            self._connection.close()
            return
        in_order = self._broken is None and self._still_ours()
        self._broken = self._broken or "it is closed"
        self._connection.close()  # SQLite folds the log back and removes it, unless somebody reads still
        if in_order and not has_log(self.rundir):
            self._testify(closed=True)
        os.close(self._head_fd)
        self._head_fd = None

    def _still_ours(self) -> bool:
        try:
            return self._current_epoch() == self._epoch
        except sqlite3.Error:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _identities(files: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Which files stand under these names now. Raises OSError where one is missing."""
    stats = [os.stat(file) for file in files]
    return tuple((stat.st_dev, stat.st_ino) for stat in stats)
