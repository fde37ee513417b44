"""The recovery dialog: what happened, what each answer would do, and nothing taken for granted."""

from collections.abc import Iterator
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.highlight import highlight
from textual.message import Message
from textual.widgets import Static

from console.look import CRITICAL, STATUS, Mark, one_line, plural
from console.recovery.choices import Choice, choices_for, place, wanted
from console.recovery.dialog import DecisionDialog
from console.recovery.facts import Case, capture, in_full, output_of, told_of, where
from console.recovery.foresight import Foresee, foresee
from console.recovery.widgets import Clipped, Fact, Hint
from console.recovery.words import meaning, others
from console.run_view import RunView
from console.screens.output import OutputScreen
from engine.machine.events import About, TaskInDoubt
from engine.machine.state import Attempt, State
from engine.machine.transitions import TaskStatus
from engine.plan.durations import format_duration
from engine.plan.models import Action
from engine.tasks.sanitise import sanitise

_HEADINGS: dict[About, str] = {
    "failure": "A task failed",
    "doubt": "In doubt: did it take effect?",
    "rollback_step": "A rollback step failed",
    "rollback_scope": "A rollback that cannot undo everything",
}
_STATUS: dict[About, TaskStatus] = {
    "failure": TaskStatus.FAILED,
    "doubt": TaskStatus.IN_DOUBT,
    "rollback_step": TaskStatus.ROLLING_BACK,
    "rollback_scope": TaskStatus.FAILED,
}
_ERRORS = ("error", "in doubt")
"""The labels of what the question is about."""
_LANGUAGES = {"sql": "sql", "backfill": "sql", "shell": "bash"}
_ATTEMPTS_SHOWN = 3
_ERROR_ROWS = 3
"""Rows of the error, where there are none to spare."""
_TAIL = 200
"""Lines of output in the dialog; all of it is a key away."""


class Tail(VerticalScroll):
    """Shows the end of what is in it, whatever room there is."""

    class Resized(Message):
        """It has other room than before."""

    def on_resize(self) -> None:
        self.scroll_end(animate=False)
        self.post_message(self.Resized())


