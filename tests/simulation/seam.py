"""Faults where the journal meets the disk: commits that fail, tear, or come to nothing; engines that die.

A `Seam` knows what is really durable, whatever the engine believes: it reads each commit back on its own.
When an engine dies, the run's directory is kept as it stood at that instant (`grave`); whatever the dying
engine still does while it is cleared away is done to nothing.
"""

import errno
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from engine.journal import checkpoints, witness
from engine.machine.events import Event, decode_event

_SECTOR = 512
_WAL_HEADER = 32
"""Bytes that SQLite makes durable before anything that follows them."""


class Died(BaseException):
    """The engine is gone."""


class Broken(AssertionError):
    """A promise was not kept."""


@dataclass(frozen=True)
class Fate:
    """What is to befall one life. `dies_at`: the point at which the engine dies, from 1; 0: it does not.
    `power`: it dies of a power cut, which takes with it what was never flushed. `lacking`, `broken` and
    `unsaved`, out of 100: how often there is no room or somebody else writes, how often a commit fails for
    good, and how often a checkpoint or the witness cannot be written."""

    dies_at: int = 0
    power: bool = False
    lacking: int = 0
    broken: int = 0
    unsaved: int = 0

    @staticmethod
    def draw(rng: Random) -> "Fate":
        return Fate(
            dies_at=rng.choice((0, rng.randint(1, 25), rng.randint(1, 150))),
            power=rng.randrange(2) == 0,
            lacking=rng.choice((0, 0, 10, 30)),
            broken=rng.choice((0, 0, 0, 3)),
            unsaved=rng.choice((0, 0, 20)),
        )


