"""The corpus of damage: what can happen to the files of a run, each thing done to a copy of a real one.

What no check of one run directory can see is left out: a directory that is put back whole, as it was at some
earlier time. Everything in it agrees; only what happened in the world since does not.
"""

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from engine.journal.rundir import RunDir
from engine.journal.store import digest, genesis, link, read_meta
from tests.journal.samples import sample_run

LAST = 58
"""The last event of each original."""
Damage = Callable[[RunDir], None]
ORIGINALS = ("killed", "closed", "other-killed", "other")


def make_originals(state: Path) -> None:
    """In `state`: a run as a closed journal leaves it, the same as kill -9 does (its log unfolded), and
    another run, likewise."""
    for run, prefix in (("r1", ""), ("r2", "other-")):
        journal = sample_run(state, run)
        killed = state / f"{prefix}killed"
        shutil.copytree(journal.rundir.path, killed, ignore=shutil.ignore_patterns("*-shm"))
        journal.close()
        shutil.copytree(journal.rundir.path, state / (prefix.rstrip("-") or "closed"))


def copies(originals: Path, to: Path, damaged: str) -> RunDir:
    """Copies of all originals side by side. The one to damage has a database in it that is none of ours."""
    for name in ORIGINALS:
        shutil.copytree(originals / name, to / name)
    with closing(sqlite3.connect(to / damaged / "other.db")) as other:
        other.execute("CREATE TABLE t (x)")
    return RunDir(to / damaged)


def sql(*statements: str) -> Damage:
    def damage(rundir: RunDir) -> None:
        with closing(sqlite3.connect(rundir.journal, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    return damage


def flip(file: str, where: float) -> Damage:
    """Turn one bit over, at a place given as a share of the file."""

    def damage(rundir: RunDir) -> None:
        path = rundir.path / file
        data = bytearray(path.read_bytes())
        data[int(len(data) * where)] ^= 4
        path.write_bytes(data)

    return damage


def cut(file: str, share: float) -> Damage:
    def damage(rundir: RunDir) -> None:
        path = rundir.path / file
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return damage


def remove(*files: str) -> Damage:
    def damage(rundir: RunDir) -> None:
        for file in files:
            (rundir.path / file).unlink()

    return damage


def write(file: str, data: bytes) -> Damage:
    def damage(rundir: RunDir) -> None:
        (rundir.path / file).write_bytes(data)

    return damage


def take(source: str, file: str, to: str | None = None) -> Damage:
    """Put `file` of another run (or of this one) where `to` stands."""

    def damage(rundir: RunDir) -> None:
        origin = rundir.path if source == "own" else rundir.path.parent / source
        shutil.copy(origin / file, rundir.path / (to or file))

    return damage


def replace(file: str, old: bytes, new: bytes) -> Damage:
    def damage(rundir: RunDir) -> None:
        path = rundir.path / file
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new, 1))

    return damage


def reseal(file: str, old: bytes, new: bytes) -> Damage:
    """Edit a checkpoint and mend its digest, too."""

    def damage(rundir: RunDir) -> None:
        path = rundir.path / file
        head, body = path.read_bytes().split(b'"checkpoint": ', 1)
        assert old in body
        body = body.rstrip()[:-1].replace(old, new, 1)
        seal = re.sub(rb"[0-9a-f]{64}", digest(body).encode(), head)
        path.write_bytes(seal + b'"checkpoint": ' + body + b"}\n")

    return damage


def rewrite(seq: int) -> Damage:
    """Forge event `seq` and everything after it, with a chain that holds together."""

    def damage(rundir: RunDir) -> None:
        with closing(sqlite3.connect(rundir.journal, isolation_level=None)) as connection:
            hash = genesis(read_meta(connection))
            for number, body in connection.execute("SELECT seq, body FROM events ORDER BY seq").fetchall():
                forged = body.replace(b'"attempt":1', b'"attempt":7') if number == seq else body
                hash = link(hash, forged)
                row = (forged, hash, number)
                connection.execute("UPDATE events SET body = ?, hash = ? WHERE seq = ?", row)

    return damage


def each(*damages: Damage) -> Damage:
    def damage(rundir: RunDir) -> None:
        for one in damages:
            one(rundir)

    return damage


