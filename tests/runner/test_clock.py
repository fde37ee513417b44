"""Time: schedules hang on the monotonic clock alone, whatever the wall clock or a suspended engine do."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.plan.models import FailureClass, Plan, Task
from engine.runner import clock as clock_module
from engine.runner.clock import RunClock
from engine.runner.link import Link
from tests.runner.stage import StageWorld, journaled, plan_of, staged

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
DAY_S = 86_400.0
PLAN = plan_of(
    {"id": "flaky"},
    *({"id": f"t{n}", "needs": ["flaky"] if n % 2 else []} for n in range(6)),
    workers=2,
    checkpoints={"every": "2s", "progress": 100},
)


def fails_twice(task: Task, attempt: int, purpose: ev.Purpose) -> tuple[float, rep.Outcome]:
    """Every attempt takes a second; those at `flaky` fail TRANSIENT but for the third."""
    if task.id == "flaky" and attempt < 3:
        kind = FailureClass.TRANSIENT
        failed = rep.Failed(
            task=task.id, attempt=attempt, purpose=purpose, failure_class=kind, reason="busy", rule="test"
        )
        return 1.0, failed
    return 1.0, rep.Succeeded(task=task.id, attempt=attempt, purpose=purpose)


def walls(jumps: list[float]) -> Iterator[datetime]:
    """What the wall clock says each time that it is read: noon, off by `jumps` seconds, then noon."""
    return chain((NOON + timedelta(seconds=jump) for jump in jumps), repeat(NOON))


def run_with(clock: RunClock, wall: Iterator[datetime], plan: Plan = PLAN) -> list[ev.Event]:
    """The events of a run of `plan` on `clock`, while the wall clock says `wall`."""
    said = SimpleNamespace(now=lambda _zone: next(wall))
    with (
        TemporaryDirectory() as folder,
        patch.object(clock_module, "datetime", said),
        staged(Path(folder), plan, StageWorld(), clock=clock, outcomes=fails_twice) as (runner, rundir),
    ):
        anyio.run(runner.run)
        return journaled(rundir)


def schedule(events: list[ev.Event]) -> list[tuple[Any, ...]]:
    """What happened when on the run's clock, without what the wall clock or a hash has a part in."""
    named = ("task", "attempt", "lane", "trigger", "position", "due_t", "status")
    return [(each.seq, each.kind, each.t, *(getattr(each, name, None) for name in named)) for each in events]


@pytest.fixture(scope="module")
def steady() -> list[ev.Event]:
    return run_with(RunClock(speed=float("inf")), walls([]))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-DAY_S, DAY_S), max_size=40))
@example([DAY_S, -DAY_S] * 20)
def test_a_wall_clock_that_jumps_changes_no_schedule_backoff_or_checkpoint(
    steady: list[ev.Event], jumps: list[float]
) -> None:
    events = run_with(RunClock(speed=float("inf")), walls(jumps))
    assert schedule(events) == schedule(steady)
    shown = {each.at for each in events}
    assert shown <= {NOON, *(NOON + timedelta(seconds=jump) for jump in jumps)}


def test_the_schedule_that_is_kept(steady: list[ev.Event]) -> None:
    """What the property compares with: backoffs of 2 and 4 s, and checkpoints by time where any is due."""
    started = [each.t for each in steady if isinstance(each, ev.TaskStarted) and each.task == "flaky"]
    assert started == [0.0, 3.0, 8.0]
    saved = [each.t for each in steady if isinstance(each, ev.CheckpointSaved) and each.trigger == "time"]
    assert saved == [2.0, 4.0, 10.0]


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S], ids=["forward", "back"])
def test_on_the_real_monotonic_clock_too(jump_s: float) -> None:
    """A hundred times as fast as the world. The wall clock is a day off from the second reading on."""
    events = run_with(RunClock(speed=100.0), walls([0.0, *[jump_s] * 1000]))
    assert events[0].at == NOON
    assert events[-1].at == NOON + timedelta(seconds=jump_s)
    started = [each.t for each in events if isinstance(each, ev.TaskStarted) and each.task == "flaky"]
    failed = [each.t for each in events if isinstance(each, ev.TaskFailed)]
    waits = [begun - ended for ended, begun in zip(failed, started[1:], strict=True)]
    assert all(due <= wait < due + 60 for due, wait in zip((2, 4), waits, strict=True)), waits
    assert 11 <= events[-1].t < 600


class Leaping:
    """A monotonic clock that goes on by `leap_s` at once when it is told to: so an engine sees it that was
    suspended in between."""

    def __init__(self, real: Callable[[], float]) -> None:
        self._real = real
        self.leap_s = 0.0

    def monotonic(self) -> float:
        return self._real() + self.leap_s


def test_what_came_due_while_the_engine_was_suspended_happens_once_and_at_once(tmp_path: Path) -> None:
    leaping = Leaping(clock_module.time.monotonic)

    async def attempt(task: str, attempt: int, purpose: ev.Purpose, link: Link) -> rep.Report:
        if task == "flaky" and attempt == 1:
            leaping.leap_s += 3600  # a retry is due after 2 s, checkpoints each 3 s
            kind = FailureClass.TRANSIENT
            return rep.Failed(
                task=task, attempt=1, purpose=purpose, failure_class=kind, reason="busy", rule="test"
            )
        leaping.leap_s += 3600
        return rep.Succeeded(task=task, attempt=attempt, purpose=purpose)

    plan = plan_of(
        {"id": "flaky"},
        {"id": "then", "needs": ["flaky"]},
        workers=1,
        checkpoints={"every": "3s", "progress": 100},
        retry={"base": "1ms"},
    )
    with (
        patch.object(clock_module, "time", leaping),
        staged(tmp_path, plan, StageWorld(attempt)) as (runner, rundir),
    ):
        anyio.run(runner.run)
        events = journaled(rundir)
    starts = [each for each in events if isinstance(each, ev.TaskStarted)]
    assert [(each.task, each.attempt) for each in starts] == [("flaky", 1), ("flaky", 2), ("then", 1)]
    ended = [each.t for each in events if each.kind in ("task_failed", "task_succeeded")]
    assert [round(t / 3600) for t in ended] == [1, 2, 3]
    by_time = [each for each in events if isinstance(each, ev.CheckpointSaved) and each.trigger == "time"]
    assert len(by_time) <= 2
    assert all(later.t >= earlier.t for earlier, later in pairwise(events))
