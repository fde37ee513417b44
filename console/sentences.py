"""Events in words: one calm sentence for each kind, on screens and in plain output alike."""

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from console.look import INTERVENTION, QUESTION, RUN, STATUS, TRIGGER, Mark, one_line, plural
from console.underway import adjusted_words, counted, intervention, wait_words
from engine.machine import events as ev
from engine.machine.transitions import TRANSITIONS, RunStatus, TaskStatus
from engine.plan.durations import format_duration
from engine.tasks.sanitise import sanitise

_FULL_WIDTH = 72
_NAMED = 3
"""So many tasks of a list are named; the others are counted."""


def sentence(event: ev.Event) -> str:
    """What happened, in one line that is safe on any screen."""
    return one_line(_WORDS[type(event)](event))


def in_full(event: ev.Event) -> list[str]:
    """When and what happened, and what the attempt said at its end, in lines that need no scrolling sideways
    on 80 columns; safe on any screen."""
    said = sanitise(getattr(event, "tail", "")).rstrip("\n").splitlines()
    return [
        f"{event.at:%Y-%m-%d %H:%M:%S} UTC · {event.kind}",
        "",
        *textwrap.wrap(sentence(event), _FULL_WIDTH, break_on_hyphens=False),
        *(["", "It said:", *said] if said else []),
    ]


def mark_of(event: ev.Event) -> Mark:
    """The mark of what `event` is about: a status that it brings, the trigger of a checkpoint, a question."""
    kind = type(event)
    if kind in TRANSITIONS:
        return STATUS[TRANSITIONS[kind][1]]
    if isinstance(event, ev.CheckpointSaved):
        return TRIGGER[event.trigger]
    if isinstance(event, ev.RunFinished):
        return RUN[RunStatus(event.status)]
    return _MARKS.get(kind, _NOTE)


_NOTE = Mark("•", "note", "quiet")
_MARKS: dict[type[ev.Event], Mark] = {
    ev.RunStarted: RUN[RunStatus.RUNNING],
    ev.RunResumed: RUN[RunStatus.RUNNING],
    ev.RunPausing: RUN[RunStatus.PAUSING],
    ev.RunPaused: RUN[RunStatus.PAUSED],
    ev.RunStopping: RUN[RunStatus.ABORTED],
    ev.BarrierReached: TRIGGER["barrier"],
    ev.QuestionOpened: QUESTION,
    ev.RollbackStarted: RUN[RunStatus.ROLLING_BACK],
    ev.RollbackFailed: RUN[RunStatus.FAILED],
    ev.CheckpointFailed: RUN[RunStatus.FAILED],
    ev.LockWaitChanged: STATUS[TaskStatus.WAITING],
    ev.InterventionMade: INTERVENTION,
    ev.InterventionEnded: INTERVENTION,
    ev.TaskAdjusted: INTERVENTION,
}


def some_of(tasks: Sequence[str]) -> str:
    """`a, b, c and 4 more`."""
    named = ", ".join(tasks[:_NAMED])
    return f"{named} and {len(tasks) - _NAMED} more" if len(tasks) > _NAMED else named


def _because(reason: str, before: str = ": ") -> str:
    return f"{before}{reason}" if reason else ""


def _by(actor: str) -> str:
    return f" by {actor}" if actor else ""


def _attempt(number: int) -> str:
    return f", attempt {number}" if number > 1 else ""


def _run_started(event: ev.RunStarted) -> str:
    simulated = ", simulated" if event.simulated else ""
    lanes = plural(event.lanes, "lane")
    return f"run started{_by(event.actor)}: {event.model} model, {event.policy}, {lanes}{simulated}"


def _run_resumed(event: ev.RunResumed) -> str:
    cause = {
        "engine": "run taken up again by a new engine",
        "operator": "run goes on",
        "decision": "run goes on: the question is answered",
        "checkpoint": "run goes on: the checkpoint is written",
    }[event.cause]
    return cause + (f" ({event.actor})" if event.actor else "")


def _run_stopping(event: ev.RunStopping) -> str:
    how = "what is running may finish" if event.drain else "what is running is ended"
    return f"stopping{_by(event.actor)}{_because(event.reason)}; {how}"


def _run_finished(event: ev.RunFinished) -> str:
    return f"run {RUN[RunStatus(event.status)].word}{_because(event.reason)}"


def _task_waiting(event: ev.TaskWaiting) -> str:
    return f"{event.task} waits{_because(event.reason)}"


def _task_started(event: ev.TaskStarted) -> str:
    return f"{event.task} started on lane {event.lane + 1}{_attempt(event.attempt)}"


