"""Taking a run up again under a new engine, and settling what the old one left in doubt."""

from typing import TYPE_CHECKING

from engine.machine import checkpoints, recovery
from engine.machine import commands as cmd
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.state import State, TaskState
from engine.machine.transitions import FRONTIER, RunStatus, TaskStatus

if TYPE_CHECKING:
    from engine.machine.core import Machine

_UNSEEN = "the engine that ran it ended before its outcome was known"


def on_engine_resumed(machine: "Machine", report: rep.EngineResumed) -> None:
    state = machine.state
    undone = state.rollback if state.status is RunStatus.ROLLED_BACK else None
    machine.emit(ev.RunResumed, cause="engine", actor=report.actor, engine=report.engine)
    machine.saving.clear()
    machine.asserting.clear()
    machine.gathering.clear()
    machine.stop_checkpoint_tried = False
    if undone:
        _reset_undone(machine, undone.to_seq)
    for task in state.tasks.values():
        _settle_or_ask(machine, task)
    _mend_blocked(machine)
    machine.rebuild()
    _mend_frontier(machine)
    checkpoints.set_timer(machine)


def _reset_undone(machine: "Machine", to_seq: int) -> None:
    """Everything since the place rolled back to is open again, decisions to skip included."""
    decided = (TaskStatus.SKIPPED, TaskStatus.WAIVED, TaskStatus.BLOCKED)
    for task in machine.state.tasks.values():
        if task.status in (TaskStatus.ROLLED_BACK, TaskStatus.FAILED) or (
            task.status in decided and task.settled_seq > to_seq
        ):
            machine.emit(ev.TaskReset, task=task.id, reason="the run was rolled back and goes on")


def _settle_or_ask(machine: "Machine", task: TaskState) -> None:
    state = machine.state
    if task.status is TaskStatus.RUNNING:
        recovery.doubt(machine, task.id, len(task.attempts), _UNSEEN)
    elif task.status is TaskStatus.CANCELLED:
        if task.doubt:
            recovery.doubt(machine, task.id, len(task.attempts), "it was ended before it was through")
        else:
            machine.emit(ev.TaskReset, task=task.id, reason="it was ended and left nothing behind")
    elif state.rollback and state.rollback.running == task.id:
        recovery.doubt(machine, task.id, task.undo_attempts, _UNSEEN, "rollback")
    elif question := next((each for each in state.questions.values() if each.task == task.id), None):
        if question.survivors:
            why = "what still ran then may have ended by now"
            machine.emit(ev.QuestionWithdrawn, question=question.number, reason=why)
            recovery.look_into(machine, task.id)
    elif task.status is TaskStatus.IN_DOUBT and (task.doubt == "rollback" or not state.rollback):
        # A doubt of a task stays while a rollback goes on around it; one of a rollback step holds that up.
        recovery.look_into(machine, task.id)
    elif task.status is TaskStatus.FAILED and not state.rollback and not _rollback_due(state, task.id):
        last = task.last
        recovery.ask(machine, task.id, last.reason if last else "it failed")


def _rollback_due(state: State, task_id: str) -> bool:
    return state.rollback_wanted is not None and state.rollback_wanted.task == task_id


def _mend_blocked(machine: "Machine") -> None:
    """Block what needs something that is set aside, and nothing else: the plan may have been changed."""
    counts = machine.state.counts
    if counts[TaskStatus.SKIPPED] or counts[TaskStatus.BLOCKED]:
        for task_id in machine.graph.topological:
            recovery.mend_blocked(machine, task_id)


def _mend_frontier(machine: "Machine") -> None:
    """Put every task where its dependencies and its gate say it belongs, and wind its timer again."""
    state = machine.state
    for task in state.tasks.values():
        if task.status in FRONTIER and (machine.unmet[task.id] or not machine.gate.is_open(task.id)):
            machine.frontier.discard(task.id)
            machine.emit(ev.TaskReset, task=task.id, reason="what it depends on, or its wave, is open again")
        elif task.id in state.lanes:
            machine.waited(task.id)  # it held a lane for a checkpoint that the old engine was writing
        elif task.status is TaskStatus.WAITING and task.due_t is not None:
            machine.command(cmd.SetTimer(key=task.timer, due_t=task.due_t))
        elif task.status is TaskStatus.PENDING:
            machine.make_ready(task.id)


def on_evidence(machine: "Machine", report: rep.EvidenceFound) -> None:
    """Doubt is settled by what was found; where nothing was, an idempotent task simply runs again, unless
    the attempt in doubt still does."""
    machine.gathering.discard(report.task)
    task = machine.state.tasks[report.task]
    if task.status is not TaskStatus.IN_DOUBT:
        return  # settled otherwise meanwhile
    done, by = report.done, report.by
    may_rerun = report.purpose == "run" and machine.task(report.task).idempotent and not report.survivors
    if done is None and may_rerun:
        done, by = False, "idempotent"
    if done is None:
        about: ev.About = "doubt" if report.purpose == "run" else "rollback_step"
        found = {"evidence": report.detail, "survivors": report.survivors}
        recovery.ask(machine, report.task, _doubt_reason(task), about, **found)
        return
    machine.emit(
        ev.DoubtSettled,
        task=report.task,
        attempt=report.attempt,
        purpose=report.purpose,
        done=done,
        by=by,
        detail=report.detail,
    )
    if report.purpose == "rollback":
        if done:
            machine.emit(ev.TaskRolledBack, task=report.task, attempt=report.attempt)
        # otherwise it is still the next step of the rollback, and is taken again
    elif done:
        machine.emit(ev.TaskSucceeded, task=report.task, attempt=report.attempt)
        checkpoints.after_settling(machine, report.task)
        machine.satisfied(report.task)
    else:
        machine.emit(ev.TaskReset, task=report.task, reason="it had not taken effect, or may run again")
        recovery.block_cut_off(machine, report.task)
        machine.make_ready(report.task)


def _doubt_reason(task: TaskState) -> str:
    if task.forked_after >= len(task.attempts):
        return task.unseen
    return task.last.reason if task.last and task.last.reason else _UNSEEN
