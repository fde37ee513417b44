"""Pausing, stopping, and what a run that has ended still listens to."""

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.plan.models import FailureClass
from tests.machine.plans import plan, task
from tests.machine.world import World


def stop(run: World, *, drain: bool = True) -> World:
    return run.report(rep.Stop(actor="ann", reason="enough", drain=drain))


def test_a_retry_that_comes_due_after_the_end_changes_nothing() -> None:
    run = World(plan(task("a"))).fail("a", FailureClass.TRANSIENT)
    assert stop(run).state.status == "aborted"
    assert run.fire("retry:a").new == []


def test_a_probe_that_is_answered_after_the_end_changes_nothing() -> None:
    run = World(plan(task("a"))).fail("a", FailureClass.RESOURCE).fire("probe:a")
    assert stop(run).state.status == "aborted"
    assert run.probed(True).new == []


def test_a_run_that_ended_while_paused_does_not_go_on_by_itself() -> None:
    run = World(plan(task("a"))).report(rep.Pause(actor="ann")).succeed("a")
    assert stop(run).finish_everything().state.status == "aborted"
    assert run.report(rep.Continue(actor="ann")).new == []


def test_continuing_does_not_undo_a_stop() -> None:
    run = World(plan(task("a"), task("b"))).report(rep.Pause(actor="ann"))
    stop(run).report(rep.Continue(actor="ann"))
    assert run.of(ev.RunResumed) == []
    assert run.succeed("a", "b").finish_everything().state.status == "aborted"


def test_a_damaged_target_ends_the_run_as_failed_even_if_the_operator_stops_it_too() -> None:
    run = World(plan(task("a"), task("b"))).fail("a", fatal=True)
    assert stop(run, drain=False).cancel("b").finish_everything().state.status == "failed"


def test_a_target_found_damaged_while_undoing_ends_the_run_as_failed_and_the_rollback_goes_on_later() -> None:
    run = World(plan(task("a"), task("b", "a"))).succeed("a").fail("b").decide("rollback", to="start")
    run.fail("a", purpose="rollback", fatal=True).finish_everything()
    assert run.state.status == "failed"
    assert run.resume().undo("a").state.status == "rolled_back"
