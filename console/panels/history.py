"""What happened on the lanes, as spans of time: a fold of the events that only grows at its end.

The state knows every attempt, but not what a lane did before a task was rolled back or run again, what was
held up and when, nor when a barrier was reached. This keeps just that, so that panels need not walk all
events to draw one line."""

import bisect
from dataclasses import dataclass, field
from typing import NamedTuple

from console.run_view import RunView
from engine.machine import events as ev
from engine.machine.transitions import TaskStatus


@dataclass
class Span:
    """`task` from `start` to `end` (None: still there), in seconds. `status` is `waiting` for a task that
    holds its lane until a checkpoint is written, `running`, or what the attempt came to. `attempt` is 0 where
    it is no attempt of a task. A span that was held up along with others counts `more` of them."""

    task: str
    start: float
    end: float | None = None
    status: TaskStatus = TaskStatus.RUNNING
    attempt: int = 0
    more: int = 0

    def until(self, now: float) -> float:
        return max(now, self.start) if self.end is None else self.end


@dataclass
class Track:
    """Spans that do not overlap, in order; `troubles` are those of them that did not come to a good end.
    `changes` counts up whenever something in it did, but for the passing of time."""

    spans: list[Span] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    troubles: list[Span] = field(default_factory=list)
    changes: int = 0
    _busy_before: list[float] = field(default_factory=list)
    """Seconds of running in all spans before each one."""

    def begin(self, task: str, t: float, status: TaskStatus, attempt: int = 0, more: int = 0) -> None:
        self.finish(t, None)
        self._busy_before.append(self.busy(t))
        self.spans.append(Span(task, t, None, status, attempt, more))
        self.starts.append(t)
        self.changes += 1

    def finish(self, t: float, result: TaskStatus | None) -> None:
        """End the open span, if there is one; `result` None keeps its status."""
        last = self.spans[-1] if self.spans else None
        if last is None or last.end is not None:
            return
        last.end = t
        self.changes += 1
        if result is not None:
            last.status = result
            if result is not TaskStatus.SUCCEEDED:
                self.troubles.append(last)

    def at(self, t: float) -> int | None:
        """The number of the span at time `t`."""
        index = bisect.bisect_right(self.starts, t) - 1
        if index < 0:
            return None
        end = self.spans[index].end
        return index if end is None or t < end else None

    def busy(self, upto: float) -> float:
        """Seconds of running up to `upto`. Holding the lane for a checkpoint is not running."""
        index = bisect.bisect_right(self.starts, upto) - 1
        if index < 0:
            return 0.0
        span = self.spans[index]
        runs = span.status is not TaskStatus.WAITING
        return self._busy_before[index] + (min(span.until(upto), upto) - span.start if runs else 0.0)


class Barrier(NamedTuple):
    """When the barrier behind `wave` was reached, and the task that it waited for to the last."""

    t: float
    wave: str
    last: str


class TakenUp(NamedTuple):
    """When an engine took the run up, and how long it had been without one, in seconds of the wall clock."""

    t: float
    away_s: float


_RESULTS: dict[type[ev.Event], TaskStatus] = {
    ev.TaskSucceeded: TaskStatus.SUCCEEDED,
    ev.TaskFailed: TaskStatus.FAILED,
    ev.TaskCancelled: TaskStatus.CANCELLED,
    ev.TaskInDoubt: TaskStatus.IN_DOUBT,
    ev.TaskRolledBack: TaskStatus.ROLLED_BACK,
    ev.RollbackFailed: TaskStatus.FAILED,
    ev.TaskLeftApplied: TaskStatus.SUCCEEDED,
    ev.TaskReady: TaskStatus.WAITING,
    ev.TaskSkipped: TaskStatus.SKIPPED,
    ev.TaskWaived: TaskStatus.WAIVED,
    ev.TaskBlocked: TaskStatus.BLOCKED,
    ev.TaskReset: TaskStatus.WAITING,
}
"""Events that end what a task does on its lane or waits for, and as what."""
_PAUSED = "paused"
"""What stands for the whole run among what is held up."""


