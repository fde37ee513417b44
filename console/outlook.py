"""What is still to come: when the run is done, and what each lane will have done by then."""

from typing import NamedTuple

from engine.graph import Graph
from engine.machine.state import State

Bar = tuple[str, int, float, float]
"""(task, lane, start, end), in seconds on the run's clock."""


class Outlook(NamedTuple):
    """`finish_t` is None where no end is in sight without an operator."""

    finish_t: float | None
    bars: tuple[Bar, ...] = ()


def look_ahead(state: State, graph: Graph, now_t: float) -> Outlook:
    """The outlook if all goes as expected from `now_t` on: the engine's own machine, run forward. Meant for
    a thread: `state` must not change meanwhile."""
    # Late: a console that only looks at a record never needs it.
    from engine.forecast.consequences import expected_end

    state.t = now_t
    end = expected_end(state, graph)
    bars = [
        (task.id, attempt.lane, attempt.started_t, attempt.ended_t)
        for task in end.tasks.values()
        for attempt in task.attempts
        if attempt.ended_t is not None and attempt.ended_t > now_t
    ]
    return Outlook(end.finished_t, tuple(bars))
