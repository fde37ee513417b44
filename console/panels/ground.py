"""What of a plan's graph never changes while it is shown: its columns, its parts, its edges. Pure.

A part is what tasks are counted under where they are not shown one by one: a wave, a phase, or in a plan that
has neither a generation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from console.look import one_line, plural
from engine.graph import Graph
from engine.plan.models import Plan
from engine.plan.waves import phase_order, wave_plan

Edge = tuple[str, str]

_SAME_S = 1e-6


@dataclass(frozen=True)
class Parts:
    """`of` is the number of each task's part, in the order of `titles`; `named` unless it was we who made up
    the parts; `noun` is what one of them is called."""

    titles: tuple[str, ...]
    of: Mapping[str, int]
    noun: str
    named: bool = True

    def title(self, tasks: Iterable[str]) -> str:
        """What these tasks are counted under: the part they are in, or the first and the last of several."""
        numbers = {self.of[task] for task in tasks}
        first, last = min(numbers), max(numbers)
        if len(numbers) == 1:
            return self.titles[first]
        return plural(len(numbers), self.noun) if self.named else f"{self.noun}s {first + 1}–{last + 1}"


@dataclass(frozen=True)
class Ground:
    """`ranks` are the columns of the whole graph: generations, or in the wave model the generations of one
    wave after those of the one before it, and then `waves` holds the wave of each. `edges` are those that no
    others imply; on the way from `tight` to `tight` the critical path runs."""

    graph: Graph
    parts: Parts
    ranks: tuple[tuple[str, ...], ...]
    waves: tuple[int, ...]
    edges: tuple[Edge, ...]
    tight: tuple[Edge, ...]


def ground_of(plan: Plan, graph: Graph) -> Ground:
    """The ground of a plan; it takes a while with thousands of tasks, and stays while the plan is one."""
    parts = _parts(plan, graph)
    ranks: Sequence[Sequence[str]] = graph.generations
    waves: list[int] = []
    if plan.model == "wave":
        ranks, waves = _ranks_by_wave(parts, graph)
    reduced = essential([(need, task) for task in graph.topological for need in graph.parents[task]], ranks)
    tight = [
        (need, task)
        for task in graph.critical
        for need in graph.parents[task]
        if need in graph.critical and graph.earliest[task] - _end(graph, need) < _SAME_S
    ]
    return Ground(graph, parts, tuple(map(tuple, ranks)), tuple(waves), tuple(reduced), tuple(tight))


def _end(graph: Graph, task: str) -> float:
    return graph.earliest[task] + graph.expected_s[task]


def _parts(plan: Plan, graph: Graph) -> Parts:
    in_waves = plan.model == "wave"
    if not in_waves and any(task.phase for task in plan.tasks):
        number = {phase: index for index, phase in enumerate(phase_order(plan))}
        titles = [*map(one_line, number), "no phase"]
        return Parts(
            tuple(titles),
            {task.id: number[task.phase] if task.phase else len(number) for task in plan.tasks},
            "phase",
        )
    if in_waves:
        slots = wave_plan(plan, graph)
        named = bool(plan.waves) or any(task.wave for task in plan.tasks)
        return Parts(
            tuple(one_line(slot.title) for slot in slots),
            {task: index for index, slot in enumerate(slots) for task in slot.tasks},
            "wave",
            named,
        )
    titles = [f"generation {number}" for number in range(1, len(graph.generations) + 1)]
    return Parts(tuple(titles), graph.generation, "generation", named=False)


def _ranks_by_wave(parts: Parts, graph: Graph) -> tuple[list[list[str]], list[int]]:
    """Tasks by column, and the wave of each column: a task stands after those of its wave that it needs."""
    depth: dict[str, int] = {}
    members: dict[tuple[int, int], list[str]] = {}
    for task in graph.topological:
        wave = parts.of[task]
        before = (depth[need] for need in graph.parents[task] if parts.of[need] == wave)
        depth[task] = 1 + max(before, default=-1)
        members.setdefault((wave, depth[task]), []).append(task)
    order = sorted(members)
    return [sorted(members[key], key=graph.index.__getitem__) for key in order], [wave for wave, _ in order]


def essential(edges: Iterable[Edge], columns: Sequence[Sequence[str]]) -> list[Edge]:
    """Those of `edges` that the others do not imply. All run from a column to a later one."""
    place = {key: number for number, key in enumerate(key for keys in columns for key in keys)}
    ends: dict[str, set[str]] = {}
    for start, end in edges:
        ends.setdefault(start, set()).add(end)
    reach: dict[str, int] = {}
    """By node: a bit for each node that can be reached from it."""
    kept: list[Edge] = []
    for start in sorted(ends, key=place.__getitem__, reverse=True):
        reached = 0
        for end in sorted(ends[start], key=place.__getitem__):
            bit = 1 << place[end]
            if not reached & bit:
                kept.append((start, end))
                reached |= bit | reach.get(end, 0)
        reach[start] = reached
    return kept
