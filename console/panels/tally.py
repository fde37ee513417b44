"""How many tasks of each group have which status, kept up to date by what happens: to count thousands of
tasks again at every repaint would cost more than drawing them."""

from collections import Counter
from collections.abc import Mapping, Sequence

from console.run_view import RunView
from engine.machine.transitions import TaskStatus

_FEW = 2000
"""After more new events than this, counting again costs less than following them."""


class Tally:
    def __init__(self, view: RunView, groups: Mapping[str, Sequence[str]]) -> None:
        self._view = view
        self._groups = groups
        self._group_of = {task: group for group, tasks in groups.items() for task in tasks}
        self._state = view.state
        self._seen = 0
        self._status: dict[str, TaskStatus] = {}
        self._counts: dict[str, Counter[TaskStatus]] = {}
        self._recount()

    def counts(self, group: str) -> Counter[TaskStatus]:
        """Those of `group` as of the last `update`; a status may stand there with 0."""
        return self._counts[group]

    def update(self) -> None:
        """Take in what has happened since."""
        view = self._view
        if view.state is not self._state or len(view.events) - self._seen > _FEW:
            self._recount()
            return
        changed = {getattr(event, "task", "") for event in view.events[self._seen :]}
        self._seen = len(view.events)
        for task in changed & self._group_of.keys():
            counts = self._counts[self._group_of[task]]
            counts[self._status[task]] -= 1
            self._status[task] = view.state.tasks[task].status
            counts[self._status[task]] += 1

    def _recount(self) -> None:
        self._state = self._view.state
        self._seen = len(self._view.events)
        tasks = self._state.tasks
        self._status = {task: tasks[task].status for task in self._group_of}
        self._counts = {
            group: Counter(self._status[task] for task in members) for group, members in self._groups.items()
        }
