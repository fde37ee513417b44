"""The frontier as the machine works on it: tasks in the order of the policy, grouped by what they take.

Tasks with the same demand stand or fall together: if the first of a group cannot start, none of it can.
So picking a task costs a look at each group's head, not at each task.

A task held by a pool could starve while smaller ones slip past it. Once as many as there are lanes have
done so (State.overtaken), it reserves its turn: what it needs is kept free from all others until it runs.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator

from engine.machine.resources import Demand
from engine.machine.state import State

_Units = defaultdict[str, int]
_Entry = tuple[int, str]
"""Rank and id of a task: without a rank of its own, the event by which it became ready is its rank."""


class Frontier:
    """An index over State, rebuilt whenever a machine starts; never a second truth.

    Entries are removed lazily: one that is no longer its task's own (which has left the frontier, and perhaps
    come back with another) is dropped when it is met."""

    def __init__(self, state: State, ranks: dict[str, int], position: dict[str, int]) -> None:
        self._state = state
        self._ranks = ranks
        self._position = position
        self._groups: dict[Demand, list[_Entry]] = {}
        self._members: dict[str, _Entry] = {}
        self._fresh: dict[Demand, dict[str, None]] = {}
        """Per group: tasks that nobody has yet been told are held."""

    def add(self, task_id: str) -> None:
        if task_id in self._members:
            return
        rank = self._ranks.get(task_id, self._state.tasks[task_id].ready_seq)
        demand = self._state.pools.demand[task_id]
        entry = self._members[task_id] = (rank, task_id)
        heapq.heappush(self._groups.setdefault(demand, []), entry)
        if demand:
            self._fresh.setdefault(demand, {})[task_id] = None

    def discard(self, task_id: str) -> None:
        self._members.pop(task_id, None)

    def pick(self) -> str | None:
        """The task to start next, taken off the frontier; None where no task could start."""
        reserved: _Units = defaultdict(int)
        for task_id in self._turns():
            demand = self._state.pools.demand[task_id]
            if not self._lacking(demand, reserved):
                self.discard(task_id)
                return task_id
            _reserve(demand, reserved)
        best: _Entry | None = None
        for demand in self._groups:
            head = self._head(demand)
            if head and (best is None or head < best) and not self._lacking(demand, reserved):
                best = head
        if best is None:
            return None
        task_id = best[1]
        self.discard(task_id)
        return task_id

    def newly_held(self) -> Iterator[tuple[str, str]]:
        """(task, pool it lacks) for each task that cannot start now and was not named here before."""
        if not self._fresh:
            return
        reserved: _Units = defaultdict(int)
        for task_id in self._turns():
            _reserve(self._state.pools.demand[task_id], reserved)
        for demand, fresh in self._fresh.items():
            pool = self._lacking(demand, reserved) if fresh else ""
            if pool:
                yield from ((task_id, pool) for task_id in fresh if task_id in self._members)
                fresh.clear()

    def _turns(self) -> list[str]:
        """Tasks that have reserved their turn, the longest overtaken first."""
        state = self._state
        if not state.overtaken:
            return []
        enough = len(state.lanes)
        due = [task for task, times in state.overtaken.items() if times >= enough and task in self._members]
        return sorted(due, key=lambda task: (-state.overtaken[task], self._position[task]))

    def _lacking(self, demand: Demand, reserved: _Units) -> str:
        return self._state.pools.lacking(demand, self._state.in_use, reserved) if demand else ""

    def _head(self, demand: Demand) -> _Entry | None:
        heap = self._groups[demand]
        while heap:
            if self._members.get(heap[0][1]) is heap[0]:
                return heap[0]
            heapq.heappop(heap)
        return None


def _reserve(demand: Demand, reserved: _Units) -> None:
    for pool, units in demand:
        reserved[pool] += units
