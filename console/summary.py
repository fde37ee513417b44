"""How a run ended, in words: for the last screen, and for a terminal once the console has been left."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from console.exits import exit_code
from console.giving_up import given_up, given_up_words
from console.interfered import adjustment_words, adjustments, interventions
from console.look import RUN, STATUS, Mark, one_line, plural
from console.run_view import RunView
from console.underway import counted
from engine.machine.events import Event
from engine.machine.metrics import metrics
from engine.machine.state import State
from engine.machine.transitions import RunStatus, TaskStatus
from engine.plan.durations import format_duration

NAMED = 6
"""So many tasks are named in a line; the rest is counted."""
_TOLD = 3
"""So many of the things that operators did about attempts are told, the last ones; the rest is counted."""

_ORDER = (
    TaskStatus.SUCCEEDED,
    TaskStatus.ROLLED_BACK,
    TaskStatus.FAILED,
    TaskStatus.IN_DOUBT,
    TaskStatus.SKIPPED,
    TaskStatus.WAIVED,
    TaskStatus.BLOCKED,
    TaskStatus.CANCELLED,
    TaskStatus.ROLLING_BACK,
    TaskStatus.RUNNING,
    TaskStatus.READY,
    TaskStatus.WAITING,
    TaskStatus.PENDING,
)
"""How the tasks of a run are told: what was done, what went wrong, what is left."""


_STILL_TO_COME = (TaskStatus.READY, TaskStatus.WAITING)
"""Nothing of the kind is true of a run that has ended: its tasks are pending then."""


class Line(NamedTuple):
    label: str
    text: str
    mark: Mark | None = None


class Summary(NamedTuple):
    """`mark` is the run's; `meaning` says in a sentence what the end means; `resume` is the command that
    goes on with the run, or empty where nothing is left to do."""

    mark: Mark
    title: str
    meaning: str
    lines: list[Line]
    resume: str


def resumable(state: State) -> bool:
    """Whether `resume` would go on with the run; a run stopped for a damaged target counts as well."""
    return state.started and state.status is not RunStatus.COMPLETED


def resume_command(state: State, folder: str) -> str:
    """`folder` is where the run is kept."""
    from engine.journal.naming import typed_name  # late: a screen's first paint needs nothing of the journal

    return f"wesley-console resume {typed_name(Path(folder)) if folder else state.run}"


def summarise(view: RunView, folder: str = "") -> Summary:
    """The summary of a run; `folder` is where it is kept."""
    state = view.newest
    mark = RUN[state.status]
    took = f" after {format_duration(state.t)}" if state.started else ""
    return Summary(
        mark=mark,
        title=f"{one_line(view.plan.name)}: {mark.word}{took}",
        meaning=_meaning(state) + _not_done(view),
        lines=[
            *_tasks(state),
            *_done_in_part(state),
            *_left_applied(state),
            *_interfered(view.events),
            *_figures(state, folder),
        ],
        resume=resume_command(state, folder) if resumable(state) else "",
    )


def _not_done(view: RunView) -> str:
    """What was decided and has not been done, of a run that could still do it."""
    state = view.newest
    decided = given_up(state, view.events) if state.status is RunStatus.ABORTED else None
    return f" {given_up_words(decided)}" if decided else ""


def ended_because(state: State) -> str:
    """Why the run ended as it did, in a line; of a rollback what it came to, and what it was decided for."""
    reason = one_line(state.status_reason)
    if state.status is not RunStatus.ROLLED_BACK or state.rollback is None:
        return reason
    why = one_line(state.rollback.reason)
    return f"{reason} ({why})" if why not in reason else reason


def _meaning(state: State) -> str:
    reason = ended_because(state)
    because = f" Reason: {reason}." if reason else ""
    if state.status is RunStatus.COMPLETED:
        if state.counts[TaskStatus.SUCCEEDED] == len(state.tasks):
            return "Every task succeeded." if not _on_their_word(state) else "Every task is done."
        return "The run is complete, but not every task ran: see what was skipped, waived or blocked."
    if state.status is RunStatus.ROLLED_BACK:
        to = state.rollback.to if state.rollback else ""
        place = "the start" if to == "start" else f"checkpoint {to}"
        return f"The run was rolled back to {place}. A resume runs the undone tasks again.{because}"
    if state.status is RunStatus.FAILED:
        return f"The run was stopped because a target is damaged.{because} Look at it before anything else."
    if state.questions and state.status is not RunStatus.ABORTED:
        return "The run waits for an operator: a question is open."
    if state.status is RunStatus.ABORTED:
        return f"The run was stopped, and nothing is lost: it can be resumed.{because}"
    return "The run is not finished."


def _tasks(state: State) -> list[Line]:
    """One line for each status that any task is in; what went well is counted, the rest is named."""
    lines = []
    for status in _ORDER:
        if state.finished and status in _STILL_TO_COME:
            continue
        also = _STILL_TO_COME if state.finished and status is TaskStatus.PENDING else ()
        ids = state.with_status(status, *also)
        if status is TaskStatus.SUCCEEDED:
            text = f"{len(ids)} of {plural(len(state.tasks), 'task')}"
        else:
            text = plural(len(ids), "task") if status is TaskStatus.PENDING else named(ids)
        if ids or status is TaskStatus.SUCCEEDED:
            lines.append(Line(STATUS[status].word, text, STATUS[status]))
        if status is TaskStatus.SUCCEEDED and (asserted := _on_their_word(state)):
            lines.append(Line("on word alone", named(asserted)))
    return lines


def _on_their_word(state: State) -> list[str]:
    """What counts as done since an operator said so, and no attempt."""
    return [task for task in state.with_status(TaskStatus.SUCCEEDED) if state.tasks[task].asserted_by]


def named(ids: list[str]) -> str:
    """`3: a, b, c`, with no more than a few of the names."""
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return f"{len(ids)}: {', '.join(ids[:NAMED])}{more}"


def _done_in_part(state: State) -> list[Line]:
    """Backfills that nothing has undone, and that are not through: their batches are in the table."""
    through = (TaskStatus.SUCCEEDED, TaskStatus.ROLLED_BACK)
    parts = []
    for task in state.plan.tasks:
        found = state.tasks[task.id]
        told = found.underway.progress
        if task.run.kind != "backfill" or found.status in through or task.id in state.in_flight:
            continue
        if told and told.done and told.purpose == "run" and told.attempt > found.undone_attempts:
            parts.append(f"{task.id}, {counted(told)}")
    return [Line("done in part", "; ".join(parts))] if parts else []


def _left_applied(state: State) -> list[Line]:
    rollback = state.rollback
    if rollback is None:
        return []
    stayed = [*rollback.stay, *sorted(rollback.left)]
    return [Line("still applied", named(stayed))] if stayed else []


def _interfered(events: Sequence[Event]) -> list[Line]:
    """Who did what to attempts under way, why, and what came of it."""
    return [
        *_last_of("interventions", [each.words for each in interventions(events)]),
        *_last_of("adjustments", [adjustment_words(each) for each in adjustments(events)]),
    ]


def _last_of(label: str, told: list[str]) -> list[Line]:
    earlier = len(told) - _TOLD
    more = [f"{earlier} earlier: `inspect --json` has them"] if earlier > 0 else []
    return [Line("" if n else label, text) for n, text in enumerate([*more, *told[-_TOLD:]])]


def _figures(state: State, folder: str) -> list[Line]:
    figures = metrics(state)
    lines = [
        Line("lanes", f"{math.floor(figures['utilisation'] * 100)}% busy"),
        Line("checkpoints", str(figures["checkpoints"])),
    ]
    if state.decisions:
        lines.append(Line("decisions", str(len(state.decisions))))
    if state.finished:
        lines.append(Line("exit code", str(int(exit_code(state)))))
    if folder:
        lines.append(Line("kept in", one_line(folder)))
    return lines
