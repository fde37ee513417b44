"""The runner keeps the order that everything else rests on: durable first, then carried out, then told."""

import math
from pathlib import Path
from typing import Any

import anyio
import pytest

from engine.forecast.outcomes import as_written
from engine.forecast.simulation import Simulation
from engine.journal.errors import JournalFailed, JournalFull
from engine.journal.journal import Journal
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.transitions import RunStatus, TaskStatus
from engine.plan.models import FailureClass
from engine.runner.clock import RunClock
from engine.runner.feed import Feed
from engine.runner.link import Link
from engine.tasks.base import Intent, Progress
from tests.runner.stage import StageWorld, journaled, plan_of, staged, succeed

CHAIN = ({"id": "a"}, {"id": "b", "needs": ["a"]}, {"id": "c", "needs": ["b"]})


def _kinds(events: list[ev.Event]) -> list[tuple[str, str]]:
    return [(event.kind, getattr(event, "task", "")) for event in events]


def test_an_attempt_begins_only_when_its_start_is_in_the_journal(tmp_path: Path) -> None:
    seen: list[bool] = []

    async def attempt(task: str, number: int, purpose: ev.Purpose, link: Link) -> rep.Report:
        durable = _kinds(journaled(rundir))
        needs_done = all(("task_succeeded", each) in durable for each in {"b": "a", "c": "b"}.get(task, ""))
        seen.append(("task_started", task) in durable and needs_done)
        return await succeed(task, number, purpose, link)

    with staged(tmp_path, plan_of(*CHAIN), StageWorld(attempt)) as (runner, rundir):
        anyio.run(runner.run)
    assert seen == [True, True, True]


def test_watchers_are_told_of_durable_events_only_and_of_each_once(tmp_path: Path) -> None:
    told: list[ev.Event] = []

    async def main() -> None:
        feed = Feed()
        runner.watched_by(feed)
        async with anyio.create_task_group() as both:
            both.start_soon(runner.run)
            async for batch in feed:
                durable = journaled(rundir)
                assert batch == durable[len(told) : len(told) + len(batch)]
                told.extend(batch)

    with staged(tmp_path, plan_of(*CHAIN), StageWorld()) as (runner, rundir):
        anyio.run(main)
        assert told == journaled(rundir)
    assert told[-1].kind == "run_finished"


def test_events_of_one_turn_share_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    append = Journal.append

    def counting(self: Journal, events: list[ev.Event]) -> str:
        sizes.append(len(events))
        return append(self, events)

    monkeypatch.setattr(Journal, "append", counting)
    with staged(tmp_path, plan_of(*({"id": f"t{n}"} for n in range(40))), StageWorld()) as (runner, rundir):
        anyio.run(runner.run)
        assert sum(sizes) == len(journaled(rundir))
    assert len(sizes) < 40


def test_while_there_is_no_room_nothing_goes_on_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter([False, False, True])
    troubles: list[str] = []
    append = Journal.append

    def full_once(self: Journal, events: list[ev.Event]) -> str:
        if next(refusals, False):
            raise JournalFull(self.rundir.journal, "the disk is full")
        return append(self, events)

    async def wait(seconds: float) -> None:
        troubles.append(runner.trouble)

    monkeypatch.setattr(Journal, "append", full_once)
    monkeypatch.setattr("engine.runner.core.anyio.sleep", wait)
    told: list[str] = []
    with staged(tmp_path, plan_of(*CHAIN), StageWorld(), on_trouble=told.append) as (runner, rundir):
        state = anyio.run(runner.run)
        assert [event.seq for event in journaled(rundir)] == list(range(1, state.seq + 1))
    assert state.status is RunStatus.COMPLETED
    assert len(troubles) == 1 and "disk is full" in troubles[0]
    assert not runner.trouble
    assert told == [*troubles, ""]


def test_a_journal_that_failed_halts_the_run_and_ends_what_is_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    calls = 0
    append = Journal.append

    def fails_later(self: Journal, events: list[ev.Event]) -> str:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise JournalFailed(self.rundir.journal, "fsync failed")
        return append(self, events)

    async def attempt(task: str, number: int, purpose: ev.Purpose, link: Link) -> rep.Report:
        if task == "quick":
            return await succeed(task, number, purpose, link)
        try:
            await link.stop.wait()
        finally:
            ended.append(task)
        raise AssertionError("nobody asked it to stop")

    monkeypatch.setattr(Journal, "append", fails_later)
    plan = plan_of({"id": "quick"}, {"id": "slow"})
    with staged(tmp_path, plan, StageWorld(attempt)) as (runner, _), pytest.raises(ExceptionGroup) as raised:
        anyio.run(runner.run)
    assert raised.group_contains(JournalFailed)
    assert ended == ["slow"]


