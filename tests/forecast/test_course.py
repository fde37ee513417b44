"""How a run is expected to go on from its middle: the same as it does go on, if all goes as expected."""

from collections.abc import Sequence

import pytest

from engine.forecast.consequences import expected_course
from engine.forecast.simulation import Simulation
from engine.graph import Graph
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.fold import replay
from engine.machine.state import State
from engine.plan.models import Plan
from tests.console.fixtures import reference_plan


def marks(events: Sequence[ev.Event]) -> list[tuple[object, ...]]:
    """Checkpoints and barriers, with their moments and what brought them about."""
    found: list[tuple[object, ...]] = []
    for event in events:
        if isinstance(event, ev.CheckpointSaved):
            found.append((event.trigger, event.note, round(event.t, 3)))
        elif isinstance(event, ev.BarrierReached):
            found.append(("reached", event.wave, round(event.t, 3)))
    return found


def told(plan: Plan) -> list[list[ev.Event]]:
    """All events of a run, step by step: a state is only ever looked at between steps."""
    simulation = Simulation(plan, keep_events=False)
    steps: list[list[ev.Event]] = []
    handle = simulation.machine.handle

    def handled(report: rep.Report, now: rep.Now) -> object:
        step = handle(report, now)
        steps.append(list(step.events))
        return step

    simulation.machine.handle = handled  # type: ignore[method-assign, assignment]
    simulation.run()
    return steps


@pytest.mark.parametrize("model", ["rolling", "wave"])
def test_the_checkpoints_that_are_expected_are_those_that_come(model: str) -> None:
    plan = reference_plan(model)
    odd = plan.checkpoints.model_copy(update={"every": 26_001.0})  # never at the moment at which a task ends
    plan = plan.model_copy(update={"checkpoints": odd})
    graph, steps = Graph(plan), told(plan)
    for upto in range(1, len(steps), 9):
        past = [event for step in steps[:upto] for event in step]
        future = [event for step in steps[upto:] for event in step]
        if not past or past[-1].t == future[0].t:
            continue  # what is asked for at this very moment has been answered elsewhere
        course = expected_course(replay(State(plan), past), graph)
        assert marks(course.events) == marks(future)
        assert course.end.finished_t == future[-1].t


def test_a_run_that_nothing_moves_any_more_is_not_followed_for_ever() -> None:
    plan = reference_plan()
    steps = told(plan)
    past = [event for step in steps[: len(steps) // 2] for event in step]
    state = replay(State(plan), past)
    running = next(task for task in state.lanes if task)
    state.tasks[running].status = type(state.tasks[running].status).FAILED  # and nobody asks what to do
    assert expected_course(state, Graph(plan)).end.finished_t is None
