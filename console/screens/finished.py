"""The calm end: how the run went, and what can be done now. The console stays open behind it."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from console.run_view import RunView
from console.summary import Line, summarise


class FinishedScreen(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,s", "dismiss_screen", "Look around"),
        Binding("q", "app.quit", "Quit"),
    ]

    def __init__(self, view: RunView, folder: str = "") -> None:
        super().__init__(classes="dialog")
        self.summary = summarise(view, folder)

    def compose(self) -> ComposeResult:
        summary = self.summary
        title = (f"{summary.mark.glyph} {summary.title}\n", f"bold ${summary.mark.colour}")
        with VerticalScroll(classes="dialog-box") as box:
            box.border_title = "The run has ended"
            box.border_subtitle = "esc looks around · q leaves"
            yield Static(Content.assemble(title, summary.meaning), classes="section")
            with Grid(classes="facts"):
                for line in summary.lines:
                    yield Static(_label(line))
                    yield Static(line.text, markup=False)
            if summary.resume:
                yield Static(Content.assemble("To go on with it: ", (summary.resume, "bold $accent")))

    def action_dismiss_screen(self) -> None:
        self.dismiss(None)


def _label(line: Line) -> Content:
    if line.mark is None:
        return Content.styled(f"  {line.label}", "$quiet")
    return Content.styled(f"{line.mark.glyph} {line.label}", f"${line.mark.colour}")
