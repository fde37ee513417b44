"""What follows from an outcome: one rule for each failure class."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.machine import checkpoints, rollback, underway
from engine.machine import commands as cmd
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.policies import RESOURCE_WAITS, retry_delay
from engine.machine.transitions import FRONTIER, SETTLED, TaskStatus
from engine.plan.models import FailureClass

if TYPE_CHECKING:
    from engine.machine.core import Machine


def on_succeeded(machine: "Machine", report: rep.Succeeded) -> None:
    if report.purpose == "rollback":
        machine.emit(ev.TaskRolledBack, task=report.task, attempt=report.attempt)
        return
    lane = machine.state.tasks[report.task].lane
    machine.emit(
        ev.TaskSucceeded, task=report.task, attempt=report.attempt, lane=lane, outputs=report.outputs
    )
    checkpoints.after_settling(machine, report.task)
    machine.satisfied(report.task)


def on_failed(machine: "Machine", report: rep.Failed) -> None:
    if report.purpose == "rollback":
        rollback.step_failed(machine, report)
    else:
        machine.emit(
            ev.TaskFailed,
            task=report.task,
            attempt=report.attempt,
            lane=machine.state.tasks[report.task].lane,
            failure_class=report.failure_class,
            reason=report.reason,
            rule=report.rule,
            effect=report.effect,
            exit_code=report.exit_code,
            sqlstate=report.sqlstate,
            resource=report.resource,
            tail=report.tail,
        )
    if report.fatal:
        reason = f"{report.task} found its target damaged: {report.reason}"
        machine.emit(ev.RunStopping, drain=True, fatal=True, actor="engine", reason=reason)
    elif report.purpose == "rollback":
        ask(machine, report.task, report.reason, "rollback_step")  # whatever its class: the rest hangs on it
    else:
        _RULES[report.failure_class](machine, report)


def _transient(machine: "Machine", report: rep.Failed) -> None:
    """Again after a pause that doubles, within the plan's limit; past it, UNKNOWN."""
    rules = machine.plan.retry
    retry = machine.state.tasks[report.task].retries + 1
    if retry > rules.attempts:
        ask(machine, report.task, f"{report.reason} (TRANSIENT, and {rules.attempts} retries are used up)")
        return
    delay = retry_delay(rules, retry, machine.state.seed, report.task)
    due = machine.now.t + delay
    reason = f"retry {retry} of {rules.attempts}: {report.reason}"
    machine.emit(ev.RetryScheduled, task=report.task, retry=retry, delay=delay, due_t=due, reason=reason)
    machine.command(cmd.SetTimer(key=f"retry:{report.task}", due_t=due))


def _resource(machine: "Machine", report: rep.Failed) -> None:
    _wait_for(machine, report.task, report.resource or "a resource", report.reason)


def _wait_for(machine: "Machine", task_id: str, resource: str, why: str) -> None:
    """Wait, and then ask whether the resource is back; past the limit, UNKNOWN."""
    waits = machine.state.tasks[task_id].resource_waits
    if waits >= RESOURCE_WAITS:
        ask(machine, task_id, f"{why} (RESOURCE: still no {resource} after {waits} waits)")
        return
    due = machine.now.t + retry_delay(machine.plan.retry, waits + 1, machine.state.seed, task_id)
    machine.emit(ev.TaskWaiting, task=task_id, reason=f"{resource}: {why}", due_t=due)
    machine.command(cmd.SetTimer(key=f"probe:{task_id}", due_t=due))


def on_wait_over(machine: "Machine", kind: str, task_id: str) -> None:
    """A timer of a waiting task went off."""
    task = machine.state.tasks[task_id]
    if task.due_t is None or task.due_t > machine.now.t:
        return  # a timer that a later wait has replaced
    if kind == "retry":
        machine.waited(task_id)
    else:
        resource = task.waiting_for.partition(": ")[0]
        machine.command(cmd.ProbeResource(task=task_id, resource=resource))


def on_probe(machine: "Machine", report: rep.ProbeAnswered) -> None:
    task = machine.state.tasks[report.task]
    if task.status is not TaskStatus.WAITING:
        return  # decided otherwise while the probe was out
    if report.available:
        machine.waited(report.task)
        return
    resource, _, why = task.waiting_for.partition(": ")
    why = report.detail or why
    if task.resource_waits >= RESOURCE_WAITS:
        last = task.last
        machine.emit(
            ev.TaskFailed,
            task=report.task,
            attempt=last.number if last else 0,
            failure_class=FailureClass.UNKNOWN,
            reason=why,
            rule=f"engine: {resource} not back after {task.resource_waits} waits",
            effect="none",
        )
    _wait_for(machine, report.task, resource, why)


