"""The calm end: how the run went, and what can be done now. The console stays open behind it."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from console.run_view import RunView
from console.summary import Line, Summary, summarise


class FinishedScreen(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,s", "dismiss_screen", "Look around"),
        Binding("q", "app.quit", "Quit"),
    ]

    def __init__(self, view: RunView, folder: str = "") -> None:
        super().__init__(classes="dialog")
        self.summary = summarise(view, folder)

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog-box"):
            yield Static(finished_text(self.summary))

    def on_mount(self) -> None:
        self.query_one(".dialog-box").border_title = "The run has ended"

    def action_dismiss_screen(self) -> None:
        self.dismiss(None)


def finished_text(summary: Summary) -> Content:
    width = max(len(line.label) for line in summary.lines)
    lines = [
        Content.styled(f"{summary.mark.glyph} {summary.title}", f"bold ${summary.mark.colour}"),
        Content(summary.meaning),
        Content(""),
        *(_line(line, width) for line in summary.lines),
    ]
    if summary.resume:
        lines += [Content(""), Content("To go on with it:")]
        lines.append(Content.styled(f"  {summary.resume}", "bold $accent"))
    lines += [Content(""), Content.styled("esc looks around · q leaves", "$quiet")]
    return Content("\n").join(lines)


def _line(line: Line, width: int) -> Content:
    glyph, style = (line.mark.glyph, f"${line.mark.colour}") if line.mark else (" ", "$quiet")
    return Content.assemble((f"{glyph} {line.label.ljust(width)}", style), "  ", line.text)
