"""The order of the frontier, and the pace of retries. Everything that may be chosen by name or tuned."""

import hashlib
from collections.abc import Callable

from engine.graph import Graph
from engine.plan.models import Plan, PolicyName, RetryRules, Task, effort_hours

OrderKey = tuple[float, ...]
"""Smaller goes first. Ties are broken by plan order."""


def _critical_path(task: Task, graph: Graph) -> OrderKey:
    """Longest remaining path, then value density, then low risk: the published order of precedence."""
    return (-graph.remaining[task.id], -task.value / effort_hours(task), task.risk)


def _weighted(task: Task, graph: Graph) -> OrderKey:
    """The published formula: (value / effort) × (1 − risk) × (2 on the critical path, else 1)."""
    boost = 2 if task.id in graph.critical else 1
    return (-(task.value / effort_hours(task)) * (1 - task.risk) * boost,)


_STATIC: dict[PolicyName, Callable[[Task, Graph], OrderKey]] = {
    "critical-path": _critical_path,
    "weighted": _weighted,
}


def order_keys(plan: Plan, graph: Graph) -> dict[str, OrderKey]:
    """The key of every task under the plan's policy. `fifo` has no key: the ready event's number decides."""
    key = _STATIC.get(plan.policy)
    return {task.id: key(task, graph) for task in plan.tasks} if key else {}


def order_ranks(plan: Plan, graph: Graph) -> dict[str, int]:
    """The place of every task in the order of its key: the same order, and cheaper to compare."""
    keys = order_keys(plan, graph)
    return {task_id: rank for rank, task_id in enumerate(sorted(keys, key=keys.__getitem__))}


def retry_delay(rules: RetryRules, retry: int, seed: int, task_id: str) -> float:
    """Seconds before automatic retry number `retry` (from 1): min(base × 2ⁿ, cap).

    With jitter it is between half of that and all of it, drawn from (seed, task, retry): the machine has
    no randomness of its own, so the same run replays the same delays."""
    delay = min(rules.base * 2.0**retry, rules.cap)
    if rules.jitter:
        drawn = hashlib.sha256(f"{seed}:{task_id}:{retry}".encode()).digest()
        delay *= 0.5 + int.from_bytes(drawn[:4], "big") / 2**33
    return delay


RESOURCE_WAITS = 10
"""How often a task waits for a lacking resource before its failure counts as UNKNOWN: with the default
pace, about three and a half minutes."""
