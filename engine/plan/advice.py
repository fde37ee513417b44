"""Warnings: plans that can run, and in which something was probably forgotten."""

from collections import Counter
from collections.abc import Sequence

from engine.plan.durations import format_duration
from engine.plan.errors import Finding, quote
from engine.plan.models import Plan
from engine.plan.notes import Notes
from engine.plan.source import Document, Loc
from engine.plan.targets import written_passwords

_NAMED = 3


def advise(plan: Plan, document: Document) -> tuple[Finding, ...]:
    """What the author of a correct plan should look at again, in the order of the file."""
    notes = Notes(document)
    _recovery(plan, notes)
    _durations(plan, notes)
    _names(plan, notes)
    _passwords(plan, notes)
    return tuple(sorted(notes.findings, key=lambda finding: (finding.place.line, finding.place.column)))


def _warn(notes: Notes, loc: Loc, message: str, hint: str = "") -> None:
    notes.add(loc, message, hint, severity="warning")


def _warn_of_all(notes: Notes, plan: Plan, found: Sequence[int], key: str, what: str, hint: str) -> None:
    """One warning for all tasks at the positions `found`, at the first of them."""
    if found:
        names = ", ".join(plan.tasks[position].id for position in found[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        _warn(notes, ("tasks", found[0], key), f"{what}: {names}{more}", hint)


def _recovery(plan: Plan, notes: Notes) -> None:
    tasks = list(enumerate(plan.tasks))
    stuck = [position for position, task in tasks if task.critical and task.rollback is None]
    hint = "a rollback that has to go back behind one asks first, since it stays applied; give it a rollback"
    _warn_of_all(notes, plan, stuck, "critical", "critical, but without a rollback", hint)
    unseen = [
        position
        for position, task in tasks
        if task.run.kind in ("shell", "python") and task.verify is None and not task.idempotent
    ]
    hint = "after a crash in mid-task only the operator can tell whether it took effect"
    _warn_of_all(notes, plan, unseen, "run", "neither idempotent nor with a verify", hint)


def _durations(plan: Plan, notes: Notes) -> None:
    tasks = list(enumerate(plan.tasks))
    unknown = [position for position, task in tasks if task.duration is None and task.run.simulate is None]
    if any(task.duration is not None for task in plan.tasks):
        hint = "they count as 1 s, so the critical path and every forecast are off"
        _warn_of_all(notes, plan, unknown, "id", "no duration, though other tasks have one", hint)
    for position, task in tasks:
        timeout = task.timeout if task.timeout is not None else plan.defaults.timeout
        if timeout is not None and task.duration is not None and timeout < task.duration:
            key = "timeout" if task.timeout is not None else "duration"
            what = f"the timeout of {format_duration(timeout)} is over before the duration of"
            _warn(notes, ("tasks", position, key), f"{what} {format_duration(task.duration)}")


def _names(plan: Plan, notes: Notes) -> None:
    """Locks and pools that nothing shares: often a slip of the pen."""
    holders = Counter(lock for task in plan.tasks for lock in task.locks)
    for position, task in enumerate(plan.tasks):
        for at, lock in enumerate(task.locks):
            place: Loc = ("tasks", position, "locks", at)
            # Those that come from a task's SQL are no slip of anybody's pen.
            if holders[lock] == 1 and notes.document.value(place) is not None:
                _warn(notes, place, f"no other task takes the lock {quote(lock)}")
    used = {pool for task in plan.tasks for pool in task.uses}
    for pool in plan.resources.keys() - used:
        notes.add(("resources", pool), f"no task uses the pool {quote(pool)}", key=True, severity="warning")


def _passwords(plan: Plan, notes: Notes) -> None:
    secret = set(written_passwords(plan).values())
    for name in plan.targets:
        if f"[password of {name}]" in secret:
            hint = "take it from the environment: ${NAME}"
            _warn(notes, ("targets", name, "postgres"), "a password stands in the plan", hint)
