"""What a screen knows of a run: the plan, the events so far, and the state they fold to.

Widgets read a RunView and never hold a copy of anything in it. `revision` changes whenever the state
did; a widget that remembers the revision it drew knows whether it is stale.
"""

import bisect
from collections.abc import Callable, Sequence
from typing import Protocol

from console.outlook import Outlook
from engine.graph import Graph
from engine.machine.events import Event, PlanChanged, QuestionOpened
from engine.machine.fold import apply, replay
from engine.machine.reports import AnyReport
from engine.machine.state import State
from engine.plan.models import Plan, Task
from engine.plan.pinned import unpin


class Controls(Protocol):
    """How a screen reaches the engine that owns the run. Absent in the inspector."""

    def report(self, report: AnyReport) -> None:
        """Tell the machine what the operator chose. What came of it arrives as events."""

    def now_t(self) -> float:
        """Seconds on the run's clock."""

    def trouble(self) -> str:
        """What keeps the engine from making events durable at the moment, in words; empty if nothing."""

    def opening(self) -> str:
        """What of the run's targets the engine is busy with before it begins, in words; empty otherwise."""


OutputSource = Callable[[str, int], Sequence[str]]
"""The kept output of (task, attempt): lines, safe for screens, oldest first; empty where none is kept."""


class RunView:
    def __init__(
        self,
        plan: Plan,
        *,
        controls: Controls | None = None,
        output: OutputSource = lambda _task, _attempt: (),
    ) -> None:
        self.controls = controls
        self._kept_output = output
        self.events: list[Event] = []
        self.revision = 0
        self.expected = Outlook()
        """What is expected of the newest state from now on, as far as it has been worked out."""
        self._live = State(plan)
        self._past: State | None = None
        self._began = plan, self._live.pools
        self._derived: dict[int, tuple[Graph, dict[str, Task]]] = {}
        """Graph and tasks of each plan that was looked at, by the event that brought it."""

    @property
    def state(self) -> State:
        """The state shown: the newest, or in the inspector the one stepped back to."""
        return self._past or self._live

    @property
    def plan(self) -> Plan:
        """The plan that the run goes by in the state shown: it can be changed in the course of a run."""
        return self.state.plan

    def plan_at(self, seq: int) -> Plan:
        """The plan that the run went by when event `seq` happened."""
        changes = (each for each in reversed(self.events) if isinstance(each, PlanChanged))
        change = next((each for each in changes if each.seq <= seq), None)
        return unpin(change.pinned.encode()) if change else self._began[0]

    @property
    def graph(self) -> Graph:
        return self._of_plan[0]

    @property
    def by_id(self) -> dict[str, Task]:
        return self._of_plan[1]

    @property
    def _of_plan(self) -> tuple[Graph, dict[str, Task]]:
        state = self.state
        if state.plan_seq not in self._derived:
            self._derived[state.plan_seq] = Graph(state.plan), {task.id: task for task in state.plan.tasks}
        return self._derived[state.plan_seq]

    @property
    def newest(self) -> State:
        return self._live

    @property
    def outlook(self) -> Outlook:
        """What is expected from the state shown on: nothing where that is a record."""
        return Outlook() if self._past is not None or self.state.finished else self.expected

    @property
    def read_only(self) -> bool:
        return self.controls is None or self._past is not None

    @property
    def now_t(self) -> float:
        """Seconds on the run's clock: what a growing bar is drawn up to."""
        state = self.state
        if self._past is not None or self.controls is None or state.finished or not state.started:
            return state.t
        return max(state.t, self.controls.now_t())

    @property
    def trouble(self) -> str:
        """What keeps the engine from going on, though no event can say so: its journal cannot be written."""
        return self.controls.trouble() if self.controls else ""

    @property
    def opening(self) -> str:
        """What the engine does before it begins, though no event can say so: it opens the run's targets."""
        return self.controls.opening() if self.controls else ""

    def output(self, task_id: str, attempt: int) -> Sequence[str]:
        """What an attempt printed: all that is kept, or what its events hold of it."""
        if kept := self._kept_output(task_id, attempt):
            return kept
        attempts = self.state.tasks[task_id].attempts
        return [line for each in attempts if each.number == attempt for line in each.tail.splitlines()]

    def fold(self, events: Sequence[Event]) -> None:
        """Take in the newest events, in order."""
        for event in events:
            apply(self._live, event)
            if isinstance(event, QuestionOpened):
                self.expected = Outlook()  # it was that nobody would be asked
        self.events.extend(events)
        self.revision += 1

    def show_past(self, seq: int | None) -> None:
        """Show the run as it stood after event `seq`; None goes back to the newest."""
        if seq is None or seq >= self._live.seq:
            self._past = None
        else:
            self._past = self.state_at(seq)
        self.revision += 1

    def state_at(self, seq: int) -> State:
        """The run as it stood after event `seq`. Walks all events up to there."""
        upto = bisect.bisect_right(self.events, seq, key=lambda event: event.seq)
        return replay(State(*self._began), self.events[:upto])