def test_stopping_now_asks_what_is_in_flight_to_end_and_records_how_it_was_left(tmp_path: Path) -> None:
    async def attempt(task: str, number: int, purpose: ev.Purpose, link: Link) -> rep.Report:
        runner.report(rep.Stop(actor="tester", reason="enough", drain=False))
        await link.stop.wait()
        return rep.Cancelled(task=task, attempt=number, purpose=purpose, effect="unknown", reason="ended")

    with staged(tmp_path, plan_of({"id": "a"}), StageWorld(attempt)) as (runner, rundir):
        state = anyio.run(runner.run)
        kinds = [kind for kind, _ in _kinds(journaled(rundir))]
    assert state.status is RunStatus.ABORTED
    assert state.tasks["a"].status is TaskStatus.CANCELLED
    assert kinds[-4:] == ["run_stopping", "task_cancelled", "checkpoint_saved", "run_finished"]


def test_without_a_screen_the_run_stops_at_a_question_once_nothing_is_in_flight(tmp_path: Path) -> None:
    release = anyio.Event()

    async def attempt(task: str, number: int, purpose: ev.Purpose, link: Link) -> rep.Report:
        if task == "slow":
            await release.wait()
            return await succeed(task, number, purpose, link)
        release.set()
        return rep.Failed(
            task=task, attempt=number, failure_class=FailureClass.UNKNOWN, reason="who knows", rule="test"
        )

    plan = plan_of({"id": "fails"}, {"id": "slow"}, {"id": "after", "needs": ["slow"]})
    with staged(tmp_path, plan, StageWorld(attempt), stop_at_question=True) as (runner, _):
        state = anyio.run(runner.run)
    assert state.status is RunStatus.PAUSED
    assert [question.task for question in state.questions.values()] == ["fails"]
    assert state.tasks["slow"].status is TaskStatus.SUCCEEDED
    assert state.tasks["after"].status is TaskStatus.READY


