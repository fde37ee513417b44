"""Waves and phases in their order."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from engine.plan.models import Plan


class TaskGraph(Protocol):
    """What is asked of a graph here; `engine.graph.Graph` has it, and stands above the plan."""

    @property
    def order(self) -> tuple[str, ...]: ...
    @property
    def parents(self) -> Mapping[str, tuple[str, ...]]: ...
    @property
    def topological(self) -> tuple[str, ...]: ...
    @property
    def generations(self) -> tuple[tuple[str, ...], ...]: ...
    @property
    def generation(self) -> Mapping[str, int]: ...


@dataclass(frozen=True, slots=True)
class WaveSlot:
    """A wave with its tasks, in plan order."""

    id: str
    title: str
    tasks: tuple[str, ...]


def wave_plan(plan: Plan, graph: TaskGraph) -> tuple[WaveSlot, ...]:
    """The waves of a checked plan in order, without empty ones.

    Those of `waves`; else those that tasks name, in order of appearance; else one for each generation of the
    graph. A task without a wave is in the earliest that its dependencies allow.
    """
    titles = _titles(plan)
    if titles:
        numbers = {wave: number for number, wave in enumerate(titles)}
        named = {task.id: numbers[task.wave] for task in plan.tasks if task.wave is not None}
        wave_of: Mapping[str, int] = place(graph.topological, graph.parents, named)
    else:
        titles = {f"wave-{number}": f"Wave {number}" for number in range(1, len(graph.generations) + 1)}
        wave_of = graph.generation
    members: list[list[str]] = [[] for _ in titles]
    for task_id in graph.order:
        members[wave_of[task_id]].append(task_id)
    slots = zip(titles.items(), members, strict=True)
    return tuple(WaveSlot(wave, title, tuple(tasks)) for (wave, title), tasks in slots if tasks)


def _titles(plan: Plan) -> dict[str, str]:
    """The waves that the plan lists, or that its tasks name, in order; nothing where there are none."""
    if plan.waves:
        return {wave.id: wave.name or wave.id for wave in plan.waves}
    return {task.wave: task.wave for task in plan.tasks if task.wave is not None}


def place(
    topological: Iterable[str], needs: Mapping[str, Collection[str]], named: Mapping[str, int]
) -> dict[str, int]:
    """The number of the wave of each task: the one it names, or else the earliest that its needs allow."""
    placed: dict[str, int] = {}
    for task_id in topological:
        earliest = max((placed[need] for need in needs[task_id]), default=0)
        placed[task_id] = named.get(task_id, earliest)
    return placed


def phase_order(plan: Plan) -> tuple[str, ...]:
    """The phases that the plan lists; else those that its tasks name, in order of appearance."""
    return plan.phases or tuple(dict.fromkeys(task.phase for task in plan.tasks if task.phase is not None))
