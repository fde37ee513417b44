"""Undoing: what is in scope, in which order, and what follows from a step that fails."""

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.plan.models import FailureClass
from tests.machine.plans import plan, task
from tests.machine.world import World


def checkpoint(run: World) -> World:
    return run.report(rep.TakeCheckpoint(actor="ann")).saved()


def roll_back(run: World, to: str = "last") -> World:
    return run.decide("rollback", question=0, to=to)


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
