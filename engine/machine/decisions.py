"""What an operator's answer does. A decision acts on the question it was made for, or on nothing."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.machine import checkpoints, recovery, rollback
from engine.machine import commands as cmd
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.state import Question, State
from engine.machine.transitions import TaskStatus

if TYPE_CHECKING:
    from engine.machine.core import Machine

Choice = tuple[ev.Action, ev.Mode | None]

CHOICES: dict[ev.About, tuple[Choice, ...]] = {
    "failure": (
        ("retry", None),
        ("skip", "subtree"),
        ("skip", "waive"),
        ("skip", "assert_done"),
        ("rollback", None),
        ("abort", None),
    ),
    "doubt": (
        ("skip", "assert_done"),
        ("resume", "look_again"),
        ("resume", "end_processes"),
        ("retry", None),
        ("skip", "subtree"),
        ("skip", "waive"),
        ("rollback", None),
        ("abort", None),
    ),
    "rollback_step": (
        ("retry", None),
        ("resume", "look_again"),
        ("resume", "end_processes"),
        ("skip", "leave_applied"),
        ("skip", "assert_done"),
        ("abort", None),
    ),
    "rollback_scope": (
        ("rollback", None),
        ("retry", None),
        ("skip", "subtree"),
        ("skip", "waive"),
        ("abort", None),
    ),
}
"""The answers each kind of question takes, at most: see `answers`."""


def answers(state: State, question: Question) -> tuple[Choice, ...]:
    """The answers that `question` takes. It can be looked into again only while something is in doubt, and
    only what still runs can be ended."""
    in_doubt = state.tasks[question.task].status is TaskStatus.IN_DOUBT
    barred: dict[Choice, bool] = {
        ("resume", "look_again"): not in_doubt,
        ("resume", "end_processes"): not in_doubt or not question.survivors,
    }
    return tuple(choice for choice in CHOICES[question.about] if not barred.get(choice))


def on_decide(machine: "Machine", report: rep.Decide) -> None:
    why = refusal(machine.state, report)
    if not why and report.mode == "assert_done" and report.question in machine.asserting:
        why = "its verify is being run already"
    if why:
        _refuse(machine, report, why)
        return
    question = machine.state.questions.get(report.question)
    if question and _needs_checking(machine, question, report):
        machine.asserting[report.question] = report
        machine.command(cmd.CheckAssertion(task=question.task, question=report.question))
    else:
        _carry_out(machine, question, report)


def refusal(state: State, report: rep.Decide) -> str:
    """Why the decision cannot be taken as the run stands now, or an empty string."""
    if state.finished:
        return f"the run is {state.status}"
    if state.stopping:
        return "the run is stopping"
    if report.action == "rollback" and (state.rollback or state.rollback_wanted):
        return "a rollback is under way already"
    if report.action == "rollback" and rollback.target_seq(state, report.to) is None:
        return f"there is no checkpoint {report.to} to roll back to"
    if report.question == 0:
        return "" if report.action == "rollback" else "there is no such question"
    question = state.questions.get(report.question)
    if question is None:
        return "the question is no longer open"
    if (report.action, report.mode) not in answers(state, question):
        return "that is not an answer to this question"
    if report.action == "retry" and question.survivors:
        return f"it still runs ({', '.join(question.survivors)}): wait for it, or end it first"
    return ""


def _needs_checking(machine: "Machine", question: Question, report: rep.Decide) -> bool:
    asserted = report.mode == "assert_done" and question.about != "rollback_step"
    return asserted and machine.task(question.task).verify is not None


def on_assertion(machine: "Machine", report: rep.AssertionChecked) -> None:
    """The task's own `verify` has spoken about an operator's "it is done"."""
    decision = machine.asserting.pop(report.question)
    why = refusal(machine.state, decision)
    if not why and not report.passed:
        why = f"its verify says no: {report.detail}"
    if why:
        _refuse(machine, decision, why)
    else:
        _carry_out(machine, machine.state.questions[report.question], decision)


def _refuse(machine: "Machine", report: rep.Decide, why: str) -> None:
    machine.emit(
        ev.DecisionRefused, question=report.question, action=report.action, actor=report.actor, why=why
    )


def _carry_out(machine: "Machine", question: Question | None, report: rep.Decide) -> None:
    machine.emit(
        ev.DecisionMade,
        question=report.question,
        task=question.task if question else "",
        action=report.action,
        mode=report.mode,
        to=_place(machine.state, question, report.to) if report.action == "rollback" else "",
        actor=report.actor,
        reason=report.reason,
        on_seq=machine.state.seq,
    )
    if report.action == "abort":
        machine.emit(ev.RunStopping, drain=True, actor=report.actor, reason=report.reason or "aborted")
    elif question and report.action != "rollback":
        rules = _STEP_RULES if question.about == "rollback_step" else _TASK_RULES
        rules[report.action, report.mode](machine, question.task, report)


def _place(state: State, question: Question | None, to: str) -> str:
    """Where the rollback goes. Named as soon as it is decided: by the time nothing is in flight, another
    checkpoint may be the last one, or the kept one."""
    if question and question.about == "rollback_scope" and to == "last":
        return next(made.to for made in reversed(state.decisions) if made.task == question.task and made.to)
    place = rollback.target_seq(state, to)
    assert place, "refused before"
    return place[0]


def _retry(machine: "Machine", task_id: str, report: rep.Decide) -> None:
    machine.emit(ev.TaskReset, task=task_id, reason=f"retry decided by {report.actor}")
    recovery.block_cut_off(machine, task_id)
    machine.make_ready(task_id)


def _skip(machine: "Machine", task_id: str, report: rep.Decide) -> None:
    recovery.skip_subtree(machine, task_id, report.reason or f"skipped by {report.actor}")


def _waive(machine: "Machine", task_id: str, report: rep.Decide) -> None:
    machine.emit(ev.TaskWaived, task=task_id, reason=report.reason or f"waived by {report.actor}")
    checkpoints.after_settling(machine, task_id)
    machine.satisfied(task_id)


def _assert_done(machine: "Machine", task_id: str, report: rep.Decide) -> None:
    last = machine.state.tasks[task_id].last
    attempt = last.number if last else 0
    machine.emit(ev.TaskSucceeded, task=task_id, attempt=attempt, asserted_by=report.actor)
    checkpoints.after_settling(machine, task_id)
    machine.satisfied(task_id)


def _look_again(machine: "Machine", task_id: str, _report: rep.Decide) -> None:
    recovery.look_into(machine, task_id)


def _end_processes(machine: "Machine", task_id: str, _report: rep.Decide) -> None:
    recovery.look_into(machine, task_id, end_processes=True)


def _step_again(_machine: "Machine", _task_id: str, _report: rep.Decide) -> None:
    """Nothing to record: with its question answered, the step is the next one again."""


def _leave_applied(machine: "Machine", task_id: str, report: rep.Decide) -> None:
    machine.emit(ev.TaskLeftApplied, task=task_id, reason=report.reason)


def _undone_already(machine: "Machine", task_id: str, _report: rep.Decide) -> None:
    machine.emit(ev.TaskRolledBack, task=task_id, attempt=machine.state.tasks[task_id].undo_attempts)


_DOUBT_RULES: dict[Choice, Callable[["Machine", str, rep.Decide], None]] = {
    ("resume", "look_again"): _look_again,
    ("resume", "end_processes"): _end_processes,
}
_TASK_RULES: dict[Choice, Callable[["Machine", str, rep.Decide], None]] = {
    **_DOUBT_RULES,
    ("retry", None): _retry,
    ("skip", "subtree"): _skip,
    ("skip", "waive"): _waive,
    ("skip", "assert_done"): _assert_done,
}
_STEP_RULES: dict[Choice, Callable[["Machine", str, rep.Decide], None]] = {
    **_DOUBT_RULES,
    ("retry", None): _step_again,
    ("skip", "leave_applied"): _leave_applied,
    ("skip", "assert_done"): _undone_already,
}


def standing_answer(state: State, question: Question, on_unknown: str, to: str = "last") -> rep.Decide | None:
    """The answer that `--on-unknown` gives to a question, or None where it is the operator's (`ask`).

    `retry` is given within the plan's limit of retries, counted over all attempts, and then as `abort`. A
    question about a rollback is answered by going on with it only where rolling back is the standing
    answer; a failed rollback step is retried once and then aborts, since leaving it is a person's call.
    A run that was taken up again is owed one more retry of either, whatever was tried before.
    What still runs of an attempt is ended before a retry; where it cannot be, that aborts, too."""
    if on_unknown == "ask" or state.stopping:
        return None
    action: ev.Action
    mode: ev.Mode | None = None
    if question.refused:
        action = "abort"  # what was refused once (a checkpoint that is not there) will be refused again
    elif question.about == "rollback_step":
        again = state.tasks[question.task].undo_attempts < 2 or _is_owed_a_retry(state, question.task)
        action = "retry" if on_unknown in ("retry", "rollback") and again else "abort"
    elif on_unknown == "retry":
        used = len(state.tasks[question.task].attempts) - 1
        again = used < state.plan.retry.attempts or _is_owed_a_retry(state, question.task)
        action = "retry" if again else "abort"
    elif on_unknown == "skip":
        action, mode = "skip", "subtree"
    else:
        action = "rollback" if on_unknown == "rollback" else "abort"
    if action == "retry" and question.survivors:
        action, mode = ("abort", None) if _was_ended(state, question.task) else ("resume", "end_processes")
    return rep.Decide(
        question=question.number,
        action=action,
        mode=mode,
        to=to,
        actor=f"--on-unknown {on_unknown}",
        reason="standing order",
    )


def _is_owed_a_retry(state: State, task_id: str) -> bool:
    """Whether the run was taken up again, and the task has not been retried since: whoever resumes a run with
    standing orders has mended something."""
    since = state.taken_up_seq
    retried = any(m.task == task_id and m.action == "retry" and m.seq > since for m in state.decisions)
    return bool(since) and not retried


def _was_ended(state: State, task_id: str) -> bool:
    """Whether the last thing decided about the task since it last started was to end what still runs."""
    last = next((made for made in reversed(state.decisions) if made.task == task_id), None)
    since = state.tasks[task_id].ready_seq
    return last is not None and last.mode == "end_processes" and last.on_seq > since
