"""Consequences in words: one line beside a choice, and a list with every name before it is confirmed."""

from typing import TYPE_CHECKING, NamedTuple

from console.look import one_line, plural
from console.recovery.choices import Choice, place
from console.recovery.facts import Case
from console.recovery.foresight import Outlook
from console.recovery.verdict import words
from engine.plan.durations import format_duration

if TYPE_CHECKING:
    from engine.forecast.consequences import Consequence

UNKNOWN_YET = "…"


class Line(NamedTuple):
    """One fact about what follows. `colour` is a theme variable; it is only for what an operator must see."""

    label: str
    text: str
    colour: str = ""


def meaning(choice: Choice, case: Case) -> str:
    """What `choice` does to the task of `case`, in a sentence or two."""
    task, draft = case.task, choice.draft
    if draft.mode == "assert_done" and case.purpose == "run" and task.verify:
        return f"{task.id} counts as succeeded if its verify passes now. If not, the question stays open."
    said = choice.means.format(task=task.id, attempt=len(case.attempts) + 1, to=place(draft.to))
    if draft.action == "retry" and not case.rerun_is_safe:
        said += " Nobody can tell what the last attempt left behind, nor whether twice does harm."
    return said


def outcome(outlook: Outlook | None) -> str:
    """What follows, in one line with counts, the gravest first."""
    if outlook is None:
        return UNKNOWN_YET
    found = outlook.found
    if found is None:
        return "what follows could not be worked out"
    if not found.possible:
        return f"not possible: {one_line(found.why_not)}"
    parts = [
        f"undoes {plural(len(found.undone), 'task')}" if found.undone else "",
        f"{len(found.stays)} cannot be undone" if found.stays else "",
        f"blocks {plural(len(found.blocked), 'task')}" if found.blocked else "",
        f"runs {plural(len(found.reruns), 'task')} again" if found.reruns else "",
        f"{plural(len(found.may_run), 'task')} may run" if found.may_run else "",
        _end(found, outlook.t, "done"),
    ]
    return ", ".join(part for part in parts if part) or "nothing else changes"


def lines(outlook: Outlook | None) -> list[Line]:
    """What follows, with every task by its name, undone ones in the order of their undoing."""
    if outlook is None:
        return []
    found = outlook.found
    if found is None:
        return [Line("What follows", f"could not be worked out ({one_line(outlook.fault)})", "warning")]
    if not found.possible:
        return [Line("Not possible", one_line(found.why_not), "error")]
    told = [
        Line("Undone, in order", " → ".join(found.undone), "status-rolled-back"),
        Line("Cannot be undone", _stays(found.stays), "error"),
        Line("Blocked", ", ".join(found.blocked), "status-blocked"),
        Line("Runs again", ", ".join(found.reruns)),
        Line("May run", ", ".join(found.may_run)),
        Line("Then", f"the run {end}" if (end := _end(found, outlook.t, "is done")) else ""),
        Line("Note", one_line(found.note)),
    ]
    return [line for line in told if line.text] or [Line("Otherwise", "nothing changes")]


def _stays(tasks: tuple[str, ...]) -> str:
    if not tasks:
        return ""
    return f"{', '.join(tasks)} {'has' if len(tasks) == 1 else 'have'} no rollback and will stay applied"


def _end(found: "Consequence", asked_t: float, done: str) -> str:
    """How the run ends, and how long after `asked_t`; `done` is the word where it goes on to its end."""
    ends = f"ends {words(found.run_ends)}" if found.run_ends else done
    if found.finish_t is None:
        return ends if found.run_ends else ""
    left = found.finish_t - asked_t
    return f"{ends} in about {format_duration(left)}" if left >= 1 else f"{ends} at once"
