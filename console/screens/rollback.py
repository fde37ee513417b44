"""A rollback that nobody asked for but the operator: where to, what it undoes, and what it cannot."""

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from console.holdups import hold
from console.look import plural
from console.recovery.choices import Choice, place, targets
from console.recovery.dialog import DecisionDialog
from console.recovery.foresight import Foresee, foresee
from console.run_view import RunView
from console.sentences import some_of
from console.underway import progress_words
from engine.machine.state import State
from engine.machine.transitions import TaskStatus


class RollbackDialog(DecisionDialog):
    """Offers `to` first: `last` (the last stable checkpoint), `start`, or a checkpoint that is kept."""

    DEFAULT_CSS = """
    RollbackDialog #dialog { height: auto; }
    RollbackDialog.-short #dialog { height: auto; }
    RollbackDialog #facts { height: auto; margin-bottom: 1; }
    RollbackDialog #facts Static { height: auto; }
    RollbackDialog.-cramped #facts { display: none; }
    """
    menu_title = "To where?"
    leave = "leave it"

    def __init__(
        self, view: RunView, *, to: str = "last", actor: str = "", foresee: Foresee = foresee
    ) -> None:
        self.since = view.newest.seq
        self._to = to
        super().__init__(view, actor=actor, foresee=foresee)

    def heading(self) -> str:
        return "Roll back"

    def top(self) -> tuple[Choice, ...]:
        return targets(self.view.state, self._to)

    def meaning(self, choice: Choice) -> str:
        return choice.means.format(to=place(choice.draft.to))

    def compose_facts(self) -> ComposeResult:
        yield Static(
            Content(
                "The tasks that have succeeded since then are undone, dependants first, and the run stops. "
                "Those without a rollback stay applied."
            )
        )
        yield Static(_standing(self.view), id="standing")

    def refresh_view(self) -> None:
        if self.is_mounted:
            self.query_one("#standing", Static).update(_standing(self.view))
        super().refresh_view()


def _standing(view: RunView) -> Content:
    """How far the run is, and what the rollback will wait for: the run goes on while the operator reads."""
    state = view.newest
    done = f"{plural(state.counts[TaskStatus.SUCCEEDED], 'task')} succeeded so far."
    busy = state.in_flight
    lines = [f"{done} What is in flight finishes first: {some_of(busy)}." if busy else done]
    backfills = [task for task in busy if view.by_id[task].run.kind == "backfill"]
    lines += [_backfill_words(state, task) for task in backfills]
    if backfills:
        lines.append("To wait no longer, end its attempt (Adjust): its batches stay, and are not undone.")
    return Content("\n".join(lines))


def _backfill_words(state: State, task: str) -> str:
    """What a rollback has to expect of a backfill in flight."""
    if words := hold(state, task):
        return f"{task} is {words}: no rollback begins until it goes on, or is ended."
    told = progress_words(state.tasks[task].underway)
    return f"{task} goes on to its end before that{f': {told}' if told else ''}."
