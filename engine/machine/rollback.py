"""Rollback: undoing, one journaled step at a time, what succeeded since a checkpoint.

The place in a rollback is read off the tasks themselves (Rollback in state.py), so that it survives
anything: a failed step, a pause for a question, an abort, a crash.
"""

from typing import TYPE_CHECKING, NamedTuple

from engine.graph import Graph
from engine.machine import commands as cmd
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine import underway
from engine.machine.state import State
from engine.machine.transitions import TaskStatus
from engine.plan.models import FailureClass

if TYPE_CHECKING:
    from engine.machine.core import Machine


class Scope(NamedTuple):
    """What a rollback would do: `tasks` are undone, in this order; `stay`, for want of one, stay applied."""

    tasks: tuple[str, ...]
    stay: tuple[str, ...]


def target_seq(state: State, to: str) -> tuple[str, int] | None:
    """(name, event) that `to` stands for: `start`, `last` (the last stable checkpoint, else the start), or
    a checkpoint that is kept and still stands. None where there is no such place."""
    if to == "last":
        last = state.last_stable_checkpoint
        return (last.id, last.position) if last else ("start", 0)
    if to == "start":
        return "start", 0
    return next(((c.id, c.position) for c in state.rollback_targets() if c.id == to), None)


def automatic_target(state: State) -> str:
    """Where a rollback that nobody chose goes: in waves to the barrier before the open wave, else to the last
    stable checkpoint; where there is none, to the start."""
    place = state.last_stable_checkpoint
    if state.plan.model == "wave":
        place = next((c for c in reversed(state.rollback_targets()) if c.trigger == "barrier"), None)
    return place.id if place else "start"


def scope(state: State, graph: Graph, to_seq: int) -> Scope:
    """What a rollback to event `to_seq` undoes: against the dependencies, and of several the latest first.

    The order in which tasks succeeded would not do: what a rollback left applied is older than its needs are
    once those have run again."""
    undone = {task.id: task.rollback is not None for task in state.plan.tasks}
    succeeded = sorted(
        (
            task
            for task in state.tasks.values()
            if task.status is TaskStatus.SUCCEEDED and task.settled_seq > to_seq
        ),
        key=lambda task: (-graph.generation[task.id], -task.settled_seq),
    )
    return Scope(
        tasks=tuple(task.id for task in succeeded if undone[task.id]),
        stay=tuple(task.id for task in succeeded if not undone[task.id]),
    )


def place_under_way(machine: "Machine") -> bool:
    """Whether the checkpoint that the engine's own rollback is to go to is still being written."""
    wanted = machine.state.rollback_wanted
    by_engine = wanted is not None and wanted.actor == "engine"
    return by_engine and machine.plan.model == "rolling" and any(s.stable for s in machine.saving.values())


def reconsider(machine: "Machine") -> None:
    """Let a rollback that the engine itself decided on go to the checkpoint that was saved just now, if that
    is a safe place: it holds what stood before the failure, and was only on its way to the disk by then."""
    state, saved = machine.state, machine.state.last_checkpoint
    wanted = state.rollback_wanted
    if wanted is None or wanted.actor != "engine" or saved is None or not saved.stable:
        return
    if (to := automatic_target(state)) != wanted.to:
        machine.emit(
            ev.DecisionMade,
            question=0,
            task=wanted.task,
            action="rollback",
            to=to,
            actor="engine",
            reason=wanted.reason,
            on_seq=state.seq,
        )


def begin(machine: "Machine") -> None:
    """Start the rollback that was decided, now that nothing is in flight."""
    state = machine.state
    wanted = state.rollback_wanted
    assert wanted is not None
    to = wanted.to
    to_seq = 0 if to == "start" else state.checkpoints[to].position
    tasks, stay = scope(state, machine.graph, to_seq)
    if stay and wanted.actor == "engine":
        reason = (
            f"{wanted.reason}. A rollback to {to} cannot undo {', '.join(stay)}: "
            "no rollback is given for that"
        )
        machine.emit(ev.QuestionOpened, about="rollback_scope", task=wanted.task, reason=reason)
        return
    for number in list(state.questions):
        machine.emit(ev.QuestionWithdrawn, question=number, reason=f"the run is rolled back to {to}")
    machine.emit(ev.RollbackStarted, to=to, to_seq=to_seq, tasks=tasks, stay=stay, reason=wanted.reason)
    advance(machine)


def advance(machine: "Machine") -> None:
    """Take the next step, unless one is in flight or waits for an answer; end the run after the last."""
    state = machine.state
    undoing = state.rollback
    assert undoing is not None
    if undoing.running or state.questions:
        return
    task_id = next_step(state)
    if task_id:
        task = state.tasks[task_id]
        attempt = task.undo_attempts + 1
        machine.emit(ev.RollbackStepStarted, task=task_id, attempt=attempt)
        undone, intent = task.undone_undos, underway.intended(task, "rollback")
        machine.command(cmd.StartRollback(task=task_id, attempt=attempt, undone=undone, intent=intent))
    elif not machine.saving:
        stay = (*undoing.stay, *(task for task in undoing.tasks if task in undoing.left))
        left = f"; stays applied: {', '.join(stay)}" if stay else ""
        machine.finish("rolled_back", f"rolled back to {undoing.to}{left}")


def next_step(state: State) -> str:
    """The first task of the rollback that is still applied, or an empty string."""
    undoing = state.rollback
    assert undoing is not None
    return next(
        (
            task
            for task in undoing.tasks
            if task not in undoing.left and state.tasks[task].status is not TaskStatus.ROLLED_BACK
        ),
        "",
    )


def step_failed(machine: "Machine", report: rep.Failed) -> None:
    machine.emit(
        ev.RollbackFailed,
        task=report.task,
        attempt=report.attempt,
        failure_class=report.failure_class,
        reason=report.reason,
        rule=report.rule,
        effect=report.effect,
        exit_code=report.exit_code,
        sqlstate=report.sqlstate,
        tail=report.tail,
    )


def step_cancelled(machine: "Machine", report: rep.Cancelled) -> None:
    """The run is stopped in the middle of a step: on resume it is done again, or settled by evidence."""
    if report.effect == "unknown":
        machine.emit(
            ev.TaskInDoubt,
            task=report.task,
            attempt=report.attempt,
            purpose="rollback",
            reason=report.reason,
        )
    else:
        machine.emit(
            ev.RollbackFailed,
            task=report.task,
            attempt=report.attempt,
            failure_class=FailureClass.TRANSIENT,
            reason=report.reason,
            rule="engine: the run was stopped",
            effect="none",
        )
