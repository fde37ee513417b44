"""When checkpoints are taken, and what depends on them."""

from engine.machine import reports as rep
from tests.machine.plans import plan, task
from tests.machine.world import World


def ask_for_checkpoint(run: World) -> World:
    return run.report(rep.TakeCheckpoint(actor="ann"))


def test_a_checkpoint_that_failed_does_not_give_its_name_to_another() -> None:
    run = World(plan(task("a")))
    ask_for_checkpoint(run)
    ask_for_checkpoint(run)
    run.not_saved("cp-0001").saved("cp-0002")
    ask_for_checkpoint(run).saved()
    assert list(run.state.checkpoints) == ["cp-0002", "cp-0003"]


def test_checkpoints_are_numbered_on_after_one_was_lost_with_its_engine() -> None:
    run = World(plan(task("a")))
    ask_for_checkpoint(run)
    ask_for_checkpoint(run)
    run.saved("cp-0002").die().resume()
    ask_for_checkpoint(run).saved()
    assert list(run.state.checkpoints) == ["cp-0002", "cp-0003"]
