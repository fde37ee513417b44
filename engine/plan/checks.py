"""What only the whole plan can tell: references, cycles, capacities, the order of waves.

The checks read the document rather than the models, and pass over whatever has the wrong shape: so a plan
with a misspelt key still hears about its cycles, and everything is reported at once.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any

from engine.plan.errors import quote, visible
from engine.plan.notes import Notes
from engine.plan.source import Loc
from engine.plan.waves import place

_MOST_CYCLES = 20
_SHOWN_CYCLE = 8


def check_document(notes: Notes) -> None:
    """Note everything that is wrong with the plan as a whole."""
    check = _Check(notes, _mapping(notes.document.data))
    check.names()
    check.dependencies()
    check.references()
    if not check.cycles():
        check.wave_order()


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> list[tuple[int, str]]:
    """The texts in a list, each with its position."""
    items = value if isinstance(value, list) else []
    return [(position, item) for position, item in enumerate(items) if isinstance(item, str)]


@dataclass
class _Check:
    notes: Notes
    data: dict[str, Any]

    @cached_property
    def tasks(self) -> list[tuple[Loc, dict[str, Any]]]:
        items = self.data.get("tasks")
        found = enumerate(items) if isinstance(items, list) else ()
        return [(("tasks", position), task) for position, task in found if isinstance(task, dict)]

    @cached_property
    def by_id(self) -> dict[str, tuple[Loc, dict[str, Any]]]:
        """The tasks by id; of several with the same the first."""
        found: dict[str, tuple[Loc, dict[str, Any]]] = {}
        for loc, task in self.tasks:
            if "id" in task:
                found.setdefault(str(task["id"]), (loc, task))
        return found

    @cached_property
    def needs(self) -> dict[str, dict[str, Loc]]:
        """For each task the tasks it needs that exist, itself left out, each with the place that says so."""
        return {
            task_id: {
                need: (*loc, "needs", position)
                for position, need in _texts(task.get("needs"))
                if need in self.by_id and need != task_id
            }
            for task_id, (loc, task) in self.by_id.items()
        }

    @cached_property
    def waves(self) -> dict[str, int]:
        """The number of each wave, as listed, or in the order in which tasks name them."""
        listed = self.data.get("waves")
        entries = [_mapping(wave).get("id") for wave in listed] if isinstance(listed, list) else []
        given = entries or [task.get("wave") for _, task in self.tasks]
        names = dict.fromkeys(name for name in given if isinstance(name, str))
        return {name: number for number, name in enumerate(names)}

    def names(self) -> None:
        """Ids, waves and phases that stand twice, and locks that take the name of a pool."""
        self._once(((*loc, "id"), task.get("id")) for loc, task in self.tasks)
        waves = self.data.get("waves")
        found = enumerate(waves) if isinstance(waves, list) else ()
        self._once((("waves", position, "id"), _mapping(wave).get("id")) for position, wave in found)
        self._once((("phases", position), name) for position, name in _texts(self.data.get("phases")))
        pools = _mapping(self.data.get("resources"))
        for loc, task in self.tasks:
            for key in ("needs", "locks"):
                self._once(((*loc, key, position), name) for position, name in _texts(task.get(key)))
            for position, lock in _texts(task.get("locks")):
                if lock in pools:
                    what = f"{quote(lock)} is a pool; a lock needs another name"
                    self.notes.add((*loc, "locks", position), what)

    def _once(self, names: Iterable[tuple[Loc, Any]]) -> None:
        first: dict[str, Loc] = {}
        for loc, name in names:
            if isinstance(name, str) and first.setdefault(name, loc) != loc:
                line = self.notes.document.place(first[name]).line
                self.notes.add(loc, f"{quote(name)} is here twice", f"first given in line {line}")

    def dependencies(self) -> None:
        for loc, task in self.tasks:
            for position, need in _texts(task.get("needs")):
                at = (*loc, "needs", position)
                if need == task.get("id"):
                    self.notes.add(at, f"task {quote(need)} needs itself")
                else:
                    self._known(at, need, "task", self.by_id)

    def references(self) -> None:
        """Targets, pools, waves and phases that tasks name, and whether the pools are large enough."""
        pools = _mapping(self.data.get("resources"))
        phases = [name for _, name in _texts(self.data.get("phases"))]
        for loc, task in self.tasks:
            for role in ("run", "rollback", "verify"):
                target = _mapping(task.get(role)).get("on")
                self._known((*loc, role, "on"), target, "target", _mapping(self.data.get("targets")))
                self._backfill((*loc, role), role, _mapping(task.get(role)))
            if self.data.get("waves"):
                self._known((*loc, "wave"), task.get("wave"), "wave", self.waves)
            if phases:
                self._known((*loc, "phase"), task.get("phase"), "phase", phases)
            for pool, units in _mapping(task.get("uses")).items():
                self._fits((*loc, "uses", pool), pool, units, pools)

    def _backfill(self, loc: Loc, role: str, action: Mapping[str, Any]) -> None:
        if "backfill" not in action:
            return
        if role == "verify":
            self.notes.add((*loc, "backfill"), "a verify only looks: it cannot be a backfill", key=True)
        name = action.get("on")
        target = _mapping(self.data.get("targets")).get(name) if isinstance(name, str) else None
        if "sqlite" in _mapping(target):
            hint = "SQLite needs no batches: write it as `sql`"
            self.notes.add((*loc, "on"), f"a backfill needs PostgreSQL, and {quote(name)} is SQLite", hint)

    def _known(self, loc: Loc, name: Any, what: str, known: Collection[str], *, key: bool = False) -> None:
        if isinstance(name, str) and name not in known and not self.notes.touched(loc, key=key):
            none = f"the plan declares no {what}s" if not known else ""
            self.notes.add(loc, f"unknown {what} {quote(name)}", none, key=key, near=(name, known))

    def _fits(self, loc: Loc, pool: str, units: Any, pools: Mapping[str, Any]) -> None:
        self._known(loc, pool, "pool", pools, key=True)
        capacity = pools.get(pool)
        if isinstance(units, int) and isinstance(capacity, int) and units > capacity:
            what = f"{units} of pool {quote(pool)} are needed, and its capacity is {capacity}"
            self.notes.add(loc, what, "take less, or raise the capacity under resources")

    def cycles(self) -> bool:
        """Note each cycle (of very many the first), and say whether there is any."""
        needs = {task_id: dict(found) for task_id, found in self.needs.items()}
        for _ in range(_MOST_CYCLES):
            cycle = _cycle(needs)
            if not cycle:
                break
            at = needs[cycle[0]].pop(cycle[1])
            shown = [*cycle, cycle[0]]
            if len(shown) > _SHOWN_CYCLE:
                shown = [*shown[: _SHOWN_CYCLE - 2], "…", *shown[-2:]]
            hint = "each needs the next; one of these dependencies has to go"
            self.notes.add(at, f"a cycle of {len(cycle)} tasks: {' → '.join(map(visible, shown))}", hint)
        return needs != self.needs

    def wave_order(self) -> None:
        """Note each dependency of a task on one whose wave comes later."""
        named = {
            task_id: self.waves[task["wave"]]
            for task_id, (_, task) in self.by_id.items()
            if isinstance(task.get("wave"), str) and task["wave"] in self.waves
        }
        placed = place(TopologicalSorter(self.needs).static_order(), self.needs, named)
        names = list(self.waves)
        for task_id, need, loc in self._edges():
            if placed[need] > placed[task_id]:
                earlier, later = quote(names[placed[task_id]]), quote(names[placed[need]])
                what = f"task {quote(task_id)} of wave {earlier} needs {quote(need)}"
                hint = "move one of the two, or change the order of the waves"
                self.notes.add(loc, f"{what}, which runs in wave {later}, after it", hint)

    def _edges(self) -> Iterator[tuple[str, str, Loc]]:
        for task_id, found in self.needs.items():
            for need, loc in found.items():
                yield task_id, need, loc


def _cycle(needs: Mapping[str, Mapping[str, Loc]]) -> list[str]:
    """One cycle, from its first task in plan order, each task before one that it needs; or nothing."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        found: list[str] = error.args[1][:0:-1]
        position = {task_id: number for number, task_id in enumerate(needs)}
        start = min(range(len(found)), key=lambda at: position[found[at]])
        return found[start:] + found[:start]
    return []
