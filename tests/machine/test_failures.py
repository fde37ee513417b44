"""What follows from each class of failure without a person."""

from engine.plan.models import FailureClass
from tests.machine.plans import plan, task
from tests.machine.world import World

TRANSIENT, RESOURCE = FailureClass.TRANSIENT, FailureClass.RESOURCE


def test_a_resumed_run_retries_what_waited_to_be_retried_though_it_once_lacked_a_resource() -> None:
    run = World(plan(task("a"))).fail("a", RESOURCE).fire("probe:a").probed(True).fail("a", TRANSIENT)
    run.resume()
    assert list(run.waits) == ["retry:a"]
    assert run.fire("retry:a").status("a") == "running"
