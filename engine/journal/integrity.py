"""Checks of a run's state: everything in the run directory that can be held against something else.

The journal is held against its own hash chain, its plan, its witness and the checkpoints; the checkpoints
against their digests and the journal. What does not agree is named, and nothing is repaired or guessed.
Checking changes no file.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import msgspec

from engine.journal.checkpoints import (
    Checkpoint,
    CheckpointTooNew,
    CheckpointUnreadable,
    kept,
    list_checkpoints,
    read_checkpoint,
)
from engine.journal.errors import Damaged, JournalUnreadable, NeverStarted
from engine.journal.report import Finding, VerifyReport
from engine.journal.rundir import RunDir
from engine.journal.store import (
    FORMAT,
    SCHEMA,
    Meta,
    connect,
    digest,
    genesis,
    has_log,
    link,
    primary_code,
    read_head_row,
    read_meta,
)
from engine.journal.witness import Head, HeadUnreadable, read_head
from engine.machine.events import CheckpointSaved, Event, RunForked, RunStarted, decode_event

_ATTEMPTS = 3
_NOT_DAMAGE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY)


def require_sound(rundir: RunDir) -> VerifyReport:
    """The report of a run without damage. Raises Damaged, and as `verify_run`."""
    report = verify_run(rundir)
    if not report.ok:
        from engine.journal.salvage import fork_offer  # late: only damage needs it, and it needs this module

        raise Damaged(report, fork_offer(rundir, report))
    return report


def verify_run(rundir: RunDir) -> VerifyReport:
    """Check everything; a run that goes on meanwhile is no damage.

    Raises NeverStarted, or JournalUnreadable where this process may not read the journal.
    """
    for _ in range(_ATTEMPTS):
        before = _witness_bytes(rundir)
        report = _Examination(rundir).report()
        if report.ok or _witness_bytes(rundir) == before:
            break
    return report


def has_begun(rundir: RunDir) -> bool:
    """Whether anything may have been done of the run: all that an engine does comes after its first event.

    A run whose engine was killed before that has not begun. One that is damaged counts as begun.
    """
    try:
        if read_head(rundir.head).seq:
            return True
        if not rundir.journal.exists():
            return _has_traces(rundir)
        with closing(_connection(rundir)) as connection:
            return read_head_row(connection, b"")[0] > 0
    except FileNotFoundError:
        return rundir.journal.exists() or _has_traces(rundir)
    except (OSError, sqlite3.Error, HeadUnreadable):
        return True


def _has_traces(rundir: RunDir) -> bool:
    """Whether a run directory without a journal must have had one."""
    return bool(list_checkpoints(rundir)) or has_log(rundir)


def _connection(rundir: RunDir) -> sqlite3.Connection:
    # An ordinary reader would leave an empty log behind, and an empty log tells less than none.
    return connect(rundir.journal, "ro" if has_log(rundir) else "immutable")


def _witness_bytes(rundir: RunDir) -> bytes:
    try:
        return rundir.head.read_bytes()
    except OSError:
        return b""


class _PinnedRules(msgspec.Struct):
    keep: int = 10


class _PinnedPlan(msgspec.Struct):
    """The one thing of a plan that the checks need: how many checkpoints it keeps."""

    checkpoints: _PinnedRules = msgspec.field(default_factory=_PinnedRules)


class _Examination:
    """One pass. Witness and checkpoints are read before the journal, which only ever grows past them."""

    def __init__(self, rundir: RunDir) -> None:
        self.rundir = rundir
        self.findings: list[Finding] = []
        self.run = rundir.id
        self.keep = 0
        """Of the checkpoints, how many had to be kept; until the plan is known, only those at barriers."""
        self.hashes: dict[int, str] = {}
        """The stored hash (hex) at each event, and at 0 the one that the chain starts from."""
        self.last_seq = 0
        self.good_seq = 0
        self.saved: dict[str, CheckpointSaved] = {}
        self.agreeing: list[tuple[int, str]] = [(0, "")]
        """(position, checkpoint id or nothing) of the witnesses that the journal agrees with."""
        self.disputed: list[int] = []
        """Positions of the witnesses that know another history."""

    def report(self) -> VerifyReport:
        head = self._head()
        checkpoints = self._checkpoint_files()
        if self.rundir.journal.exists():
            meta = self._journal()
            if meta is not None:
                if head is not None:
                    self._hold_against_head(head, meta)
                self._hold_against_checkpoints(checkpoints, meta)
        else:
            if not (checkpoints or self.findings or has_log(self.rundir) or (head and head.seq)):
                raise NeverStarted(self.rundir.path)
            self._found("journal_missing", "the journal is gone")
        if self.disputed and (first := min(self.disputed)) <= self.good_seq:
            # The events are chained to each other, so any since the last undisputed one may be forged.
            self.good_seq = max(position for position, _ in self.agreeing if position < first)
        sound = [(position, id) for position, id in sorted(self.agreeing) if id]
        return VerifyReport(
            path=self.rundir.path,
            run=self.run,
            events=max(len(self.hashes) - 1, 0),
            head_hash=self.hashes.get(self.last_seq, ""),
            checkpoints=len(checkpoints),
            good_seq=self.good_seq,
            sound_checkpoints=tuple(id for _, id in sound),
            good_checkpoints=tuple(id for position, id in sound if position <= self.good_seq),
            findings=tuple(dict.fromkeys(self.findings)),
        )

    def _found(self, code: str, what: str, file: str = "journal.db", seq: int | None = None) -> None:
        self.findings.append(Finding(code, what, file, seq))

    # -- files beside the journal

    def _head(self) -> Head | None:
        try:
            return read_head(self.rundir.head)
        except FileNotFoundError:
            if self.rundir.journal.exists():
                what = "the witness of the last acknowledged event is gone"
                self._found("witness_missing", what, "journal.head")
        except (OSError, HeadUnreadable) as error:
            self._found("witness_damaged", f"it cannot be read: {error}", "journal.head")
        return None

    def _checkpoint_files(self) -> dict[str, Checkpoint | None]:
        """What each file holds, by the id that its name gives; None for a damaged one."""
        files: dict[str, Checkpoint | None] = {}
        for name in list_checkpoints(self.rundir):
            id = name.removesuffix(".json")
            try:
                files[id] = read_checkpoint(self.rundir, name)
            except FileNotFoundError:
                continue  # pruned while we looked
            except CheckpointTooNew as error:
                files[id] = None
                self._found("checkpoint_newer_format", str(error), f"checkpoints/{name}")
            except (OSError, CheckpointUnreadable) as error:
                files[id] = None
                self._found("checkpoint_damaged", str(error), f"checkpoints/{name}")
        return files

    # -- the journal itself

    def _journal(self) -> Meta | None:
        """Check the database; None where too little of it can be read to hold it against its witnesses."""
        if self.rundir.journal.stat().st_size == 0:
            # Not even opened: SQLite would remove the log of an empty database, and with it the evidence.
            self._found("not_a_database", "the file is empty")
            return None
        with self._reading(), closing(_connection(self.rundir)) as connection:
            connection.execute("BEGIN")
            meta = self._readable_meta(connection)
            if meta is None:
                return None
            with self._reading():
                self._schema(connection)
            with self._reading():
                self._pinned_plan(connection, meta)
            with self._reading():
                self._events(connection, meta)
            with self._reading():
                self._pages(connection)
            return meta
        return None

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if primary_code(error) in _NOT_DAMAGE:
                raise JournalUnreadable(self.rundir.journal, error) from error
            codes = {sqlite3.SQLITE_NOTADB: "not_a_database", sqlite3.SQLITE_CORRUPT: "database_damaged"}
            self._found(codes.get(primary_code(error), "journal_unreadable"), str(error))

    def _readable_meta(self, connection: sqlite3.Connection) -> Meta | None:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
            self._found("not_a_journal", "it is a database, but not the journal of a run")
            return None
        try:
            row = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
            version = int(row[0]) if row else 0
            if version > FORMAT:
                what = f"its format is {version}, this program reads up to {FORMAT}: use a later one"
                self._found("newer_format", what)
                return None
            meta = read_meta(connection)
            bytes.fromhex(meta.genesis)
        except (ValueError, msgspec.ValidationError) as error:
            self._found("meta_damaged", f"the table `meta` is not as it was written: {error}")
            return None
        if genesis(meta).hex() != meta.genesis:
            self._found("meta_altered", "run, plan or creation time were changed in `meta`")
        self.run, self.hashes[0] = meta.run, meta.genesis
        return meta

    def _schema(self, connection: sqlite3.Connection) -> None:
        there = dict(connection.execute("SELECT name, sql FROM sqlite_master").fetchall())
        for name in sorted(there.keys() | SCHEMA.keys()):
            if there.get(name) != SCHEMA.get(name):
                self._found("schema_differs", f"`{name}` is not as this format defines it")

    def _pinned_plan(self, connection: sqlite3.Connection, meta: Meta) -> None:
        bodies = [bytes(body) for (body,) in connection.execute("SELECT body FROM plan")]
        if [digest(body) for body in bodies] != [meta.plan_digest]:
            self._found("plan_altered", "the pinned plan is not the one that the run started with")
            return
        self.keep = msgspec.json.decode(bodies[0], type=_PinnedPlan).checkpoints.keep

    def _events(self, connection: sqlite3.Connection, meta: Meta) -> None:
        # Two hashes may stand before an event, where the stored one and the computed one disagree there:
        # what follows is sound if it is chained to either, and only the one event is named.
        before: tuple[bytes, ...] = (bytes.fromhex(meta.genesis), genesis(meta))
        rows = connection.execute("SELECT seq, kind, body, hash FROM events ORDER BY seq")
        for seq, kind, body, stored in rows:
            found = len(self.findings)
            if seq != self.last_seq + 1:
                self._found("event_gap", f"no event from {self.last_seq + 1} to {seq - 1}", seq=seq - 1)
                before = ()
            linked = [link(hash, body) for hash in before]
            if before and stored not in linked:
                self._found("event_altered", "its bytes do not match the hash chain", seq=seq)
            self._event(seq, kind, body, meta)
            before = (stored,) if stored in linked else (stored, *linked[:1])
            self.hashes[seq] = stored.hex()
            if self.good_seq == self.last_seq and len(self.findings) == found:
                self.good_seq = seq
            self.last_seq = seq

    def _event(self, seq: int, kind: str, body: bytes, meta: Meta) -> None:
        try:
            event: Event = decode_event(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._found("event_undecodable", f"it is no event of this version: {error}", seq=seq)
            return
        if event.seq != seq:
            self._found("event_moved", f"it says that it is event {event.seq}", seq=seq)
        if event.kind != kind:
            what = f"it stands there as {kind!r}, and says that it is {event.kind!r}"
            self._found("event_kind_differs", what, seq=seq)
        if isinstance(event, RunStarted):
            if (event.run, event.plan_hash) != (meta.run, meta.plan_hash):
                self._found("meta_differs", "`meta` names another run or plan than this event", seq=seq)
        elif isinstance(event, CheckpointSaved):
            self.saved[event.checkpoint] = event
        elif isinstance(event, RunForked):
            for checkpoint in event.lost:
                self.saved.pop(checkpoint, None)

    def _pages(self, connection: sqlite3.Connection) -> None:
        for (message,) in connection.execute("PRAGMA integrity_check(10)"):
            if message != "ok":
                self._found("database_damaged", str(message))

    # -- the journal against its witnesses

    def _hold_against_head(self, head: Head, meta: Meta) -> None:
        if head.run != meta.run:
            what = f"the journal is that of run {meta.run!r}, its witness that of run {head.run!r}"
            self._found("journal_of_another_run", what)
            self.good_seq = 0
        elif head.seq > self.last_seq or head.epoch > meta.epoch:
            what = f"the journal ends at event {self.last_seq} and epoch {meta.epoch}, though "
            what += f"event {head.seq} at epoch {head.epoch} was acknowledged"
            if head.closed or has_log(self.rundir):
                self._found("tail_cut", what, seq=self.last_seq)
            else:
                # Only a journal closed in good order has no log; this one was not, so its end was in there.
                self._found("wal_missing", f"the write-ahead log is gone: {what}", "journal.db-wal")
        else:
            self._hold_against(head.seq, head.hash, "journal.head")

    def _hold_against_checkpoints(self, files: dict[str, Checkpoint | None], meta: Meta) -> None:
        for id, checkpoint in files.items():
            if checkpoint is None:
                continue
            file = f"checkpoints/{id}.json"
            saved = self.saved.get(id)
            if checkpoint.run != meta.run:
                self._found("checkpoint_of_another_run", f"it belongs to run {checkpoint.run!r}", file)
            elif checkpoint.id != id:
                self._found("checkpoint_moved", f"it says that it is checkpoint {checkpoint.id!r}", file)
            elif saved and (saved.position, saved.position_hash) != (checkpoint.position, checkpoint.hash):
                self._found("checkpoint_differs", f"event {saved.seq} says otherwise where it stands", file)
            elif checkpoint.position > self.last_seq:
                what = (
                    f"the journal ends at event {self.last_seq}, and {file} stands at {checkpoint.position}"
                )
                self._found("tail_cut", what, seq=self.last_seq)
            else:
                self._hold_against(checkpoint.position, checkpoint.hash, file, id)
        order = [(id, saved.trigger) for id, saved in self.saved.items()]
        order += [(id, c.trigger if c else "manual") for id, c in files.items() if id not in self.saved]
        for id in sorted(kept(order, self.keep) - files.keys()):
            what = f"event {self.saved[id].seq} says that it was saved, and it should have been kept"
            self._found("checkpoint_missing", what, f"checkpoints/{id}.json", self.saved[id].seq)

    def _hold_against(self, position: int, hash: str, file: str, id: str = "") -> None:
        """Hold the journal against a witness that says which hash it has at `position`."""
        there = self.hashes.get(position)
        if there == hash:
            self.agreeing.append((position, id))
        elif there is not None:
            self._found("history_differs", f"{file} knows this event by another hash", seq=position)
            self.disputed.append(position)
