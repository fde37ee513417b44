"""The one table of task transitions.

A row says: an event of this kind may find its task in one of these statuses, and leaves it in that one.
The fold refuses everything else, so a wrong decision of the machine or a damaged journal shows at the
event where it happened, not three screens later. `doubt_settled` and `rollback_failed` change no status:
what follows from them is an event of its own.
"""

from enum import StrEnum

from engine.machine import events as ev


class ImpossibleEvent(Exception):
    """An event that the state before it does not allow: a fault of the program, or a damaged journal."""


class _Status(StrEnum):
    # Enum's own hash is a Python function, and statuses are looked up in sets at every event.
    __hash__ = str.__hash__


class TaskStatus(_Status):
    PENDING = "pending"
    READY = "ready"
    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    SKIPPED = "skipped"
    WAIVED = "waived"
    BLOCKED = "blocked"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"


class RunStatus(_Status):
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    ROLLING_BACK = "rolling_back"
    COMPLETED = "completed"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


_T = TaskStatus
_HELD = (_T.PENDING, _T.READY, _T.WAITING)
_ASKED = (*_HELD, _T.FAILED, _T.IN_DOUBT)
_UNDO = (_T.ROLLING_BACK, _T.IN_DOUBT)

TRANSITIONS: dict[type[ev.Event], tuple[frozenset[TaskStatus], TaskStatus]] = {
    kind: (frozenset(sources), target)
    for kind, sources, target in (
        (ev.TaskReady, (_T.PENDING, _T.WAITING), _T.READY),
        (ev.TaskWaiting, (_T.READY, _T.WAITING, _T.FAILED), _T.WAITING),
        (ev.TaskStarted, (_T.READY, _T.WAITING), _T.RUNNING),
        (ev.TaskSucceeded, (_T.RUNNING, _T.FAILED, _T.IN_DOUBT), _T.SUCCEEDED),
        (ev.TaskFailed, (_T.RUNNING, _T.WAITING), _T.FAILED),
        (ev.TaskCancelled, (_T.RUNNING,), _T.CANCELLED),
        (ev.RetryScheduled, (_T.FAILED,), _T.WAITING),
        (ev.TaskInDoubt, (_T.RUNNING, _T.CANCELLED, _T.ROLLING_BACK), _T.IN_DOUBT),
        (ev.TaskSkipped, _ASKED, _T.SKIPPED),
        (ev.TaskWaived, _ASKED, _T.WAIVED),
        (ev.TaskBlocked, _HELD, _T.BLOCKED),
        (ev.RollbackStepStarted, (_T.SUCCEEDED, *_UNDO), _T.ROLLING_BACK),
        (ev.TaskRolledBack, _UNDO, _T.ROLLED_BACK),
        (ev.TaskLeftApplied, _UNDO, _T.SUCCEEDED),
        (
            ev.TaskReset,
            (
                *(_T.READY, _T.WAITING, _T.FAILED, _T.IN_DOUBT, _T.CANCELLED),
                *(_T.SKIPPED, _T.WAIVED, _T.BLOCKED, _T.ROLLED_BACK),
            ),
            _T.PENDING,
        ),
    )
}

SATISFIED = frozenset({_T.SUCCEEDED, _T.WAIVED})
"""Statuses of a task whose dependants may run."""
SETTLED = frozenset({_T.SUCCEEDED, _T.WAIVED, _T.SKIPPED, _T.BLOCKED})
"""Statuses a task stays in unless a rollback or a resume says otherwise. A run is complete when all are."""
FRONTIER = frozenset({_T.READY, _T.WAITING})
FINAL = frozenset({RunStatus.COMPLETED, RunStatus.ABORTED, RunStatus.ROLLED_BACK, RunStatus.FAILED})
