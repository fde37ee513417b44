"""What the graph shows of a plan: all of it where it is small, and otherwise the frontier with its
neighbourhood in full, while the rest stands in for itself as counts, column by column."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from console.run_view import RunView
from engine.graph import Graph
from engine.machine.transitions import FRONTIER, TaskStatus
from engine.plan.models import Plan
from engine.plan.waves import wave_plan

WHOLE = 80
"""Up to this many tasks a plan is shown whole."""
_FOCUS = 36
"""In a larger plan: so many tasks that something happens to are shown at most, before their neighbours."""
_SHOWN = 56
"""In a larger plan: so many tasks are shown at most in all."""
_COLUMNS = 12
"""More columns than this, and those with nothing shown in them are drawn together into one."""

_SAME_S = 1e-6
_URGENT = (
    TaskStatus.FAILED,
    TaskStatus.IN_DOUBT,
    TaskStatus.ROLLING_BACK,
    TaskStatus.RUNNING,
    TaskStatus.WAITING,
    TaskStatus.READY,
    TaskStatus.CANCELLED,
)
ACTIVE = frozenset({TaskStatus.RUNNING, TaskStatus.FAILED, TaskStatus.IN_DOUBT, TaskStatus.ROLLING_BACK})

Edge = tuple[str, str]


@dataclass(frozen=True)
class Outline:
    """Columns of keys, and the edges between them. A key is a task, or a group that stands for many.

    `sections` are (title, first column, column after the last) of the waves, where there are any."""

    columns: tuple[tuple[str, ...], ...]
    edges: frozenset[Edge]
    critical: frozenset[Edge]
    groups: dict[str, tuple[str, ...]]
    sections: tuple[tuple[str, int, int], ...]

    @cached_property
    def column(self) -> dict[str, int]:
        return {key: index for index, keys in enumerate(self.columns) for key in keys}


def ranks_of(plan: Plan, graph: Graph) -> tuple[list[list[str]], list[tuple[str, int, int]]]:
    """Tasks by column, and the waves over the columns: generations, or in the wave model the generations
    of one wave after those of the one before it."""
    if plan.model != "wave":
        return [list(generation) for generation in graph.generations], []
    ranks: list[list[str]] = []
    sections = []
    for wave in wave_plan(plan, graph):
        first = len(ranks)
        depth: dict[str, int] = {}
        for task in sorted(wave.tasks, key=graph.generation.__getitem__):
            depth[task] = 1 + max((depth[need] for need in graph.parents[task] if need in depth), default=-1)
        ranks += [[] for _ in range(max(depth.values()) + 1)]
        for task in wave.tasks:
            ranks[first + depth[task]].append(task)
        sections.append((wave.title, first, len(ranks)))
    return ranks, sections


def focus_of(view: RunView, selected: str | None, rows: int) -> frozenset[str]:
    """The tasks shown in full: all of a small plan; of a large one those that something happens to, the most
    urgent first, and then the tasks beside them, about as many as can be seen at once in so many rows."""
    if len(view.graph.order) <= WHOLE:
        return frozenset(view.graph.order)
    most, most_in_all = min(_FOCUS, 2 * rows), min(_SHOWN, 3 * rows)
    by_status: dict[TaskStatus, list[str]] = {status: [] for status in _URGENT}
    for task in view.state.tasks.values():
        if task.status in by_status:
            by_status[task.status].append(task.id)
    shown: dict[str, None] = dict.fromkeys([selected] if selected else [])
    for status in _URGENT:
        shown.update(dict.fromkeys(by_status[status][: max(0, most - len(shown))]))
    for task_id in list(shown):
        beside = (*view.graph.parents[task_id], *view.graph.children[task_id])
        shown.update(dict.fromkeys(beside[: max(0, most_in_all - len(shown))]))
    return frozenset(shown)


def outline(plan: Plan, graph: Graph, focus: frozenset[str]) -> Outline:
    """The picture in which exactly the tasks in `focus` are shown one by one."""
    ranks, waves = ranks_of(plan, graph)
    key_of: dict[str, str] = {}
    columns: list[tuple[str, ...]] = []
    groups: dict[str, tuple[str, ...]] = {}
    starts: dict[int, int] = {}
    for first, run in _runs(ranks, focus, {start for _, start, _ in waves}):
        starts[first] = len(columns)
        shown = [task for task in run if task in focus]
        rest = tuple(task for task in run if task not in focus)
        if rest:
            group = f"+{len(columns)}"  # no task id holds a plus sign
            groups[group] = rest
            key_of.update(dict.fromkeys(rest, group))
        key_of.update(zip(shown, shown, strict=True))
        columns.append((*shown, *([group] if rest else [])))
    ends = [*sorted(starts.values())[1:], len(columns)]
    after = dict(zip(sorted(starts.values()), ends, strict=True))
    sections = []
    for title, first, last in waves:
        covered = [starts[rank] for rank in range(first, last) if rank in starts]
        sections.append((title, min(covered), after[max(covered)]))
    return Outline(tuple(columns), *_edges(graph, key_of), groups, tuple(sections))


def _runs(
    ranks: list[list[str]], focus: frozenset[str], breaks: set[int]
) -> Iterable[tuple[int, Sequence[str]]]:
    """Ranks that make one column, each with the number of its first rank; none reaches across a break."""
    together: list[str] = []
    begun = 0
    for rank, tasks in enumerate(ranks):
        quiet = len(ranks) > _COLUMNS and focus.isdisjoint(tasks)
        if together and (not quiet or rank in breaks):
            yield begun, together
            together = []
        if quiet:
            begun = begun if together else rank
            together = [*together, *tasks]
        else:
            yield rank, tasks
    if together:
        yield begun, together


def _edges(graph: Graph, key_of: dict[str, str]) -> tuple[frozenset[Edge], frozenset[Edge]]:
    """Edges between keys without those that others imply, and which of them the critical path takes."""
    pairs = {(key_of[need], key_of[task]) for task, needs in graph.parents.items() for need in needs}
    dag: nx.DiGraph[str] = nx.DiGraph((a, b) for a, b in pairs if a != b)
    edges = frozenset(nx.transitive_reduction(dag).edges)
    tight = {
        (key_of[need], key_of[task])
        for task in graph.critical
        for need in graph.parents[task]
        if need in graph.critical and graph.earliest[task] - _end(graph, need) < _SAME_S
    }
    return edges, edges & tight


def _end(graph: Graph, task: str) -> float:
    return graph.earliest[task] + graph.expected_s[task]


def counts_of(view: RunView, tasks: Sequence[str]) -> Counter[TaskStatus]:
    states = view.state.tasks
    return Counter(states[task].status for task in tasks)


def on_the_move(view: RunView) -> list[str]:
    """Where things happen: what runs or asks for attention, else the frontier, in plan order."""
    states = view.state.tasks.values()
    return [task.id for task in states if task.status in ACTIVE] or [
        task.id for task in states if task.status in FRONTIER
    ]
