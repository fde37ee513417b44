"""Which tasks the graph shows one by one: all of a small plan, and of a large one the frontier with its
neighbourhood; and in both what the operator has expanded, without what he has collapsed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from console.panels.ground import Parts
from console.run_view import RunView
from engine.machine.transitions import FRONTIER, TaskStatus

WHOLE = 80
"""Up to this many tasks a plan is shown whole."""
_CORE = 36
"""In a larger plan: so many tasks that something happens to are shown at most, before their neighbours."""
_SHOWN = 56
"""In a larger plan: so many tasks are shown at most in all."""
_BESIDE = 12
"""So many dependants of one task are shown at most, and so many dependencies."""
AT_ONCE = 200
"""Tasks of a group that are brought out at once when it is expanded; the rest stay a group."""

NEEDED = frozenset({TaskStatus.FAILED, TaskStatus.IN_DOUBT, TaskStatus.ROLLING_BACK})
"""What an operator has to see at once, wherever it happens."""
ACTIVE = NEEDED | {TaskStatus.RUNNING}
_URGENT = (
    *(TaskStatus.FAILED, TaskStatus.IN_DOUBT, TaskStatus.ROLLING_BACK),
    *(TaskStatus.RUNNING, TaskStatus.WAITING, TaskStatus.READY, TaskStatus.CANCELLED),
)


@dataclass
class Hand:
    """What the operator has expanded and collapsed: tasks to bring out, and tasks to count."""

    opened: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)

    def expand(self, tasks: Iterable[str]) -> None:
        some = list(tasks)[:AT_ONCE]
        self.opened.update(some)
        self.closed.difference_update(some)

    def collapse(self, tasks: Iterable[str]) -> None:
        some = set(tasks)
        self.opened -= some
        self.closed |= some

    def __bool__(self) -> bool:
        return bool(self.opened or self.closed)


@dataclass(frozen=True)
class Moment:
    """What happens at the moment, each in plan order; `core` with the most urgent first, as far as there is
    room for it, and `needed` is what of it must be seen."""

    core: tuple[str, ...]
    needed: frozenset[str]
    moving: tuple[str, ...]
    """Where things happen: what is asked about, fails or runs; else the frontier."""


def moment_of(view: RunView, rows: int) -> Moment:
    """What the graph is to show first as things stand, where it has `rows` rows."""
    state = view.state
    by_status: dict[TaskStatus, list[str]] = {status: [] for status in _URGENT}
    if any(state.counts[status] for status in _URGENT):
        for task in state.tasks.values():
            if task.status in by_status:
                by_status[task.status].append(task.id)
    asked = dict.fromkeys(question.task for question in state.questions.values() if question.task)
    urgent = [*asked, *(task for status in _URGENT for task in by_status[status] if task not in asked)]
    active = [task for task in urgent if state.tasks[task].status in ACTIVE or task in asked]
    core = tuple(urgent[: min(_CORE, 2 * rows)])
    needed = frozenset(task for task in core if state.tasks[task].status in NEEDED or task in asked)
    frontier = [task for status in FRONTIER for task in by_status.get(status, ())]
    return Moment(core, needed, tuple(active or frontier))


def focus_of(view: RunView, moment: Moment, chosen: str | None, rows: int, hand: Hand) -> frozenset[str]:
    """The tasks to show one by one. What must be seen stays in sight even where it was collapsed."""
    order = view.graph.order
    if len(order) <= WHOLE:
        shown: Iterable[str] = order
    else:
        shown = _nearby(view, [*([chosen] if chosen else []), *moment.core], min(_SHOWN, 3 * rows))
    forced = moment.needed | ({chosen} if chosen else set())
    return frozenset(shown) - hand.closed | hand.opened | forced


def _nearby(view: RunView, core: list[str], most: int) -> Iterator[str]:
    """`core`, and then the tasks beside it as long as there are not too many: those to come first."""
    shown = dict.fromkeys(core)
    for beside in (view.graph.children, view.graph.parents):
        for task_id in core:
            shown.update(dict.fromkeys(beside[task_id][: max(0, min(_BESIDE, most - len(shown)))]))
    return iter(shown)


def collapsible(parts: Parts, task_id: str) -> list[str]:
    """The tasks that are collapsed together with this one: those of its wave, phase or generation."""
    return [task for task, part in parts.of.items() if part == parts.of[task_id]]