def _task_succeeded(event: ev.TaskSucceeded) -> str:
    if event.asserted_by:
        return f"{event.task} counts as done, on the word of {event.asserted_by}"
    return f"{event.task} succeeded{_attempt(event.attempt)}"


def _failure(event: ev.TaskFailed | ev.RollbackFailed) -> str:
    why = _because(event.rule, " — rule: ")
    return f"({event.failure_class.value.upper()}: {event.reason}{why})"


def _task_failed(event: ev.TaskFailed) -> str:
    return f"{event.task} failed{_attempt(event.attempt)} {_failure(event)}"


def _task_cancelled(event: ev.TaskCancelled) -> str:
    left = "it left nothing behind" if event.effect == "none" else "what it left behind will be looked for"
    return f"{event.task} was ended{_because(event.reason)}; {left}"


def _retry_scheduled(event: ev.RetryScheduled) -> str:
    return f"{event.task} will be retried in {format_duration(event.delay)} (retry {event.retry})"


def _task_in_doubt(event: ev.TaskInDoubt) -> str:
    what = "the rollback of " if event.purpose == "rollback" else ""
    return f"{what}{event.task} is in doubt{_because(event.reason)}"


def _doubt_settled(event: ev.DoubtSettled) -> str:
    what = "rollback of " if event.purpose == "rollback" else ""
    found = "is done" if event.done else "is not done"
    by = {
        "ledger": "the ledger says so",
        "verify": "its verify says so",
        "idempotent": "it is idempotent",
        "executor": "its executor says so",
        "operator": "the operator says so",
        "journal": "the journal says so",
    }[event.by]
    return f"doubt settled: {what}{event.task} {found}; {by}{_because(event.detail, ' (')}" + (
        ")" if event.detail else ""
    )


def _question_opened(event: ev.QuestionOpened) -> str:
    asked = {
        "failure": f"what is to be done about {event.task}?",
        "doubt": f"did {event.task} take effect?",
        "rollback_step": f"the rollback of {event.task} did not work; what now?",
        "rollback_scope": "roll back, with tasks that cannot be undone?",
    }[event.about]
    return f"question {event.seq}: {asked}" + (f" ({event.reason})" if event.reason else "")


_SKIPS: dict[str | None, str] = {
    None: "skip",
    "subtree": "skip, with all that depends on it",
    "waive": "waive: what depends on it may run",
    "assert_done": "it is done",
    "leave_applied": "leave it applied",
}
_LOOKS: dict[str | None, str] = {
    "look_again": "look again",
    "end_processes": "end what still runs, then look again",
}


def _decision_made(event: ev.DecisionMade) -> str:
    choice: str = event.action
    if event.action == "skip":
        choice = _SKIPS[event.mode]
    elif event.action == "resume":
        choice = _LOOKS[event.mode]
    elif event.action == "rollback":
        choice = f"roll back to {event.to or 'the last stable checkpoint'}"
    about = f" about {event.task}" if event.task else ""
    return f"{event.actor} decided{about}: {choice}" + (f" ({event.reason})" if event.reason else "")


def _decision_refused(event: ev.DecisionRefused) -> str:
    return f"refused: {event.action} by {event.actor}{_because(event.why)}"


def _rollback_started(event: ev.RollbackStarted) -> str:
    undone = plural(len(event.tasks), "task")
    stay = f"; staying applied: {some_of(event.stay)}" if event.stay else ""
    return f"rollback to {event.to} begins, {undone} to undo{_because(event.reason)}{stay}"


def _rollback_failed(event: ev.RollbackFailed) -> str:
    return f"rollback of {event.task} failed {_failure(event)}"


def _checkpoint_saved(event: ev.CheckpointSaved) -> str:
    word = TRIGGER[event.trigger].word
    why = event.note if word in event.note else f"{word}{_because(event.note, ', ')}"
    shaky = "" if event.stable else ", not stable"
    return f"checkpoint {event.checkpoint} saved ({why}): {plural(event.completed, 'task')} completed{shaky}"


def _plan_changed(event: ev.PlanChanged) -> str:
    parts = {"changed": event.changed, "removed": event.removed, "added": event.added}
    told = "; ".join(f"{some_of(tasks)} {how}" for how, tasks in parts.items() if tasks)
    return f"the plan was changed, and accepted{_by(event.actor)}{_because(told)}"


def _run_forked(event: ev.RunForked) -> str:
    doubts = f"{plural(len(event.doubted), 'task')} in doubt"
    return f"goes on in the stead of {event.origin}, from {event.checkpoint}{_by(event.actor)}; {doubts}"


