import math
import shutil
import sqlite3
import time
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.journal.errors import (
    EventRefused,
    Fenced,
    JournalBusy,
    JournalFailed,
    JournalUnreadable,
    NeverStarted,
    RunExists,
    StateDirUnusable,
)
from engine.journal.integrity import verify_run
from engine.journal.journal import Journal
from engine.journal.rundir import RunDir, create_run_dir
from engine.journal.store import link
from engine.machine import events as ev
from tests.journal.samples import PLAN, PLAN_HASH, at, new_journal, run_started, started_journal, task_events

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False, width=32)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
some_attempt = st.integers(1, 9)


def drawn(kind: type[ev.Event], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(kind), st.fixed_dictionaries(fields))


drafts = st.one_of(
    drawn(ev.TaskReady, task=texts),
    drawn(ev.RunPaused, reason=texts),
    drawn(
        ev.TaskSucceeded, task=texts, attempt=some_attempt, outputs=st.dictionaries(texts, values, max_size=3)
    ),
    drawn(
        ev.TaskFailed,
        task=texts,
        attempt=some_attempt,
        failure_class=st.sampled_from(list(ev.FailureClass)),
        reason=texts,
        rule=texts,
        tail=texts,
    ),
    drawn(
        ev.RollbackStarted, to=texts, to_seq=st.integers(0, 9), tasks=st.tuples(texts, texts), reason=texts
    ),
)


@st.composite
def batches(draw: st.DrawFn) -> list[list[ev.Event]]:
    """Random events with the right numbers, split into commits at random."""
    chosen = draw(st.lists(drafts, max_size=12))
    events = [kind(seq=seq, t=seq / 8, at=at(seq), **f) for seq, (kind, f) in enumerate(chosen, start=1)]
    cuts = sorted(draw(st.lists(st.integers(0, len(events)), max_size=4)))
    return [events[a:b] for a, b in zip([0, *cuts], [*cuts, len(events)], strict=True)]


@given(batches())
@settings(max_examples=30, deadline=None)
def test_whatever_is_appended_is_read_back_chained_however_it_was_split(parts: list[list[ev.Event]]) -> None:
    with TemporaryDirectory() as folder:
        with new_journal(Path(folder)) as journal:
            heads = [journal.append(part) for part in parts]
            events = [event for part in parts for event in part]
            records = list(journal.read())
            assert [record.event for record in records] == events
            assert [record.body for record in records] == [ev.encode_event(event) for event in events]
            hash = bytes.fromhex(journal.hash_at(0))
            for record in records:
                hash = link(hash, record.body)
                assert record.hash == journal.hash_at(record.event.seq) == hash.hex()
            assert journal.head() == (len(events), heads[-1]) == (len(events), hash.hex())
        with Journal.open(journal.rundir, readonly=True) as again:
            assert list(again.read()) == records


def test_the_chain_binds_run_and_plan(tmp_path: Path) -> None:
    with new_journal(tmp_path, "r1") as one, new_journal(tmp_path, "r2") as two:
        same = task_events(1, 1)
        assert one.append(same) != two.append(same)


def test_read_takes_a_range_and_crosses_its_pieces(tmp_path: Path) -> None:
    with started_journal(tmp_path, events=2500) as journal:
        assert [record.event.seq for record in journal.read(3, 5)] == [3, 4, 5]
        assert [record.event.seq for record in journal.read(999)] == list(range(999, 2501))
        assert [record.event.seq for record in journal.read(1, 2000)] == list(range(1, 2001))
        assert list(journal.read(2501)) == []
        with pytest.raises(LookupError):
            journal.hash_at(2501)


def test_a_reader_sees_what_is_appended_while_it_reads(tmp_path: Path) -> None:
    with (
        started_journal(tmp_path, events=1000) as journal,
        Journal.open(journal.rundir, readonly=True) as reader,
    ):
        records = reader.read()
        first = next(records)
        journal.append(task_events(1001, 500))
        assert 1 + sum(1 for _ in records) == 1500
        assert first.event.seq == 1


def test_newest_finds_the_last_event_of_some_kinds(tmp_path: Path) -> None:
    with started_journal(tmp_path, events=9) as journal:
        newest = journal.newest(ev.TaskStarted, ev.RunStarted)
        assert newest is not None
        assert newest.event.seq == 8
        assert newest.hash == journal.hash_at(8)
        assert journal.newest(ev.RunFinished) is None


def test_the_plan_is_pinned_and_the_meta_kept(tmp_path: Path) -> None:
    with started_journal(tmp_path) as journal:
        assert journal.plan_json() == PLAN
        assert (journal.meta.run, journal.meta.plan_hash, journal.meta.format) == ("r1", PLAN_HASH, 1)


