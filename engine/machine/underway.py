"""What an attempt tells while it is under way, and what an operator does about it meanwhile.

None of this moves a task: it says how far an attempt has come, what it waits for, and what it is about to
make permanent. An operator may interfere with exactly what was shown, and with nothing in its place.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict, replace

from engine.machine import commands as cmd
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.state import State, TaskState, Underway

if TYPE_CHECKING:
    from engine.machine.core import Machine

RECENT_S = 20.0
"""Seconds, at the least, that a rate is taken over once there are as many: it is to follow what changes."""
_LATELY_S = 3.0
"""Seconds of progress below which a rate is a guess."""

Telling = rep.CommitIntended | rep.Progressed | rep.LockWaitSeen


# -- the fold ------------------------------------------------------------------------------------------------


def _commit_intended(task: TaskState, event: ev.CommitIntended) -> None:
    task.underway = replace(task.underway, intent=event)


def _task_progressed(task: TaskState, event: ev.TaskProgressed) -> None:
    told = task.underway
    first, following = told.progress_from, told.progress_next
    # What is counted may change on the way (the phases of an index build): a rate is one of the same thing.
    # Time for which it was held back is no part of it.
    same = first and (first.unit, first.total) == (event.unit, event.total) and event.done >= first.done
    if not same or not following or (told.progress and told.progress.held):
        first = following = event
    elif event.t - following.t >= RECENT_S:
        first, following = following, event
    task.underway = replace(told, progress=event, progress_from=first, progress_next=following)


def _lock_wait_changed(task: TaskState, event: ev.LockWaitChanged) -> None:
    task.underway = replace(task.underway, lock_wait=event if event.blockers else None)


def _intervened(
    task: TaskState, event: ev.InterventionMade | ev.InterventionEnded | ev.InterventionRefused
) -> None:
    task.underway = replace(task.underway, intervention=event)


def _task_adjusted(task: TaskState, event: ev.TaskAdjusted) -> None:
    task.adjusted = event
    told = task.underway.progress
    task.underway = replace(task.underway, progress_from=told, progress_next=told)  # its pace is another now


def ended(task: TaskState) -> None:
    """An attempt that has ended waits for nothing any more, whether it lived to tell or not."""
    if task.underway.lock_wait:
        task.underway = replace(task.underway, lock_wait=None)


def _of_task(effect: Callable[[TaskState, Any], None]) -> Callable[[State, Any], None]:
    def apply(state: State, event: Any) -> None:
        # A task that a changed plan has dropped is gone, and what was still to be told of it with it.
        if task := state.tasks.get(event.task):
            effect(task, event)

    return apply


EFFECTS: dict[type[ev.Event], Callable[[State, Any], None]] = {
    ev.CommitIntended: _of_task(_commit_intended),
    ev.TaskProgressed: _of_task(_task_progressed),
    ev.LockWaitChanged: _of_task(_lock_wait_changed),
    ev.InterventionMade: _of_task(_intervened),
    ev.InterventionEnded: _of_task(_intervened),
    ev.InterventionRefused: _of_task(_intervened),
    ev.TaskAdjusted: _of_task(_task_adjusted),
}


def rate(underway: Underway) -> float | None:
    """Units a second of what is counted now, as it went lately; None while that is a guess."""
    first, last = underway.progress_from, underway.progress
    if first is None or last is None or last.t - first.t < _LATELY_S or last.done <= first.done:
        return None
    return (last.done - first.done) / (last.t - first.t)


def left_s(underway: Underway, now_t: float) -> float | None:
    """Seconds from `now_t` until all that is counted is done, at the present rate; None while that is a
    guess, and while it is held back."""
    told, speed = underway.progress, rate(underway)
    if told is None or speed is None or told.total is None or told.held:
        return None
    return max((told.total - told.done) / speed - (now_t - told.t), 0.0)


# -- the rules -----------------------------------------------------------------------------------------------


def attempt_in_flight(state: State, task_id: str) -> tuple[int, ev.Purpose] | None:
    """Which attempt at `task_id`, or at its rollback, an executor is busy with."""
    task = state.tasks.get(task_id)
    if task is None or task_id not in state.in_flight:
        return None
    if state.rollback and state.rollback.running == task_id:
        return task.undo_attempts, "rollback"
    return len(task.attempts), "run"


def undone_before(task: TaskState, attempt: int) -> int:
    """Attempts up to which number count no more for `attempt`: they were undone, or a rollback of the run
    left them behind."""
    left_behind = attempt > task.stranded_attempts
    return max(task.undone_attempts, task.stranded_attempts if left_behind else 0)


def intended(task: TaskState, purpose: ev.Purpose) -> ev.CommitIntended | None:
    """What an attempt that was not undone since was last about to make permanent."""
    intent = task.underway.intent
    undone = undone_before(task, len(task.attempts) + 1) if purpose == "run" else task.undone_undos
    return intent if intent and intent.purpose == purpose and intent.attempt > undone else None


def on_intent(machine: "Machine", report: rep.CommitIntended) -> None:
    if _tell(machine, ev.CommitIntended, report):
        machine.command(
            cmd.GoOn(task=report.task, attempt=report.attempt, purpose=report.purpose, part=report.part)
        )


def on_progress(machine: "Machine", report: rep.Progressed) -> None:
    _tell(machine, ev.TaskProgressed, report)


def on_lock_wait(machine: "Machine", report: rep.LockWaitSeen) -> None:
    shown = machine.state.tasks[report.task].underway.lock_wait
    if report.blockers or shown:
        _tell(machine, ev.LockWaitChanged, report)


def _tell(machine: "Machine", kind: type[ev.Event], report: Telling) -> bool:
    """Record what an attempt told, unless it is over: then its outcome has told more."""
    if attempt_in_flight(machine.state, report.task) != (report.attempt, report.purpose):
        return False
    machine.emit(kind, **asdict(report))
    return True


def on_intervene(machine: "Machine", report: rep.Intervene) -> None:
    if why := refusal(machine.state, report):
        machine.emit(
            ev.InterventionRefused,
            task=report.task,
            action=report.action,
            pid=report.pid,
            actor=report.actor,
            why=why,
        )
        return
    machine.emit(ev.InterventionMade, **asdict(report))
    machine.command(
        cmd.Intervene(
            task=report.task,
            attempt=report.attempt,
            purpose=report.purpose,
            action=report.action,
            pid=report.pid,
            backend_started=report.backend_started,
        )
    )


def refusal(state: State, report: rep.Intervene) -> str:
    """Why the intervention cannot be made: what it was decided on is not there any more; else empty."""
    if state.finished:
        return f"the run is {state.status}"
    if attempt_in_flight(state, report.task) != (report.attempt, report.purpose):
        what = "the rollback of " if report.purpose == "rollback" else ""
        return f"attempt {report.attempt} at {what}{report.task} is not running any more"
    underway = state.tasks[report.task].underway
    made = underway.intervention
    same = ("action", "pid")
    if isinstance(made, ev.InterventionMade) and all(getattr(made, k) == getattr(report, k) for k in same):
        return "it has been asked for already"
    if report.action == "cancel_own":
        return ""
    wait = underway.lock_wait
    blockers = wait.blockers if wait else ()
    shown = next((each for each in blockers if each.pid == report.pid), None)
    if wait is None or shown is None or shown.started != report.backend_started:
        return f"pid {report.pid} does not block {report.task} any more"
    if wait.seq > report.on_seq:
        return f"what blocks {report.task} has just changed: look again"
    return f"pid {report.pid} works for {shown.own_task} of this run" if shown.own_task else ""


def on_intervened(machine: "Machine", report: rep.Intervened) -> None:
    machine.emit(ev.InterventionEnded, **asdict(report))


def on_adjust(machine: "Machine", report: rep.Adjust) -> None:
    state = machine.state
    task = state.tasks.get(report.task)
    why = f"the run is {state.status}" if state.finished else "" if task else "the plan has no such task"
    if task and machine.task(report.task).run.kind != "backfill":
        why = f"{report.task} is no backfill"
    if why:
        machine.emit(ev.InterventionRefused, task=report.task, action="adjust", actor=report.actor, why=why)
        return
    adjusted = machine.emit(ev.TaskAdjusted, **asdict(report))
    machine.command(cmd.Adjust(adjusted=adjusted))