class History:
    """Lanes, rollback steps, what was held up, and barriers up to the event that `view` shows. `follow`
    brings it up to date."""

    def __init__(self, view: RunView) -> None:
        self.view = view
        self._clear()

    def _clear(self) -> None:
        self.seen = 0
        self.lanes: dict[int, Track] = {}
        self.undo = Track()
        self.held = Track()
        self.barriers: list[Barrier] = []
        self.taken_up: list[TakenUp] = []
        self.places: dict[str, list[tuple[int, Span]]] = {}
        """The lanes and spans of the attempts of each task, in order."""
        self._on: dict[str, Track] = {}
        self._waiting: dict[str, None] = {}
        self._settled_last = ""

    def follow(self) -> None:
        """Take in what has happened since; start over when the view has stepped back."""
        upto = self.view.state.seq
        if upto < self.seen:
            self._clear()
        for event in self.view.events[self.seen : upto]:
            self._take(event)
        self.seen = upto

    def _take(self, event: ev.Event) -> None:
        if isinstance(event, ev.TaskStarted):
            self._hold(event.t, ended=event.task)
            self._begin(event.lane, event.task, event.t, TaskStatus.RUNNING, event.attempt)
        elif isinstance(event, ev.TaskWaiting | ev.RetryScheduled):
            lane = event.lane if isinstance(event, ev.TaskWaiting) else None
            if lane is None:
                self._hold(event.t, begun=event.task)
            else:
                self._begin(lane, event.task, event.t, TaskStatus.WAITING)
        elif isinstance(event, ev.RollbackStepStarted):
            self.undo.begin(event.task, event.t, TaskStatus.ROLLING_BACK)
            self._on[event.task] = self.undo
        elif type(event) in _RESULTS:
            self._end(getattr(event, "task"), event)  # noqa: B009 - all of these events have a task
        else:
            self._take_of_run(event)

    def _take_of_run(self, event: ev.Event) -> None:
        if isinstance(event, ev.BarrierReached):
            self.barriers.append(Barrier(event.t, event.wave, self._settled_last))
        elif isinstance(event, ev.RunPaused):
            self._hold(event.t, begun=_PAUSED)
        elif isinstance(event, ev.RunResumed | ev.RollbackStarted | ev.RunFinished):
            self._hold(event.t, ended=_PAUSED)
            if isinstance(event, ev.RunResumed) and event.cause == "engine":
                before = self.view.events[event.seq - 2].at if event.seq > 1 else event.at
                self.taken_up.append(TakenUp(event.t, (event.at - before).total_seconds()))

    def _end(self, task: str, event: ev.Event) -> None:
        if isinstance(event, ev.TaskSucceeded | ev.TaskSkipped | ev.TaskWaived):
            self._settled_last = task
        if task in self._waiting:
            self._hold(event.t, ended=task)
        track = self._on.pop(task, None)
        if track:
            held = track.spans[-1].status is TaskStatus.WAITING
            track.finish(event.t, None if held else _RESULTS[type(event)])

    def _begin(self, lane: int, task: str, t: float, status: TaskStatus, attempt: int = 0) -> None:
        track = self.lanes.setdefault(lane, Track())
        track.begin(task, t, status, attempt)
        self._on[task] = track
        if attempt:
            self.places.setdefault(task, []).append((lane, track.spans[-1]))

    def _hold(self, t: float, *, begun: str = "", ended: str = "") -> None:
        """`begun` is held up from `t` on, `ended` is so no more. The spans of `held` are the stretches in
        which the same tasks are, told by the first of them; a run that is paused goes before them all."""
        before = dict(self._waiting)
        if begun:
            self._waiting[begun] = None
        self._waiting.pop(ended, None)
        if self._waiting == before:
            return
        self.held.finish(t, None)
        if self._waiting:
            first = _PAUSED if _PAUSED in self._waiting else next(iter(self._waiting))
            self.held.begin(first, t, TaskStatus.WAITING, more=len(self._waiting) - 1)
