"""A rollback on demand: where to, what it would undo, and only after a second, different key."""

from contextlib import AbstractAsyncContextManager

import pytest
from textual.widgets import Input

from console.screens.rollback import RollbackDialog
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.rollback import scope
from tests.console import fixtures
from tests.console import recovery_stage as stages
from tests.console.recovery_stage import Desk, Stage, StageApp, at_desk
from tests.console.wait_stage import FILLS, Scene, said, with_backfill

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def paused() -> Stage:
    """Nothing is wrong; the operator has paused the run in its middle."""
    stage = Stage(begin=False)
    stage.simulation.begin()
    stage.simulation.schedule(15 * 60, rep.Pause(actor="ana"))
    stage.go_on()
    return stage


def desk(stage: Stage, to: str = "last") -> AbstractAsyncContextManager[Desk]:
    return at_desk(stage, RollbackDialog(stage.view, to=to, actor="ana"))


async def test_the_last_stable_checkpoint_is_offered_first_and_the_scope_named() -> None:
    stage = paused()
    last = stage.view.state.last_stable_checkpoint
    assert last
    async with desk(stage) as at:
        assert at.rows[0].startswith(f"1  {last.id} ")
        assert "last stable" in at.rows[0]
        await at.press("0")
        assert at.confirming
        assert "Undone, in order" in at.told
        undone, stay = scope(stage.view.state, stage.view.graph, 0)
        assert set(undone) == {"other", "index", "fill", "create"}
        assert " → ".join(undone) in at.told
        assert stay == ()


async def test_it_takes_a_target_a_reason_and_the_confirming_key() -> None:
    stage = paused()
    async with desk(stage) as at:
        await at.press("0")
        assert isinstance(at.dialog.focused, Input)
        await at.press("enter")
        assert "reason is needed" in at.text("#notice")
        await at.say("wrong totals")
        await at.press("enter", "enter", "0")
        assert stage.reports == []
        await at.press("y")
        decision = stage.decision
        assert (decision.question, decision.action, decision.to) == (0, "rollback", "start")
        assert (decision.actor, decision.reason) == ("ana", "wrong totals")
        await at.refresh()
        assert at.results == [decision]
        assert stage.view.state.status == "rolled_back"


async def test_how_far_the_run_is_follows_the_run_and_promises_nothing() -> None:
    stage = Stage(begin=False)
    stage.simulation.begin()
    stage.view.fold(stage.simulation.events)
    async with desk(stage) as at:
        assert at.text("#standing").startswith("0 tasks succeeded so far. What is in flight finishes first: ")
        stage.simulation.schedule(15 * 60, rep.Pause(actor="ana"))
        stage.go_on()
        await at.refresh()
        assert at.text("#standing") == f"{stage.view.state.settled} tasks succeeded so far."


async def test_a_rollback_says_that_it_waits_for_a_backfill_and_how_to_wait_no_longer() -> None:
    scene = Scene(with_backfill(fixtures.running()))
    dialog = RollbackDialog(scene.view, actor="ana")
    app = StageApp()
    async with app.run_test(size=(100, 36)) as pilot:
        await app.push_screen(dialog)
        await pilot.pause()
        assert f"{FILLS} goes on to its end before that." in said(pilot, "#standing")
        rows = {"task": FILLS, "attempt": 1, "unit": "rows", "total": 600}
        scene.tell(ev.TaskProgressed, done=100, **rows)
        scene.controls.now += 100.0
        scene.tell(ev.TaskProgressed, done=200, **rows)
        dialog.refresh_view()
        assert "before that: 200 of about 600 rows · 1.0/s · ~6m40s left." in said(pilot, "#standing")
        assert "end its attempt (Adjust)" in said(pilot, "#standing")
        scene.tell(ev.TaskAdjusted, task=FILLS, held=True, actor="bob")
        dialog.refresh_view()
        assert f"{FILLS} is held by bob since 02:16 UTC: no rollback begins until" in said(pilot, "#standing")


async def test_in_a_tiny_terminal_the_choices_come_before_the_facts() -> None:
    stage = paused()
    async with at_desk(stage, RollbackDialog(stage.view, actor="ana"), size=(40, 10)) as at:
        assert not at.dialog.query_one("#facts").display
        assert at.rows[0].startswith("1  ")
        assert at.dialog.query_one("Menu").region.height > 0


async def test_the_place_asked_for_is_the_one_offered_first() -> None:
    stage = paused()
    oldest = next(iter(stage.view.state.checkpoints))
    async with desk(stage, to=oldest) as at:
        assert at.rows[0].startswith(f"1  {oldest} ")
        await at.press("enter")
        assert f"Roll back to {oldest}" in str(at.dialog.query_one("#panel").border_title)


async def test_escape_leaves_everything_as_it_is() -> None:
    stage = paused()
    async with desk(stage) as at:
        await at.press("0", "escape", "escape")
        assert at.results == [None]
        assert stage.reports == []


async def test_a_rollback_that_somebody_else_began_is_not_begun_twice() -> None:
    stage = paused()
    async with desk(stage) as at:
        await at.press("0")
        await at.say("wrong totals")
        await at.press("enter")
        stage.answer(rep.Decide(question=0, action="rollback", to="start", actor="ben", reason="quick"))
        await at.press("y")
        assert stage.reports == []
        assert "The run has ended (rolled back)" in at.text("#notice")


async def test_a_rollback_under_way_is_told() -> None:
    stage = stages.rollback_step()
    async with desk(stage) as at:
        assert "A rollback to start is already under way." in at.text("#notice")
        await at.press("0", "y")
        assert len(stage.reports) == 0
