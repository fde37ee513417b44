"""A runner without room for its journal or checkpoints waits, says so, and goes on; and it can be stopped."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from engine.journal.errors import CheckpointUnwritable, JournalFull
from engine.journal.journal import Journal
from engine.journal.rundir import create_run_dir
from engine.machine import commands as cmd
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.transitions import RunStatus
from engine.plan.models import FailureClass
from engine.runner import core, writing
from engine.runner.core import Runner
from engine.runner.link import Link
from engine.runner.world import RealWorld
from engine.tasks.sanitise import Redactor
from tests.hostile.starving import no_room
from tests.runner.stage import StageWorld, journaled, plan_of, staged

CHAIN = ({"id": "a"}, {"id": "b", "needs": ["a"], "risk": 0.9})


@pytest.fixture
def polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner tries again at once, and gives up soon."""
    monkeypatch.setattr(writing, "_ROOM_POLL_S", 0.001)
    monkeypatch.setattr(writing, "_STOP_PATIENCE_S", 0.05)


def full(*_: Any) -> str:
    raise JournalFull(Path("journal.db"), "database or disk is full")


def failing(real: Callable[..., Any], times: int, error: Callable[..., Any]) -> Callable[..., Any]:
    """`real`, which fails the first `times` times."""
    left = iter(range(times))

    def call(*args: Any) -> Any:
        return error(*args) if next(left, None) is not None else real(*args)

    return call


def unwritable(number: int) -> Callable[..., Any]:
    def raises(rundir: Any, checkpoint: str, *_: Any) -> str:
        cause = OSError(number, "it does not work")
        raise CheckpointUnwritable(rundir.checkpoints / checkpoint, cause) from cause

    return raises


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.usefixtures("polls")
def test_a_checkpoint_without_room_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    told: list[str] = []
    monkeypatch.setattr(core, "write_checkpoint", failing(core.write_checkpoint, 3, unwritable(number)))
    with staged(tmp_path, plan_of(*CHAIN), StageWorld(), on_trouble=told.append) as (runner, rundir):
        state = anyio.run(runner.run)
        kinds = [event.kind for event in journaled(rundir)]
    assert state.status is RunStatus.COMPLETED
    assert "checkpoint_failed" not in kinds
    assert len(told) == 2 and "checkpoint could not be saved" in told[0] and told[1] == ""


@pytest.mark.usefixtures("polls")
def test_a_checkpoint_that_fails_for_another_reason_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "write_checkpoint", failing(core.write_checkpoint, 1, unwritable(errno.EIO)))
    with staged(tmp_path, plan_of(*CHAIN), StageWorld(), stop_at_question=True) as (runner, rundir):
        state = anyio.run(runner.run)
        failures = [event for event in journaled(rundir) if isinstance(event, ev.CheckpointFailed)]
    assert len(failures) == 1
    assert state.status is RunStatus.PAUSED


def world_of(folder: Path) -> RealWorld:
    rundir = create_run_dir(folder, "r")
    for name in (rundir.journal, rundir.wal):
        name.write_bytes(b"")
    return RealWorld(plan_of({"id": "a"}), "r", rundir, folder, {}, Redactor())


def test_a_task_whose_processes_cannot_be_written_down_waits_for_the_disk(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    with no_room(os.getpid()):
        found = anyio.run(world.attempt, "a", 1, "run", link(1))
        assert isinstance(found, rep.Failed)
        assert (found.failure_class, found.resource, found.effect) == (FailureClass.RESOURCE, "disk", "none")
        probed = anyio.run(world.probe, "a", 1, "disk", 1.0)
        assert isinstance(probed, rep.ProbeAnswered)
        assert not probed.available
    probed = anyio.run(world.probe, "a", 1, "disk", 1.0)
    assert isinstance(probed, rep.ProbeAnswered)
    assert probed.available, probed.detail
    assert isinstance(anyio.run(world.attempt, "a", 2, "run", link(2)), rep.Succeeded)


def link(attempt: int) -> Link:
    return Link(cmd.StartTask(task="a", attempt=attempt, lane=0), "run", lambda _: None)


@pytest.mark.usefixtures("polls")
def test_before_its_first_event_a_run_without_room_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Journal, "append", full)
    with staged(tmp_path, plan_of(*CHAIN), StageWorld()) as (runner, rundir):
        with pytest.raises(ExceptionGroup) as raised:
            anyio.run(runner.run)
        assert raised.group_contains(JournalFull)
        assert journaled(rundir) == []


@pytest.mark.usefixtures("polls")
def test_a_run_that_waits_for_room_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    append = Journal.append

    async def attempt(task: str, number: int, purpose: ev.Purpose, link: Link) -> rep.Report:
        monkeypatch.setattr(Journal, "append", full)
        runner.report(rep.TakeCheckpoint(actor="tester", reason="something to write"))
        try:
            await link.stop.wait()
        finally:
            ended.append(task)
        raise AssertionError("it cannot be told to end: that would have to be journaled first")

    def order_to_stop(trouble: str) -> None:
        assert "no room" in trouble
        runner.report(rep.Stop(actor="tester", reason="enough", drain=False))

    plan = plan_of({"id": "a"})
    with staged(tmp_path, plan, StageWorld(attempt), on_trouble=order_to_stop) as (runner, rundir):
        assert isinstance(runner, Runner)
        with pytest.raises(ExceptionGroup) as raised:
            anyio.run(runner.run)
        assert raised.group_contains(JournalFull)
        assert ended == ["a"]
        monkeypatch.setattr(Journal, "append", append)
        assert journaled(rundir)[-1].kind == "task_started"
