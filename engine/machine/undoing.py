"""What the fold does with a rollback: its beginning, its steps, and what it leaves behind."""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from engine.machine import events as ev
from engine.machine import underway
from engine.machine.state import Rollback, State, Underway
from engine.machine.transitions import ImpossibleEvent, RunStatus, TaskStatus


def give_up_checkpoints(state: State, seq: int) -> None:
    """What was so at event `seq` is so no more: the checkpoints that stand there or later hold it no more."""
    for checkpoint in state.checkpoints.values():
        if checkpoint.position >= seq:
            state.checkpoints[checkpoint.id] = replace(checkpoint, undone=True)


def _rollback_started(state: State, event: ev.RollbackStarted) -> None:
    state.rollback_wanted = None
    state.rollback = Rollback(
        to=event.to, to_seq=event.to_seq, tasks=event.tasks, stay=event.stay, reason=event.reason
    )
    give_up_checkpoints(state, event.to_seq + 1)
    for opened in (state.waves_started, state.barriers):
        for wave in [wave for wave, seq in opened.items() if seq > event.to_seq]:
            del opened[wave]
    state.status, state.status_reason = RunStatus.ROLLING_BACK, event.reason


def _rollback_step_started(state: State, event: ev.RollbackStepStarted) -> None:
    rollback_of(state).running = event.task
    task = state.tasks[event.task]
    task.undo_attempts = event.attempt
    task.underway = Underway(intent=task.underway.intent)
    task.doubt = ""


def _rollback_step_ended(state: State, event: ev.TaskRolledBack | ev.RollbackFailed) -> None:
    rollback_of(state).running = ""
    underway.ended(state.tasks[event.task])
    state.tasks[event.task].doubt = ""


def _task_rolled_back(state: State, event: ev.TaskRolledBack) -> None:
    _rollback_step_ended(state, event)
    task = state.tasks[event.task]
    task.undone_attempts = len(task.attempts)
    task.undone_undos = task.undo_attempts
    task.outputs = {}
    task.asserted_by = ""


def _task_left_applied(state: State, event: ev.TaskLeftApplied) -> None:
    rollback = rollback_of(state)
    rollback.running = ""
    rollback.left |= {event.task}
    state.tasks[event.task].doubt = ""


def rollback_of(state: State) -> Rollback:
    if state.rollback is None:
        raise ImpossibleEvent(f"event {state.seq} is a rollback step, and no rollback is under way")
    return state.rollback


def in_rollback(state: State) -> bool:
    """Whether a rollback has begun and not ended; the run itself may have been stopped in between."""
    return state.rollback is not None and state.status is not RunStatus.ROLLED_BACK


def strand(state: State) -> None:
    """The run was rolled back: tell whose attempts had not succeeded, and stood on what was undone."""
    children: dict[str, list[str]] = {}
    for task in state.plan.tasks:
        for need in task.needs:
            children.setdefault(need, []).append(task.id)
    above = [task.id for task in state.tasks.values() if task.status is TaskStatus.ROLLED_BACK]
    seen = set(above)
    for each in above:
        for child in children.get(each, ()):
            if child not in seen:
                seen.add(child)
                above.append(child)
    for task_id in above:
        found = state.tasks[task_id]
        if found.status is not TaskStatus.SUCCEEDED:
            found.stranded_attempts = len(found.attempts)


EFFECTS: dict[type[ev.Event], Callable[[State, Any], None]] = {
    ev.RollbackStarted: _rollback_started,
    ev.RollbackStepStarted: _rollback_step_started,
    ev.TaskRolledBack: _task_rolled_back,
    ev.RollbackFailed: _rollback_step_ended,
    ev.TaskLeftApplied: _task_left_applied,
}
