"""The dialog between an operator and the end of a live run."""

from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.style import Style
from textual.widgets import Static

from console.ending import what_ending_leaves
from console.giving_up import given_up, given_up_words, giving_up_words
from console.look import plural
from console.run_view import RunView
from console.summary import named, resume_command

StopChoice = Literal["drain", "end"]


class StopDialog(ModalScreen[StopChoice | None]):
    """Dismissed with how to stop, or None to keep going. Ending running tasks takes a second, different key.

    `folder`: where the run is kept. `leaving`: the console closes once the run has stopped. Where the run is
    stopping already, the dialog says what it still waits for, and only offers to end that."""

    VERTICAL_BREAKPOINTS = [(0, "-short"), (18, "-tall")]  # noqa: RUF012  # declared so by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "drain", "Finish, then stop"),
        Binding("e", "arm", "End now"),
        Binding("y", "confirm_end", "Yes, end them"),
        Binding("escape", "back", "Keep going"),
    ]

    def __init__(self, view: RunView, *, leaving: bool, folder: str = "") -> None:
        super().__init__(classes="dialog")
        self.view = view
        self.leaving = leaving
        self.folder = folder
        self.armed = False

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog-box", can_focus=False):
            yield Static(id="stop-text")

    def on_mount(self) -> None:
        self.refresh_view()

    def refresh_view(self) -> None:
        state = self.view.state
        if state.finished:
            self.dismiss(None)
            return
        if not state.in_flight:
            self.armed = False
        box = self.query_one(".dialog-box")
        box.border_title = "Still stopping" if state.stopping else "Leave" if self.leaving else "Stop the run"
        box.set_class(self.armed, "-dangerous")
        self.query_one("#stop-text", Static).update(self._text())

    def on_resize(self) -> None:
        self.refresh_view()

    def _text(self) -> Content:
        lines = self._lines()
        if self.has_class("-short"):  # what there is to choose comes first, where not all has room
            lines = [line for line in lines if line.plain]
        return Content("\n").join(lines)

    def _lines(self) -> list[Content]:
        busy = self.view.state.in_flight
        lines = [self._situation(busy), *self._given_up(), Content("")]
        if self.armed:
            lines += [
                Content.styled(f"End {plural(len(busy), 'running task')} now?", "bold $error"),
                *map(Content, what_ending_leaves(self.view.state, self.view.by_id, busy)),
                Content(""),
                _choice("y", "yes, end them now", "confirm_end", "$error"),
                _choice("esc", "no, back", "back"),
            ]
            return lines
        if not self.view.state.stopping:
            after = "finish what is running, then stop" if busy else "stop"
            lines.append(_choice("f", f"{after}{' and leave' if self.leaving else ''}", "drain"))
        if busy:
            lines.append(_choice("e", f"end {plural(len(busy), 'running task')} now", "arm", "$warning"))
        lines.append(_choice("esc", "wait" if self.view.state.stopping else "keep going", "back"))
        if not self.view.state.stopping:
            lines += [Content(""), Content.styled("The run can be resumed later:", "$quiet")]
            lines.append(Content.styled(f"  {resume_command(self.view.state, self.folder)}", "$quiet"))
        return lines

    def _given_up(self) -> list[Content]:
        """What becomes of a rollback that was decided and has not begun."""
        state = self.view.state
        if state.rollback_wanted:
            return [Content.styled(giving_up_words(state.rollback_wanted), "bold $warning")]
        decided = given_up(state, self.view.events) if state.stopping else None
        return [Content.styled(given_up_words(decided), "bold $warning")] if decided else []

    def _situation(self, busy: list[str]) -> Content:
        if not busy:
            return Content("Nothing is running at this moment.")
        verb = "is" if len(busy) == 1 else "are"
        return Content(f"{plural(len(busy), 'task')} {verb} running: {named(busy).partition(': ')[2]}")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        return {
            "drain": not self.armed and not self.view.state.stopping,
            "arm": not self.armed and bool(self.view.state.in_flight),
            "confirm_end": self.armed,
        }.get(action, True)

    def action_drain(self) -> None:
        self.dismiss("drain")

    def action_arm(self) -> None:
        self.armed = True
        self.refresh_view()
        self.refresh_bindings()

    def action_confirm_end(self) -> None:
        self.dismiss("end")

    def action_back(self) -> None:
        if self.armed:
            self.armed = False
            self.refresh_view()
            self.refresh_bindings()
        else:
            self.dismiss(None)


def _choice(key: str, text: str, action: str, style: str = "") -> Content:
    line = Content.assemble((f" {key:>3} ", "bold $accent"), " ", (text, style))
    return line.stylize(Style.from_meta({"@click": f"screen.{action}"}))