def test_a_checkpoint_that_cannot_be_written_pauses_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwritable(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.runner.core.write_checkpoint", unwritable)

    async def main() -> None:
        feed = Feed()
        runner.watched_by(feed)
        async with anyio.create_task_group() as both:
            both.start_soon(runner.run)
            async for batch in feed:
                if any(event.kind == "run_paused" for event in batch):
                    both.cancel_scope.cancel()

    plan = plan_of({"id": "a"}, {"id": "b", "needs": ["a"], "risk": 0.9})
    with staged(tmp_path, plan, StageWorld()) as (runner, _):
        anyio.run(main)
    assert runner.state.operator_pause is not None
    assert "No space left" in runner.state.operator_pause
    assert runner.state.tasks["b"].status is TaskStatus.READY


def _simulated(folder: Path, plan: Any) -> list[ev.Event]:
    clock = RunClock(speed=math.inf)
    with staged(folder, plan, StageWorld(), outcomes=as_written, clock=clock) as (runner, rundir):
        anyio.run(runner.run)
        return journaled(rundir)


@pytest.mark.parametrize("model", ["wave", "rolling"])
def test_a_simulated_run_is_the_forecast_with_a_journal(tmp_path: Path, model: str) -> None:
    plan = plan_of(
        {"id": "a", "duration": "1h", "risk": 0.9, "phase": "p1"},
        {"id": "b", "duration": "2h", "phase": "p1"},
        {"id": "c", "duration": "1h", "needs": ["a"], "risk": 0.9, "phase": "p2"},
        {"id": "d", "duration": "1h", "needs": ["a", "b"], "phase": "p2", "locks": ["x"]},
        {"id": "e", "duration": "3h", "needs": ["b"], "phase": "p2", "locks": ["x"]},
        model=model,
        workers=2,
    )
    forecast = Simulation(plan, outcomes=as_written)
    forecast.run()
    first = _simulated(tmp_path / "1", plan)
    second = _simulated(tmp_path / "2", plan)
    expected = [
        (event.t, *each) for event, each in zip(forecast.events, _kinds(forecast.events), strict=True)
    ]
    for run in (first, second):
        assert [(event.t, *each) for event, each in zip(run, _kinds(run), strict=True)] == expected


def test_a_standing_answer_that_is_refused_is_not_given_for_ever(tmp_path: Path) -> None:
    async def attempt(task: str, number: int, purpose: ev.Purpose, link: Link) -> rep.Report:
        return rep.Failed(
            task=task, attempt=number, failure_class=FailureClass.UNKNOWN, reason="who knows", rule="test"
        )

    options = {"on_unknown": "rollback", "rollback_to": "cp-9999"}
    with staged(tmp_path, plan_of({"id": "a"}), StageWorld(attempt), **options) as (runner, rundir):
        state = anyio.run(runner.run)
        kinds = [event.kind for event in journaled(rundir)]
    assert state.status is RunStatus.ABORTED
    assert kinds.count("decision_refused") == 1


def test_without_a_screen_a_pause_that_only_a_person_can_end_ends_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwritable(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.runner.core.write_checkpoint", unwritable)
    plan = plan_of({"id": "a"}, {"id": "b", "needs": ["a"], "risk": 0.9})
    with staged(tmp_path, plan, StageWorld(), stop_at_question=True) as (runner, _):
        state = anyio.run(runner.run)
    assert state.status is RunStatus.PAUSED and not state.questions


def test_what_an_attempt_intends_is_in_the_journal_before_it_goes_on(tmp_path: Path) -> None:
    seen: list[bool] = []

    async def attempt(task: str, number: int, purpose: ev.Purpose, link: Link) -> rep.Report:
        for part in (1, 2):
            await link.intend(Intent(part=part, parts=2, statement="ALTER TABLE t", xid=f"7{part}"))
            last = journaled(rundir)[-1]
            seen.append(isinstance(last, ev.CommitIntended) and (last.part, last.xid) == (part, f"7{part}"))
        return await succeed(task, number, purpose, link)

    with staged(tmp_path, plan_of({"id": "a"}), StageWorld(attempt)) as (runner, rundir):
        state = anyio.run(runner.run)
    assert seen == [True, True]
    assert state.tasks["a"].underway.intent is not None


def test_progress_is_thinned_but_its_end_and_what_holds_it_are_told(tmp_path: Path) -> None:
    async def attempt(task: str, number: int, purpose: ev.Purpose, link: Link) -> rep.Report:
        for done in range(1000):
            link.progress(Progress(done=done, total=1000, unit="rows"))
        link.progress(Progress(done=999, total=1000, unit="rows", held="the standby is behind"))
        link.progress(Progress(done=1000, total=1000, unit="rows"))
        return await succeed(task, number, purpose, link)

    with staged(tmp_path, plan_of({"id": "a"}), StageWorld(attempt)) as (runner, rundir):
        anyio.run(runner.run)
        told = [event for event in journaled(rundir) if isinstance(event, ev.TaskProgressed)]
    assert [(each.done, each.held) for each in told[-2:]] == [(999, "the standby is behind"), (1000, "")]
    assert told[0].done == 0
    assert len(told) < 20


def test_an_operator_can_end_one_attempt_and_the_run_asks(tmp_path: Path) -> None:
    async def attempt(task: str, number: int, purpose: ev.Purpose, link: Link) -> rep.Report:
        runner.report(rep.Intervene(task=task, attempt=number, action="cancel_own", actor="ann", on_seq=1))
        await link.give_up.wait()
        return rep.Failed(
            task=task,
            attempt=number,
            failure_class=FailureClass.UNKNOWN,
            reason="ann cancelled it",
            rule="operator: cancelled",
            effect="none",
        )

    with staged(tmp_path, plan_of({"id": "a"}), StageWorld(attempt), stop_at_question=True) as (
        runner,
        rundir,
    ):
        state = anyio.run(runner.run)
        kinds = [kind for kind, _ in _kinds(journaled(rundir))]
    assert state.status is RunStatus.PAUSED
    assert kinds[kinds.index("intervention_made") :][:3] == [
        "intervention_made",
        "intervention_ended",
        "task_failed",
    ]
