"""All that is kept of what an attempt printed, over the dialog that asks about it."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Log

from console.look import plural
from console.recovery.widgets import Hint, Hints


class OutputScreen(ModalScreen[None]):
    """`lines` are safe for screens already."""

    DEFAULT_CSS = """
    OutputScreen { align: center middle; }
    #output-frame { width: 96%; height: 94%; background: $surface; border: round $accent; padding: 0 1;
                    border-title-color: $accent; border-title-style: bold; overflow-x: auto;
                     scrollbar-size-vertical: 1; background-tint: transparent; }
    #output-hints { dock: bottom; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,o,q", "dismiss", "Close", id="output.close", show=False),
        Binding("c", "copy", "Copy", id="output.copy", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[str]) -> None:
        super().__init__()
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        text = Log(id="output-frame", auto_scroll=True)
        text.border_title = f" {self._title}, {plural(len(self._lines), 'line')} "
        yield text
        hints = (
            Hint("↑↓ pgup pgdn", "scroll"),
            Hint("c", "copy", "screen.copy"),
            Hint("esc", "back", "screen.dismiss"),
        )
        yield Hints(*hints, id="output-hints")

    def on_mount(self) -> None:
        text = self.query_one(Log)
        text.write_lines(self._lines, scroll_end=True)
        text.focus()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard("\n".join(self._lines))
        self.notify("Copied.", timeout=2)
