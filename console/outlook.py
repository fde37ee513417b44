"""When a run is done: a bound, worked out in passing from expected durations.

No run with these durations ends sooner; most end a little later, since lanes and pools are never used to
the last second. An exact answer takes a simulation, which is what `forecast` is for.
"""

from collections.abc import Iterable

from console.run_view import RunView
from engine.machine.transitions import SETTLED, RunStatus, TaskStatus
from engine.plan.waves import wave_plan


def remaining_s(view: RunView) -> float | None:
    """Seconds on the run's clock until the run is done; None where nobody can tell: it is being rolled
    back, or none of what is left names a duration."""
    state = view.state
    if state.finished or state.status is RunStatus.ROLLING_BACK or state.stopping:
        return None
    left = _left(view)
    if not any(_has_duration(view, task_id) for task_id in left):
        return None
    lanes = len(state.lanes)
    if view.plan.model == "wave":
        waves = ([task for task in wave.tasks if task in left] for wave in wave_plan(view.plan, view.graph))
        return sum(_bound(view, wave, left, lanes) for wave in waves)
    return _bound(view, left, left, lanes)


def _left(view: RunView) -> dict[str, float]:
    """Unsettled tasks, and how long each is expected to run from now."""
    left: dict[str, float] = {}
    for task in view.state.tasks.values():
        if task.status in SETTLED:
            continue
        expected = view.graph.expected_s[task.id]
        last = task.last
        if task.status is TaskStatus.RUNNING and last:
            expected = max(expected - (view.now_t - last.started_t), 0.0)
        left[task.id] = expected
    return left


def _has_duration(view: RunView, task_id: str) -> bool:
    task = view.by_id[task_id]
    return task.duration is not None or bool(task.run.simulate and task.run.simulate.duration is not None)


def _bound(view: RunView, tasks: Iterable[str], left: dict[str, float], lanes: int) -> float:
    """The longer of the two: the longest chain among `tasks`, and all of them spread over the lanes."""
    wanted = set(tasks)
    longest: dict[str, float] = {}
    for task_id in reversed(view.graph.topological):
        if task_id in wanted:
            after = max((longest.get(child, 0.0) for child in view.graph.children[task_id]), default=0.0)
            longest[task_id] = left[task_id] + after
    return max(max(longest.values(), default=0.0), sum(left[task] for task in wanted) / lanes)
