"""Damage of every kind, each done to a copy of a real run, and each named by its code."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.journal.errors import Damaged, NeverStarted
from engine.journal.integrity import verify_run
from engine.journal.journal import Journal
from engine.journal.rundir import RunDir, create_run_dir
from tests.journal.damage import ANY, DAMAGES, LAST, copies, make_originals, remove, reseal, sql, take
from tests.journal.samples import files_of, started_journal, task_events


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("originals")
    make_originals(state)
    return state


@pytest.fixture
def copy(originals: Path, tmp_path: Path) -> Callable[[str], RunDir]:
    def of(name: str) -> RunDir:
        return RunDir(Path(shutil.copytree(originals / name, tmp_path / name)))

    return of


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_and_refused_and_nothing_is_touched(
    originals: Path, tmp_path: Path, name: str
) -> None:
    original, damage, codes, good_seq = DAMAGES[name]
    rundir = copies(originals, tmp_path, original)
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
