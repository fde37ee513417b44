"""The console on a live run: events in, choices out, and how one leaves it."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from console.app import ConsoleApp
from console.review import ReviewFacts
from console.screens.finished import FinishedScreen
from console.screens.recovery import RecoveryDialog
from console.screens.review import ReviewScreen
from console.screens.rollback import RollbackDialog
from console.screens.run import RunScreen
from console.screens.stop import StopDialog
from console.settings.file import Settings
from console.settings.preferences import Preferences
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.transitions import RunStatus, TaskStatus
from tests.console.shell_stage import START, Desk, LiveRun

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def console(run: LiveRun, size: tuple[int, int] = (80, 24), **options: Any) -> AsyncIterator[Desk]:
    app = ConsoleApp(run.view, events=run.feed, actor="ana", now=lambda: START, **options)
    async with app.run_test(size=size) as pilot:
        desk = Desk(pilot, run)
        await desk.settle()
        yield desk


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Desk]:
    run = LiveRun()
    run.begin()
    async with console(run, **options) as desk:
        yield desk


FACTS = ReviewFacts(run="r1", folder="/runs/r1")


# -- review ----------------------------------------------------------------------------------------


async def test_only_the_start_key_starts() -> None:
    run, started = LiveRun(), []
    async with console(run, review=FACTS, on_confirm=lambda: started.append(True)) as desk:
        await desk.press("enter", "space", "y", "tab", "enter", "down")
        assert isinstance(desk.app.screen, ReviewScreen)
        assert started == []
        await desk.press("s")
        assert started == [True]
        assert isinstance(desk.app.screen, RunScreen)
        run.begin()
        await desk.settle()
        assert desk.status.startswith("▶ running")


@pytest.mark.parametrize("key", ["escape", "q", "ctrl+q"])
async def test_leaving_the_review_starts_nothing(key: str) -> None:
    run, started = LiveRun(), []
    async with console(run, review=FACTS, on_confirm=lambda: started.append(True)) as desk:
        await desk.pilot.press(key)
        await desk.pilot.pause()
        assert not desk.app.is_running
    assert started == []
    assert run.reports == []


async def test_a_forecast_is_worked_out_beside_the_review() -> None:
    facts = ReviewFacts(run="r1", folder="/runs/r1", forecast=lambda: 5400.0)
    async with console(LiveRun(), review=facts) as desk:
        while desk.app.screen.forecast_s is None:
            await desk.pilot.pause()
        await desk.pilot.pause()
        assert "about 1h30m" in str(desk.app.screen.query_one("#length").render())


# -- the pump --------------------------------------------------------------------------------------


async def test_events_become_the_picture() -> None:
    async with running() as desk:
        assert "0/5 settled" in desk.status
        assert "2/2 lanes busy" in desk.status
        desk.run.succeed("a")
        await desk.settle()
        assert "1/5 settled" in desk.status


async def test_a_burst_of_events_is_drawn_together() -> None:
    async with running() as desk:
        drawn = []
        desk.app.run_screen.refresh_view = lambda: drawn.append(desk.run.view.newest.seq)  # type: ignore[method-assign]
        for _ in range(50):
            desk.run.report(rep.TakeCheckpoint(actor="ana"))
        await desk.settle()
        assert drawn[-1] == desk.run.machine.state.seq
        assert len(drawn) <= 4


async def test_under_a_dialog_the_clock_alone_repaints_nothing_behind_it() -> None:
    async with running() as desk:
        drawn = []
        desk.app.run_screen.refresh_view = lambda: drawn.append(1)  # type: ignore[method-assign]
        await desk.press("a")
        await desk.settle()
        drawn.clear()
        desk.app._tick()
        assert desk.app._repaint_due is None
        desk.run.report(rep.TakeCheckpoint(actor="ana"))
        await desk.settle()
        assert drawn


async def test_when_it_is_done_comes_from_the_machine_itself() -> None:
    async with running() as desk:
        while desk.app.outlook is None:
            await desk.pilot.pause()
        assert desk.app.outlook.finish_t == 35 * 60
        assert "done in about 35m · at 02:35 UTC" in desk.status
        assert ("e", 0, 1800.0, 2100.0) in desk.app.outlook.bars


async def test_a_run_that_had_ended_has_an_outlook_again_once_it_is_taken_up() -> None:
    run = LiveRun()
    run.begin()
    run.report(rep.Stop(actor="ana", reason="lunch"))
    run.succeed("a", "b")
    assert run.taken_in().view.newest.finished
    async with console(run) as desk:
        run.happens(rep.EngineResumed(actor="ana"))
        while desk.app.outlook is None:
            await desk.pilot.pause()
        await desk.settle()
        assert "done in about" in desk.status


async def test_an_engine_that_is_gone_is_said_so_and_leaving_is_free() -> None:
    async with running() as desk:
        desk.run.feed.close()
        while not desk.app.engine_gone:
            await desk.pilot.pause()
        await desk.settle()
        assert desk.status.startswith("✗ the engine has stopped")
        assert "Pause" not in desk.footer
        await desk.pilot.press("q")
        await desk.pilot.pause()
        assert not desk.app.is_running


# -- what the operator chooses ---------------------------------------------------------------------


async def test_pause_and_resume_share_a_key() -> None:
    async with running() as desk:
        assert "Pause" in desk.footer
        await desk.press("p")
        assert desk.run.told(rep.Pause)[0].actor == "ana"
        assert "Resume" in desk.footer
        assert "Pause" not in desk.footer
        await desk.press("p")
        assert desk.run.told(rep.Continue)
        assert desk.run.machine.state.status is RunStatus.RUNNING


async def test_a_checkpoint_is_taken_and_said_to_be() -> None:
    async with running() as desk:
        await desk.press("c")
        assert [event.trigger for event in desk.run.events(ev.CheckpointSaved)] == ["manual"]
        assert any("is saved" in note.message for note in desk.app._notifications)


async def test_rollback_on_demand_opens_its_dialog() -> None:
    async with running() as desk:
        await desk.press("R")
        assert isinstance(desk.app.screen, RollbackDialog)
        await desk.press("escape")
        assert isinstance(desk.app.screen, RunScreen)


async def test_a_refused_choice_is_explained() -> None:
    async with running() as desk:
        desk.run.report(rep.Decide(question=99, action="retry", actor="ana"))
        await desk.settle()
        assert [note.title for note in desk.app._notifications] == ["Refused: the answer"]


async def test_a_refusal_that_a_dialog_tells_is_not_told_twice() -> None:
    async with running() as desk:
        await desk.press("R")
        desk.run.report(rep.Decide(question=99, action="retry", actor="ana"))
        await desk.settle()
        assert isinstance(desk.app.screen, RollbackDialog)
        assert not list(desk.app._notifications)


# -- questions -------------------------------------------------------------------------------------


async def test_a_question_opens_its_dialog_by_itself_and_can_be_put_aside() -> None:
    async with running() as desk:
        desk.run.fail("a")
        await desk.settle()
        assert isinstance(desk.app.screen, RecoveryDialog)
        await desk.press("escape")
        assert isinstance(desk.app.screen, RunScreen)
        assert desk.status.startswith("? 1 question · a failed: exit 3 · r answers")
        await desk.settle()
        assert isinstance(desk.app.screen, RunScreen), "what was put aside stays aside"
        assert "Answer" in desk.footer
        await desk.press("r")
        assert isinstance(desk.app.screen, RecoveryDialog)


async def test_enter_opens_the_question_too() -> None:
    async with running() as desk:
        desk.run.fail("a")
        await desk.settle()
        await desk.press("escape", "enter")
        assert isinstance(desk.app.screen, RecoveryDialog)


async def test_an_open_dialog_is_not_covered_by_a_question() -> None:
    async with running() as desk:
        await desk.press("question_mark")
        desk.run.fail("a")
        await desk.settle()
        assert not isinstance(desk.app.screen, RecoveryDialog)
        assert desk.status.startswith("? 1 question")
        await desk.press("escape")
        assert isinstance(desk.app.screen, RecoveryDialog)


async def test_a_resumed_run_puts_its_open_question_at_once() -> None:
    run = LiveRun()
    run.begin()
    run.fail("a")
    async with console(run) as desk:
        assert isinstance(desk.app.screen, RecoveryDialog)


async def test_an_answer_reaches_the_engine() -> None:
    async with running() as desk:
        desk.run.fail("a")
        await desk.settle()
        await desk.press("r", "y", "enter", "y")
        decisions = desk.run.told(rep.Decide)
        assert [(d.action, d.actor) for d in decisions] == [("retry", "ana")]
        await desk.settle()
        assert desk.run.machine.state.tasks["a"].status is TaskStatus.RUNNING


# -- stopping and leaving --------------------------------------------------------------------------


async def test_abort_keeps_going_on_escape() -> None:
    async with running() as desk:
        await desk.press("a")
        assert isinstance(desk.app.screen, StopDialog)
        await desk.press("y", "enter", "escape")
        assert isinstance(desk.app.screen, RunScreen)
        assert desk.run.told(rep.Stop) == []


async def test_abort_that_lets_running_tasks_finish() -> None:
    async with running() as desk:
        await desk.press("a", "f")
        assert [stop.drain for stop in desk.run.told(rep.Stop)] == [True]
        assert desk.status.startswith("− stopping, 2 tasks running")
        desk.run.succeed("a", "b")
        await desk.settle()
        assert isinstance(desk.app.screen, FinishedScreen)
        assert desk.app.is_running, "an abort does not leave"


async def test_ending_running_tasks_takes_a_second_key() -> None:
    async with running() as desk:
        await desk.press("a", "e", "e", "f", "enter")
        assert desk.run.told(rep.Stop) == []
        await desk.press("escape")
        assert isinstance(desk.app.screen, StopDialog), "escape takes back the first key"
        await desk.press("e", "y")
        assert [stop.drain for stop in desk.run.told(rep.Stop)] == [False]
        assert sorted(desk.run.cancelled) == ["a", "b"]


async def test_quitting_a_live_run_stops_it_first() -> None:
    async with running() as desk:
        await desk.press("q", "f")
        assert desk.app.leaving
        await desk.press("q")
        assert isinstance(desk.app.screen, StopDialog)
        assert "Still stopping" in str(desk.app.screen.query_one(".dialog-box").border_title)
        assert len(desk.run.told(rep.Stop)) == 1, "a second q never kills"
        await desk.press("escape")
        desk.run.succeed("a", "b")
        while desk.app.is_running:
            await desk.pilot.pause()
    assert desk.run.view.newest.status is RunStatus.ABORTED


async def test_a_drain_can_be_cut_short() -> None:
    async with running() as desk:
        await desk.press("q", "f", "q", "e", "y")
        assert [stop.drain for stop in desk.run.told(rep.Stop)] == [True, False]
        desk.run.end_cancelled()
        while desk.app.is_running:
            await desk.pilot.pause()


async def test_leaving_by_signal_asks_nothing() -> None:
    async with running() as desk:
        desk.app.leave(drain=False, reason="SIGTERM received")
        assert [(stop.drain, stop.reason) for stop in desk.run.told(rep.Stop)] == [
            (False, "SIGTERM received")
        ]
        desk.run.end_cancelled()
        while desk.app.is_running:
            await desk.pilot.pause()


async def test_the_end_is_told_and_the_console_stays() -> None:
    async with running() as desk:
        for tasks in (["a", "b"], ["c", "d"], ["e"]):
            desk.run.succeed(*tasks)
        await desk.settle()
        assert isinstance(desk.app.screen, FinishedScreen)
        await desk.press("escape")
        assert desk.status.startswith("✓ completed in 3m")
        assert "Abort" not in desk.footer
        await desk.press("s")
        assert isinstance(desk.app.screen, FinishedScreen)
        await desk.pilot.press("q")
        await desk.pilot.pause()
        assert not desk.app.is_running


# -- around it -------------------------------------------------------------------------------------


async def test_the_palette_offers_what_can_be_done() -> None:
    async with running() as desk:
        offered = {action.label for action in desk.app.available_actions(desk.app.screen)}
        assert {"Pause", "Checkpoint", "Abort", "Zoom", "Help", "Jump", "Follow"} <= offered
        assert not offered & {"Resume", "Answer", "Summary", "One event back", "All output"}


async def test_keys_can_be_remapped() -> None:
    async with running(preferences=Preferences(Settings(keys={"checkpoint": ("x",)}))) as desk:
        await desk.press("c")
        assert desk.run.told(rep.TakeCheckpoint) == []
        await desk.press("x")
        assert len(desk.run.told(rep.TakeCheckpoint)) == 1
        await desk.press("question_mark")
        assert "x  Save a checkpoint now" in str(desk.app.screen.query_one("#help-keys").render())


def test_the_screen_does_not_load_the_engine_s_hands() -> None:
    heavy = "('engine.runner', 'engine.journal', 'engine.forecast', 'sqlite3', 'psycopg')"
    code = f"import console.app, sys; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
