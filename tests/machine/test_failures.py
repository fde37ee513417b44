"""What follows from each class of failure without a person."""

import pytest

from engine.machine import events as ev
from engine.machine.policies import RESOURCE_WAITS
from engine.plan.models import FailureClass, RetryRules
from tests.machine.plans import plan, task
from tests.machine.world import World

TRANSIENT, RESOURCE = FailureClass.TRANSIENT, FailureClass.RESOURCE
PERMANENT, UNKNOWN = FailureClass.PERMANENT, FailureClass.UNKNOWN


def delays(run: World) -> list[float]:
    return [event.delay for event in run.of(ev.RetryScheduled)]


# -- TRANSIENT -------------------------------------------------------------------------------------


def test_a_transient_failure_is_retried_after_2_4_and_8_seconds_and_then_counts_as_unknown() -> None:
    run = World(plan(task("a")))
    for _ in range(3):
        run.fail("a", TRANSIENT)
        assert run.status("a") == "waiting"
        run.fire("retry:a")
    run.fail("a", TRANSIENT)
    assert delays(run) == [2.0, 4.0, 8.0]
    assert run.t == 14.0
    assert run.status("a") == "failed"
    assert run.question.about == "failure"
    assert run.question.reason == "it broke (TRANSIENT, and 3 retries are used up)"


def test_no_retry_waits_longer_than_the_cap() -> None:
    run = World(plan(task("a"), retry=RetryRules(attempts=6)))
    for _ in range(6):
        run.fail("a", TRANSIENT).fire("retry:a")
    assert delays(run) == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_jitter_waits_at_least_half_as_long_and_the_same_for_the_same_seed() -> None:
    def delay(seed: int) -> float:
        return delays(World(plan(task("a"), retry=RetryRules(jitter=True)), seed=seed).fail("a", TRANSIENT))[
            0
        ]

    drawn = [delay(seed) for seed in range(20)]
    assert all(1.0 <= each <= 2.0 for each in drawn)
    assert len(set(drawn)) > 10
    assert drawn == [delay(seed) for seed in range(20)]


def test_a_plan_without_retries_asks_at_once() -> None:
    run = World(plan(task("a"), retry=RetryRules(attempts=0))).fail("a", TRANSIENT)
    assert run.question.task == "a"


def test_a_task_that_waits_for_its_retry_leaves_its_lane_and_its_pools_to_others() -> None:
    run = World(plan(task("a", locks=("x",)), task("b", locks=("x",)), workers=1)).fail("a", TRANSIENT)
    assert run.statuses() == {"a": "waiting", "b": "running"}


# -- RESOURCE --------------------------------------------------------------------------------------


def test_a_task_that_lacks_a_resource_waits_until_a_probe_finds_it_and_runs_again() -> None:
    run = World(plan(task("a"))).fail("a", RESOURCE, resource="disk")
    assert run.status("a") == "waiting"
    assert run.state.tasks["a"].waiting_for == "disk: it broke"
    run.fire("probe:a")
    assert run.probes[0].resource == "disk"
    run.probed(False).fire("probe:a").probed(True)
    assert run.t == 2.0 + 4.0
    assert run.status("a") == "running"
    assert not run.of(ev.QuestionOpened)


def test_the_probe_names_the_resource_as_it_was_reported() -> None:
    run = World(plan(task("a"))).fail("a", RESOURCE, resource="db:main").fire("probe:a")
    assert run.probes[0].resource == "db:main"


def test_past_its_limit_a_lacking_resource_counts_as_unknown() -> None:
    run = World(plan(task("a"))).fail("a", RESOURCE, resource="disk")
    for _ in range(RESOURCE_WAITS):
        run.fire("probe:a").probed(False)
    assert run.status("a") == "failed"
    assert run.of(ev.TaskFailed)[-1].failure_class is UNKNOWN
    assert run.question.reason == f"it broke (RESOURCE: still no disk after {RESOURCE_WAITS} waits)"
    assert 180 < run.t < 240, "about three and a half minutes"


def test_waits_are_counted_over_attempts_that_find_the_resource_lacking_again() -> None:
    run = World(plan(task("a"))).fail("a", RESOURCE)
    for _ in range(RESOURCE_WAITS):
        run.fire("probe:a").probed(True).fail("a", RESOURCE)
    assert run.question.task == "a"


def test_a_resumed_run_retries_what_waited_to_be_retried_though_it_once_lacked_a_resource() -> None:
    run = World(plan(task("a"))).fail("a", RESOURCE).fire("probe:a").probed(True).fail("a", TRANSIENT)
    run.resume()
    assert list(run.waits) == ["retry:a"]
    assert run.fire("retry:a").status("a") == "running"


# -- PERMANENT -------------------------------------------------------------------------------------


def test_a_permanent_failure_skips_the_task_blocks_its_dependants_and_goes_on() -> None:
    run = World(plan(task("a"), task("b", "a"), task("c", "b"), task("d"), workers=1)).fail("a", PERMANENT)
    assert run.statuses() == {"a": "skipped", "b": "blocked", "c": "blocked", "d": "running"}
    assert run.state.tasks["c"].blocked_by == "a"
    assert run.succeed("d").finish_everything().state.status == "completed"


