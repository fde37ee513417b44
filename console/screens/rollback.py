"""A rollback that nobody asked for but the operator: where to, what it undoes, and what it cannot."""

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from console.look import plural
from console.recovery.choices import Choice, place, targets
from console.recovery.dialog import DecisionDialog
from console.recovery.foresight import Foresee, foresee
from console.recovery.widgets import Fact
from console.run_view import RunView
from engine.machine.transitions import TaskStatus


class RollbackDialog(DecisionDialog):
    """Offers `to` first: `last` (the last stable checkpoint), `start`, or a checkpoint that is kept."""

    DEFAULT_CSS = """
    RollbackDialog #dialog { height: auto; }
    RollbackDialog.-short #dialog { height: auto; }
    RollbackDialog #facts { height: auto; margin-bottom: 1; }
    RollbackDialog #facts Static { height: auto; }
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
        state = self.view.state
        busy = state.in_flight
        done = state.counts[TaskStatus.SUCCEEDED]
        yield Static(
            Content(
                "The tasks that have succeeded since then are undone, dependants first, and the run stops. "
                "Those without a rollback stay applied."
            )
        )
        yield Fact("succeeded", plural(done, "task"))
        if busy:
            yield Fact("in flight", f"{', '.join(busy)}: finished first, then undone as well")
