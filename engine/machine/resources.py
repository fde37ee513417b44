"""Pools: what tasks share. A resource is a pool with a capacity, a lock is a pool of one."""

from collections.abc import Mapping

from engine.plan.models import Plan, Task

Demand = tuple[tuple[str, int], ...]
"""Pool names and units, sorted by name: all that a task takes, at once or not at all."""


def demand_of(task: Task) -> Demand:
    """What `task` takes for as long as it runs. A lock named twice is still one lock."""
    wanted = dict(task.uses) | {f"lock:{name}": 1 for name in task.locks}
    return tuple(sorted(wanted.items()))


class Pools:
    """Capacities and demands of a plan. Never changes; what is taken at a moment is State's `in_use`."""

    def __init__(self, plan: Plan) -> None:
        self.demand: dict[str, Demand] = {task.id: demand_of(task) for task in plan.tasks}
        self.capacity: dict[str, int] = dict(plan.resources)
        for demand in self.demand.values():
            for pool, _ in demand:
                if pool.startswith("lock:"):
                    self.capacity[pool] = 1

    def free(self, pool: str, in_use: Mapping[str, int], reserved: Mapping[str, int]) -> int:
        return self.capacity[pool] - in_use.get(pool, 0) - reserved.get(pool, 0)

    def lacking(self, demand: Demand, in_use: Mapping[str, int], reserved: Mapping[str, int]) -> str:
        """The first pool that cannot give what `demand` asks of it, or an empty string."""
        for pool, units in demand:
            if self.free(pool, in_use, reserved) < units:
                return pool
        return ""