def _of_purpose(event: Any) -> str:
    return f"the rollback of {event.task}" if event.purpose == "rollback" else str(event.task)


def _commit_intended(event: ev.CommitIntended) -> str:
    what = f"commit transaction {event.xid}" if event.xid else f"run `{event.statement}`, in no transaction"
    part = f", part {event.part} of {event.parts}" if event.parts > 1 else ""
    return f"{_of_purpose(event)} is about to {what}{part}"


def _task_progressed(event: ev.TaskProgressed) -> str:
    held = f"held: {event.held}" if event.held else ""
    told = ", ".join(part for part in (counted(event), held) if part) or event.detail
    detail = f" ({event.detail})" if event.detail and told != event.detail else ""
    return f"{_of_purpose(event)}: {told}{detail}"


def _lock_wait_changed(event: ev.LockWaitChanged) -> str:
    if not event.blockers:
        return f"{_of_purpose(event)} waits for no lock any more"
    tries = f", try {event.tries + 1}" if event.tries else ""
    return f"{_of_purpose(event)} {wait_words(event, 0.0)}{tries}"


def _intervention_made(event: ev.InterventionMade) -> str:
    what = intervention(event.action, event.task, event.pid, event.attempt)
    return f"{event.actor} decided to {what}" + (f" ({event.reason})" if event.reason else "")


def _intervention_ended(event: ev.InterventionEnded) -> str:
    return f"{event.task}: {'' if event.done else 'not done: '}{event.detail}"


def _intervention_refused(event: ev.InterventionRefused) -> str:
    what = intervention(event.action, event.task, event.pid)
    return f"refused: {event.actor} wanted to {what}{_because(event.why)}"


_WORDS: dict[type[ev.Event], Callable[[Any], str]] = {
    ev.RunStarted: _run_started,
    ev.RunResumed: _run_resumed,
    ev.RunPausing: lambda event: f"pausing{_because(event.reason)}",
    ev.RunPaused: lambda event: f"paused{_because(event.reason)}",
    ev.RunStopping: _run_stopping,
    ev.RunFinished: _run_finished,
    ev.WaveStarted: lambda event: f"wave {event.wave} started",
    ev.BarrierReached: lambda event: f"barrier of wave {event.wave} reached",
    ev.TaskReady: lambda event: f"{event.task} is ready",
    ev.TaskWaiting: _task_waiting,
    ev.TaskStarted: _task_started,
    ev.TaskSucceeded: _task_succeeded,
    ev.TaskFailed: _task_failed,
    ev.TaskCancelled: _task_cancelled,
    ev.RetryScheduled: _retry_scheduled,
    ev.TaskInDoubt: _task_in_doubt,
    ev.DoubtSettled: _doubt_settled,
    ev.TaskSkipped: lambda event: f"{event.task} skipped{_because(event.reason)}",
    ev.TaskWaived: lambda event: f"{event.task} waived{_because(event.reason)}",
    ev.TaskBlocked: lambda event: f"{event.task} is blocked by {event.by}",
    ev.TaskReset: lambda event: f"{event.task} is to run again{_because(event.reason)}",
    ev.QuestionOpened: _question_opened,
    ev.QuestionWithdrawn: lambda event: f"question {event.question} withdrawn{_because(event.reason)}",
    ev.DecisionMade: _decision_made,
    ev.DecisionRefused: _decision_refused,
    ev.RollbackStarted: _rollback_started,
    ev.RollbackStepStarted: lambda event: f"undoing {event.task}{_attempt(event.attempt)}",
    ev.TaskRolledBack: lambda event: f"{event.task} rolled back",
    ev.RollbackFailed: _rollback_failed,
    ev.TaskLeftApplied: lambda event: f"{event.task} stays applied{_because(event.reason)}",
    ev.CheckpointSaved: _checkpoint_saved,
    ev.PlanChanged: _plan_changed,
    ev.RunForked: _run_forked,
    ev.CommitIntended: _commit_intended,
    ev.TaskProgressed: _task_progressed,
    ev.LockWaitChanged: _lock_wait_changed,
    ev.InterventionMade: _intervention_made,
    ev.InterventionEnded: _intervention_ended,
    ev.InterventionRefused: _intervention_refused,
    ev.TaskAdjusted: lambda event: f"{event.actor} adjusted {event.task}: {adjusted_words(event)}",
    ev.CheckpointFailed: lambda event: (
        f"checkpoint ({TRIGGER[event.trigger].word}) could not be written{_because(event.reason)}"
    ),
}