def from_other(*statements: str) -> Damage:
    """SQL on the journal, with that of the other run beside it as `other`."""

    def damage(rundir: RunDir) -> None:
        with closing(sqlite3.connect(rundir.journal, isolation_level=None)) as connection:
            connection.execute("ATTACH ? AS other", (str(rundir.path.parent / "other" / "journal.db"),))
            for statement in statements:
                connection.execute(statement)

    return damage


def folder(name: str) -> Damage:
    def damage(rundir: RunDir) -> None:
        (rundir.path / name).mkdir()

    return damage


def zero(file: str, start: int, length: int) -> Damage:
    def damage(rundir: RunDir) -> None:
        path = rundir.path / file
        data = bytearray(path.read_bytes())
        at = start % len(data)
        data[at : at + length] = bytes(len(data[at : at + length]))
        path.write_bytes(data)

    return damage


def written_later(seq: int) -> Damage:
    """An event of a kind that this version does not know, chained and witnessed as it should be."""

    def damage(rundir: RunDir) -> None:
        body = b'{"kind":"task_dreamt","seq":%d,"t":1.0,"at":"2026-11-22T06:44:13Z","task":"a"}' % seq
        with closing(sqlite3.connect(rundir.journal, isolation_level=None)) as connection:
            (before,) = connection.execute("SELECT hash FROM events WHERE seq = ?", (seq - 1,)).fetchone()
            hash = link(before, body)
            connection.execute("INSERT INTO events VALUES (?, 'task_dreamt', ?, ?)", (seq, body, hash))
        head = rundir.head.read_bytes().replace(before.hex().encode(), hash.hex().encode())
        rundir.head.write_bytes(head.replace(b'"seq":%d' % (seq - 1), b'"seq":%d' % seq))

    return damage


SWAPPED = (
    "UPDATE events SET seq = -1 WHERE seq = 5",
    "UPDATE events SET seq = 5 WHERE seq = 6",
    "UPDATE events SET seq = 6 WHERE seq = -1",
)
RENAMED_FIELD = "replace(CAST(body AS TEXT), 'attempt', 'Attempt')"
ANY = None

