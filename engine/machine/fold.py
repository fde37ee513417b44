"""The fold: one event applied to State. Replay, live views and the machine all use exactly this.

Applying decides nothing and looks at no clock, so a recorded run reads the same for ever.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from engine.machine import events as ev
from engine.machine import reshaping, underway, undoing
from engine.machine.state import (
    Attempt,
    Checkpoint,
    Question,
    State,
    Stopping,
    TaskState,
    Underway,
)
from engine.machine.transitions import SETTLED, TRANSITIONS, ImpossibleEvent, RunStatus, TaskStatus
from engine.plan.pinned import unpin

replace = msgspec.structs.replace


def apply(state: State, event: ev.Event) -> None:
    """Fold `event` into `state`, in place. Raises ImpossibleEvent, with `state` then not to be used."""
    seq, kind = event.seq, type(event)
    if seq != state.seq + 1:
        raise ImpossibleEvent(f"event {seq} cannot follow event {state.seq}")
    state.seq = seq
    state.t = event.t
    state.at = event.at
    transition = TRANSITIONS.get(kind)
    if transition:
        _move(state, event, transition)
    effect = _EFFECTS.get(kind)
    if effect:
        effect(state, event)


def replay(state: State, events: Iterable[ev.Event]) -> State:
    """`state` after all of `events`; the same object."""
    for event in events:
        apply(state, event)
    return state


def _move(state: State, event: Any, transition: tuple[frozenset[TaskStatus], TaskStatus]) -> None:
    sources, target = transition
    task = state.tasks.get(event.task)
    if task is None or task.status not in sources:
        found = "an unknown task" if task is None else f"{task.id}, which is {task.status}"
        raise ImpossibleEvent(f"event {event.seq} ({event.kind}) finds {found}")
    left = task.status
    state.counts[left] -= 1
    state.counts[target] += 1
    settles, was_settled = target in SETTLED, left in SETTLED
    if settles or was_settled:
        state.settled += settles - was_settled
        state.settled_changed_seq = state.seq
    task.status = target
    task.settled_seq = state.seq if settles else 0
    task.waiting_for = ""
    task.due_t = None


def _take_lane(state: State, task_id: str, lane: int) -> None:
    if state.lanes[lane] == task_id:
        return
    if state.lanes[lane] is not None:
        raise ImpossibleEvent(f"lane {lane} is taken by {state.lanes[lane]}, and given to {task_id}")
    state.lanes[lane] = task_id
    state.overtaken.pop(task_id, None)
    demand = state.pools.demand[task_id]
    if demand and state.overtaken:
        taken = dict(demand).keys()
        for held in state.overtaken:
            wanted = state.pools.demand[held]
            if taken & dict(wanted).keys() and state.pools.lacking(wanted, state.in_use, {}):
                state.overtaken[held] += 1
    for pool, units in demand:
        state.in_use[pool] = state.in_use.get(pool, 0) + units


def _leave_lane(state: State, task_id: str) -> None:
    if task_id not in state.lanes:
        return
    state.lanes[state.lanes.index(task_id)] = None
    for pool, units in state.pools.demand[task_id]:
        state.in_use[pool] -= units


def _end_attempt(state: State, event: Any, **details: Any) -> TaskState:
    """The status that the event brought the task is also how its attempt ended."""
    task = state.tasks[event.task]
    last = task.last
    if last and last.ended_t is None:
        ended = replace(last, ended_t=event.t, ended_at=event.at, result=task.status, **details)
        task.attempts = (*task.attempts[:-1], ended)
    underway.ended(task)
    _leave_lane(state, event.task)
    return task


def _run_started(state: State, event: ev.RunStarted) -> None:
    state.run = event.run
    state.seed = event.seed
    state.simulated = event.simulated
    state.folder = event.folder
    state.source = event.source
    state.source_digest = event.source_digest
    state.faults = event.faults
    state.allow_outside = event.allow_outside
    state.engine = event.engine
    state.actor = event.actor
    state.started_at = event.at
    state.going_since_t = event.t
    state.lanes = [None] * event.lanes


def _run_resumed(state: State, event: ev.RunResumed) -> None:
    state.going_since_t = event.t
    if event.cause == "engine":
        state.engine = event.engine
        state.taken_up_seq = event.seq
        state.stopping = None
        state.finished_t = None
        if state.status is RunStatus.ROLLED_BACK:
            state.rollback = None
        for number, question in state.questions.items():
            state.questions[number] = replace(question, refused="")
    if event.cause != "decision":
        state.operator_pause = None
    unfinished = state.rollback is not None
    _set_status(state, RunStatus.ROLLING_BACK if unfinished else RunStatus.RUNNING, "")


def _set_status(state: State, status: RunStatus, reason: str) -> None:
    state.status = status
    state.status_reason = reason


def _run_pausing(state: State, event: ev.RunPausing) -> None:
    _set_status(state, RunStatus.PAUSING, event.reason)


def _run_paused(state: State, event: ev.RunPaused) -> None:
    _set_status(state, RunStatus.PAUSED, event.reason)


def _run_stopping(state: State, event: ev.RunStopping) -> None:
    state.stopping = Stopping(drain=event.drain, fatal=event.fatal, actor=event.actor, reason=event.reason)
    state.rollback_wanted = None


def _run_finished(state: State, event: ev.RunFinished) -> None:
    state.finished_t = event.t
    _set_status(state, RunStatus(event.status), event.reason)
    if state.status is RunStatus.ROLLED_BACK:
        undoing.strand(state)


def _wave_started(state: State, event: ev.WaveStarted) -> None:
    state.waves_started[event.wave] = event.seq


def _barrier_reached(state: State, event: ev.BarrierReached) -> None:
    state.barriers[event.wave] = event.seq


def _task_ready(state: State, event: ev.TaskReady) -> None:
    _leave_lane(state, event.task)  # a hold for a checkpoint that came to nothing
    state.overtaken.pop(event.task, None)
    state.tasks[event.task].ready_seq = event.seq


def _task_waiting(state: State, event: ev.TaskWaiting) -> None:
    task = state.tasks[event.task]
    task.waiting_for = event.reason
    task.due_t = event.due_t
    if event.lane is not None:
        _take_lane(state, event.task, event.lane)
    elif event.due_t is None:
        state.overtaken.setdefault(event.task, 0)
    else:
        task.resource_waits += 1


def _task_started(state: State, event: ev.TaskStarted) -> None:
    _take_lane(state, event.task, event.lane)
    task = state.tasks[event.task]
    attempt = Attempt(number=event.attempt, lane=event.lane, started_t=event.t, started_at=event.at)
    task.attempts = (*task.attempts, attempt)
    task.underway = Underway(intent=task.underway.intent)


def _task_succeeded(state: State, event: ev.TaskSucceeded) -> None:
    task = _end_attempt(state, event)
    task.outputs = event.outputs
    task.asserted_by = event.asserted_by
    task.doubt = ""
    if task.done_seq:
        # It was done all the time: no rollback to a later event undoes it.
        task.settled_seq, task.done_seq = task.done_seq, 0


def _task_failed(state: State, event: ev.TaskFailed) -> None:
    _end_attempt(
        state,
        event,
        failure_class=event.failure_class,
        reason=event.reason,
        rule=event.rule,
        exit_code=event.exit_code,
        sqlstate=event.sqlstate,
        tail=event.tail,
    )


def _task_cancelled(state: State, event: ev.TaskCancelled) -> None:
    task = _end_attempt(state, event, reason=event.reason)
    task.doubt = "run" if event.effect == "unknown" else ""


def _task_in_doubt(state: State, event: ev.TaskInDoubt) -> None:
    task = _end_attempt(state, event, reason=event.reason)
    task.doubt = event.purpose
    if state.rollback and event.purpose == "rollback":
        state.rollback.running = ""


def _retry_scheduled(state: State, event: ev.RetryScheduled) -> None:
    task = state.tasks[event.task]
    task.retries = event.retry
    task.due_t = event.due_t
    task.waiting_for = event.reason


def _task_blocked(state: State, event: ev.TaskBlocked) -> None:
    state.tasks[event.task].blocked_by = event.by
    _leave_lane(state, event.task)
    state.overtaken.pop(event.task, None)


def _task_set_aside(state: State, event: ev.TaskSkipped | ev.TaskWaived | ev.TaskReset) -> None:
    task = state.tasks[event.task]
    task.doubt = ""
    task.blocked_by = ""
    if task.done_seq:
        undoing.give_up_checkpoints(state, task.done_seq)
        task.done_seq = 0
    _leave_lane(state, event.task)
    state.overtaken.pop(event.task, None)


def _question_opened(state: State, event: ev.QuestionOpened) -> None:
    state.questions[event.seq] = Question(
        number=event.seq,
        about=event.about,
        task=event.task,
        reason=event.reason,
        evidence=event.evidence,
        survivors=event.survivors,
        t=event.t,
        at=event.at,
    )
    if event.about == "rollback_scope":
        state.rollback_wanted = None


def _question_withdrawn(state: State, event: ev.QuestionWithdrawn) -> None:
    state.questions.pop(event.question)


def _decision_refused(state: State, event: ev.DecisionRefused) -> None:
    question = state.questions.get(event.question)
    if question:
        state.questions[event.question] = replace(question, refused=event.why)


def _decision_made(state: State, event: ev.DecisionMade) -> None:
    state.decisions.append(event)
    state.questions.pop(event.question, None)
    if event.action == "pause":
        state.operator_pause = event.reason or f"paused by {event.actor}"
    elif event.action == "rollback":
        state.rollback_wanted = event
    elif event.task:
        task = state.tasks[event.task]
        task.retries = task.resource_waits = 0
        if event.action == "retry":
            task.undone_attempts = max(task.undone_attempts, task.stranded_attempts)


def _checkpoint_saved(state: State, event: ev.CheckpointSaved) -> None:
    state.checkpoints[event.checkpoint] = Checkpoint(
        id=event.checkpoint,
        trigger=event.trigger,
        seq=event.seq,
        position=event.position,
        position_hash=event.position_hash,
        t=event.t,
        at=event.at,
        completed=event.completed,
        stable=event.stable,
        file=event.file,
        note=event.note,
        undone=undoing.in_rollback(state) and event.position > undoing.rollback_of(state).to_seq,
    )


def _checkpoint_failed(state: State, event: ev.CheckpointFailed) -> None:
    state.operator_pause = f"a checkpoint could not be written: {event.reason}"


def _plan_changed(state: State, event: ev.PlanChanged) -> None:
    try:
        plan = unpin(event.pinned.encode())
    except ValueError as error:
        raise ImpossibleEvent(f"event {event.seq} holds no plan of this version: {error}") from error
    reshaping.change_plan(state, event, plan)


_EFFECTS: dict[type[ev.Event], Callable[[State, Any], None]] = {
    ev.RunStarted: _run_started,
    ev.RunResumed: _run_resumed,
    ev.RunPausing: _run_pausing,
    ev.RunPaused: _run_paused,
    ev.RunStopping: _run_stopping,
    ev.RunFinished: _run_finished,
    ev.WaveStarted: _wave_started,
    ev.BarrierReached: _barrier_reached,
    ev.TaskReady: _task_ready,
    ev.TaskWaiting: _task_waiting,
    ev.TaskStarted: _task_started,
    ev.TaskSucceeded: _task_succeeded,
    ev.TaskFailed: _task_failed,
    ev.TaskCancelled: _task_cancelled,
    ev.TaskInDoubt: _task_in_doubt,
    ev.RetryScheduled: _retry_scheduled,
    ev.TaskBlocked: _task_blocked,
    ev.TaskSkipped: _task_set_aside,
    ev.TaskWaived: _task_set_aside,
    ev.TaskReset: _task_set_aside,
    ev.QuestionOpened: _question_opened,
    ev.QuestionWithdrawn: _question_withdrawn,
    ev.DecisionMade: _decision_made,
    ev.DecisionRefused: _decision_refused,
    ev.CheckpointSaved: _checkpoint_saved,
    ev.CheckpointFailed: _checkpoint_failed,
    ev.PlanChanged: _plan_changed,
    ev.RunForked: reshaping.fork,
    **undoing.EFFECTS,
    **underway.EFFECTS,
}
