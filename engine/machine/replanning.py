"""Another plan under a run that has begun: which changes a person may accept, and what accepting them does.

A task that may have taken effect is bound to the plan that it ran by: its rollback, its evidence and what
depends on it hang on that. Everything else is open: it has not taken effect, or is known to have failed.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Literal, NamedTuple

from engine.graph import Graph
from engine.machine import events as ev
from engine.machine.fold import apply
from engine.machine.state import State
from engine.machine.transitions import RunStatus, TaskStatus
from engine.plan.changes import TaskChange, plan_changes
from engine.plan.models import Plan
from engine.plan.pinned import pin, plan_hash
from engine.plan.waves import WaveSlot, wave_plan

Standing = Literal["completed", "in doubt", "pending", "new"]

_STANDING: dict[TaskStatus, Standing] = {
    TaskStatus.SUCCEEDED: "completed",
    TaskStatus.RUNNING: "in doubt",
    TaskStatus.IN_DOUBT: "in doubt",
    TaskStatus.ROLLING_BACK: "in doubt",
}


class RunChange(NamedTuple):
    """A change of the plan, as it meets the run: `status` is None for a task that the run does not have."""

    change: TaskChange
    status: TaskStatus | None
    standing: Standing

    @property
    def acceptable(self) -> bool:
        return self.standing in ("pending", "new")

    def __str__(self) -> str:
        task, kind, fields = self.change
        if self.status is None:
            return f"added: {task}"
        status = "" if self.status in (TaskStatus.PENDING, TaskStatus.SUCCEEDED) else f", {self.status}"
        said = f" ({', '.join(fields)})" if fields else ""
        return f"{self.standing} and {kind}: {task}{said}{status.replace('_', ' ')}"


def run_changes(state: State, edited: Plan) -> tuple[RunChange, ...]:
    """What differs between the plan that the run goes by and `edited`, as far as it still concerns it."""
    changes = (_meet(state, change) for change in plan_changes(state.plan, adopted(state.plan, edited)))
    return tuple(each for each in changes if each.standing != "completed" or each.change.of_effect)


def adopted(pinned: Plan, edited: Plan) -> Plan:
    """`edited` as the run would take it on: the model, the lanes, the policy and the rules for checkpoints
    stay those that the run was started with, whether they came from the plan or from the command line."""
    kept = ("model", "workers", "policy", "checkpoints")
    return edited.model_copy(update={name: getattr(pinned, name) for name in kept})


def _meet(state: State, change: TaskChange) -> RunChange:
    task = state.tasks.get(change.task)
    if task is None:
        return RunChange(change, None, "new")
    unknown = task.status is TaskStatus.CANCELLED and task.doubt
    return RunChange(change, task.status, "in doubt" if unknown else _STANDING.get(task.status, "pending"))


def unacceptable(state: State, changes: tuple[RunChange, ...]) -> str:
    """Why the changes cannot be accepted as the run stands now, in words; empty where they can."""
    if state.rollback_wanted or (state.rollback and state.status is not RunStatus.ROLLED_BACK):
        return "a rollback is under way, and goes by the plan that the tasks ran by: let it end first"
    bound = [each.change.task for each in changes if not each.acceptable]
    if bound:
        return f"what may have taken effect cannot be changed any more: {', '.join(bound)}"
    return ""


def accept(state: State, edited: Plan, digest: str, actor: str, at: datetime) -> list[ev.Event]:
    """Go by `edited` from here on: the events that say so, which `state` includes when this returns.

    The changes are acceptable. `digest` is what the plan's file is known again by. What the new plan does to
    the frontier (tasks newly blocked, blocked no more, or waiting for something else) is for the machine to
    find out when the run goes on."""
    plan = adopted(state.plan, edited)
    changes = [each.change for each in run_changes(state, edited)]
    by_kind = {
        kind: tuple(change.task for change in changes if change.kind == kind)
        for kind in ("changed", "removed", "added")
    }
    made: list[ev.Event] = []

    def emit(kind: type[ev.Event], **fields: object) -> None:
        event = kind(seq=state.seq + 1, t=state.t, at=at, **fields)
        apply(state, event)
        made.append(event)

    for question in [each for each in state.questions.values() if each.task in by_kind["removed"]]:
        why = f"{question.task} is no longer in the plan"
        emit(ev.QuestionWithdrawn, question=question.number, reason=why)
    emit(
        ev.PlanChanged,
        actor=actor,
        pinned=pin(plan).decode(),
        plan_hash=plan_hash(plan),
        source_digest=digest,
        waves=standing_waves(state, plan),
        **by_kind,
    )
    return made


def standing_waves(state: State, plan: Plan, doubted: Collection[str] = ()) -> tuple[str, ...]:
    """Of the waves that were opened, those that stay so under `plan`, in its order, when the tasks in
    `doubted` are no longer settled: all that were settled at their barrier and still are, and then the one
    that had not come to its barrier. The next one is opened anew: no barrier is passed by what it never saw.
    """
    standing: list[str] = []
    for wave in wave_plan(plan, Graph(plan)) if plan.model == "wave" else ():
        barrier = state.barriers.get(wave.id)
        if wave.id not in state.waves_started or (barrier and not _settled_by(state, wave, barrier, doubted)):
            break
        standing.append(wave.id)
        if not barrier:
            break
    return tuple(standing)


def _settled_by(state: State, wave: WaveSlot, seq: int, doubted: Collection[str]) -> bool:
    found = [state.tasks.get(task) for task in wave.tasks]
    return all(task and 0 < task.settled_seq <= seq and task.id not in doubted for task in found)
