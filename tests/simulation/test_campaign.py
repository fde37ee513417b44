"""A sample of the simulation campaign (`python -m tests.simulation.campaign` is more of it), and that it
fails where the engine breaks a promise."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.journal.errors import JournalFull
from engine.journal.journal import Journal
from engine.machine import events as ev
from engine.machine import recovery
from engine.runner.core import Runner
from tests.simulation.course import play

SEEDS = 24
ENOUGH = 120
"""Seeds after which every fault below has shown."""


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_promise_is_broken(seed: int, tmp_path: Path) -> None:
    played = play(seed, tmp_path / "run")
    assert played.kinds["run_started"] == 1
    assert played.kinds["run_resumed"] + 1 <= played.lives


def test_the_same_seed_makes_the_same_events_in_every_process() -> None:
    command = [sys.executable, "-m", "tests.simulation.campaign", "--seed-only", "17"]
    said = {
        subprocess.run(
            command,
            env=os.environ | {"PYTHONHASHSEED": order},
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
        ).stdout
        for order in ("1", "2")
    }
    assert len(said) == 1
    assert b"chain " in said.pop()


def broken_promise(folder: Path) -> str:
    """What is said of the first seed that fails."""
    for seed in range(ENOUGH):
        try:
            play(seed, folder / str(seed))
        except AssertionError as broken:
            return str(broken)
    pytest.fail(f"none of {ENOUGH} seeds has failed")


def test_events_that_are_told_before_they_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Runner._commit

    async def telling_first(runner: Runner, events: list[ev.Event]) -> None:
        feeds, runner._feeds = runner._feeds, []
        for feed in feeds if events else ():
            feed.publish(events)
        await commit(runner, events)
        runner._feeds = feeds

    monkeypatch.setattr(Runner, "_commit", telling_first)
    assert "is told of, and" in broken_promise(tmp_path)


def test_a_journal_that_acknowledges_too_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Journal.append
    late: list[ev.Event] = []

    def lazily(journal: Journal, events: Sequence[ev.Event]) -> str:
        written, late[:] = list(late), events
        return append(journal, written)

    monkeypatch.setattr(Journal, "append", lazily)
    assert "is told of, and" in broken_promise(tmp_path)


def test_intent_that_is_not_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(runner: Runner, events: list[ev.Event]) -> None:
        """Events that are neither written nor told."""

    commit = Runner._commit

    async def forgetting_starts(runner: Runner, events: list[ev.Event]) -> None:
        starts = any(isinstance(event, ev.TaskStarted) for event in events)
        await (nothing if starts else commit)(runner, events)

    monkeypatch.setattr(Runner, "_commit", forgetting_starts)
    assert "was started, and nobody would know of it" in broken_promise(tmp_path)


def test_a_doubt_that_is_settled_without_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never_mind(machine: Any, task: str, attempt: int, reason: str, purpose: ev.Purpose = "run") -> None:
        doubt(machine, task, attempt, reason, purpose)
        if purpose == "run":
            machine.gathering.discard(task)
            machine.emit(
                ev.DoubtSettled, task=task, attempt=attempt, purpose=purpose, done=False, by="idempotent"
            )
            machine.emit(ev.TaskReset, task=task, reason="it may run again")
            machine.make_ready(task)

    doubt = recovery.doubt
    monkeypatch.setattr(recovery, "doubt", never_mind)
    assert broken_promise(tmp_path).endswith(("is started beside itself", "times after a run"))


def test_a_failed_flush_that_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "_break", lambda journal, why: JournalFull(journal.rundir.journal, why))
    assert "after a commit of which nobody knows" in broken_promise(tmp_path)