# name: (which original, the damage, every code it is named by, the last good event)
DAMAGES: dict[str, tuple[str, Damage, str, int | None]] = {
    "flip in an event": ("closed", replace("journal.db", b'{"rows":7}', b'{"rows":8}'), "event_altered", 6),
    "flip in the last event": ("closed", replace("journal.db", b"task-58", b"task-59"), "event_altered", 57),
    "field of an event renamed": (
        "closed",
        sql(f"UPDATE events SET body = CAST({RENAMED_FIELD} AS BLOB) WHERE seq = 5"),
        "event_altered event_undecodable",
        4,
    ),
    "event that is no text": (
        "closed",
        sql("UPDATE events SET body = x'ff00' WHERE seq = 5"),
        "event_altered event_undecodable",
        4,
    ),
    "hash altered": ("closed", sql("UPDATE events SET hash = x'00' WHERE seq = 6"), "event_altered", 5),
    "hash altered where a checkpoint stands": (
        "closed",
        sql("UPDATE events SET hash = x'00' WHERE seq = 30"),
        "event_altered history_differs",
        29,
    ),
    "kind altered": (
        "closed",
        sql("UPDATE events SET kind = 'task_failed' WHERE seq = 5"),
        "event_kind_differs",
        4,
    ),
    "event deleted": ("closed", sql("DELETE FROM events WHERE seq = 5"), "event_gap", 4),
    "first event deleted": ("closed", sql("DELETE FROM events WHERE seq = 1"), "event_gap", 0),
    "all events deleted": ("closed", sql("DELETE FROM events"), "tail_cut", 0),
    "two events swapped": ("closed", sql(*SWAPPED), "event_altered event_moved", 4),
    "event twice": (
        "closed",
        sql("INSERT INTO events SELECT 59, kind, body, hash FROM events WHERE seq = 58"),
        "event_altered event_moved",
        58,
    ),
    "event before the first": (
        "closed",
        sql("INSERT INTO events SELECT 0, kind, body, hash FROM events WHERE seq = 1"),
        "event_altered event_gap event_moved",
        0,
    ),
    "tail cut behind a checkpoint": ("closed", sql("DELETE FROM events WHERE seq > 45"), "tail_cut", 45),
    "last event cut": ("closed", sql("DELETE FROM events WHERE seq = 58"), "tail_cut", 57),
    "history forged": ("closed", rewrite(25), "history_differs", 10),
    "history forged behind the last checkpoint": ("closed", rewrite(55), "history_differs", 50),
    "older copy of the journal": ("closed", take("killed", "journal.db"), "tail_cut", 0),
    "journal of another run": (
        "closed",
        take("other", "journal.db"),
        "journal_of_another_run checkpoint_of_another_run",
        0,
    ),
    "journal removed": ("closed", remove("journal.db"), "journal_missing", 0),
    "journal emptied": ("closed", write("journal.db", b""), "not_a_database", 0),
    "journal emptied beside its log": ("killed", write("journal.db", b""), "not_a_database", 0),
    "journal that is text": ("closed", write("journal.db", b"hello\n" * 5000), "not_a_database", 0),
    "flip in the database header": ("closed", flip("journal.db", 0.0), "not_a_database", 0),
    "other database": ("closed", take("own", "other.db", "journal.db"), "not_a_journal", 0),
    "journal cut": ("closed", cut("journal.db", 0.6), "database_damaged", 0),
    "log removed": ("killed", remove("journal.db-wal"), "wal_missing tail_cut", 0),
    "log emptied": ("killed", write("journal.db-wal", b""), "wal_missing tail_cut", 0),
    "log cut": ("killed", cut("journal.db-wal", 0.6), "tail_cut", ANY),
    "flip early in the log": ("killed", flip("journal.db-wal", 0.1), "tail_cut", ANY),
    "flip late in the log": ("killed", flip("journal.db-wal", 0.97), "tail_cut", ANY),
    "log of another run": (
        "killed",
        take("other-killed", "journal.db-wal"),
        "journal_of_another_run checkpoint_of_another_run",
        0,
    ),
    "witness removed": ("closed", remove("journal.head"), "witness_missing", 58),
    "witness cut": ("closed", cut("journal.head", 0.2), "witness_damaged", 58),
    "witness that is no text": ("closed", write("journal.head", b"\xff" * 400), "witness_damaged", 58),
    "witness of another run": ("closed", take("other", "journal.head"), "journal_of_another_run", 0),
    "witness of a longer history": (
        "closed",
        replace("journal.head", b'"seq":58', b'"seq":59'),
        "tail_cut",
        58,
    ),
    "witness of a shorter history": (
        "closed",
        replace("journal.head", b'"seq":58', b'"seq":57'),
        "history_differs",
        50,
    ),
    "later format": ("closed", sql("UPDATE meta SET value = 2 WHERE key = 'format'"), "newer_format", 0),
    "format that is no number": (
        "closed",
        sql("UPDATE meta SET value = 'x' WHERE key = 'format'"),
        "meta_damaged",
        0,
    ),
    "part of meta deleted": ("closed", sql("DELETE FROM meta WHERE key = 'run'"), "meta_damaged", 0),
    "genesis altered": (
        "closed",
        sql("UPDATE meta SET value = 'xyz' WHERE key = 'genesis'"),
        "meta_damaged",
        0,
    ),
    "creation time altered": (
        "closed",
        sql("UPDATE meta SET value = '2001' WHERE key = 'created'"),
        "meta_altered",
        58,
    ),
    "run altered": (
        "closed",
        sql("UPDATE meta SET value = 'r9' WHERE key = 'run'"),
        "meta_altered meta_differs journal_of_another_run checkpoint_of_another_run",
        0,
    ),
    "plan hash altered": (
        "closed",
        sql("UPDATE meta SET value = 'b' WHERE key = 'plan_hash'"),
        "meta_altered meta_differs",
        0,
    ),
    "epoch set back": ("closed", sql("UPDATE meta SET value = '0' WHERE key = 'epoch'"), "tail_cut", 58),
    "plan edited": ("closed", sql("UPDATE plan SET body = x'7b7d'"), "plan_altered", 58),
    "plan removed": ("closed", sql("DELETE FROM plan"), "plan_altered", 58),
    "second plan": ("closed", sql("INSERT INTO plan VALUES (x'7b7d')"), "plan_altered", 58),
    "trigger added": (
        "closed",
        sql("CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events; END"),
        "schema_differs",
        58,
    ),
    "table dropped": ("closed", sql("DROP TABLE plan"), "schema_differs journal_unreadable", 58),
    "checkpoint edited": (
        "closed",
        replace("checkpoints/c4.json", b'"completed": []', b'"completed": 1 '),
        "checkpoint_damaged",
        58,
    ),
    "checkpoint edited, and its digest mended": (
        "closed",
        reseal("checkpoints/c4.json", b'"position": 40', b'"position": 39'),
        "checkpoint_differs",
        58,
    ),
    "checkpoint with another hash": (
        "closed",
        reseal("checkpoints/c4.json", b'"hash": "', b'"hash": "0'),
        "checkpoint_differs",
        58,
    ),
    "checkpoint without an event, of another history": (
        "closed",
        each(
            take("own", "checkpoints/c4.json", "checkpoints/c9.json"),
            reseal("checkpoints/c9.json", b'"id": "c4"', b'"id": "c9"'),
            reseal("checkpoints/c9.json", b'"hash": "', b'"hash": "0'),
        ),
        "history_differs",
        30,
    ),
    "checkpoint cut": ("closed", cut("checkpoints/c5.json", 0.7), "checkpoint_damaged", 58),
    "checkpoint emptied": ("closed", write("checkpoints/c5.json", b""), "checkpoint_damaged", 58),
    "checkpoint of a later format": (
        "closed",
        reseal("checkpoints/c5.json", b'"format": 1', b'"format": 2'),
        "checkpoint_newer_format",
        58,
    ),
    "checkpoint of another run": (
        "closed",
        take("other", "checkpoints/c3.json"),
        "checkpoint_of_another_run",
        58,
    ),
    "checkpoint in the place of another": (
        "closed",
        take("own", "checkpoints/c3.json", "checkpoints/c4.json"),
        "checkpoint_moved",
        58,
    ),
    "newest checkpoint removed": ("closed", remove("checkpoints/c5.json"), "checkpoint_missing", 58),
    "barrier checkpoint removed": ("closed", remove("checkpoints/c1.json"), "checkpoint_missing", 58),
    "event copied to another place": (
        "closed",
        sql("UPDATE events SET (kind, body) = (SELECT kind, body FROM events WHERE seq = 12) WHERE seq = 14"),
        "event_altered event_moved",
        13,
    ),
    "event of another run, in its place": (
        "closed",
        from_other("INSERT OR REPLACE INTO events SELECT * FROM other.events WHERE seq = 25"),
        "event_altered",
        24,
    ),
    "all events of another run": (
        "closed",
        from_other("DELETE FROM events", "INSERT INTO events SELECT * FROM other.events"),
        "event_altered meta_differs history_differs checkpoint_differs",
        0,
    ),
    "plan of another run": (
        "closed",
        sql("UPDATE plan SET body = CAST(replace(CAST(body AS TEXT), 'sample', 'simple') AS BLOB)"),
        "plan_altered",
        58,
    ),
    "witness and journal of an older time": (
        "closed",
        each(take("killed", "journal.db"), take("killed", "journal.head")),
        "wal_missing tail_cut",
        0,
    ),
    "log of an older time beside the newer journal": (
        "closed",
        each(take("killed", "journal.db-wal"), take("killed", "journal.db"), cut("journal.db-wal", 0.3)),
        "tail_cut",
        ANY,
    ),
    "checkpoints of another run, all of them": (
        "closed",
        each(*(take("other", f"checkpoints/c{number}.json") for number in (1, 3, 4, 5))),
        "checkpoint_of_another_run",
        58,
    ),
    "checkpoint that is a folder": (
        "closed",
        each(remove("checkpoints/c5.json"), folder("checkpoints/c5.json")),
        "checkpoint_damaged",
        58,
    ),
    "checkpoint that is no JSON": (
        "closed",
        write("checkpoints/c4.json", b"{" * 100),
        "checkpoint_damaged",
        58,
    ),
    "journal that is a folder": (
        "closed",
        each(remove("journal.db"), folder("journal.db")),
        "journal_unreadable",
        0,
    ),
    "event of a later version": ("closed", written_later(59), "event_undecodable", 58),
    "page of the database zeroed": ("closed", zero("journal.db", 4096, 4096), "database_damaged", 0),
    "end of the log zeroed": ("killed", zero("journal.db-wal", -9000, 9000), "tail_cut", ANY),
    "table of events dropped": (
        "closed",
        sql("DROP TABLE events"),
        "schema_differs journal_unreadable tail_cut",
        0,
    ),
    "witness of a later epoch": (
        "closed",
        replace("journal.head", b'"epoch":1', b'"epoch":9'),
        "tail_cut",
        58,
    ),
}