class RecoveryDialog(DecisionDialog):
    """Puts question number `question`, which is open, to the operator. `actor` is who answers: the user of
    the operating system where it is empty."""

    DEFAULT_CSS = """
    RecoveryDialog {
        & .title { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
        & #tail { height: 1fr; min-height: 0; border-top: solid $frame; border-title-color: $quiet;
                  scrollbar-size-vertical: 1; }
        & #tail Static { height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "output", "All output", id="decision.output", show=False),
        Binding("v", "whole", "Task in full", id="decision.task", show=False),
        Binding("n", "next_question", "Next question", id="decision.next", show=False),
    ]
    menu_title = "What now?"

    def __init__(self, view: RunView, question: int, *, actor: str = "", foresee: Foresee = foresee) -> None:
        self._take(view, question)
        super().__init__(view, actor=actor, foresee=foresee)

    def _take(self, view: RunView, question: int) -> None:
        self.case = capture(view, question)
        self.question = question
        self.since = self.case.seq

    # -- what is decided -----------------------------------------------------------------------------

    def heading(self) -> str:
        open_now = sorted(self.view.newest.questions)
        heading = f"{_heading(self.case)} · asked {self.case.question.at:%H:%M:%S} UTC"
        if len(open_now) < 2 or self.question not in open_now:
            return heading
        return f"{heading} · {open_now.index(self.question) + 1} of {len(open_now)} questions"

    def also_open(self) -> str:
        waiting = others(self.view.newest, self.question)
        return f"also open: {', '.join(waiting)}" if waiting else ""

    def top(self) -> tuple[Choice, ...]:
        return choices_for(self.case.question, self.view.state)

    def meaning(self, choice: Choice) -> str:
        return meaning(choice, self.case)

    def dangerous(self, choice: Choice) -> bool:
        if choice.draft.action == "retry":
            return not self.case.rerun_is_safe
        return choice.draft.mode != "look_again"

    def more_hints(self) -> Iterator[Hint]:
        yield Hint("o", "output", "screen.output")
        yield Hint("v", "task", "screen.whole")
        if self._others:
            yield Hint("n", "next question", "screen.next_question")

    # -- what is shown -------------------------------------------------------------------------------

    def compose_facts(self) -> ComposeResult:
        case = self.case
        yield Static(_title(case), classes="title")
        yield Static(_standing(case), classes="title", id="standing")
        for label, value in _facts(case, self.view.state):
            if value:
                yield Fact(label, value, classes="error" if label in _ERRORS else "")
        tail = output_of(case)
        with Tail(id="tail", can_focus=False) as shown:
            shown.border_title = f" output, {plural(len(tail), 'line')} " if tail else " no output "
            yield Static(Content("\n".join(tail[-_TAIL:])))

    @on(Tail.Resized)
    def _give_free_rows(self) -> None:
        """What the output leaves free goes to the error, as far as that is cut short."""
        facts, tail = self.query_one("#facts"), self.query_one(Tail)
        error = self.query_one(".error .value", Clipped)
        taken = sum(each.outer_size.height for each in facts.children if each.display and each is not tail)
        output = tail.query_one(Static).outer_size.height + tail.gutter.height
        free = facts.content_size.height - taken - output
        error.allow(max(_ERROR_ROWS, error.size.height + free))

    # -- keys ----------------------------------------------------------------------------------------

    def action_output(self) -> None:
        attempt = f"attempt {len(self.case.attempts)} of {self.case.task.id}"
        lines = output_of(self.case)
        stem = f"{self.case.task.id}-attempt-{len(self.case.attempts)}"
        self.app.push_screen(OutputScreen(self.view, f"output of {attempt}", stem, lambda: lines))

    def action_whole(self) -> None:
        lines = [*self._names_in_full(), *in_full(self.case)]
        task_id = self.case.task.id
        self.app.push_screen(OutputScreen(self.view, f"all of {task_id}", task_id, lambda: lines))

    def _names_in_full(self) -> Iterator[str]:
        """Every task that the choice to be confirmed is about."""
        for line in self._follows(self._confirming) if self._confirming else ():
            yield from (f"{line.label}:", *line.names, "")

    @property
    def _others(self) -> list[int]:
        """The other open questions, those that come after this one first."""
        questions = sorted(self.view.newest.questions)
        return [q for q in questions if q > self.question] + [q for q in questions if q < self.question]

    async def action_next_question(self) -> None:
        if self._others and self._sent is None:
            self._take(self.view, self._others[0])
            self._foresight = self._new_foresight()
            await self.recompose()
            self.on_mount()


def _heading(case: Case) -> str:
    if case.question.about == "rollback_step" and case.in_doubt:
        return "In doubt: was it undone?"
    return _HEADINGS[case.question.about]


def _mark(case: Case) -> Mark:
    return STATUS[TaskStatus.IN_DOUBT if case.in_doubt else _STATUS[case.question.about]]


def _title(case: Case) -> Content:
    task = case.task
    mark = _mark(case)
    name = [("  ", ""), (task.id, "$quiet")] if task.name else []
    return Content.assemble((f"{mark.glyph} {one_line(task.title)}", f"bold ${mark.colour}"), *name)


def _standing(case: Case) -> Content:
    """Where the task stands in the plan, and how much hangs on it; what matters least comes last."""
    task = case.task
    parts = [
        _mark(case).word,
        "critical" if task.critical else "",
        "idempotent" if task.idempotent else "not idempotent",
        f"risk {task.risk:g}",
        f"phase {task.phase}" if task.phase else "",
        f"wave {task.wave}" if task.wave and task.wave != task.phase else "",
    ]
    line = Content(" · ".join(part for part in parts if part))
    if case.on_critical_path:
        line += Content.styled(f" · {CRITICAL.glyph} {CRITICAL.word}", f"${CRITICAL.colour}")
    return line


def _facts(case: Case, state: State) -> Iterator[tuple[str, Content | str]]:
    undoing = case.purpose == "rollback"
    yield (
        _ERRORS[case.in_doubt],
        Content.styled(case.error, f"${_mark(case).colour}" if case.in_doubt else "bold $error"),
    )
    decided = wanted(state, case.question)
    yield "asked", case.why_asked.removeprefix(f"{one_line(decided.reason)}. " if decided else "")
    if case.ending and not isinstance(case.ending, TaskInDoubt) and not case.in_doubt:
        failure, code = case.ending.failure_class.upper(), case.ending.sqlstate
        rule = f" · rule: {one_line(case.ending.rule)}{f' (SQLSTATE {code})' if code else ''}"
        yield "class", Content.assemble((failure, "bold"), rule)
        nothing = case.left_nothing
        yield "effect", "none: nothing was left behind" if nothing else "unknown: it may have done a part"
    yield "evidence", _evidence(case)
    yield "undo with" if undoing else "ran", _ran(case.ran)
    yield "runs now", _ran(case.runs_now) if case.runs_now != case.ran else ""
    yield "where", Content.styled(where(case, state), "$quiet")
    yield "attempts", _undoing(case, state) if undoing else _attempts(case)
    yield (
        "refused",
        Content.styled(one_line(case.question.refused), "$warning") if case.question.refused else "",
    )


def _ran(action: Action | None) -> Content:
    if action is None:
        return Content("no rollback is given")
    return highlight(sanitise(action.text).strip(), language=_LANGUAGES.get(action.kind, "text"))


def _evidence(case: Case) -> Content | str:
    """What was found out about a doubt, and for one that is about the task, what can still tell."""
    if not case.in_doubt:
        return ""
    found = one_line(case.question.evidence) or "none was found"
    told = Content.styled(found, "bold $warning" if case.question.survivors else "bold")
    if case.purpose == "run" and not case.task.verify:
        told += Content.styled(" · it has no verify: only a look at the target tells", "$quiet")
    return told


def _undoing(case: Case, state: State) -> Content:
    """How far the rollback is, with this step the first of those to come."""
    undoing = state.rollback
    tries = plural(case.undo_attempts, "attempt") + " at this step"
    if undoing is None:
        return Content(tries)
    done = sum(state.tasks[task].status is TaskStatus.ROLLED_BACK for task in undoing.tasks)
    stay = len(undoing.left) + len(undoing.stay)
    left = f", {stay} left applied" if stay else ""
    far = f"{done} of {len(undoing.tasks)} undone on the way to {place(undoing.to)}{left}"
    return Content(f"{tries} · {far}")


def _attempts(case: Case) -> Content:
    shown = case.attempts[-_ATTEMPTS_SHOWN:]
    parts = [_attempt(attempt) for attempt in shown]
    earlier = len(case.attempts) - len(shown)
    if earlier:
        parts.insert(0, Content(f"{earlier} earlier"))
    expected = Content.styled(f" (expected {format_duration(case.expected_s)})", "$quiet")
    none = "none that this run has seen" if case.in_doubt else "none: it never started"
    return Content(" · ").join(parts) + expected if parts else Content(none)


def _attempt(attempt: Attempt) -> Content:
    mark = STATUS[attempt.result]
    return Content.assemble(f"{attempt.number} ", (mark.glyph, f"${mark.colour}"), f" {told_of(attempt)}")
