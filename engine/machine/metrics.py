"""Figures of a run, all derived from State."""

from typing import TypedDict

from engine.machine.state import State


class Metrics(TypedDict):
    """`utilisation` is the share of lane time that tasks ran in, `idle_s` the lane seconds they did not."""

    makespan_s: float
    utilisation: float
    idle_s: float
    checkpoints: int


def busy_seconds(state: State, upto_t: float) -> list[float]:
    """Seconds each lane has run tasks, until `upto_t` on the run's clock."""
    busy = [0.0] * len(state.lanes)
    for task in state.tasks.values():
        for attempt in task.attempts:
            ended = upto_t if attempt.ended_t is None else attempt.ended_t
            busy[attempt.lane] += ended - attempt.started_t
    return busy


def metrics(state: State, now_t: float | None = None) -> Metrics:
    """The run's figures at `now_t` on its clock (by default, at its last event)."""
    upto = state.finished_t if state.finished_t is not None else max(state.t, now_t or 0.0)
    busy = sum(busy_seconds(state, upto))
    capacity = upto * len(state.lanes)
    return Metrics(
        makespan_s=round(upto, 6),
        utilisation=round(busy / capacity, 6) if capacity else 0.0,
        idle_s=round(max(capacity - busy, 0.0), 6),
        checkpoints=len(state.checkpoints),
    )