def test_a_permanent_failure_of_a_critical_task_rolls_back_to_the_last_stable_checkpoint_and_stops() -> None:
    run = World(plan(task("a"), task("b", "a"), task("c", "b", critical=True), checkpoints={"progress": 30}))
    run.succeed("a").saved().succeed("b").saved("cp-0002")
    run.fail("c", PERMANENT)
    assert run.state.status == "rolled_back"
    assert run.of(ev.RollbackStarted)[0].to == "cp-0002"
    assert run.statuses() == {"a": "succeeded", "b": "succeeded", "c": "failed"}


def test_where_no_checkpoint_is_stable_a_critical_failure_rolls_back_to_the_start() -> None:
    run = World(plan(task("a"), task("b", "a"), task("c", "b", critical=True)))
    run.succeed("a", "b").fail("c", PERMANENT)
    assert run.state.status == "rolling_back"
    assert run.undo("b", "a").state.status == "rolled_back"
    assert run.of(ev.RollbackStarted)[0].to == "start"


def test_a_rollback_waits_for_what_is_in_flight_and_undoes_that_too() -> None:
    run = World(plan(task("a"), task("b", critical=True), task("c"))).fail("b", PERMANENT)
    assert run.state.status == "pausing"
    run.succeed("a")
    assert run.state.status == "pausing"
    run.succeed("c")
    assert run.of(ev.RollbackStarted)[0].tasks == ("c", "a")


def test_a_critical_failure_asks_first_where_something_in_scope_has_no_rollback() -> None:
    run = World(plan(task("a", undo=False), task("b", "a"), task("c", "b", critical=True)))
    run.succeed("a", "b").fail("c", PERMANENT)
    assert run.state.status == "paused"
    assert run.question.about == "rollback_scope"
    assert "cannot undo a:" in run.question.reason
    run.decide("rollback").undo("b")
    assert run.state.status == "rolled_back"
    assert run.statuses() == {"a": "succeeded", "b": "rolled_back", "c": "failed"}
    assert run.state.status_reason == "rolled back to start; stays applied: a"


@pytest.mark.parametrize(("mode", "ends"), [("subtree", "skipped"), ("waive", "waived")])
def test_the_question_about_the_scope_can_be_answered_without_a_rollback(
    mode: ev.SkipMode, ends: str
) -> None:
    run = World(plan(task("a", undo=False), task("b", "a", critical=True))).succeed("a").fail("b", PERMANENT)
    run.decide("skip", mode).finish_everything()
    assert run.state.status == "completed"
    assert run.status("b") == ends


def test_in_waves_a_critical_failure_rolls_its_wave_back_to_the_barrier_before_it() -> None:
    run = World(
        plan(
            task("a", wave="w1"),
            task("b", "a", wave="w2"),
            task("c", "a", wave="w2", critical=True),
            task("d", "c", wave="w2"),
            model="wave",
            checkpoints={"progress": 50},
        )
    )
    run.succeed("a").saved().succeed("b").saved()
    run.fail("c", PERMANENT)
    assert run.of(ev.RollbackStarted)[0].to == run.of(ev.CheckpointSaved)[0].checkpoint
    assert run.of(ev.CheckpointSaved)[0].trigger == "barrier"
    run.undo("b")
    assert run.state.status == "rolled_back"
    run.resume()
    assert run.statuses() == {"a": "succeeded", "b": "running", "c": "running", "d": "pending"}
    assert run.finish_everything().state.status == "completed"


def test_in_the_first_wave_a_critical_failure_rolls_back_to_the_start() -> None:
    run = World(plan(task("a"), task("b", critical=True), task("c", "a", "b"), model="wave"))
    run.succeed("a").fail("b", PERMANENT).undo("a")
    assert run.of(ev.RollbackStarted)[0].to == "start"


# -- UNKNOWN ---------------------------------------------------------------------------------------


def test_an_unknown_failure_pauses_the_run_and_asks_while_siblings_in_flight_finish() -> None:
    run = World(plan(task("a"), task("b"), task("c", "b"), workers=2)).fail("a", UNKNOWN)
    assert run.state.status == "pausing"
    assert not run.cancelling
    run.succeed("b")
    assert run.state.status == "paused"
    assert run.statuses() == {"a": "failed", "b": "succeeded", "c": "ready"}


def test_several_questions_queue_and_the_run_goes_on_when_all_are_answered() -> None:
    run = World(plan(task("a"), task("b"), task("c"), workers=2)).fail("a", UNKNOWN).fail("b", UNKNOWN)
    assert [question.task for question in run.state.questions.values()] == ["a", "b"]
    run.decide("skip", "subtree")
    assert run.status("c") == "ready"
    run.decide("skip", "subtree")
    assert run.status("c") == "running"


def test_a_damaged_target_stops_the_run_as_failed_whatever_the_class() -> None:
    run = World(plan(task("a"), task("b"), task("c", "b"), workers=2)).fail("a", TRANSIENT, fatal=True)
    assert run.status("b") == "running"
    run.succeed("b").finish_everything()
    assert run.state.status == "failed"
    assert run.status("c") == "ready"
    assert run.resume().question.task == "a"
    assert run.decide("retry").finish_everything().state.status == "completed"
