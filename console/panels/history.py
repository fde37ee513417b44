"""What happened on the lanes, as spans of time: a fold of the events that only grows at its end.

The state knows every attempt, but not what a lane did before a task was rolled back or run again, nor when
a barrier was reached. This keeps just that, so that panels need not walk all events to draw one line."""

import bisect
from dataclasses import dataclass, field

from console.run_view import RunView
from engine.machine import events as ev
from engine.machine.transitions import TaskStatus


@dataclass
class Span:
    """`task` from `start` to `end` (None: still there), in seconds. `status` is `waiting` for a task that
    holds its lane until a checkpoint is written, `running`, or what the attempt came to."""

    task: str
    start: float
    end: float | None = None
    status: TaskStatus = TaskStatus.RUNNING


@dataclass
class Track:
    """Spans that do not overlap, in order; `failed` are the ends of those that did not come to a good end."""

    spans: list[Span] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    troubles: list[tuple[float, TaskStatus]] = field(default_factory=list)
    busy_s: float = 0.0
    """Seconds of running, all finished spans together."""

    def begin(self, task: str, t: float, status: TaskStatus) -> None:
        self.finish(t, None)
        self.spans.append(Span(task, t, None, status))
        self.starts.append(t)

    def finish(self, t: float, result: TaskStatus | None) -> None:
        """End the open span, if there is one; `result` None keeps its status."""
        last = self.spans[-1] if self.spans else None
        if last is None or last.end is not None:
            return
        last.end = t
        if last.status is TaskStatus.RUNNING:
            self.busy_s += t - last.start
        if result is not None:
            last.status = result
            if result is not TaskStatus.SUCCEEDED:
                self.troubles.append((t, result))

    def at(self, t: float) -> int | None:
        """The number of the span at time `t`."""
        index = bisect.bisect_right(self.starts, t) - 1
        if index < 0:
            return None
        end = self.spans[index].end
        return index if end is None or t < end else None

    def trouble_in(self, start: float, end: float) -> TaskStatus | None:
        """How an attempt that ended in this stretch of time ended, if not well."""
        index = bisect.bisect_left(self.troubles, start, key=lambda trouble: trouble[0])
        if index < len(self.troubles) and self.troubles[index][0] < end:
            return self.troubles[index][1]
        return None

    def busy(self, now: float) -> float:
        """Seconds of running up to `now`."""
        last = self.spans[-1] if self.spans else None
        running = last is not None and last.end is None and last.status is TaskStatus.RUNNING
        return self.busy_s + (max(0.0, now - last.start) if last and running else 0.0)


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
"""Events that end what a task does on its lane, and as what."""


class History:
    """Lanes, rollback steps and barriers up to the event that `view` shows. `follow` brings it up to date."""

    def __init__(self, view: RunView) -> None:
        self.view = view
        self._clear()

    def _clear(self) -> None:
        self.seen = 0
        self.lanes: dict[int, Track] = {}
        self.undo = Track()
        self.barriers: list[tuple[float, str]] = []
        self._on: dict[str, Track] = {}

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
            self._begin(self._lane(event.lane), event.task, event.t, TaskStatus.RUNNING)
        elif isinstance(event, ev.TaskWaiting):
            if event.lane is not None:
                self._begin(self._lane(event.lane), event.task, event.t, TaskStatus.WAITING)
        elif isinstance(event, ev.RollbackStepStarted):
            self._begin(self.undo, event.task, event.t, TaskStatus.ROLLING_BACK)
        elif isinstance(event, ev.BarrierReached):
            self.barriers.append((event.t, event.wave))
        elif type(event) in _RESULTS:
            task: str = getattr(event, "task")  # noqa: B009 - all of these events have a task
            track = self._on.pop(task, None)
            if track:
                held = track.spans[-1].status is TaskStatus.WAITING
                track.finish(event.t, None if held else _RESULTS[type(event)])

    def _lane(self, number: int) -> Track:
        return self.lanes.setdefault(number, Track())

    def _begin(self, track: Track, task: str, t: float, status: TaskStatus) -> None:
        track.begin(task, t, status)
        self._on[task] = track
