"""The dependency graph of a plan: order, generations, critical path, slack. Pure: no I/O and no clock.

Lengths are expected durations in seconds. A `Graph` takes a plan that has been checked; an unknown
dependency raises KeyError, and a cycle graphlib.CycleError, when the graph is walked.
"""

from functools import cached_property, lru_cache
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from engine.plan.models import Plan, expected_duration

if TYPE_CHECKING:
    import networkx as nx

_SAME_S = 1e-6
"""Two lengths closer than this are equal: sums of floats taken in another order differ a little."""

_KEPT_CLOSURES = 512
"""Closures are remembered for this many tasks: all of them would need memory in the square of the plan."""


class Graph:
    """The graph of `plan`. Whatever holds several tasks holds them in plan order."""

    def __init__(self, plan: Plan) -> None:
        self.order: tuple[str, ...] = tuple(task.id for task in plan.tasks)
        self.index: dict[str, int] = {task_id: position for position, task_id in enumerate(self.order)}
        self.parents: dict[str, tuple[str, ...]] = {
            task.id: tuple(sorted(set(task.needs), key=self.index.__getitem__)) for task in plan.tasks
        }
        children: dict[str, list[str]] = {task_id: [] for task_id in self.order}
        for task_id, parents in self.parents.items():
            for parent in parents:
                children[parent].append(task_id)
        self.children: dict[str, tuple[str, ...]] = {parent: tuple(of) for parent, of in children.items()}
        self.expected_s: dict[str, float] = {task.id: expected_duration(task) for task in plan.tasks}
        self.descendants = lru_cache(_KEPT_CLOSURES)(self._descendants)
        self.ancestors = lru_cache(_KEPT_CLOSURES)(self._ancestors)

    @classmethod
    def of(cls, plan: Plan) -> "Graph":
        return cls(plan)

    @cached_property
    def _dag(self) -> "nx.DiGraph[str]":
        import networkx as nx  # late: it takes a third of a second, and most commands ask for no closure

        dag: nx.DiGraph[str] = nx.DiGraph()
        dag.add_nodes_from(self.order)
        dag.add_edges_from((parent, child) for child, parents in self.parents.items() for parent in parents)
        return dag

    def _descendants(self, task_id: str) -> frozenset[str]:
        from networkx import descendants

        return frozenset(descendants(self._dag, task_id))

    def _ancestors(self, task_id: str) -> frozenset[str]:
        from networkx import ancestors

        return frozenset(ancestors(self._dag, task_id))

    @cached_property
    def generations(self) -> tuple[tuple[str, ...], ...]:
        """Tasks by rank: a task stands one generation after the latest of its parents."""
        ranks: list[tuple[str, ...]] = []
        sorter = TopologicalSorter(self.parents)
        sorter.prepare()
        while rank := sorter.get_ready():
            ranks.append(tuple(sorted(rank, key=self.index.__getitem__)))
            sorter.done(*rank)
        return tuple(ranks)

    @cached_property
    def generation(self) -> dict[str, int]:
        """The number of each task's generation, from 0."""
        return {task_id: number for number, rank in enumerate(self.generations) for task_id in rank}

    @cached_property
    def topological(self) -> tuple[str, ...]:
        """All tasks, each after its parents."""
        return tuple(task_id for rank in self.generations for task_id in rank)

    @cached_property
    def remaining(self) -> dict[str, float]:
        """The longest path from the start of each task to the end of the plan, itself included."""
        left: dict[str, float] = {}
        for task_id in reversed(self.topological):
            after = max((left[child] for child in self.children[task_id]), default=0.0)
            left[task_id] = self.expected_s[task_id] + after
        return left

    @cached_property
    def earliest(self) -> dict[str, float]:
        """When each task could start at the earliest, were there a lane and a resource for everything."""
        start: dict[str, float] = {}
        for task_id in self.topological:
            start[task_id] = max((start[p] + self.expected_s[p] for p in self.parents[task_id]), default=0.0)
        return start

    @cached_property
    def critical_path(self) -> tuple[str, ...]:
        """One longest path; of several equal ones the first in plan order."""
        path: list[str] = []
        following: tuple[str, ...] = self.generations[0]
        while following:
            task_id = max(following, key=self.remaining.__getitem__)
            path.append(task_id)
            following = self.children[task_id]
        return tuple(path)

    @cached_property
    def critical_path_s(self) -> float:
        return max(self.remaining.values())

    @cached_property
    def work_s(self) -> float:
        """All expected durations together: what one lane would need."""
        return sum(self.expected_s.values())

    @cached_property
    def slack(self) -> dict[str, float]:
        """How long each task may start late, lanes and resources aside, before the plan ends late."""
        spare = {
            task_id: self.critical_path_s - self.earliest[task_id] - self.remaining[task_id]
            for task_id in self.order
        }
        return {task_id: seconds if seconds > _SAME_S else 0.0 for task_id, seconds in spare.items()}

    @cached_property
    def critical(self) -> frozenset[str]:
        """The tasks without slack: those on any longest path."""
        return frozenset(task_id for task_id, seconds in self.slack.items() if seconds == 0.0)
