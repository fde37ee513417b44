"""What becomes of the attempts in flight if they are ended now, in words. Pure."""

from collections.abc import Mapping, Sequence

from console.sentences import some_of
from console.underway import counted, progress
from engine.machine.state import State
from engine.plan.models import Action, Task

_LOOK = "A resume looks for evidence,\nand asks you where there is none."
_EACH = 2
"""So many backfills are told one by one; more of them together."""


def what_ending_leaves(state: State, by_id: Mapping[str, Task], busy: Sequence[str]) -> list[str]:
    """A paragraph for each way of knowing what the tasks `busy` have done."""
    actions = {task: _action(state, by_id[task]) for task in busy}
    backfills = [task for task, action in actions.items() if action and action.kind == "backfill"]
    ledgers = [
        task for task, action in actions.items() if task not in backfills and _has_ledger(state, action)
    ]
    others = [task for task in busy if task not in backfills and task not in ledgers]
    told = _of_backfills(state, backfills)
    if ledgers:
        told.append(
            f"{some_of(ledgers)}: what is not committed is undone, and the ledger in the database tells a "
            "resume what is."
        )
    if alone := [task for task in ledgers if _is_concurrent(actions[task])]:
        told.append(
            f"{some_of(alone)}: what runs in no transaction may leave an invalid index; the next attempt "
            "clears it away."
        )
    if others:
        what = "What they did" if len(others) == len(busy) else f"What {some_of(others)} did"
        told.append(f"{what} may have taken effect or not. {_LOOK}")
    return told


def _action(state: State, task: Task) -> Action | None:
    """What runs of it now."""
    undoing = state.rollback is not None and state.rollback.running == task.id
    return task.rollback if undoing else task.run


def _has_ledger(state: State, action: Action | None) -> bool:
    target = state.plan.targets.get(action.on or "") if action else None
    return target is not None and target.postgres is not None


def _is_concurrent(action: Action | None) -> bool:
    return action is not None and "CONCURRENTLY" in action.text.upper()


def _of_backfills(state: State, backfills: Sequence[str]) -> list[str]:
    if len(backfills) > _EACH:
        kept = f"{some_of(backfills)} keep the batches that they have done"
        return [f"{kept}; a resume goes on behind their last keys."]
    return [
        f"{task} keeps the batches that it has done{_so_far(state, task)}; "
        "a resume goes on behind their last key."
        for task in backfills
    ]


def _so_far(state: State, task: str) -> str:
    told = progress(state.tasks[task])
    return f" ({counted(told)})" if told and told.unit else ""
