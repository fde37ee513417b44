"""Going on from a checkpoint of a run whose later history is damaged: what must be in doubt, and why.

Whatever may have happened behind the checkpoint is taken to have happened until evidence says otherwise: a
task that may have run since is never run again without a look, and one whose effect may have been undone is
not taken to be there. Nothing is concluded from an event that is not proven.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from engine.machine import events as ev
from engine.machine.fold import apply
from engine.machine.replanning import standing_waves
from engine.machine.state import State, TaskState
from engine.machine.transitions import FRONTIER, RunStatus, TaskStatus

_TO_UNDO = 2
"""Events that it takes at least to undo a task: the start of the rollback, and that of the task's step."""
_TO_START = 2
"""Events that it takes at least to start a task that is not on the frontier yet, nor heard of since."""
_SET_ASIDE = (TaskStatus.SKIPPED, TaskStatus.WAIVED, TaskStatus.BLOCKED)


class Outlook(NamedTuple):
    """`doubted` tasks, each with the reason; `done` tasks, each with the event that proves it."""

    doubted: dict[str, str]
    done: dict[str, ev.TaskSucceeded]


def obstacle(state: State, later: Sequence[ev.Event] = ()) -> str:
    """Why nothing can go on from here, with what is known of what came later, in words; empty if it can."""
    if state.rollback_wanted or (state.rollback and state.status is not RunStatus.ROLLED_BACK):
        return "it stands in the middle of a rollback, and how far that went is not known"
    changed = next((event for event in later if isinstance(event, ev.PlanChanged)), None)
    if changed:
        return f"the plan was changed after it, by event {changed.seq}, and tasks may have run by the new one"
    return ""


def outlook(state: State, later: Sequence[ev.Event], hidden: int | None) -> Outlook:
    """What to think of each task at the checkpoint that `state` stands at.

    `later` are the events behind it that are proven, `hidden` how many there were besides (None: any number).
    """
    undoable = {task.id for task in state.plan.tasks if task.rollback}
    heard: dict[str, list[ev.Event]] = {}
    for event in later:
        heard.setdefault(getattr(event, "task", ""), []).append(event)
    doubted: dict[str, str] = {}
    done: dict[str, ev.TaskSucceeded] = {}
    for task in state.tasks.values():
        told = heard.get(task.id, [])
        why = _doubt(task, told, hidden, undoable=task.id in undoable)
        if why:
            doubted[task.id] = why
            last = _last_word(told)
            if isinstance(last, ev.TaskSucceeded) and not (task.id in undoable and _hides(hidden, _TO_UNDO)):
                done[task.id] = last
    return Outlook(doubted, done)


def _doubt(task: TaskState, told: list[ev.Event], hidden: int | None, *, undoable: bool) -> str:
    """Why the task may not stand as it stood at the checkpoint, in words; empty where it does."""
    last = _last_word(told)
    if last:
        return f"after the checkpoint, event {last.seq} of the original is {last.kind}"
    lost = f"what came after the checkpoint is lost, {_counted(hidden)}"
    if task.status is TaskStatus.SUCCEEDED:
        undone = undoable and _hides(hidden, _TO_UNDO)
        return f"it was done, and may have been undone: {lost}" if undone else ""
    if task.status in _SET_ASIDE:
        return ""
    if task.status is TaskStatus.RUNNING:
        return "it was running at the checkpoint, and nothing is known of how it ended"
    if task.status is TaskStatus.IN_DOUBT:
        return "it was in doubt at the checkpoint"
    steps = 1 if told or task.status in FRONTIER else _TO_START
    return f"it may have run: {lost}" if _hides(hidden, steps) else ""


def _counted(hidden: int | None) -> str:
    if hidden is None:
        return "and nobody can tell how much"
    return "an event" if hidden == 1 else f"{hidden} events"


def _hides(hidden: int | None, events: int) -> bool:
    return hidden is None or hidden >= events


def _last_word(told: list[ev.Event]) -> Any:
    """The last event that says something of what the task did, or None."""
    return next((event for event in reversed(told) if isinstance(event, _TELLING)), None)


_TELLING = (
    ev.TaskStarted,
    ev.TaskSucceeded,
    ev.TaskFailed,
    ev.TaskCancelled,
    ev.TaskInDoubt,
    ev.RollbackStepStarted,
    ev.TaskRolledBack,
    ev.RollbackFailed,
    ev.TaskLeftApplied,
)


class Fork(NamedTuple):
    """What is forked, from where, and as what."""

    run: str
    past: tuple[ev.Origin, ...]
    actor: str
    checkpoint: str
    trigger: ev.Trigger
    position_hash: str
    file: str
    lost: tuple[str, ...]


def fork(state: State, seen: Outlook, made: Fork, at: datetime) -> list[ev.Event]:
    """The events that a fork begins with, behind the history that it goes on with; `state` includes them when
    this returns. The original's checkpoint is the fork's, too."""
    events: list[ev.Event] = []
    position = state.seq

    def emit(kind: type[ev.Event], **fields: Any) -> None:
        event = kind(seq=state.seq + 1, t=state.t, at=at, **fields)
        apply(state, event)
        events.append(event)

    completed, stable = state.counts[TaskStatus.SUCCEEDED], state.stable
    for question in [each for each in state.questions.values() if each.task in seen.doubted]:
        why = "the run is gone on with in another, and what became of the answer is not known"
        emit(ev.QuestionWithdrawn, question=question.number, reason=why)
    emit(
        ev.RunForked,
        run=made.run,
        origin=made.past[-1].run,
        past=made.past,
        checkpoint=made.checkpoint,
        position=position,
        position_hash=made.position_hash,
        actor=made.actor,
        doubted=seen.doubted,
        lost=made.lost,
        waves=standing_waves(state, state.plan, seen.doubted),
    )
    emit(
        ev.CheckpointSaved,
        checkpoint=made.checkpoint,
        trigger=made.trigger,
        position=position,
        position_hash=made.position_hash,
        completed=completed,
        stable=stable,
        file=made.file,
        note=f"that of {made.past[-1].run}",
    )
    for task_id, proof in seen.done.items():
        detail = f"{proof.kind} is event {proof.seq} of {made.past[-1].run}, and a witness speaks for it"
        settled = {"task": task_id, "attempt": proof.attempt}
        emit(ev.DoubtSettled, **settled, done=True, by="journal", detail=detail)
        emit(ev.TaskSucceeded, **settled, outputs=proof.outputs, asserted_by=proof.asserted_by)
    return events
