"""Consequences in words: one line beside a choice, and a list with every name before it is confirmed."""

from typing import TYPE_CHECKING, NamedTuple

from console.look import one_line, plural, rounded
from console.recovery.choices import Choice, place
from console.recovery.facts import Case
from console.recovery.foresight import Foretold
from console.recovery.verdict import words
from engine.machine.state import State
from engine.plan.durations import format_duration

if TYPE_CHECKING:
    from engine.forecast.consequences import Consequence

LONGEST_NAME = 16
"""Cells of a task's id up to which it is told in place of its number."""
END = "The run"
"""The label of the line that tells how the run ends."""
SOME = 5
"""So many names are told beside a choice."""
MANY = 40
"""So many are told before it is confirmed, but for those that stay applied: these are all told."""


class Outcome(NamedTuple):
    """What follows, in a line: what changes, and how the run ends. `grave`: something stays for good."""

    changes: str
    end: str = ""
    grave: bool = False


UNKNOWN_YET = Outcome("working out what follows …")


class Line(NamedTuple):
    """One fact about what follows. `colour` is a theme variable; it is only for what an operator must see."""

    label: str
    names: tuple[str, ...]
    colour: str = ""
    joined: str = ", "
    after: str = ""
    stays: bool = False

    @property
    def text(self) -> str:
        return self._some(len(self.names) if self.stays else MANY)

    @property
    def is_in_the_row(self) -> bool:
        """Whether the line beside the choice tells it all."""
        return self.label == END or [*self.names] == [_tasks(self.names)]

    @property
    def short(self) -> str:
        """The text, with as many names as there is room for beside a choice."""
        return self._some(SOME)

    def _some(self, most: int) -> str:
        more = len(self.names) - most
        if more < 2:
            return self.joined.join(self.names) + self.after
        return f"{self.joined.join(self.names[:most])} and {more:,} more{self.after}"


def meaning(choice: Choice, case: Case) -> str:
    """What `choice` does to the task of `case`, in a sentence or two."""
    task, draft = case.task, choice.draft
    said = choice.means.format(task=task.id, attempt=len(case.attempts) + 1, to=place(draft.to))
    if draft.mode == "assert_done" and case.purpose == "run" and task.verify:
        said = f"{task.id} counts as succeeded if its verify passes now; else you are asked again."
    if draft.action == "retry" and not case.rerun_is_safe:
        said += " Nobody can tell what the last attempt left behind, nor whether twice does harm."
    if case.question.survivors and draft.action != "resume":
        said += " What still runs of it is not ended, and goes on."
    if draft.action == "rollback" and not case.left_nothing:
        said += f" Not undone: whatever {task.id} itself may have left behind."
    return said


def outcome(foretold: Foretold | None) -> Outcome:
    """What follows, in one line with counts, the gravest first."""
    if foretold is None:
        return UNKNOWN_YET
    found = foretold.found
    if found is None:
        return Outcome("what follows could not be worked out")
    if not found.possible:
        return Outcome(f"not possible: {one_line(found.why_not)}")
    if found.depends:
        ends = f"ends {plural(len(found.ended), 'process', 'processes')}" if found.ended else ""
        return Outcome(ends or "changes nothing", "asks again if unclear")
    groups = (
        (found.stays, "{} stays applied" if len(found.stays) == 1 else "{} stay applied"),
        (found.left, "leaves {} applied"),
        (found.undone, "undoes {}"),
        (found.blocked, "blocks {}"),
        (found.reruns, "reruns {}"),
        (found.may_run, "then {} can run"),
    )
    told = [(names, said) for names, said in groups if names]
    if len(told) == 1:
        changes = told[0][1].format(_tasks(told[0][0]))
    else:
        counts = (str(len(names)) if n else plural(len(names), "task") for n, (names, _) in enumerate(told))
        changes = ", ".join(said.format(count) for count, (_, said) in zip(counts, told, strict=True))
    if not changes:
        changes = "undoes nothing" if found.run_ends else "nothing else changes"
    return Outcome(changes, _end(found, foretold.t).replace("in about ", "in ~"), bool(found.stays))


def lines(foretold: Foretold | None) -> list[Line]:
    """What follows, with every task by its name, undone ones in the order of their undoing."""
    if foretold is None:
        return []
    found = foretold.found
    if found is None:
        return [Line("What follows", (f"could not be worked out ({one_line(foretold.fault)})",), "warning")]
    if not found.possible:
        return [Line("Not possible", (one_line(found.why_not),), "error")]
    if found.depends:
        ended = [Line("Ends", found.ended, "warning")] if found.ended else []
        return [*ended, Line(END, ("goes on if that tells; otherwise you are asked again",))]
    told = [
        Line("Cannot be undone", found.stays, "error", after=": no rollback is given", stays=True),
        Line("Left applied", found.left, "warning", stays=True),
        Line("Undone, in order", found.undone, "status-rolled-back", joined=" → "),
        Line("Blocked", found.blocked, "status-blocked"),
        Line("Runs again", found.reruns),
        Line("Can run then", found.may_run),
    ]
    end = _end(found, foretold.t)
    if foretold.ends_at:
        end += f", {foretold.ends_at:%H:%M} UTC"
    return [*(line for line in told if line.names), *([Line(END, (end,))] if end else [])]


def others(state: State, asked: int) -> tuple[str, ...]:
    """The questions that are open besides number `asked`, in half a line each."""
    return tuple(
        f"{question.task} {_ABOUT[question.about]}"
        for number, question in sorted(state.questions.items())
        if number != asked
    )


_ABOUT = {
    "failure": "failed",
    "doubt": "is in doubt",
    "rollback_step": "could not be undone",
    "rollback_scope": "needs a rollback",
}


def _tasks(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 and len(names[0]) <= LONGEST_NAME else plural(len(names), "task")


def _end(found: "Consequence", asked_t: float) -> str:
    """How the run ends, and how long after `asked_t`."""
    ends = {"": "done", "aborted": "stops"}.get(found.run_ends, words(found.run_ends))
    if found.finish_t is None:
        return ends if found.run_ends else ""
    left = found.finish_t - asked_t
    when = f"{ends} in about {format_duration(rounded(left))}" if left >= 1 else f"{ends} at once"
    return f"{when}, once resumed" if found.resumed else when
