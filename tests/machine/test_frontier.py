"""Which task starts next."""

import pytest

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.plan.models import FailureClass, PolicyName
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


@pytest.mark.parametrize("policy", ["critical-path", "weighted", "fifo"])
@pytest.mark.parametrize(("workers", "units"), [(2, 2), (3, 2), (4, 2), (4, 4)])
def test_a_task_that_needs_a_whole_pool_does_not_starve(policy: PolicyName, workers: int, units: int) -> None:
    small = [task(f"s{n}", uses={"disk": 1}, value=9.0, duration=9.0) for n in range(30)]
    big = task("big", uses={"disk": units}, value=1.0, duration=1.0)
    run = World(plan(*small, big, workers=workers, policy=policy, resources={"disk": units}))
    in_flight = len(run.jobs)
    while run.status("big") != "running":
        run.succeed(next(iter(run.jobs))[0])
    assert len(started(run)) - 1 <= in_flight + workers


def test_what_a_reserved_turn_does_not_need_stays_free_for_others() -> None:
    smalls = [task(f"s{n}", uses={"disk": 1}, duration=9.0) for n in range(6)]
    run = World(
        plan(
            *smalls,
            task("big", uses={"disk": 2}),
            task("other", "s1", uses={"links": 1}),
            workers=2,
            resources={"disk": 2, "links": 1},
        )
    )
    run.succeed("s0", "s1", "s2")
    assert "big" not in started(run)
    assert run.status("other") == "running"


def test_tasks_of_one_size_never_wait_for_their_turn_but_follow_the_policy() -> None:
    tasks = [task(f"t{n}", uses={"disk": 1}, duration=float(n)) for n in range(12)]
    run = World(plan(*tasks, workers=3, resources={"disk": 1})).finish_everything()
    assert started(run) == [f"t{n}" for n in reversed(range(12))]
