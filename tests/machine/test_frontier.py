"""Which task starts next."""

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.plan.models import FailureClass
from tests.machine.plans import plan, task
from tests.machine.world import World


def started(run: World) -> list[str]:
    return [event.task for event in run.of(ev.TaskStarted)]


def test_fifo_sends_a_task_that_comes_back_to_the_end_of_the_queue() -> None:
    run = World(plan(task("a"), task("b"), task("c"), workers=1, policy="fifo"))
    run.report(rep.Pause(actor="ann")).fail("a", FailureClass.TRANSIENT).fire("retry:a")
    run.report(rep.Continue(actor="ann")).finish_everything()
    assert started(run) == ["a", "b", "c", "a"]


def test_a_task_that_comes_back_is_said_to_wait_once() -> None:
    run = World(
        plan(task("a", uses={"disk": 1}), task("b", uses={"disk": 2}), workers=2, resources={"disk": 2})
    )
    run.fail("a", FailureClass.TRANSIENT)
    assert started(run) == ["a", "b"]
    run.fire("retry:a")
    assert [event.reason for event in run.new if event.kind == "task_waiting"] == [
        "disk: 2 of 2 in use, held by b"
    ]