def _permanent(machine: "Machine", report: rep.Failed) -> None:
    """Critical: roll back to the last safe place, and stop. Otherwise skip the task and its dependants."""
    if not machine.task(report.task).critical:
        skip_subtree(machine, report.task, f"failed PERMANENT: {report.reason}")
    elif machine.state.rollback_wanted:
        # A decision stands, and is not replaced. Should nothing come of it, this failure still needs one.
        ask(machine, report.task, f"{report.reason} (PERMANENT and critical)")
    else:
        machine.emit(
            ev.DecisionMade,
            question=0,
            task=report.task,
            action="rollback",
            to=rollback.automatic_target(machine.state),
            actor="engine",
            reason=f"{report.task} is critical and failed PERMANENT: {report.reason}",
            on_seq=machine.state.seq,
        )


def _unknown(machine: "Machine", report: rep.Failed) -> None:
    ask(machine, report.task, report.reason)


_RULES: dict[FailureClass, Callable[["Machine", rep.Failed], None]] = {
    FailureClass.TRANSIENT: _transient,
    FailureClass.RESOURCE: _resource,
    FailureClass.PERMANENT: _permanent,
    FailureClass.UNKNOWN: _unknown,
}


_SET_ASIDE = (TaskStatus.SKIPPED, TaskStatus.BLOCKED)


def ask(machine: "Machine", task_id: str, reason: str, about: ev.About = "failure", **found: Any) -> None:
    """Put a question to the operator. The run pauses by itself for as long as one is open."""
    machine.emit(ev.QuestionOpened, about=about, task=task_id, reason=reason, **found)


def skip_subtree(machine: "Machine", task_id: str, reason: str) -> None:
    """Set the task aside, and with it everything that needs it.

    What that makes due comes after all of it, so that no checkpoint stands in the middle of a skip."""
    machine.emit(ev.TaskSkipped, task=task_id, reason=reason)
    aside = [task_id]
    for each in aside:
        for dependant in machine.graph.children[each]:
            # One that is settled has been through before, and what hangs on it may run; one in doubt may have
            # been, and is decided by itself.
            if machine.state.tasks[dependant].status not in (*SETTLED, TaskStatus.IN_DOUBT):
                machine.emit(ev.TaskBlocked, task=dependant, by=task_id)
                aside.append(dependant)
    for each in aside:
        machine.frontier.discard(each)
        checkpoints.after_settling(machine, each)


def block_cut_off(machine: "Machine", task_id: str) -> None:
    """Block a task that is in doubt no more, if what it needs was set aside meanwhile, and what needs it."""
    blocked = [task_id] if mend_blocked(machine, task_id) else []
    for each in blocked:
        blocked += [child for child in machine.graph.children[each] if mend_blocked(machine, child)]
    for each in blocked:
        checkpoints.after_settling(machine, each)


def mend_blocked(machine: "Machine", task_id: str) -> bool:
    """Block the task if something that it needs is set aside, and free it if nothing is any more: a plan that
    was changed can bring about either. Whether it was blocked just now."""
    tasks = machine.state.tasks
    parents = (tasks[parent] for parent in machine.graph.parents[task_id])
    cause = next((each for each in parents if each.status in _SET_ASIDE), None)
    if cause is None and tasks[task_id].status is TaskStatus.BLOCKED:
        machine.emit(ev.TaskReset, task=task_id, reason="nothing that it needs is set aside any more")
    if cause is None or tasks[task_id].status not in (TaskStatus.PENDING, *FRONTIER):
        return False
    machine.frontier.discard(task_id)
    machine.emit(ev.TaskBlocked, task=task_id, by=cause.blocked_by or cause.id)
    return True


def on_cancelled(machine: "Machine", report: rep.Cancelled) -> None:
    if report.purpose == "rollback":
        rollback.step_cancelled(machine, report)
        return
    machine.emit(
        ev.TaskCancelled,
        task=report.task,
        attempt=report.attempt,
        lane=machine.state.tasks[report.task].lane,
        reason=report.reason,
        effect=report.effect,
    )


def on_in_doubt(machine: "Machine", report: rep.InDoubt) -> None:
    doubt(machine, report.task, report.attempt, report.reason, report.purpose)


def doubt(machine: "Machine", task_id: str, attempt: int, reason: str, purpose: ev.Purpose = "run") -> None:
    """Nobody saw how an attempt ended: look for evidence before anything else."""
    machine.emit(ev.TaskInDoubt, task=task_id, attempt=attempt, purpose=purpose, reason=reason)
    look_into(machine, task_id)


def look_into(machine: "Machine", task_id: str, *, end_processes: bool = False) -> None:
    """Have evidence looked for about what is in doubt: the last attempt at the task, or at its rollback."""
    task = machine.state.tasks[task_id]
    undoing = task.doubt == "rollback"
    machine.gathering.add(task_id)
    machine.command(
        cmd.GatherEvidence(
            task=task_id,
            attempt=task.undo_attempts if undoing else len(task.attempts),
            purpose="rollback" if undoing else "run",
            end_processes=end_processes,
            undone=task.undone_undos if undoing else underway.undone_before(task, len(task.attempts)),
            intent=task.underway.intent,
        )
    )
