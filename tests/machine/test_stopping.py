"""Pausing, stopping, and what a run that has ended still listens to."""

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.plan.models import FailureClass
from tests.machine.plans import plan, task
from tests.machine.world import World


def stop(run: World, *, drain: bool = True) -> World:
    return run.report(rep.Stop(actor="ann", reason="enough", drain=drain))


def pause(run: World) -> World:
    return run.report(rep.Pause(actor="ann", reason="lunch"))


def go_on(run: World) -> World:
    return run.report(rep.Continue(actor="ann"))


def two_running() -> World:
    """`a` and `b` are in flight on the only two lanes, and `c` is ready."""
    return World(plan(task("a"), task("b"), task("c"), workers=2))


# -- pausing ---------------------------------------------------------------------------------------


def test_a_pause_lets_what_is_in_flight_finish_and_starts_nothing_new() -> None:
    run = pause(two_running())
    assert run.state.status == "pausing"
    run.succeed("a")
    assert run.state.status == "pausing"
    run.succeed("b")
    assert run.state.status == "paused"
    assert run.state.status_reason == "lunch"
    assert run.status("c") == "ready"


def test_continuing_starts_what_was_held_back_even_before_the_pause_was_complete() -> None:
    run = go_on(pause(two_running()).succeed("a"))
    assert run.state.status == "running"
    assert run.status("c") == "running"


def test_continuing_does_not_answer_a_question() -> None:
    run = go_on(pause(two_running()).fail("a").succeed("b"))
    assert run.state.status == "paused"
    assert run.decide("retry").statuses() == {"a": "running", "b": "succeeded", "c": "running"}


def test_an_answer_does_not_end_a_pause() -> None:
    run = pause(two_running()).fail("a").succeed("b").decide("retry")
    assert run.state.status == "paused"
    assert go_on(run).status("a") == "running"


def test_pausing_twice_is_pausing_once_and_going_on_unasked_is_nothing() -> None:
    assert pause(pause(two_running())).new == []
    assert go_on(two_running()).new == []


def test_a_retry_that_comes_due_in_a_pause_waits_for_its_end() -> None:
    run = pause(two_running().fail("a", FailureClass.TRANSIENT)).fire("retry:a")
    assert run.status("a") == "ready"
    assert go_on(run.succeed("b").succeed("c")).status("a") == "running"


# -- stopping --------------------------------------------------------------------------------------


def test_a_stop_that_drains_lets_what_is_in_flight_finish() -> None:
    run = stop(two_running())
    assert not run.cancelling
    run.succeed("a", "b").saved()
    assert run.state.status == "aborted"
    assert run.state.status_reason == "enough"
    assert run.status("c") == "ready"


def test_a_stop_that_does_not_drain_ends_what_is_in_flight() -> None:
    run = stop(two_running(), drain=False)
    assert run.cancelling == {("a", "run"), ("b", "run")}
    run.cancel("a").cancel("b", "unknown").saved()
    assert run.state.status == "aborted"
    assert run.statuses() == {"a": "cancelled", "b": "cancelled", "c": "ready"}


def test_what_was_cut_short_runs_again_on_resume_if_it_surely_left_nothing() -> None:
    run = stop(two_running(), drain=False).cancel("a").cancel("b", "unknown").resume()
    assert run.statuses() == {"a": "ready", "b": "in_doubt", "c": "ready"}
    run.found("b", None)
    assert run.question.task == "b"
    assert run.decide("retry").finish_everything().state.status == "completed"


def test_a_stop_that_drains_can_be_turned_into_one_that_does_not_but_not_back() -> None:
    run = stop(stop(two_running()), drain=False)
    assert run.cancelling == {("a", "run"), ("b", "run")}
    assert stop(run).new == []


def test_a_stop_ends_a_paused_run_at_once_but_for_its_checkpoint() -> None:
    assert stop(pause(two_running()).fail("a").fail("b")).saved().state.status == "aborted"


def test_a_stop_takes_back_a_rollback_that_has_not_begun_and_the_failure_is_asked_about_later() -> None:
    run = World(plan(task("a", critical=True), task("b"))).fail("a", FailureClass.PERMANENT)
    stop(run).succeed("b").finish_everything()
    assert run.state.status == "aborted"
    assert not run.of(ev.RollbackStarted)
    assert run.resume().question.task == "a"


def test_a_critical_failure_while_the_run_stops_rolls_back_when_it_is_resumed() -> None:
    run = stop(World(plan(task("a", critical=True), task("b")))).fail("a", FailureClass.PERMANENT)
    assert run.succeed("b").finish_everything().state.status == "aborted"
    assert run.resume().undo("b").state.status == "rolled_back"


def test_a_damaged_target_ends_the_run_as_failed_even_if_the_operator_stops_it_too() -> None:
    run = World(plan(task("a"), task("b"))).fail("a", fatal=True)
    assert stop(run, drain=False).cancel("b").finish_everything().state.status == "failed"


def test_a_target_found_damaged_while_undoing_ends_the_run_as_failed_and_the_rollback_goes_on_later() -> None:
    run = World(plan(task("a"), task("b", "a"))).succeed("a").fail("b").decide("rollback", to="start")
    run.fail("a", purpose="rollback", fatal=True).finish_everything()
    assert run.state.status == "failed"
    assert run.resume().undo("a").state.status == "rolled_back"


# -- after the end ---------------------------------------------------------------------------------


def test_a_retry_that_comes_due_after_the_end_changes_nothing() -> None:
    run = World(plan(task("a"))).fail("a", FailureClass.TRANSIENT)
    assert stop(run).saved().state.status == "aborted"
    assert run.fire("retry:a").new == []


def test_a_probe_that_is_answered_after_the_end_changes_nothing() -> None:
    run = World(plan(task("a"))).fail("a", FailureClass.RESOURCE).fire("probe:a")
    assert stop(run).saved().state.status == "aborted"
    assert run.probed(True).new == []


def test_a_run_that_ended_while_paused_does_not_go_on_by_itself() -> None:
    run = stop(pause(World(plan(task("a")))).succeed("a")).finish_everything()
    assert run.state.status == "aborted"
    assert go_on(run).new == []


def test_continuing_does_not_undo_a_stop() -> None:
    run = go_on(stop(pause(two_running())))
    assert run.of(ev.RunResumed) == []
    assert run.succeed("a", "b").finish_everything().state.status == "aborted"
