"""What an operator does about a wait for a lock, in whole runs on a real server."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.state import State
from engine.plan.load import load_plan
from engine.runner.feed import Feed
from engine.runner.opening import Options, new_run
from tests.postgres.test_drills import HEAD, Drill

pytestmark = pytest.mark.anyio

ALTER = """\
  - id: add
    run: {sql: "ALTER TABLE orders ADD COLUMN total int", on: app}
"""
AFTER = """\
  - id: after
    needs: [add]
    run: {sql: "SELECT pg_advisory_xact_lock(1)", on: app}
"""
Report = Callable[[rep.Report], None]
Act = Callable[[Drill, Report], Coroutine[Any, Any, None]]


@asynccontextmanager
async def holding(drill: Drill) -> AsyncIterator["psycopg.AsyncConnection[Any]"]:
    """Somebody who reads from `orders`, and leaves the transaction open."""
    async with drill.session() as connection:
        await connection.execute("BEGIN; SELECT count(*) FROM orders")
        yield connection
        with suppress(psycopg.OperationalError):  # it was ended
            await connection.rollback()


async def run_beside(folder: Path, conninfo: str, act: Act, more: str = "") -> tuple[State, Drill]:
    """A run of a task that waits for somebody, with what an operator does about it."""
    (folder / "plan.yaml").write_text(HEAD.format(conninfo=conninfo) + ALTER + more)
    loaded = load_plan(folder / "plan.yaml")
    drill, feed = Drill(conninfo), Feed()
    await drill.do("CREATE TABLE orders (id int)")
    async with holding(drill):
        options = Options(actor="ann", stop_at_question=True)
        with new_run(loaded, loaded.plan, folder / "state", "r1", options) as run:
            run.runner.watched_by(feed)
            async with anyio.create_task_group() as beside:
                beside.start_soon(drill.follow, feed)
                beside.start_soon(act, drill, run.runner.report)
                with anyio.fail_after(50):
                    state = await run.runner.run()
    return state, drill


def decided(wait: ev.LockWaitChanged, action: ev.Intervention, **fields: Any) -> rep.Intervene:
    [blocker] = wait.blockers
    theirs = {"pid": blocker.pid, "backend_started": blocker.started} if action != "cancel_own" else {}
    known: dict[str, Any] = {"task": wait.task, "attempt": wait.attempt, "action": action, **theirs}
    return rep.Intervene(**{**known, "actor": "ann", "reason": "lunch", "on_seq": wait.seq, **fields})


async def waiting(drill: Drill) -> ev.LockWaitChanged:
    """What was told last of the wait, once somebody is in its way."""
    while not (told := drill.of(ev.LockWaitChanged)) or not told[-1].blockers:
        await drill.next_of(ev.LockWaitChanged)
    newest: ev.LockWaitChanged = told[-1]
    return newest


async def make(drill: Drill, report: Report, action: ev.Intervention) -> None:
    """Decide anew as often as the wait has changed before the engine heard of the decision."""
    answer = None
    while not isinstance(answer, ev.InterventionMade):
        report(decided(await waiting(drill), action))
        answer = await drill.next_of(ev.InterventionMade, ev.InterventionRefused)


async def test_ending_the_connection_that_blocks_a_task_lets_it_go_on(tmp_path: Path, conninfo: str) -> None:
    async def act(drill: Drill, report: Report) -> None:
        async with drill.session() as holding_the_run:
            await holding_the_run.execute("SELECT pg_advisory_lock(1)")
            await make(drill, report, "terminate_backend")
            await drill.told(ev.InterventionEnded)

    state, drill = await run_beside(tmp_path, conninfo, act, AFTER)
    assert state.status == "completed"
    [made], [ended] = drill.of(ev.InterventionMade), drill.of(ev.InterventionEnded)
    assert (made.actor, made.reason) == ("ann", "lunch")
    assert ended.done
    assert ended.detail == f"the connection of pid {made.pid} is ended, and its transaction rolled back"
    assert len(state.tasks["add"].attempts) == 1


async def test_ending_our_own_attempt_leaves_nothing_and_asks(tmp_path: Path, conninfo: str) -> None:
    async def act(drill: Drill, report: Report) -> None:
        report(decided(await drill.told(ev.LockWaitChanged), "cancel_own"))

    state, drill = await run_beside(tmp_path, conninfo, act)
    [question] = state.questions.values()
    assert question.task == "add"
    [failed] = drill.of(ev.TaskFailed)
    assert (failed.rule, failed.effect) == ("operator: cancelled", "none")
    assert await drill.ask("SELECT count(*) FROM information_schema.columns WHERE table_name = 'orders'") == 1


async def test_what_is_not_as_it_was_shown_is_left_alone(tmp_path: Path, conninfo: str) -> None:
    async def act(drill: Drill, report: Report) -> None:
        wait = await drill.told(ev.LockWaitChanged)
        report(decided(wait, "terminate_backend", backend_started="2026-03-14T02:00:00.000000+00:00"))
        await drill.told(ev.InterventionRefused)
        assert (
            await drill.ask(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {wait.blockers[0].pid}") == 1
        )
        await make(drill, report, "cancel_backend")
        ended = await drill.told(ev.InterventionEnded)
        assert not ended.done
        assert "runs no statement that could be cancelled" in ended.detail
        report(decided(wait, "cancel_own"))

    state, drill = await run_beside(tmp_path, conninfo, act)
    assert len(state.questions) == 1
    assert len(drill.of(ev.InterventionMade)) == 2
