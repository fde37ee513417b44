"""The dialog about a changed plan, and a run on the screen before and after one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.app import ConsoleApp
from console.recovery.facts import capture, in_full
from console.run_view import RunView
from console.screens.replanning import PlanChangesApp
from engine.machine import events as ev
from engine.machine.fold import replay
from engine.machine.replanning import accept, run_changes, unacceptable
from engine.machine.state import State
from engine.plan.models import Plan
from engine.runner.replanning import PlanReview
from tests.console.shell_stage import LiveRun, plan

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 3, 15, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def edited(**changes: Any) -> Plan:
    """The plan without `d`, and with `f` in the place of `e`."""
    kept = [task for task in plan().tasks if task.id not in ("d", "e")]
    last = plan().tasks[-1].model_copy(update={"id": "f", "needs": ("c",), "name": None})
    return plan().model_copy(update={"tasks": (*kept, last), **changes})


def stopped(**settings: Any) -> LiveRun:
    run = LiveRun(plan(**settings))
    run.begin()
    run.succeed("a")
    run.fail("b")
    return run


def review(run: LiveRun, to: Plan) -> PlanReview:
    changes = run_changes(run.machine.state, to)
    barred = unacceptable(run.machine.state, changes)
    return PlanReview("r1", Path("/plans/[b]house.yaml"), to, changes=changes, barred=barred)


@asynccontextmanager
async def asked(to: PlanReview) -> AsyncIterator[tuple[PlanChangesApp, Any]]:
    app = PlanChangesApp(to)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        yield app, pilot


def said(app: PlanChangesApp) -> str:
    return "\n".join(str(each.render()) for each in app.screen.query("Static"))


async def test_accepting_takes_a_second_and_different_key() -> None:
    async with asked(review(stopped(), edited())) as (app, pilot):
        assert "pending and removed: d" in said(app)
        assert "added: f" in said(app)
        assert "/plans/[b]house.yaml" in said(app)
        await pilot.press("y", "a", "a", "k")
        assert app.answer == "leave"
        assert "Go on with the changed plan?" in said(app)
        await pilot.press("y")
    assert app.answer == "accept"


async def test_escape_disarms_first_and_then_leaves() -> None:
    async with asked(review(stopped(), edited())) as (app, pilot):
        await pilot.press("a", "escape")
        assert "Go on with the changed plan?" not in said(app)
        await pilot.press("escape")
    assert app.answer == "leave"
    assert app.return_code == 0


async def test_the_plan_can_be_kept() -> None:
    async with asked(review(stopped(), edited())) as (app, pilot):
        await pilot.press("k")
    assert app.answer == "keep"


async def test_what_cannot_be_accepted_is_not_offered() -> None:
    changed = plan().tasks[0].model_copy(update={"rollback": None})
    async with asked(review(stopped(), edited(tasks=(changed, *edited().tasks[1:])))) as (app, pilot):
        assert "completed and changed: a (rollback)" in said(app)
        assert "They cannot be accepted: what may have taken effect" in said(app)
        await pilot.press("a", "y")
        assert "Go on with the changed plan?" not in said(app)
        await pilot.press("k")
    assert app.answer == "keep"


@pytest.mark.parametrize("model", ["rolling", "wave"])
async def test_a_run_can_be_looked_at_on_both_sides_of_the_change(model: str) -> None:
    run = stopped(model=model)
    events = [*run.machine_events]
    events += accept(replay(State(run.plan), events), edited(model=model), "", "ana", NOW)
    view = RunView(run.plan)
    view.fold(events)
    assert isinstance(events[-1], ev.PlanChanged)
    app = ConsoleApp(view, mode="inspect", now=lambda: NOW)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        assert set(view.by_id) == set(view.graph.order) == {"a", "b", "c", "f"}
        app.run_screen.select_task("f")
        app.run_screen.action_step_back()
        await pilot.pause()
        assert set(view.by_id) == set(view.graph.order) == {"a", "b", "c", "d", "e"}
        app.run_screen.select_task("d")
        for step in ("step_on", "oldest", "newest"):
            getattr(app.run_screen, f"action_{step}")()
            await pilot.pause()
        assert set(view.by_id) == {"a", "b", "c", "f"}
        assert view.newest.plan_seq == len(events)


async def test_the_screen_follows_a_change_that_comes_while_it_is_shown() -> None:
    run = stopped()
    view = RunView(run.plan)
    view.fold(run.machine_events)
    app = ConsoleApp(view, mode="inspect", now=lambda: NOW)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        app.run_screen.select_task("e")
        view.fold(accept(replay(State(run.plan), run.machine_events), edited(), "", "ana", NOW))
        app.run_screen.refresh_view()
        await pilot.pause()
        assert app.run_screen.graph.selected in view.by_id


async def test_a_question_tells_what_ran_and_what_another_attempt_would_run() -> None:
    run = stopped()
    events = [*run.machine_events]
    view = RunView(run.plan)
    view.fold(events)
    (number,) = view.newest.questions
    before = capture(view, number)
    assert before.ran and before.ran.text == "do b"
    assert before.runs_now == before.ran
    mended = [
        task.model_copy(update={"run": task.run.model_copy(update={"shell": "do b well"})})
        if task.id == "b"
        else task
        for task in run.plan.tasks
    ]
    to = run.plan.model_copy(update={"tasks": tuple(mended)})
    view.fold(accept(replay(State(run.plan), events), to, "", "ana", NOW))
    after = capture(view, number)
    assert after.ran == before.ran
    assert after.runs_now and after.runs_now.text == "do b well"
    told = "\n".join(in_full(after))
    assert told.index("do b\n") < told.index("do b well")
