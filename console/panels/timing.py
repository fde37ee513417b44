"""Times of tasks in words and shares, on the run's clock."""

import math

from console.run_view import RunView
from console.underway import progress, share
from engine.machine.state import Attempt
from engine.machine.transitions import TaskStatus
from engine.plan.durations import format_duration


def elapsed(view: RunView, attempt: Attempt) -> float:
    """Seconds that an attempt took, or has taken up to now."""
    end = view.now_t if attempt.ended_t is None else attempt.ended_t
    return max(0.0, end - attempt.started_t)


def progress_of(view: RunView, task_id: str) -> float:
    """How far a running task is, where it tells that; else how much of its expected duration it has used: 0
    to 1, and above where it takes longer."""
    task = view.state.tasks[task_id]
    attempt, told = task.last, progress(task)
    if told and (done := share(told)) is not None:
        return math.floor(done * 100) / 100  # as it is told elsewhere: 100 % is said of nothing less
    expected = view.graph.expected_s[task_id]
    if attempt is None or expected <= 0:
        return 0.0
    return elapsed(view, attempt) / expected


def timing_words(view: RunView, task_id: str) -> str:
    """`  3m of 15m` while the task runs, `  took 14m` afterwards, `  expected 15m` before."""
    task = view.state.tasks[task_id]
    expected = format_duration(view.graph.expected_s[task_id])
    if task.last is None:
        return f"  expected {expected}"
    taken = format_duration(elapsed(view, task.last))
    if task.status is TaskStatus.RUNNING:
        return f"  {taken} of {expected}"
    return f"  took {taken}, expected {expected}"


def ago(seconds: float) -> str:
    return "just now" if seconds < 1 else f"{format_duration(seconds)} ago"