def test_the_log_is_folded_back_as_it_grows(tmp_path: Path) -> None:
    with started_journal(tmp_path, events=20_000) as journal:
        in_one_commit = journal.rundir.wal.stat().st_size
        assert journal.rundir.journal.stat().st_size > in_one_commit * 0.9
        for seq in range(20_001, 20_601):
            journal.append(task_events(seq, 1))
        assert journal.rundir.wal.stat().st_size == in_one_commit


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (task_events(4, 1)[0], "should be 2"),
        (task_events(1, 1)[0], "should be 2"),
        (ev.RetryScheduled(seq=2, t=0, at=at(2), task="a", retry=1, delay=math.inf, due_t=0), "delay"),
        (ev.TaskReady(seq=2, t=0, at=at(2), task="\ud800"), "surrogate"),
        (ev.TaskSucceeded(seq=2, t=0, at=at(2), task="a", attempt=1, outputs={"x": object()}), "object"),
    ],
)
def test_what_could_not_be_read_back_is_never_written(tmp_path: Path, event: ev.Event, why: str) -> None:
    with started_journal(tmp_path) as journal:
        with pytest.raises(EventRefused, match=why):
            journal.append([event])
        assert journal.head()[0] == 1
        journal.append(task_events(2, 2))
        assert journal.head()[0] == 3


def test_a_batch_is_all_or_nothing(tmp_path: Path) -> None:
    with started_journal(tmp_path) as journal:
        with pytest.raises(EventRefused):
            journal.append([*task_events(2, 3), *task_events(9, 1)])
        assert journal.head()[0] == 1


def test_who_opens_takes_over_and_the_old_engine_is_fenced(tmp_path: Path) -> None:
    with started_journal(tmp_path) as old, Journal.open(old.rundir) as new:
        assert (old.epoch, new.epoch) == (1, 2)
        new.append(task_events(2, 2))
        for _ in range(2):
            with pytest.raises(Fenced, match="epoch 1, the journal is at epoch 2"):
                old.append(task_events(2, 1))
        new.append(task_events(4, 1))
        old.take_over()
        with pytest.raises(Fenced):
            new.append(task_events(5, 1))
        old.append(task_events(5, 1))
        assert verify_run(old.rundir).ok


def test_a_fenced_engine_that_closes_late_leaves_the_witness_alone(tmp_path: Path) -> None:
    old = started_journal(tmp_path)
    with Journal.open(old.rundir) as new:
        new.append(task_events(2, 5))
    witness = old.rundir.head.read_bytes()
    old.close()
    assert old.rundir.head.read_bytes() == witness
    assert verify_run(old.rundir).ok


def test_a_reader_does_not_write_and_a_closed_journal_neither(tmp_path: Path) -> None:
    journal = started_journal(tmp_path)
    journal.close()
    with (
        Journal.open(journal.rundir, readonly=True) as reader,
        pytest.raises(JournalFailed, match="reading only"),
    ):
        reader.append(task_events(2, 1))
    with pytest.raises(JournalFailed, match="closed"):
        journal.append(task_events(2, 1))


def test_there_is_one_journal_to_a_run(tmp_path: Path) -> None:
    with started_journal(tmp_path) as journal, pytest.raises(RunExists):
        Journal.create(journal.rundir, "r1", PLAN, PLAN_HASH)


def test_a_crash_while_creating_leaves_no_journal_at_all(tmp_path: Path) -> None:
    rundir = create_run_dir(tmp_path, "r1")
    (rundir.path / "journal.db.new").write_bytes(b"half of one")
    for readonly in (True, False):
        with pytest.raises(NeverStarted, match="run the plan again"):
            Journal.open(rundir, readonly)
    with pytest.raises(NeverStarted):
        Journal.open(rundir, readonly=True, check=False)
    with Journal.create(rundir, "r1", PLAN, PLAN_HASH) as journal:
        journal.append([run_started("r1")])
    assert verify_run(rundir).ok


def test_a_run_directory_that_is_not_there_cannot_get_a_journal(tmp_path: Path) -> None:
    with pytest.raises(StateDirUnusable):
        Journal.create(RunDir(tmp_path / "nowhere"), "r1", PLAN, PLAN_HASH)


def test_an_unchecked_reader_meets_damage_with_an_error_of_its_own(tmp_path: Path) -> None:
    with started_journal(tmp_path, events=5) as journal:
        journal._connection.execute("UPDATE events SET body = x'7b' WHERE seq = 3")
        reader = Journal.open(journal.rundir, readonly=True, check=False)
        with reader, pytest.raises(JournalUnreadable, match="verify"):
            list(reader.read())
    shutil.copy(__file__, journal.rundir.journal)
    with pytest.raises(JournalUnreadable, match="not a database"):
        Journal.open(journal.rundir, readonly=True, check=False)


