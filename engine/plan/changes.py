"""What differs between two versions of a plan, task by task, as far as it matters to a run that has begun.

Two kinds of differences count:

- the **effect** of a task: what it does, where, and after what, how it is undone, and how it is known to be
  done (`run`, `rollback`, `verify`, `needs`, the targets and the interpreter that its actions go to);
- its **conduct**: what becomes of its attempts, and what may happen beside them (`critical`, `idempotent`,
  `timeout`, `lock_timeout`, `lock_patience`, `classify`, `uses` with the capacity of those pools, `locks`,
  and the `pace` of a backfill: its batch, pause and throttle). Of a task that is through with its attempts,
  the conduct says nothing any more.

What comes from the plan as a whole (targets, defaults, capacities, the interpreter) counts at each task that
it reaches, so that nothing of it is told where it changes nothing.

The rest only says in which order and how fast the same work is done, or what it is called, and does not
count: titles, `duration`, `effort`, `value`, `risk`, phases, waves, the model, the policy, lanes, retries and
checkpoints. (A checkpoint before a risky task, a pause before a retry or a barrier between waves moves work
about in time; what the work is, and what it needs first, is said by the fields above.)
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from engine.plan.models import Action, Backfill, Plan, Task, lock_timeout

_EFFECT = ("run", "rollback", "verify", "needs", "target", "interpreter")
_CONDUCT = (
    "critical", "idempotent", "timeout", "lock_timeout", "lock_patience", "classify", "uses", "locks", "pace"
)  # fmt: skip


class TaskChange(NamedTuple):
    """`fields` says what is different about a task that both versions have."""

    task: str
    kind: Literal["changed", "removed", "added"]
    fields: tuple[str, ...] = ()

    @property
    def of_effect(self) -> bool:
        """Whether the task would do something else, or is not there in one of the versions."""
        return self.kind != "changed" or any(field in _EFFECT for field in self.fields)


def plan_changes(old: Plan, new: Plan) -> tuple[TaskChange, ...]:
    """Every change that counts: of the tasks of `old` in its order, then those that `new` adds in its own."""
    return tuple(_changes(old, new))


def _changes(old: Plan, new: Plan) -> Iterator[TaskChange]:
    before = {task.id: task for task in old.tasks}
    after = {task.id: task for task in new.tasks}
    for task_id, task in before.items():
        if task_id not in after:
            yield TaskChange(task_id, "removed")
        elif fields := _differing(old, task, new, after[task_id]):
            yield TaskChange(task_id, "changed", fields)
    for task_id in after:
        if task_id not in before:
            yield TaskChange(task_id, "added")


def _differing(old: Plan, task: Task, new: Plan, other: Task) -> tuple[str, ...]:
    left, right = _facets(old, task), _facets(new, other)
    return tuple(field for field in (*_EFFECT, *_CONDUCT) if left[field] != right[field])


def _facets(plan: Plan, task: Task) -> dict[str, object]:
    """All that counts of a task, with what the plan as a whole adds to it."""
    actions = [action for action in (task.run, task.rollback, task.verify) if action]
    on_target = any(action.on is not None for action in actions)
    return {
        "run": _unpaced(task.run),
        "rollback": _unpaced(task.rollback),
        "verify": task.verify,
        "needs": frozenset(task.needs),
        "target": {action.on: plan.targets[action.on] for action in actions if action.on},
        "interpreter": plan.interpreter if any(action.kind == "python" for action in actions) else "",
        "critical": task.critical,
        "idempotent": task.idempotent,
        "timeout": task.timeout if task.timeout is not None else plan.defaults.timeout,
        "lock_timeout": lock_timeout(plan, task) if on_target else None,
        "lock_patience": plan.defaults.lock_patience if on_target else None,
        "classify": task.classify,
        "uses": {pool: (units, plan.resources[pool]) for pool, units in task.uses.items()},
        "locks": frozenset(task.locks),
        "pace": [_pace(action.backfill) for action in actions if action.backfill],
    }


def _unpaced(action: Action | None) -> object:
    """What `action` does, but for the pace of a backfill."""
    if action is None or action.backfill is None:
        return action
    backfill = action.backfill
    return action.on, backfill.table, backfill.key, backfill.sql


def _pace(backfill: Backfill) -> object:
    return backfill.batch, backfill.pause, backfill.throttle
