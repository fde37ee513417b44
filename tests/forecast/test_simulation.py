"""Virtual time: the same machine, and answers that are made up."""

from pathlib import Path
from random import Random

import pytest

import sample_plans
from engine.forecast.simulation import Outcomes, Simulation, everything_succeeds
from engine.graph import Graph
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.metrics import metrics
from engine.machine.state import State
from engine.plan.load import load_plan
from engine.plan.models import Action, Backfill, FailureClass, Plan, PolicyName, Task
from tests.machine.chance import any_world, anything_happens
from tests.machine.ledger import Ledger, snapshot
from tests.machine.plans import plan, task
from tests.machine.world import World

REFERENCE = Path(sample_plans.__file__).parent / "reference"
HOUR = 3600.0


def failing_once(failure_class: FailureClass, *tasks: str) -> Outcomes:
    """The first attempts at `tasks` fail in half their time; all others succeed."""

    def outcomes(task: Task, attempt: int, purpose: ev.Purpose) -> tuple[float, rep.Report]:
        takes, report = everything_succeeds(task, attempt, purpose)
        if attempt > 1 or purpose == "rollback" or task.id not in tasks:
            return takes, report
        failed = rep.Failed(
            task=task.id, attempt=attempt, failure_class=failure_class, reason="it broke", rule="test"
        )
        return takes / 2, failed

    return outcomes


def followed(simulation: Simulation, plan: Plan) -> State:
    """Where the simulation ends; every event of it kept the promises."""
    Ledger(plan, Graph(plan)).follow(simulation.events)
    return simulation.state


# -- the reference plan ----------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "hours"), [("critical-path", 48), ("weighted", 58)])
def test_the_reference_plan_as_a_rolling_frontier(policy: PolicyName, hours: int) -> None:
    rolling = load_plan(REFERENCE / "rolling.yaml").plan.model_copy(update={"policy": policy})
    simulation = Simulation(rolling)
    simulation.run()
    state = followed(simulation, rolling)
    assert state.status == "completed"
    assert state.finished_t == hours * HOUR
    assert metrics(state)["utilisation"] == pytest.approx(190 / (4 * hours), abs=1e-6)


def test_the_reference_plan_in_waves() -> None:
    waves = load_plan(REFERENCE / "waves.yaml").plan
    simulation = Simulation(waves)
    state = simulation.run()
    assert state.status == "completed"
    assert state.finished_t
    assert 48 * HOUR < state.finished_t <= 60 * HOUR
    assert followed(simulation, waves) is state


# -- time ------------------------------------------------------------------------------------------


def test_attempts_and_retries_take_their_time_and_nothing_else_does() -> None:
    simulation = Simulation(
        plan(task("a", duration=10.0), task("b", "a", duration=3.0)),
        outcomes=failing_once(FailureClass.TRANSIENT, "a", "b"),
    )
    assert simulation.run().finished_t == (5.0 + 2.0 + 10.0) + (1.5 + 2.0 + 3.0)


def test_the_wall_clock_goes_with_the_virtual_one() -> None:
    simulation = Simulation(plan(task("a", duration=90.0)))
    simulation.run()
    first, last = simulation.events[0], simulation.events[-1]
    assert (last.at - first.at).total_seconds() == last.t - first.t == 90.0


def test_a_timer_that_is_set_again_replaces_the_one_before() -> None:
    chain = [task("t0", duration=1.0), *(task(f"t{n}", f"t{n - 1}", duration=1.0) for n in range(1, 40))]
    simulation = Simulation(
        plan(*chain, checkpoints={"every": 12.0}),
        outcomes=failing_once(FailureClass.UNKNOWN, "t0", "t1", "t5"),
        on_unknown="retry",
    )
    simulation.run()
    saved = [event for event in simulation.events if isinstance(event, ev.CheckpointSaved)]
    assert [event.t for event in saved if event.trigger == "time"] == [18.5, 30.5]


# -- from the middle of a run ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_from_any_state_on_a_run_can_be_followed_to_its_end(seed: int) -> None:
    rng = Random(seed)
    world = any_world(rng)
    anything_happens(world, rng)
    before = snapshot(world.state.clone())
    simulation = Simulation(world.plan, world.graph, world.state, on_unknown="skip")
    simulation.take_up()
    if world.state.operator_pause is not None:
        simulation.report(rep.Continue(actor="preview"))
    state = simulation.run()
    assert snapshot(world.state) == before, "the state it began from was touched"
    world.ledger.follow(simulation.events)
    assert state.finished, (state.status, state.status_counts)


def test_what_is_in_flight_needs_the_rest_of_its_time() -> None:
    world = World(plan(task("a", duration=10.0), task("b", "a", duration=5.0)))
    world.t = 4.0
    world.report(rep.TakeCheckpoint(actor="ann"))
    simulation = Simulation(world.plan, state=world.state)
    simulation.take_up()
    assert simulation.run().finished_t == 15.0


@pytest.mark.parametrize(("fills", "finished_t"), [(True, 40 + 10 + 5), (False, 100 + 5)])
def test_a_backfill_in_flight_needs_the_time_that_it_tells_itself(fills: bool, finished_t: float) -> None:
    first = task("a", duration=100.0)
    if fills:
        backfill = Backfill(table="orders", key="id", sql="UPDATE orders …")
        first = first.model_copy(update={"run": Action(backfill=backfill, on="app")})
    world = World(plan(first, task("b", "a", duration=5.0)))
    for world.t, done in ((0.0, 0), (40.0, 800)):
        world.report(rep.Progressed(task="a", attempt=1, done=done, total=1000, unit="rows"))
    simulation = Simulation(world.plan, state=world.state)
    simulation.take_up()
    assert simulation.run().finished_t == finished_t


def test_a_barrier_whose_checkpoint_is_being_written_opens() -> None:
    world = World(plan(task("a"), task("b", "a", duration=5.0), model="wave")).succeed("a")
    simulation = Simulation(world.plan, state=world.state)
    simulation.take_up()
    assert simulation.run().finished_t == 5.0


def test_a_rollback_step_that_is_being_looked_into_goes_on() -> None:
    world = World(plan(task("a"), task("b", "a"))).succeed("a").fail("b").decide("rollback", to="start")
    simulation = Simulation(world.plan, state=world.lose("a", "rollback").state)
    simulation.take_up()
    assert simulation.run().status == "rolled_back"
