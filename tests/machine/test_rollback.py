"""Undoing: what is in scope, in which order, and what follows from a step that fails."""

from typing import Any

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.plan.models import FailureClass
from tests.machine.plans import plan, task
from tests.machine.world import World


def checkpoint(run: World) -> World:
    return run.report(rep.TakeCheckpoint(actor="ann")).saved()


def roll_back(run: World, to: str = "last") -> World:
    return run.decide("rollback", question=0, to=to)


def failed_step() -> World:
    """Two steps are done, and the one of `a` has failed."""
    run = World(plan(task("z"), task("a", "z"), task("b", "a"), task("c", "b"), task("d", "c")))
    roll_back(run.succeed("z", "a", "b", "c").fail("d"), to="start").undo("c", "b")
    return run.fail("a", FailureClass.TRANSIENT, "rollback")


def test_a_rollback_undoes_what_succeeded_since_one_step_at_a_time_against_the_dependencies() -> None:
    run = World(plan(task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"), task("e", "d")))
    checkpoint(run.succeed("a")).succeed("b", "c", "d").fail("e")
    roll_back(run)
    for each in ("d", "c", "b"):
        assert run.jobs == {(each, "rollback"): 1}
        assert run.status(each) == "rolling_back"
        run.undo(each)
    assert run.state.status == "rolled_back"
    assert run.statuses() == {
        "a": "succeeded",
        "e": "failed",
        **dict.fromkeys(("b", "c", "d"), "rolled_back"),
    }


def test_what_never_took_effect_is_not_undone() -> None:
    run = World(plan(task("a"), task("b"), task("c"), task("d", "a"), task("e")))
    run.succeed("a").fail("b", FailureClass.PERMANENT).fail("c", effect="unknown").lose("d").found("d", None)
    run.decide("skip", "waive")
    assert roll_back(run.succeed("e"), to="start").of(ev.RollbackStarted)[0].tasks == ("e", "a")


def test_what_a_task_gave_out_is_undone_with_it() -> None:
    run = World(plan(task("a", check=True), task("b", "a"))).succeed("a", outputs={"rows": 3}).fail("b")
    roll_back(run, to="start").undo("a")
    assert run.state.tasks["a"].outputs == {}


def test_what_the_operator_asserted_or_evidence_showed_to_be_done_is_undone() -> None:
    run = World(plan(task("a"), task("b"), task("c"))).lose("a").found("a", True).fail("b")
    roll_back(run.decide("skip", "assert_done"), to="start").fail("c")
    assert set(run.of(ev.RollbackStarted)[0].tasks) == {"a", "b"}


def test_resume_after_a_rollback_runs_what_was_undone_again_and_nothing_else() -> None:
    run = World(plan(task("a"), task("b", "a"), task("c", "b")))
    checkpoint(run.succeed("a")).succeed("b").fail("c")
    roll_back(run).undo("b").resume().finish_everything()
    assert run.state.status == "completed"
    started = [event.task for event in run.of(ev.TaskStarted)]
    assert started == ["a", "b", "c", "b", "c"]


def test_resume_after_a_rollback_forgets_the_skips_since_and_keeps_those_before() -> None:
    run = World(plan(task("a"), task("b", "a"), task("c"), task("d", "c"), task("e")))
    checkpoint(run.fail("a", FailureClass.PERMANENT)).fail("c", FailureClass.PERMANENT)
    roll_back(run.fail("e"), to="cp-0001").resume()
    assert run.statuses() == {
        "a": "skipped",
        "b": "blocked",
        "c": "running",
        "d": "pending",
        "e": "running",
    }


def test_a_failed_step_asks_whatever_its_class_and_holds_the_rest() -> None:
    run = failed_step()
    assert run.state.status == "rolling_back"
    assert run.question.about == "rollback_step"
    assert run.jobs == {}
    assert not run.of(ev.RetryScheduled)


def test_a_failed_step_can_be_retried() -> None:
    run = failed_step().decide("retry")
    assert run.jobs == {("a", "rollback"): 2}
    assert run.undo("a", "z").state.status == "rolled_back"


def test_a_failed_step_can_be_left_applied() -> None:
    run = failed_step().decide("skip", "leave_applied").undo("z")
    assert run.state.status_reason == "rolled back to start; stays applied: a"
    assert run.status("a") == "succeeded"


def test_a_failed_step_can_be_declared_undone_already() -> None:
    run = failed_step().decide("skip", "assert_done").undo("z")
    assert run.state.status_reason == "rolled back to start"
    assert run.status("a") == "rolled_back"


def test_a_rollback_aborted_half_way_goes_on_where_it_stopped() -> None:
    run = failed_step().decide("abort").finish_everything()
    assert run.state.status == "aborted"
    run.resume()
    assert run.state.status == "rolling_back"
    assert run.jobs == {("a", "rollback"): 2}
    assert run.undo("a", "z").state.status == "rolled_back"
    assert run.resume().finish_everything().state.status == "completed"


def test_an_engine_that_dies_in_a_step_leaves_it_in_doubt_and_evidence_settles_it() -> None:
    run = failed_step().decide("retry").resume()
    assert run.status("a") == "in_doubt"
    run.found("a", True, by="verify")
    assert run.status("a") == "rolled_back"
    assert run.jobs == {("z", "rollback"): 1}


def test_a_step_that_evidence_shows_undone_is_taken_again() -> None:
    run = failed_step().decide("retry").resume().found("a", False)
    assert run.jobs == {("a", "rollback"): 3}


def test_a_step_whose_doubt_nothing_settles_asks_even_if_the_task_is_idempotent() -> None:
    run = World(plan(task("a", idempotent=True), task("b", "a"))).succeed("a").fail("b")
    roll_back(run, to="start").lose("a", "rollback").found("a", None)
    assert run.question.about == "rollback_step"
    assert run.decide("retry").undo("a").state.status == "rolled_back"


def test_a_step_that_is_stopped_is_taken_up_again() -> None:
    run = failed_step().decide("retry").report(rep.Stop(actor="ann", reason="now", drain=False))
    assert run.cancelling == {("a", "rollback")}
    run.cancel("a", purpose="rollback").finish_everything()
    assert run.state.status == "aborted"
    assert run.resume().jobs == {("a", "rollback"): 3}


def test_a_step_that_is_stopped_with_unknown_effect_is_looked_into_first() -> None:
    run = failed_step().decide("retry").report(rep.Stop(actor="ann", reason="now", drain=False))
    run.cancel("a", "unknown", "rollback").finish_everything().resume()
    assert run.doubts == {("a", "rollback"): 2}
    assert run.found("a", True).status("a") == "rolled_back"


def test_a_run_cannot_be_paused_in_a_rollback() -> None:
    run = failed_step().report(rep.Pause(actor="ann"))
    assert run.of(ev.DecisionRefused)[0].why == "a rollback is under way"


def test_a_rollback_with_nothing_to_undo_ends_at_once() -> None:
    run = roll_back(World(plan(task("a"))).fail("a"))
    assert run.state.status == "rolled_back"


def test_no_checkpoint_stands_in_the_middle_of_a_skip() -> None:
    run = World(
        plan(task("a"), task("b", "a"), task("c"), task("d", "c"), checkpoints={"progress": 25}, workers=1)
    )
    run.fail("a", FailureClass.PERMANENT).saved("cp-0001").succeed("c")
    roll_back(run, to="cp-0001").succeed("d").finish_everything()
    assert run.state.status == "rolled_back"
    run.resume().finish_everything()
    assert run.state.status == "completed"
    assert run.statuses() == {"a": "skipped", "b": "blocked", "c": "succeeded", "d": "succeeded"}


def test_a_skip_blocks_nothing_that_already_has_what_it_needs() -> None:
    run = World(plan(task("a"), task("b", "a", undo=False), task("c", "b")))
    roll_back(run.succeed("a", "b").fail("c"), to="start").undo("a").resume()
    assert run.statuses() == {"a": "running", "b": "succeeded", "c": "running"}
    run.fail("a", FailureClass.PERMANENT).succeed("c")
    assert run.statuses() == {"a": "skipped", "b": "succeeded", "c": "succeeded"}


def test_steps_go_against_the_dependencies_even_where_a_need_was_run_again_later() -> None:
    run = World(plan(task("a"), task("b", "a"), task("c", "b")))
    roll_back(run.succeed("a", "b").fail("c"), to="start")
    run.fail("b", purpose="rollback").decide("skip", "leave_applied").undo("a")
    run.resume().succeed("a").fail("c")
    roll_back(run, to="start")
    assert run.of(ev.RollbackStarted)[-1].tasks == ("b", "a")


def test_of_two_critical_failures_the_second_is_not_forgotten() -> None:
    run = World(plan(task("z", undo=False), task("a", "z", critical=True), task("b", "z", critical=True)))
    run.succeed("z").fail("a", FailureClass.PERMANENT).fail("b", FailureClass.PERMANENT)
    while run.state.questions:
        run.decide("skip", "subtree")
    assert run.finish_everything().state.status == "completed"


def test_a_critical_failure_does_not_change_where_the_operator_rolls_back_to() -> None:
    run = World(plan(task("a"), task("b"), task("c", critical=True)))
    checkpoint(run.succeed("a"))
    roll_back(run, to="start").succeed("b").fail("c", FailureClass.PERMANENT)
    assert run.of(ev.RollbackStarted)[-1].to == "start"


def test_last_is_the_checkpoint_that_was_last_when_the_operator_decided() -> None:
    run = World(plan(task("a"), task("b"), task("c", "a")))
    checkpoint(run.succeed("a"))
    checkpoint(roll_back(run).succeed("b")).succeed("c")
    assert run.of(ev.RollbackStarted)[-1].to == "cp-0001"
    assert run.of(ev.RollbackStarted)[-1].tasks == ("c", "b")


def test_a_rollback_goes_where_it_was_sent_even_if_newer_checkpoints_push_that_one_out() -> None:
    run = World(plan(task("a"), task("b"), task("c", "a"), checkpoints={"keep": 1}))
    checkpoint(run.succeed("a"))
    checkpoint(roll_back(run, to="cp-0001").succeed("b")).succeed("c")
    assert run.of(ev.RollbackStarted)[-1].to == "cp-0001"
    assert run.of(ev.RollbackStarted)[-1].tasks == ("c", "b")


def failed_while_saving(**options: Any) -> World:
    """`c` fails for good while the checkpoint that holds `a` is being written."""
    run = World(plan(task("a", **options), task("b", "a", **options), task("c", "a", critical=True)))
    run.succeed("a").report(rep.TakeCheckpoint(actor="ann"))
    return run.succeed("b").fail("c", FailureClass.PERMANENT)


def test_an_engine_that_rolls_back_waits_for_the_checkpoint_that_is_being_written() -> None:
    run = failed_while_saving()
    assert not run.of(ev.RollbackStarted)
    assert run.saved().of(ev.RollbackStarted)[-1].to == "cp-0001"
    assert run.undo("b").of(ev.RunFinished)[-1].status == "rolled_back"
    assert run.status("a") == "succeeded"
    assert [made.to for made in run.of(ev.DecisionMade) if made.action == "rollback"] == ["start", "cp-0001"]


def test_where_that_checkpoint_cannot_be_written_it_goes_to_the_one_before() -> None:
    run = failed_while_saving().not_saved()
    assert run.of(ev.RollbackStarted)[-1].to == "start"
    assert run.of(ev.RollbackStarted)[-1].tasks == ("b", "a")


def test_nor_where_the_engine_dies_before_it_is() -> None:
    run = failed_while_saving().resume()
    assert run.of(ev.RollbackStarted)[-1].to == "start"


def test_what_would_stay_is_asked_about_for_the_place_it_goes_to() -> None:
    run = failed_while_saving(undo=False).saved()
    assert "A rollback to cp-0001 cannot undo b:" in run.question.reason
    run.decide("rollback").finish_everything()
    assert run.of(ev.RollbackStarted)[-1].to == "cp-0001"
    assert run.of(ev.RollbackStarted)[-1].stay == ("b",)


def test_a_rollback_that_was_decided_is_not_replaced_by_another() -> None:
    run = World(plan(task("a"), task("b"), task("c"), task("d")))
    checkpoint(run.succeed("d")).fail("a").fail("b")
    run.decide("rollback", to="start").decide("rollback", to="cp-0001")
    assert run.of(ev.DecisionRefused)[-1].why == "a rollback is under way already"
    assert run.succeed("c").of(ev.RollbackStarted)[-1].to == "start"


def test_a_checkpoint_that_a_rollback_went_behind_is_no_place_to_go_to_any_more() -> None:
    run = World(plan(task("a"), task("b", "a")))
    checkpoint(run.succeed("a"))
    roll_back(run.fail("b"), to="start").undo("a").resume()
    roll_back(run, to="cp-0001")
    assert run.of(ev.DecisionRefused)[-1].why == "there is no checkpoint cp-0001 to roll back to"
    assert roll_back(run.succeed("a").fail("b")).of(ev.RollbackStarted)[-1].to == "start"


def test_a_checkpoint_in_the_middle_of_a_rollback_is_no_place_to_go_to() -> None:
    run = World(plan(task("a"), task("b", "a"), task("c", "b"), task("d", "c")))
    roll_back(run.succeed("a", "b"), to="start").succeed("c").undo("c")
    checkpoint(run).undo("b", "a").resume().succeed("a").fail("b")
    assert roll_back(run).of(ev.RollbackStarted)[-1].to == "start"


def test_a_wave_goes_back_to_the_barrier_before_it_only_if_that_still_stands() -> None:
    run = World(
        plan(
            task("a", wave="w1"),
            task("b", "a", wave="w1", critical=True),
            task("c", "b", wave="w2"),
            model="wave",
        )
    )
    roll_back(run.succeed("a", "b").saved().fail("c"), to="start").undo("b", "a")
    run.resume().succeed("a").fail("b", FailureClass.PERMANENT)
    assert run.of(ev.RollbackStarted)[-1].to == "start"


def test_going_on_with_a_rollback_that_was_asked_about_goes_where_the_question_said() -> None:
    run = World(
        plan(
            task("a", wave="w1"),
            task("b", "a", wave="w2", undo=False),
            task("c", "b", wave="w2", critical=True),
            model="wave",
            checkpoints={"progress": 30},
        )
    )
    run.succeed("a").saved().succeed("b")
    checkpoint(run).fail("c", FailureClass.PERMANENT)
    assert "A rollback to cp-0001 cannot undo b" in run.question.reason
    run.decide("rollback").finish_everything()
    assert run.of(ev.RollbackStarted)[0].to == "cp-0001"
