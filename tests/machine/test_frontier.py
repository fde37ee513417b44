"""Which task starts next."""

import pytest

from engine.machine import events as ev
from engine.machine import reports as rep
from engine.plan.models import FailureClass, PolicyName, Task
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


# -- the order -------------------------------------------------------------------------------------


def one_by_one(*tasks: Task, policy: PolicyName = "critical-path") -> list[str]:
    return started(World(plan(*tasks, workers=1, policy=policy)).finish_everything())


def test_the_critical_path_comes_first_then_value_for_effort_then_low_risk_then_the_plans_order() -> None:
    tasks = [
        task("plain-1", duration=1.0, effort=1.0),
        task("plain-2", duration=1.0, effort=1.0),
        task("risky", duration=1.0, effort=1.0, risk=0.5),
        task("valued", duration=1.0, effort=1.0, value=2.0, risk=0.5),
        task("head", duration=0.5),
        task("tail", "head", duration=1.0, effort=1.0),
    ]
    assert one_by_one(*tasks) == ["head", "valued", "plain-1", "plain-2", "tail", "risky"]


def test_weighted_follows_the_published_formula() -> None:
    tasks = [
        task("slow", duration=1.0, effort=2.0, value=4.0),
        task("risky", duration=1.0, effort=1.0, value=4.0, risk=0.9),
        task("dear", duration=1.0, effort=1.0, value=3.0),
        task("on-the-path", duration=5.0, effort=1.0, value=1.6),
    ]
    assert one_by_one(*tasks, policy="weighted") == ["on-the-path", "dear", "slow", "risky"]


def test_fifo_starts_tasks_as_they_became_ready() -> None:
    tasks = [task("late", "b"), task("a"), task("b"), task("c", duration=99.0)]
    assert one_by_one(*tasks, policy="fifo") == ["a", "b", "c", "late"]


def test_no_lane_is_idle_while_a_task_could_run_on_it() -> None:
    run = World(plan(task("a"), task("b", "a"), task("c", "a"), task("d", "a"), workers=3))
    assert run.state.lanes == ["a", None, None]
    assert run.succeed("a").state.lanes == ["b", "c", "d"]


def test_what_a_task_needs_is_taken_at_once_or_not_at_all() -> None:
    run = World(
        plan(
            task("a", uses={"disk": 1}),
            task("b", uses={"disk": 2, "links": 1}),
            task("c", uses={"links": 1}),
            resources={"disk": 2, "links": 1},
        )
    )
    assert run.statuses() == {"a": "running", "b": "waiting", "c": "running"}
    assert run.state.tasks["b"].waiting_for == "disk: 1 of 2 in use, held by a"
    assert run.succeed("a").status("b") == "waiting"
    assert run.succeed("c").status("b") == "running"


def test_a_lock_is_a_pool_of_one() -> None:
    run = World(plan(task("a", locks=("orders",)), task("b", locks=("orders",)), task("c")))
    assert run.statuses() == {"a": "running", "b": "waiting", "c": "running"}
    assert run.state.tasks["b"].waiting_for == "lock orders, held by a"
