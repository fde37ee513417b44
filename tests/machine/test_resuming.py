"""A new engine takes a run up, and what its predecessor left in doubt is settled."""

import pytest

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.plan.models import FailureClass
from tests.machine.plans import plan, task
from tests.machine.world import World


def cut_off(**options: bool) -> World:
    """The engine died while `a` ran; `b` needs it, and `c` does not."""
    return World(plan(task("a", **options), task("b", "a"), task("c"), workers=1)).resume()


def settled(run: World) -> list[tuple[bool, str]]:
    return [(event.done, event.by) for event in run.of(ev.DoubtSettled)]


# -- doubt -----------------------------------------------------------------------------------------


def test_what_was_in_flight_is_in_doubt_and_nothing_starts_until_that_was_looked_into() -> None:
    run = cut_off()
    assert run.statuses() == {"a": "in_doubt", "b": "pending", "c": "ready"}
    assert run.doubts == {("a", "run"): 1}
    assert run.jobs == {}
    assert run.state.lanes == [None]


@pytest.mark.parametrize("by", ["ledger", "verify", "executor"])
def test_evidence_that_it_took_effect_makes_it_succeed(by: str) -> None:
    run = cut_off().found("a", True, by=by)
    assert settled(run) == [(True, by)]
    assert run.statuses() == {"a": "succeeded", "b": "running", "c": "ready"}


@pytest.mark.parametrize("by", ["ledger", "verify", "executor"])
def test_evidence_that_it_did_not_runs_it_again(by: str) -> None:
    run = cut_off().found("a", False, by=by)
    assert settled(run) == [(False, by)]
    assert run.jobs == {("a", "run"): 2}


def test_an_idempotent_task_runs_again_where_nothing_settles_it() -> None:
    run = cut_off(idempotent=True).found("a", None)
    assert settled(run) == [(False, "idempotent")]
    assert run.jobs == {("a", "run"): 2}


def test_an_idempotent_task_that_evidence_shows_done_does_not_run_again() -> None:
    assert cut_off(idempotent=True).found("a", True).status("a") == "succeeded"


def test_otherwise_the_operator_is_asked_and_told_what_was_looked_at() -> None:
    run = cut_off().found("a", None, detail="no ledger in this database")
    assert run.question.about == "doubt"
    assert run.question.evidence == "no ledger in this database"
    assert run.state.status == "paused"
    assert settled(run) == []


@pytest.mark.parametrize(
    ("mode", "becomes"), [("assert_done", "succeeded"), ("subtree", "skipped"), ("waive", "waived")]
)
def test_the_operator_settles_it(mode: ev.SkipMode, becomes: str) -> None:
    assert cut_off().found("a", None).decide("skip", mode).status("a") == becomes


def test_the_operator_has_it_run_again() -> None:
    assert cut_off().found("a", None).decide("retry").jobs == {("a", "run"): 2}


def test_an_outcome_that_nobody_could_see_is_looked_into_at_once() -> None:
    run = World(plan(task("a"), task("b"))).lose("a")
    assert run.doubts == {("a", "run"): 1}
    assert run.found("a", True, by="ledger").status("a") == "succeeded"


def test_an_engine_that_dies_while_it_looks_leaves_that_to_the_next() -> None:
    run = cut_off().resume()
    assert run.doubts == {("a", "run"): 1}
    assert len(run.of(ev.TaskInDoubt)) == 1


def test_an_open_question_outlives_the_engine_and_is_not_put_twice() -> None:
    run = cut_off().found("a", None)
    number = run.question.number
    assert run.resume().question.number == number
    assert run.doubts == {}
    assert len(run.of(ev.QuestionOpened)) == 1


def test_a_start_that_was_not_durable_never_happened() -> None:
    run = World(plan(task("a"), task("b", "a"))).succeed("a")
    run.die(keep=run.of(ev.TaskStarted)[0].seq).resume().found("a", True)
    assert [event.task for event in run.of(ev.TaskStarted)] == ["a", "b"]
    assert run.status("b") == "running"


# -- everything else goes on -----------------------------------------------------------------------


def test_what_succeeded_does_not_run_again() -> None:
    run = World(plan(task("a"), task("b", "a"))).succeed("a").resume().found("b", True)
    assert run.finish_everything().state.status == "completed"
    assert [event.task for event in run.of(ev.TaskStarted)] == ["a", "b"]


def test_a_retry_is_due_when_it_was() -> None:
    run = World(plan(task("a"))).fail("a", FailureClass.TRANSIENT).resume()
    assert run.waits == {"retry:a": 2.0}
    assert run.fire("retry:a").status("a") == "running"


def test_a_retry_that_came_due_while_nobody_ran_happens_at_once() -> None:
    run = World(plan(task("a"))).fail("a", FailureClass.TRANSIENT)
    run.t = 60.0
    assert run.resume().fire("retry:a").status("a") == "running"
    assert run.t == 60.0


def test_a_lacking_resource_is_probed_again() -> None:
    run = World(plan(task("a"))).fail("a", FailureClass.RESOURCE).fire("probe:a").resume()
    assert run.fire("probe:a").probed(True).status("a") == "running"


def test_a_task_held_by_a_pool_is_held_again() -> None:
    run = World(plan(task("a", locks=("x",)), task("b", locks=("x",)))).resume()
    assert run.found("a", True).status("b") == "running"


def test_an_operators_pause_ends_with_the_engine() -> None:
    run = World(plan(task("a"), task("b"), workers=1)).report(rep.Pause(actor="ann")).succeed("a").resume()
    assert run.state.status == "running"
    assert run.status("b") == "running"


def test_a_rollback_that_was_decided_is_carried_out_once_the_doubt_is_settled() -> None:
    run = World(plan(task("a", critical=True), task("b"))).fail("a", FailureClass.PERMANENT).resume()
    assert not run.of(ev.RollbackStarted)
    assert run.found("b", True).jobs == {("b", "rollback"): 1}
    assert not run.of(ev.QuestionOpened)


def test_a_checkpoint_at_a_barrier_that_was_lost_is_asked_for_again() -> None:
    run = World(plan(task("a"), task("b", "a"), model="wave")).succeed("a").resume()
    assert [asked.trigger for asked in run.saves.values()] == ["barrier"]
    assert run.saved().status("b") == "running"


def test_a_doubt_that_a_rollback_went_past_is_looked_into_afterwards() -> None:
    run = World(plan(task("a"), task("b", "a"))).succeed("a").lose("b").found("b", None)
    run.decide("rollback", to="start").undo("a").resume()
    assert run.doubts == {("b", "run"): 1}
    run.found("b", False).finish_everything()
    assert run.state.status == "completed"


def test_a_completed_run_stays_complete() -> None:
    run = World(plan(task("a"))).finish_everything().resume()
    assert run.finish_everything().state.status == "completed"
    assert len(run.of(ev.TaskStarted)) == 1
