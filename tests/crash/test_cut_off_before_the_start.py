"""A run that was cut off before its first event: nothing of it was done, and it can be started again."""

from pathlib import Path

import pytest

from engine.journal.journal import Journal
from engine.journal.ownership import own
from engine.journal.rundir import RunDir, create_run_dir
from engine.plan.pinned import pin, plan_hash
from tests.cli.program import Program, write_plan
from tests.runner.stage import plan_of

PLAN = plan_of({"id": "a"})


@pytest.fixture
def program(tmp_path: Path) -> Program:
    folder = tmp_path / "plans"
    folder.mkdir()
    write_plan(folder, "  - {id: a, run: {shell: 'echo a >> witness'}}\n")
    return Program(folder, tmp_path / "state")


def _bare(state: Path) -> RunDir:
    rundir = RunDir(state / "runs" / "r1")
    rundir.path.mkdir(parents=True)
    return rundir


def _half_a_journal(state: Path) -> RunDir:
    rundir = create_run_dir(state, "r1")
    (rundir.path / "journal.db.new").write_bytes(b"half of one")
    (rundir.path / "journal.db.new-wal").write_bytes(b"")
    return rundir


def _empty_journal(state: Path) -> RunDir:
    rundir = create_run_dir(state, "r1")
    with own(rundir):
        Journal.create(rundir, "r1", pin(PLAN), plan_hash(PLAN)).close()
    return rundir


LEFTOVERS = [_bare, _half_a_journal, _empty_journal]


@pytest.mark.parametrize("leave", LEFTOVERS)
def test_resume_says_how_to_start_it_and_that_starts_it(program: Program, leave: object) -> None:
    leave(program.state)  # type: ignore[operator]
    said = program("resume", "r1", "--headless").wants(7).err
    assert "nothing of the plan was done" in said
    assert "wesley-console run PLAN --run-id r1" in said
    (listed,) = program("runs", "--json").wants(0).json
    assert (listed["run"], listed["status"]) == ("r1", "never started")
    program("run", "plan.yaml", "--headless", "--run-id", "r1").wants(0)
    assert (program.folder / "witness").read_text() == "a\n"
    program("verify", "r1").wants(0)
    assert program.events("r1")[0]["kind"] == "run_started"


def test_a_run_that_has_begun_is_never_started_again(program: Program) -> None:
    program("run", "plan.yaml", "--headless", "--run-id", "r1").wants(0)
    said = program("run", "plan.yaml", "--headless", "--run-id", "r1").wants(2).err
    assert "resume r1" in said
    assert (program.folder / "witness").read_text() == "a\n"


@pytest.mark.parametrize("lost", ["journal.db", "journal.head"])
def test_nor_is_one_that_is_damaged(program: Program, lost: str) -> None:
    program("run", "plan.yaml", "--headless", "--run-id", "r1").wants(0)
    (program.state / "runs" / "r1" / lost).unlink()
    program("run", "plan.yaml", "--headless", "--run-id", "r1").wants(2)
    assert (program.folder / "witness").read_text() == "a\n"


@pytest.mark.parametrize("leave", LEFTOVERS)
def test_nor_one_that_another_engine_is_starting_now(program: Program, leave: object) -> None:
    with own(leave(program.state)):  # type: ignore[operator]
        program("run", "plan.yaml", "--headless", "--run-id", "r1").wants(7)
    assert not (program.folder / "witness").exists()
