"""Damage of every kind, each done to a copy of a real run, and each named by its code."""

import re
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine.journal.errors import Damaged, NeverStarted
from engine.journal.integrity import verify_run
from engine.journal.journal import Journal
from engine.journal.rundir import RunDir, create_run_dir
from engine.journal.store import digest, genesis, link, read_meta
from tests.journal.samples import files_of, sample_run, started_journal, task_events

LAST = 58
Damage = Callable[[RunDir], None]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as a closed journal leaves it, the same as kill -9 does (its log unfolded), and another run."""
    state = tmp_path_factory.mktemp("originals")
    journal = sample_run(state, "r1")
    shutil.copytree(journal.rundir.path, state / "killed", ignore=shutil.ignore_patterns("*-shm"))
    journal.close()
    shutil.copytree(journal.rundir.path, state / "closed")
    other = sample_run(state, "r2")
    shutil.copytree(other.rundir.path, state / "other-killed", ignore=shutil.ignore_patterns("*-shm"))
    other.close()
    shutil.copytree(other.rundir.path, state / "other")
    return state


@pytest.fixture
def copy(originals: Path, tmp_path: Path) -> Callable[[str], RunDir]:
    def of(name: str) -> RunDir:
        return RunDir(Path(shutil.copytree(originals / name, tmp_path / name)))

    return of


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
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_and_refused_and_nothing_is_touched(copy: Callable[[str], RunDir], name: str) -> None:
    original, damage, codes, good_seq = DAMAGES[name]
    rundir = copy(original)
    copy("other"), copy("other-killed"), copy("killed" if original == "closed" else "closed")
    with closing(sqlite3.connect(rundir.path / "other.db")) as other:
        other.execute("CREATE TABLE t (x)")
    damage(rundir)
    before = files_of(rundir)
    report = verify_run(rundir)
    assert {finding.code for finding in report.findings} == set(codes.split())
    assert not report.ok
    if good_seq is not ANY:
        assert report.good_seq == good_seq
    for readonly in (True, False):
        with pytest.raises(Damaged) as refused:
            Journal.open(rundir, readonly)
        assert refused.value.findings == report.findings
        assert all(f"{code}: " in str(refused.value) for code in codes.split())
    assert files_of(rundir) == before


@pytest.mark.parametrize("original", ["closed", "killed"])
def test_a_sound_run_passes_every_check(copy: Callable[[str], RunDir], original: str) -> None:
    rundir = copy(original)
    (rundir.checkpoints / ".c6.json.tmp").write_text("half of one")
    before = files_of(rundir)
    report = verify_run(rundir)
    assert report.findings == ()
    assert report.ok
    assert (report.run, report.events, report.checkpoints) == ("r1", LAST, 4)
    assert (report.good_seq, report.good_checkpoint) == (LAST, "c5")
    assert files_of(rundir) == before
    with Journal.open(rundir) as journal:
        assert journal.head() == (LAST, report.head_hash)
        journal.append(task_events(LAST + 1, 3))
    assert verify_run(rundir).events == LAST + 3


def test_a_finding_says_where_and_the_refusal_says_the_last_good_point(copy: Callable[[str], RunDir]) -> None:
    rundir = copy("closed")
    sql("UPDATE events SET hash = zeroblob(32) WHERE seq = 45")(rundir)
    with pytest.raises(Damaged) as refused:
        Journal.open(rundir, readonly=True)
    assert [(finding.file, finding.seq) for finding in refused.value.findings] == [("journal.db", 45)]
    assert refused.value.report.good_checkpoint == "c4"
    assert "last good point: event 44, checkpoint c4" in str(refused.value)
    assert "wesley-console verify" in str(refused.value)


def test_text_of_a_damaged_file_reaches_no_terminal_raw(copy: Callable[[str], RunDir]) -> None:
    rundir = copy("closed")
    sql("UPDATE events SET kind = 'x' || char(27) || '[2J' WHERE seq = 5")(rundir)
    with pytest.raises(Damaged) as refused:
        Journal.open(rundir, readonly=True)
    assert str(refused.value).replace("\n", "").isprintable()


def test_a_checkpoint_written_just_before_a_crash_is_no_damage(copy: Callable[[str], RunDir]) -> None:
    rundir = copy("closed")
    take("own", "checkpoints/c5.json", "checkpoints/c6.json")(rundir)
    reseal("checkpoints/c6.json", b'"id": "c5"', b'"id": "c6"')(rundir)
    # The engine had pruned the oldest one already, and was killed before `checkpoint_saved` was durable.
    remove("checkpoints/c3.json")(rundir)
    assert verify_run(rundir).findings == ()


def test_a_run_without_a_journal_was_never_started(tmp_path: Path) -> None:
    with pytest.raises(NeverStarted):
        verify_run(create_run_dir(tmp_path, "r1"))


def test_a_run_that_goes_on_meanwhile_is_not_damaged(tmp_path: Path) -> None:
    with started_journal(tmp_path) as journal:
        stop = threading.Event()

        def go_on() -> None:
            while not stop.is_set():
                journal.append(task_events(journal.head()[0] + 1, 2))

        engine = threading.Thread(target=go_on)
        engine.start()
        try:
            reports = [verify_run(journal.rundir) for _ in range(40)]
            while reports[-1].events == reports[0].events:  # on a busy machine the engine may not have got on
                reports.append(verify_run(journal.rundir))
        finally:
            stop.set()
            engine.join()
    assert [report.findings for report in reports if not report.ok] == []
    assert reports[-1].events > reports[0].events
