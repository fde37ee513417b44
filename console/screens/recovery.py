"""The recovery dialog: what happened, what each answer would do, and nothing taken for granted."""

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.highlight import highlight
from textual.widgets import Static

from console.look import CRITICAL, STATUS, Mark, one_line, plural
from console.recovery.choices import Choice, choices_for
from console.recovery.dialog import DecisionDialog
from console.recovery.facts import Case, capture, output_of
from console.recovery.foresight import Foresee, foresee
from console.recovery.output import OutputScreen
from console.recovery.widgets import Fact, Hint
from console.recovery.words import meaning
from console.run_view import RunView
from engine.machine.events import About, TaskInDoubt
from engine.machine.state import Attempt
from engine.machine.transitions import TaskStatus
from engine.plan.durations import format_duration
from engine.plan.models import Action
from engine.tasks.sanitise import sanitise

_HEADINGS: dict[About, str] = {
    "failure": "A task failed, and you decide",
    "doubt": "Did this task take effect?",
    "rollback_step": "A rollback step failed",
    "rollback_scope": "A rollback that cannot undo everything",
}
_STATUS: dict[About, TaskStatus] = {
    "failure": TaskStatus.FAILED,
    "doubt": TaskStatus.IN_DOUBT,
    "rollback_step": TaskStatus.ROLLING_BACK,
    "rollback_scope": TaskStatus.FAILED,
}
_LANGUAGES = {"sql": "sql", "shell": "bash"}
_ATTEMPTS_SHOWN = 4


class Tail(VerticalScroll):
    """Shows the end of what is in it, whatever room there is."""

    def on_resize(self) -> None:
        self.scroll_end(animate=False)


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
        heading = _heading(self.case)
        if len(open_now) < 2 or self.question not in open_now:
            return heading
        return f"{heading}  ·  {open_now.index(self.question) + 1} of {len(open_now)} questions"

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
        if self._others:
            yield Hint("n", "next", "screen.next_question")

    # -- what is shown -------------------------------------------------------------------------------

    def compose_facts(self) -> ComposeResult:
        case = self.case
        yield Static(_title(case), classes="title")
        yield Static(_standing(case), classes="title")
        yield from (Fact(label, value) for label, value in _facts(case) if value)
        tail = output_of(case)
        with Tail(id="tail", can_focus=False) as shown:
            shown.border_title = f" output, {plural(len(tail), 'line')} " if tail else " no output "
            yield Static(Content("\n".join(tail[-200:])))

    # -- keys ----------------------------------------------------------------------------------------

    def action_output(self) -> None:
        attempt = f"attempt {len(self.case.attempts)} of {self.case.task.id}"
        self.app.push_screen(OutputScreen(attempt, output_of(self.case)))

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
        return "Did this rollback take effect?"
    return _HEADINGS[case.question.about]


def _mark(case: Case) -> Mark:
    return STATUS[TaskStatus.IN_DOUBT if case.in_doubt else _STATUS[case.question.about]]


def _title(case: Case) -> Content:
    task = case.task
    mark = _mark(case)
    name = [("  ", ""), (task.id, "$quiet")] if task.name else []
    return Content.assemble((f"{mark.glyph} {one_line(task.title)}", f"bold ${mark.colour}"), *name)


def _standing(case: Case) -> Content:
    """Where the task stands in the plan, and how much hangs on it."""
    task = case.task
    parts = [
        _mark(case).word,
        f"phase {task.phase}" if task.phase else "",
        f"wave {task.wave}" if task.wave and task.wave != task.phase else "",
        f"risk {task.risk:g}",
        "critical" if task.critical else "not critical",
        "idempotent" if task.idempotent else "not idempotent",
    ]
    line = Content("  ·  ".join(part for part in parts if part))
    if case.on_critical_path:
        line += Content.styled(f"  ·  {CRITICAL.glyph} {CRITICAL.word}", f"${CRITICAL.colour}")
    return line


def _facts(case: Case) -> Iterator[tuple[str, Content | str]]:
    undoing = case.purpose == "rollback"
    yield "undo with" if undoing else "ran", _ran(case.ran)
    yield "in doubt" if case.in_doubt else "error", Content.styled(case.error, "bold $error")
    yield "asked", case.why_asked
    if case.ending and not isinstance(case.ending, TaskInDoubt):
        failure, code = case.ending.failure_class.upper(), case.ending.sqlstate
        rule = f", by rule: {one_line(case.ending.rule)}{f', SQLSTATE {code}' if code else ''}"
        yield "class", Content.assemble((failure, "bold"), rule)
        nothing = case.ending.effect == "none"
        yield "effect", "nothing was left behind" if nothing else "nobody can tell what it left behind"
    yield "undoing", plural(case.undo_attempts, "attempt") if undoing else ""
    yield "attempts", "" if undoing else _attempts(case)
    yield "evidence", one_line(case.question.evidence)
    yield (
        "refused",
        Content.styled(one_line(case.question.refused), "$warning") if case.question.refused else "",
    )


def _ran(action: Action | None) -> Content:
    """What ran and where, in one block: one-liners stay on the line of their kind."""
    if action is None:
        return Content("no rollback is given")
    text = highlight(sanitise(action.text).strip(), language=_LANGUAGES.get(action.kind, "text"))
    where = f"{action.kind.replace('_', ' ')} on {action.on}" if action.on else action.kind
    return Content.assemble((f"{where}  ", "$quiet"), text)


def _attempts(case: Case) -> Content:
    shown = case.attempts[-_ATTEMPTS_SHOWN:]
    parts = [_attempt(attempt) for attempt in shown]
    earlier = len(case.attempts) - len(shown)
    if earlier:
        parts.insert(0, Content(f"{earlier} earlier"))
    expected = Content.styled(f"  (expected {format_duration(case.expected_s)})", "$quiet")
    return Content(", ").join(parts) + expected if parts else Content("none: it never started")


def _attempt(attempt: Attempt) -> Content:
    mark = STATUS[attempt.result]
    ended = attempt.ended_t
    lasted = f" after {format_duration(ended - attempt.started_t)}" if ended is not None else ""
    named = attempt.failure_class or mark.word
    return Content.assemble(f"{attempt.number} ", (mark.glyph, f"${mark.colour}"), f" {named}{lasted}")