class Seam:
    """One life at the journal in `folder`. `witnesses` are all that were ever written, over all lives."""

    def __init__(self, folder: Path, rng: Random, fate: Fate, witnesses: list[bytes]) -> None:
        self.folder = folder
        self.grave = folder.with_name(f".{folder.name}.grave")
        self.durable: list[Event] = []
        self.bodies: list[bytes] = []
        self.dead = False
        self.halted = False
        """A commit failed, and nobody can tell whether it is on the disk: nothing may be written any more."""
        self.happened: Counter[str] = Counter()
        self._rng = rng
        self._fate = fate
        self._witnesses = witnesses
        self._reached = 0

    def delay(self) -> float:
        if self.dead:
            raise Died
        return self._rng.choice((0.0, 0.0, 0.001, 0.7))

    def reach(self, point: str) -> bool:
        """Whether the engine is to die at this point."""
        if self.dead:
            raise Died
        self._reached += 1
        return self._reached == self._fate.dies_at

    def dies(self, how: str, log: bytes | None = None) -> None:
        """Keep what there is on the disk, with `log` in place of the write-ahead log, and end the engine."""
        self.dead = True
        self.happened[f"died {how}{', of a power cut' if self._fate.power else ''}"] += 1
        if self.folder.exists():
            shutil.copytree(self.folder, self.grave, ignore=shutil.ignore_patterns("*-shm"))
            if log:
                (self.grave / "journal.db-wal").write_bytes(log)
            head = self.grave / "journal.head"
            if self._fate.power and head.exists() and self._witnesses:
                head.write_bytes(self._rng.choice(self._witnesses))
        raise Died

    def happens(self, chance: int) -> bool:
        return self._rng.randrange(100) < chance

    # -- transactions ------------------------------------------------------------------------------

    def begin(self, begin: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        if self.halted:
            raise Broken("the journal is written to after a commit of which nobody knows what came")
        if self.reach("begin"):
            self.dies("before a transaction")
        if self.happens(self._fate.lacking // 2):
            self._fail("SQLITE_BUSY")
        return begin()

    def insert(self) -> None:
        if self.happens(self._fate.lacking):
            self._fail("SQLITE_FULL")

    def commit(self, connection: sqlite3.Connection, commit: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        if self.reach("commit"):
            how = self._rng.choice(("before a commit", "in a commit", "after a commit"))
            before = self._log()
            if how != "before a commit":
                commit()
            self.dies(how, self._torn(before, self._log()) if how == "in a commit" else None)
        if self.happens(self._fate.lacking):
            self._fail("SQLITE_FULL")
        if self.happens(self._fate.broken):
            self.halted = True
            if self._rng.randrange(2):
                commit()
            self._fail("SQLITE_IOERR_FSYNC")
        cursor = commit()
        self._read_back(connection)
        return cursor

    def _fail(self, name: str) -> None:
        self.happened[name] += 1
        error = sqlite3.OperationalError(name)
        error.sqlite_errorcode, error.sqlite_errorname = getattr(sqlite3, name), name
        raise error

    def _log(self) -> bytes:
        log = self.folder / "journal.db-wal"
        return log.read_bytes() if log.exists() else b""

    def _torn(self, before: bytes, after: bytes) -> bytes:
        """What is in the log when a commit is cut off before its flush: any of the sectors that it wrote, if
        the power fails; as many as it came to, if only the engine dies."""
        written = self._rng.randint(0, len(after))
        if not self._fate.power:
            return after[:written] + before[written:]
        pieces = [after[:_WAL_HEADER]]
        for start in range(_WAL_HEADER, len(after), _SECTOR):
            source = after if self._rng.randrange(2) else before.ljust(len(after), b"\0")
            pieces.append(source[start : start + _SECTOR])
        return b"".join(pieces)

    def _read_back(self, connection: sqlite3.Connection) -> None:
        read = "SELECT body FROM events WHERE seq > ? ORDER BY seq"
        for (body,) in sqlite3.Connection.execute(connection, read, (len(self.durable),)):
            self.bodies.append(body)
            self.durable.append(decode_event(body))

    # -- what is written beside it -----------------------------------------------------------------

    def write_head(self, fd: int, head: witness.Head) -> None:
        if self.reach("witness"):
            if self._rng.randrange(2):
                _write_head(fd, head)
            self.dies("at the witness")
        if self.happens(self._fate.unsaved):
            self.happened["witness not written"] += 1
            raise OSError(errno.EIO, "a fault")
        if not self._witnesses:
            self._witnesses.append(_read(fd))  # the one that the journal was made with
        _write_head(fd, head)
        self._witnesses.append(_read(fd))

    def replace(self, path: Path, data: bytes) -> None:
        """Write a checkpoint's file."""
        if self.reach("checkpoint"):
            how = self._rng.randrange(3)
            if how == 1:
                path.with_name(f".{path.name}.tmp").write_bytes(data[: self._rng.randrange(len(data))])
            elif how == 2:
                _replace(path, data)
            self.dies("at a checkpoint")
        if self.happens(self._fate.unsaved):
            self.happened["checkpoint not written"] += 1
            raise OSError(self._rng.choice((errno.ENOSPC, errno.EIO)), "a fault")
        _replace(path, data)


_write_head, _replace = witness.write_head, checkpoints._replace


def _read(fd: int) -> bytes:
    return Path(f"/proc/self/fd/{fd}").read_bytes()


class Seams:
    """The seam of the life that is lived now, where there is one."""

    now: Seam | None = None


@contextmanager
def faulty_journals(seams: Seams) -> Iterator[None]:
    """Within the block, journals are written through `seams.now`."""

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            def really() -> sqlite3.Cursor:
                return sqlite3.Connection.execute(self, sql, *arguments)

            seam = seams.now
            if seam and sql == "BEGIN IMMEDIATE":
                return seam.begin(really)
            if seam and sql == "COMMIT":
                return seam.commit(self, really)
            return really()

        def executemany(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if seams.now and sql.startswith("INSERT INTO events"):
                seams.now.insert()
            return super().executemany(sql, *arguments)

    connect = sqlite3.connect

    def connecting(*arguments: Any, **named: Any) -> sqlite3.Connection:
        return connect(*arguments, factory=Connection, **named)

    def writing_head(fd: int, head: witness.Head) -> None:
        seams.now.write_head(fd, head) if seams.now else _write_head(fd, head)

    def replacing(path: Path, data: bytes) -> None:
        seams.now.replace(path, data) if seams.now else _replace(path, data)

    with (
        patch("sqlite3.connect", connecting),
        patch("engine.journal.journal.write_head", writing_head),
        patch("engine.journal.checkpoints._replace", replacing),
    ):
        yield
