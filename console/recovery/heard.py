"""What the events of a run tell of waits for locks beyond the newest state of each task."""

from collections.abc import Sequence

from engine.machine import events as ev

Asked = tuple[ev.Intervention, int]
"""An intervention, and the backend that it was made against (0: the attempt's own)."""


class Heard:
    """Since when a task waits without a break, and what was asked for about its attempt and is not over."""

    def __init__(self) -> None:
        self._heard = 0
        self._since: dict[str, float] = {}
        self._asked: dict[str, set[Asked]] = {}

    def listen(self, events: Sequence[ev.Event]) -> None:
        """Take in what is new in `events`, all those of the run."""
        for number in range(self._heard, len(events)):
            self._take(events[number])
        self._heard = len(events)

    def since(self, task: str) -> float | None:
        """When on the run's clock the wait of `task` began; None where it waits for nothing. Between two
        tries a wait is not over."""
        return self._since.get(task)

    def asked(self, task: str) -> frozenset[Asked]:
        """What was asked for: `cancel_own` until the next attempt, anything else until its end was seen."""
        return frozenset(self._asked.get(task, ()))

    def _take(self, event: ev.Event) -> None:
        if isinstance(event, ev.TaskStarted | ev.RollbackStepStarted):
            self._since.pop(event.task, None)
            self._asked.pop(event.task, None)
        elif isinstance(event, ev.LockWaitChanged):
            if event.blockers:
                self._since.setdefault(event.task, event.t)
            else:
                self._since.pop(event.task, None)
        elif isinstance(event, ev.InterventionMade):
            self._asked.setdefault(event.task, set()).add((event.action, event.pid))
        elif isinstance(event, ev.InterventionEnded) and not (event.done and event.action == "cancel_own"):
            self._asked.get(event.task, set()).discard((event.action, event.pid))
