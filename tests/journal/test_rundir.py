import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal.errors import AmbiguousRun, NoSuchRun, RunExists, StateDirUnusable, UnsafeRunId
from engine.journal.naming import state_dir, typed_name
from engine.journal.rundir import RunDir, create_run_dir, find_run, list_runs, new_run_id, run_dir
from tests.journal.samples import started_journal

NOON = datetime(2026, 11, 22, 6, 44, 13, tzinfo=UTC)


def test_the_option_goes_before_the_environment_and_that_before_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WESLEY_CONSOLE_STATE", "/from/environment")
    assert state_dir("here") == tmp_path / "here"
    assert state_dir(None) == Path("/from/environment")
    monkeypatch.delenv("WESLEY_CONSOLE_STATE")
    assert state_dir(None) == platformdirs.user_state_path("wesley-console")


def test_a_run_id_reads_and_sorts_by_its_time() -> None:
    run = new_run_id("Tenant  Isolation!", NOON)
    assert run.startswith("20261122-064413-tenant-isolation-")
    assert len(run) == len("20261122-064413-tenant-isolation-x7k2")
    assert run < new_run_id("a", NOON + timedelta(seconds=1))
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    assert new_run_id("a", east).startswith("20261122-064413-a-")
    assert new_run_id("a", NOON) != new_run_id("a", NOON)


@given(st.text(max_size=300))
def test_any_plan_name_gives_an_id_that_is_safe(name: str) -> None:
    run = new_run_id(name, NOON)
    assert run.isascii()
    assert set(run) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert len(run) <= 100


def test_a_run_directory_is_for_its_user_alone(tmp_path: Path) -> None:
    rundir = create_run_dir(tmp_path / "new" / "state", "r1")
    for folder in (rundir.path, rundir.checkpoints, rundir.output, rundir.path.parent, tmp_path / "new"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "run_id", ["", ".", "..", ".hidden", "-x", "a/b", "a b", "a\n", "é", "x" * 101, "a\0"]
)
def test_an_id_that_could_not_be_a_plain_file_name_is_refused(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(UnsafeRunId, match="--run-id"):
        create_run_dir(tmp_path, run_id)
    assert list(tmp_path.iterdir()) == []


def test_a_run_id_is_taken_once(tmp_path: Path) -> None:
    create_run_dir(tmp_path, "mine")
    with pytest.raises(RunExists, match=f"resume {tmp_path}/runs/mine"):
        create_run_dir(tmp_path, "mine")


def test_a_run_is_named_by_its_id_only_where_that_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WESLEY_CONSOLE_STATE", str(tmp_path / "s t"))
    assert typed_name(run_dir(state_dir(None), "mine").path) == "mine"
    assert typed_name(run_dir(tmp_path / "s t" / "x", "mine").path) == f"'{tmp_path}/s t/x/runs/mine'"


def test_a_state_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StateDirUnusable, match="--state-dir"):
        create_run_dir(tmp_path / "state", "r1")
    with pytest.raises(StateDirUnusable):
        list_runs(tmp_path / "state")
    (tmp_path / "runs").write_text("")
    with pytest.raises(StateDirUnusable):
        create_run_dir(tmp_path, "r1")


def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    assert list_runs(tmp_path) == []
    ids = [new_run_id("p", NOON + timedelta(days=days)) for days in (0, 2, 1)]
    for run_id in ids:
        create_run_dir(tmp_path, run_id)
    create_run_dir(tmp_path, "by-hand")  # made today, whichever day that is
    (tmp_path / "runs" / "a file").write_text("")
    listed = [run.id for run in list_runs(tmp_path)]
    assert sorted(listed) == sorted([*ids, "by-hand"])
    assert [run_id for run_id in listed if run_id != "by-hand"] == [ids[1], ids[2], ids[0]]


def test_a_run_is_found_by_id_beginning_or_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for run_id in ("alpha", "alphabet", "beta"):
        create_run_dir(tmp_path, run_id)
    runs = tmp_path / "runs"
    assert find_run(tmp_path, "alpha").path == runs / "alpha"
    assert find_run(tmp_path, "alphab").path == runs / "alphabet"
    assert find_run(tmp_path, "b").path == runs / "beta"
    with pytest.raises(AmbiguousRun, match="alphabet") as ambiguous:
        find_run(tmp_path, "al")
    assert sorted(ambiguous.value.matches) == ["alpha", "alphabet"]
    with started_journal(tmp_path / "other", "far") as journal:
        assert find_run(tmp_path, str(journal.rundir.path)) == journal.rundir
        monkeypatch.chdir(journal.rundir.path.parent)
        assert find_run(tmp_path, "far") == RunDir(Path.cwd() / "far")
        monkeypatch.chdir(journal.rundir.path)
        assert find_run(tmp_path, ".").id == "far"


@pytest.mark.parametrize(
    "wanted", ["", "zzz", "/", "/etc/passwd", "a\0b", "x" * 5000, "~nobody-here", "\x1b[2J"]
)
def test_what_names_no_run_is_refused_readably(tmp_path: Path, wanted: str) -> None:
    create_run_dir(tmp_path, "20261122-064413-tenant-isolation-x7k2")
    with pytest.raises(NoSuchRun, match="wesley-console runs") as refused:
        find_run(tmp_path, wanted)
    assert refused.value.near == []
    assert str(refused.value).replace("\n", "").isprintable()


def test_near_ids_are_named(tmp_path: Path) -> None:
    create_run_dir(tmp_path, "20261122-064413-tenant-isolation-x7k2")
    create_run_dir(tmp_path, "beta")
    with pytest.raises(NoSuchRun, match="did you mean 20261122-064413-tenant-isolation-x7k2") as refused:
        find_run(tmp_path, "20261122-064413-tenant-isolatoin-x7k2")
    assert refused.value.near == ["20261122-064413-tenant-isolation-x7k2"]
