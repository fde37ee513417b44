"""A rollback that was decided and given up by a stop: whoever stops, leaves or resumes is told."""

import pytest

from console.giving_up import given_up
from console.screens.stop import StopDialog
from console.status_line import fitted, status_parts
from console.summary import summarise
from engine.machine import reports as rep
from tests.console.recovery_stage import StageApp
from tests.console.shell_stage import START, LiveRun

GIVEN_UP = "The rollback to start that ana decided has not been done, and is given up"


def decided() -> LiveRun:
    """A rollback to the start waits for `b` and `c`."""
    run = LiveRun()
    run.begin()
    run.succeed("a")
    run.report(rep.Decide(question=0, action="rollback", to="start", actor="ana", reason="wrong totals"))
    return run.taken_in()


def stopped() -> LiveRun:
    run = decided()
    run.report(rep.Stop(actor="ana", reason="lunch"))
    run.succeed("b", "c")
    return run.taken_in()


def line(run: LiveRun) -> str:
    return fitted(status_parts(run.view, now=START), 300).plain


def test_the_end_says_that_it_was_not_done() -> None:
    run = stopped()
    assert run.view.state.status == "aborted"
    assert f"{GIVEN_UP}: a resume goes on with the plan." in summarise(run.view).meaning


def test_the_resumed_run_says_so_too() -> None:
    run = stopped()
    run.report(rep.EngineResumed(actor="ben"))
    run.taken_in()
    assert run.view.state.status == "running"
    assert "rollback to start was given up by the stop" in line(run)
    run.report(rep.Decide(question=0, action="rollback", to="start", actor="ben", reason="after all"))
    assert "given up" not in line(run.taken_in())


def test_of_a_rollback_that_was_done_nothing_is_said() -> None:
    run = decided()
    run.succeed("b", "c")
    assert run.taken_in().view.state.rollback
    assert given_up(run.view.state, run.view.events) is None
    run.report(rep.Stop(actor="ana", reason="lunch"))
    run.taken_in()
    assert given_up(run.view.state, run.view.events) is None, "it goes on where it was"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_whoever_stops_is_told_before_and_meanwhile() -> None:
    run = decided()
    app = StageApp()
    async with app.run_test(size=(100, 30)) as pilot:
        dialog = StopDialog(run.view, leaving=False)
        await app.push_screen(dialog)
        await pilot.pause()

        def said() -> str:
            return str(dialog.query_one("#stop-text").render())

        assert "The rollback to start that ana decided has not begun: to stop gives it up" in said()
        run.report(rep.Stop(actor="ana", reason="lunch"))
        run.taken_in()
        dialog.refresh_view()
        assert GIVEN_UP in said()
