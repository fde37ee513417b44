"""What is still to come: when the run is done, and what lanes, barriers and checkpoints will see by then."""

from typing import NamedTuple

from engine.graph import Graph
from engine.machine import events as ev
from engine.machine.state import State


class Bar(NamedTuple):
    """A task on its lane, in seconds on the run's clock."""

    task: str
    lane: int
    start: float
    end: float


class ExpectedBarrier(NamedTuple):
    """When the barrier behind `wave` is reached, and the task that it waits for to the last."""

    t: float
    wave: str
    last: str


class ExpectedCheckpoint(NamedTuple):
    """When a checkpoint is saved, and what brings it about, as the engine notes it."""

    t: float
    trigger: ev.Trigger
    note: str


class Outlook(NamedTuple):
    """`finish_t` is None where no end is in sight without an operator."""

    finish_t: float | None = None
    bars: tuple[Bar, ...] = ()
    barriers: tuple[ExpectedBarrier, ...] = ()
    checkpoints: tuple[ExpectedCheckpoint, ...] = ()


def look_ahead(state: State, graph: Graph, now_t: float) -> Outlook:
    """The outlook if all goes as expected from `now_t` on: the engine's own machine, run forward. Meant for
    a thread: `state` must not change meanwhile."""
    # Late: a console that only looks at a record never needs it.
    from engine.forecast.consequences import expected_course

    state.t = now_t
    course = expected_course(state, graph)
    bars = [
        Bar(task.id, attempt.lane, attempt.started_t, attempt.ended_t)
        for task in course.end.tasks.values()
        for attempt in task.attempts
        if attempt.ended_t is not None and attempt.ended_t > now_t
    ]
    return Outlook(course.end.finished_t, tuple(bars), *_marks(course.events))


def _marks(
    events: list[ev.Event],
) -> tuple[tuple[ExpectedBarrier, ...], tuple[ExpectedCheckpoint, ...]]:
    barriers: list[ExpectedBarrier] = []
    checkpoints: list[ExpectedCheckpoint] = []
    last = ""
    for event in events:
        if isinstance(event, ev.TaskSucceeded):
            last = event.task
        elif isinstance(event, ev.BarrierReached):
            barriers.append(ExpectedBarrier(event.t, event.wave, last))
        elif isinstance(event, ev.CheckpointSaved):
            checkpoints.append(ExpectedCheckpoint(event.t, event.trigger, event.note))
    return tuple(barriers), tuple(checkpoints)
