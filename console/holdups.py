"""What keeps a run from getting on although its status says that it goes on, in words."""

from datetime import datetime
from typing import NamedTuple

from console.look import one_line
from console.sentences import some_of
from console.underway import held_by_operator, progress
from engine.machine.state import Attempt, State
from engine.machine.transitions import TaskStatus

_NOT_TO_BE_HAD = "built-in: connection refused or not to be had"
_LOST = "built-in: connection lost"
_STARTING = frozenset({"57P03"})
_GOING_DOWN = frozenset({"57P01", "57P02"})


class HoldUp(NamedTuple):
    """`words` is a whole sentence without its full stop: `fill is held by ana since 02:14 UTC`."""

    task: str
    words: str


def hold_ups(state: State) -> list[HoldUp]:
    """What only an operator or the world outside can end: backfills that an operator holds, and databases
    that cannot be reached, each told once."""
    held = [HoldUp(task, f"{task} is {words}") for task in state.in_flight if (words := hold(state, task))]
    return [*held, *_unreachable(state)]


def gets_on(state: State) -> bool:
    """Whether anything in flight does more than being held."""
    return any(not hold(state, task) for task in state.in_flight)


def hold(state: State, task_id: str) -> str:
    """Who holds the backfill in flight, and since when: `held by ana since 02:14 UTC`; else empty."""
    task = state.tasks[task_id]
    adjusted = held_by_operator(task)
    if adjusted is None:
        return ""
    told = progress(task)
    # A change of its batches in the meantime is no new hold; the attempt tells when it began to stand still.
    since = min(adjusted.at, told.at) if told and told.held else adjusted.at
    return f"held by {one_line(adjusted.actor)} since {_clock(since, state.at)}"


def waits_for(state: State) -> str:
    """What a pause, a stop or a rollback waits for: `waits for fill (held by ana since 02:14 UTC), idx`."""
    named = {task: hold(state, task) for task in state.in_flight}
    held_first = sorted(named, key=lambda task: not named[task])
    told = [f"{task} ({named[task]})" if named[task] else task for task in held_first]
    return f"waits for {some_of(told)}" if told else ""


def _unreachable(state: State) -> list[HoldUp]:
    if not state.counts[TaskStatus.WAITING]:
        return []
    missed = {
        task: attempts
        for task in state.with_status(TaskStatus.WAITING)
        if (attempts := state.tasks[task].attempts) and _found_nobody(attempts[-1])
    }
    found: dict[str, HoldUp] = {}
    for task in state.plan.tasks if missed else ():
        if task.id in missed and (target := task.run.on) and target not in found:
            since = _clock(_gone_since(missed[task.id]), state.at)
            found[target] = HoldUp(task.id, f"database {target} cannot be reached since {since}")
    return list(found.values())


def _found_nobody(attempt: Attempt) -> bool:
    return attempt.rule == _NOT_TO_BE_HAD or attempt.sqlstate in _STARTING


def _gone_since(attempts: tuple[Attempt, ...]) -> datetime:
    """When the first of the latest attempts ended that the server did not live to see through."""
    since = attempts[-1].started_at
    for attempt in reversed(attempts):
        if not (_found_nobody(attempt) or attempt.rule == _LOST or attempt.sqlstate in _GOING_DOWN):
            break
        since = attempt.ended_at or since
    return since


def _clock(moment: datetime, now: datetime | None) -> str:
    same_day = now is not None and moment.date() == now.date()
    return f"{moment:%H:%M} UTC" if same_day else f"{moment:%a %d %b, %H:%M} UTC"
