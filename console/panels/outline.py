"""What the graph shows one by one, and what stands in for itself as counts, column by column. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from console.panels.ground import Edge, Ground, essential
from console.run_view import RunView
from engine.machine.transitions import TaskStatus

_COLUMNS = 12
"""More columns than this, and those with nothing shown in them are drawn together whatever they hold."""
_FEW_GROUPS = 8
"""With more groups than this, lines between them are left out."""
_GROUP = "+"
"""What the keys of groups begin with; no task id holds one."""
_STACKED = 6
"""Groups in one column at most; more parts than this are counted together."""


@dataclass(frozen=True)
class Outline:
    """Columns of keys, and the edges between them. A key is a task, or a group that stands for many.

    `titles` say what each group is counted under. `sections` are (title, first column, column after the last)
    of the waves, where there are any."""

    columns: tuple[tuple[str, ...], ...]
    edges: frozenset[Edge]
    critical: frozenset[Edge]
    groups: dict[str, tuple[str, ...]]
    titles: dict[str, str]
    sections: tuple[tuple[str, int, int], ...]
    key_of: dict[str, str]
    """The key that each task is drawn as, or counted in."""

    @cached_property
    def column(self) -> dict[str, int]:
        return {key: index for index, keys in enumerate(self.columns) for key in keys}


def outline(ground: Ground, focus: frozenset[str]) -> Outline:
    """The picture in which exactly the tasks in `focus` are shown one by one."""
    key_of: dict[str, str] = {}
    columns: list[tuple[str, ...]] = []
    groups: dict[str, tuple[str, ...]] = {}
    runs = list(_runs(ground, focus))
    for run in runs:
        tasks = [task for rank in run for task in ground.ranks[rank]]
        shown = [task for task in tasks if task in focus]
        key_of.update(zip(shown, shown, strict=True))
        made = {}
        for members in _groups(ground, [task for task in tasks if task not in focus]):
            group = _GROUP + members[0]
            made[group] = tuple(members)
            key_of.update(dict.fromkeys(members, group))
        columns.append((*shown, *made))
        groups |= made
    edges, critical = _edges(ground, key_of, columns)
    titles = {group: ground.parts.title(tasks) for group, tasks in groups.items()}
    return Outline(
        tuple(columns), edges, critical, groups, titles, tuple(_sections(ground, columns, groups)), key_of
    )


def _runs(ground: Ground, focus: frozenset[str]) -> Iterator[range]:
    """Ranks that make one column each: one rank, or several side by side in which nothing is shown."""
    quiet = [focus.isdisjoint(tasks) for tasks in ground.ranks]
    runs = _joined(quiet, _breaks(ground))
    if len(runs) > _COLUMNS:
        awake = {wave for wave, still in zip(ground.waves, quiet, strict=False) if not still}
        runs = _joined(
            quiet,
            {
                rank
                for rank in _wave_starts(ground)
                if not awake.isdisjoint(ground.waves[rank - 1 : rank + 1])
            },
        )
    return iter(runs)


def _joined(quiet: Sequence[bool], breaks: set[int]) -> list[range]:
    runs: list[range] = []
    for rank, still in enumerate(quiet):
        if runs and still and quiet[rank - 1] and rank not in breaks:
            runs[-1] = range(runs[-1].start, rank + 1)
        else:
            runs.append(range(rank, rank + 1))
    return runs


def _wave_starts(ground: Ground) -> set[int]:
    waves = ground.waves
    return {rank for rank in range(1, len(waves)) if waves[rank] != waves[rank - 1]}


def _breaks(ground: Ground) -> set[int]:
    """Ranks that begin something new: a wave, or a rank with none of the phases of the one before it."""
    if ground.waves or not ground.parts.named:
        return _wave_starts(ground)
    parts = [{ground.parts.of[task] for task in tasks} for tasks in ground.ranks]
    return {rank for rank in range(1, len(parts)) if parts[rank].isdisjoint(parts[rank - 1])}


def _groups(ground: Ground, tasks: list[str]) -> list[list[str]]:
    """`tasks` by their part; all together where that would be too many groups."""
    by_part: dict[int, list[str]] = {}
    for task in tasks:
        by_part.setdefault(ground.parts.of[task], []).append(task)
    if len(by_part) > (_STACKED if ground.parts.named else 1):
        return [tasks]
    return [by_part[part] for part in sorted(by_part)]


def _edges(
    ground: Ground, key_of: dict[str, str], columns: list[tuple[str, ...]]
) -> tuple[frozenset[Edge], frozenset[Edge]]:
    """Edges between keys without those that others imply, and which of them the critical path takes. Not
    shown is what runs inside one column, from group to group; nor, where there are many groups, what runs
    between any two of them, off the critical path: it would hide the lines of the tasks."""
    column = {key: index for index, keys in enumerate(columns) for key in keys}
    pairs = {(key_of[need], key_of[task]) for need, task in ground.edges}
    edges = frozenset(essential((pair for pair in pairs if column[pair[0]] < column[pair[1]]), columns))
    critical = edges & {(key_of[need], key_of[task]) for need, task in ground.tight}
    groups = {key for key in column if key.startswith(_GROUP)}
    if len(groups) > _FEW_GROUPS:
        edges = frozenset(pair for pair in edges if not groups.issuperset(pair)) | critical
    return edges, critical


def _sections(
    ground: Ground, columns: Sequence[Sequence[str]], groups: dict[str, tuple[str, ...]]
) -> Iterator[tuple[str, int, int]]:
    if not ground.waves:
        return
    held = [tuple(task for key in keys for task in groups.get(key, (key,))) for keys in columns]
    waves = [{ground.parts.of[task] for task in tasks} for tasks in held]
    first = 0
    for index in range(1, len(columns) + 1):
        if index == len(columns) or waves[index] != waves[first]:
            yield ground.parts.title(task for tasks in held[first:index] for task in tasks), first, index
            first = index


def counts_of(view: RunView, tasks: Iterable[str]) -> Counter[TaskStatus]:
    """How many of `tasks` have which status, in the state shown."""
    states = view.state.tasks
    return Counter([states[task].status for task in tasks])