class FailingDisk:
    """A connection whose COMMIT reports a failed fsync, before or after the disk has taken it."""

    def __init__(self, connection: sqlite3.Connection, taken: bool) -> None:
        self._connection = connection
        self._taken = taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if sql != "COMMIT":
            return self._connection.execute(sql, *arguments)
        if self._taken:
            self._connection.execute(sql)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error


@pytest.mark.parametrize("taken", [True, False])
def test_after_a_failed_fsync_nothing_is_written_any_more(tmp_path: Path, taken: bool) -> None:
    with started_journal(tmp_path) as journal:
        sound = journal._connection
        journal._connection = FailingDisk(sound, taken)  # type: ignore[assignment]
        with pytest.raises(JournalFailed, match="disk I/O error"):
            journal.append(task_events(2, 1))
        journal._connection = sound
        for _ in range(2):
            with pytest.raises(JournalFailed, match="disk I/O error"):
                journal.append(task_events(2, 1))
        with pytest.raises(JournalFailed):
            journal.take_over()
    with Journal.open(journal.rundir) as again:
        assert again.head()[0] == (2 if taken else 1)
        again.append(task_events(again.head()[0] + 1, 1))


@pytest.mark.parametrize(
    ("code", "goes_on"),
    [(sqlite3.SQLITE_FULL, True), (sqlite3.SQLITE_IOERR_WRITE, False), (sqlite3.SQLITE_IOERR_FSYNC, False)],
)
def test_folding_the_log_back_may_wait_for_room_but_for_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, goes_on: bool
) -> None:
    class Unfolding(FailingDisk):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if "wal_checkpoint" not in sql:
                return self._connection.execute(sql, *arguments)
            error = sqlite3.OperationalError("no folding")
            error.sqlite_errorcode = code
            raise error

    monkeypatch.setattr("engine.journal.journal._FOLD_PAGES", 1)
    with started_journal(tmp_path) as journal:
        sound = journal._connection
        journal._connection = Unfolding(sound, taken=False)  # type: ignore[assignment]
        for seq in (2, 3):
            with nullcontext() if goes_on else pytest.raises(JournalFailed, match="no folding"):
                journal.append(task_events(seq, 1))
        journal._connection = sound
    assert verify_run(journal.rundir).events == (3 if goes_on else 2)


def test_an_interrupt_at_the_commit_leaves_no_doubt_behind(tmp_path: Path) -> None:
    class Interrupted(FailingDisk):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            cursor = self._connection.execute(sql, *arguments)
            if sql == "COMMIT":
                raise KeyboardInterrupt
            return cursor

    with started_journal(tmp_path) as journal:
        sound = journal._connection
        journal._connection = Interrupted(sound, taken=True)  # type: ignore[assignment]
        with pytest.raises(KeyboardInterrupt):
            journal.append(task_events(2, 1))
        journal._connection = sound
        with pytest.raises(JournalFailed, match="interrupted"):
            journal.append(task_events(2, 1))


@pytest.mark.parametrize("vanish", ["remove", "move", "replace"])
def test_a_commit_into_files_without_a_name_is_not_acknowledged(tmp_path: Path, vanish: str) -> None:
    with started_journal(tmp_path) as journal:
        run = journal.rundir.path
        if vanish == "remove":
            shutil.rmtree(run)
        else:
            run.rename(tmp_path / "elsewhere")
        if vanish == "replace":
            shutil.copytree(tmp_path / "elsewhere", run)
        with pytest.raises(JournalFailed, match="moved, replaced or removed"):
            journal.append(task_events(2, 1))
        with pytest.raises(JournalFailed):
            journal.append(task_events(3, 1))


def test_a_writer_that_waits_too_long_has_written_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.journal.store.BUSY_TIMEOUT_S", 0.05)
    with started_journal(tmp_path) as journal:
        other = sqlite3.connect(journal.rundir.journal, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalBusy):
            journal.append(task_events(2, 1))
        other.execute("ROLLBACK")
        other.close()
        journal.append(task_events(2, 1))
        assert journal.head()[0] == 2


def test_opening_and_reading_thirty_thousand_events_is_quick(tmp_path: Path) -> None:
    with started_journal(tmp_path, events=30_000) as journal:
        pass
    began = time.perf_counter()
    with Journal.open(journal.rundir, readonly=True) as reader:
        opened = time.perf_counter()
        assert sum(1 for _ in reader.read()) == 30_000
    done = time.perf_counter()
    # Several times what it takes, so that a busy machine does not fail it, and far from quadratic.
    assert opened - began < 1.5
    assert done - opened < 1.0
