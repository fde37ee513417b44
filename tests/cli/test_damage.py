"""Damage as an operator meets it: each case of the corpus refused by every command, with what, where, and the
last good point; and nothing changed by the asking."""

from pathlib import Path

import pytest

from engine.journal.rundir import RunDir
from tests.cli.program import Program
from tests.journal.damage import DAMAGES, copies, make_originals
from tests.journal.samples import files_of

COMMANDS = (
    ("resume", "--headless"),
    ("inspect", "--json"),
    ("events",),
    ("checkpoint",),
    ("verify",),
)
AS_PROCESSES = (
    "flip in an event",
    "log removed",
    "later format",
    "checkpoint of another run",
    "journal emptied",
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("originals")
    make_originals(state)
    return state


def damaged(originals: Path, program: Program, name: str) -> RunDir:
    original, damage, _, _ = DAMAGES[name]
    runs = program.state / "runs"
    runs.mkdir(parents=True)
    rundir = copies(originals, runs, original)
    damage(rundir)
    return rundir


def bytes_of(rundir: RunDir) -> dict[str, bytes]:
    """What is in the run, but for who wanted to own it."""
    return {name: data for name, data in files_of(rundir).items() if name != rundir.lock.name}


def test_there_are_enough_kinds_of_damage() -> None:
    assert len(DAMAGES) >= 60


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_refused_by_every_command(originals: Path, program: Program, name: str) -> None:
    rundir = damaged(originals, program, name)
    codes, good_seq = DAMAGES[name][2].split(), DAMAGES[name][3]
    before = bytes_of(rundir)
    for command, *flags in COMMANDS:
        refused = program(command, rundir.id, *flags).wants(7)
        assert refused.out == ""
        for code in codes:
            assert f"{code}: " in refused.err, (command, refused.err)
        assert "last good point" in refused.err
        if good_seq is not None:
            where = f"event {good_seq}" if good_seq else "none"
            assert f"last good point: {where}" in refused.err or f"last good point is {where}" in refused.err
        assert any(file in refused.err for file in ("journal.db", "journal.head", "checkpoints/"))
    assert bytes_of(rundir) == before


@pytest.mark.parametrize("name", AS_PROCESSES)
def test_damage_is_refused_by_real_processes(originals: Path, program: Program, name: str) -> None:
    rundir = damaged(originals, program, name)
    for command in (("resume", rundir.id, "--headless"), ("verify", rundir.id)):
        refused = program.process(*command).wants(7)
        assert f"{DAMAGES[name][2].split()[0]}: " in refused.err


def test_a_listing_shows_damaged_runs_and_the_others(originals: Path, program: Program) -> None:
    damaged(originals, program, "journal that is text")
    listed = {run["run"]: run["status"] for run in program("runs", "--json").wants(0).json}
    assert listed["closed"] == "unreadable"
    assert listed["other"] != "unreadable"
