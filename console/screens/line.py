"""A line to type into at the foot of the screen, with everything above it left in sight."""

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class LineScreen(ModalScreen[None]):
    """`changed` hears of every change at once. Enter keeps what was typed, Escape brings back what was
    there."""

    DEFAULT_CSS = """
    LineScreen { align: left bottom; }
    LineScreen > Horizontal { height: 1; background: $panel; }
    LineScreen #line-prompt { width: auto; padding: 0 1; color: $accent; text-style: bold; }
    LineScreen Input { width: 1fr; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back", id="line.back", show=False)]

    def __init__(self, prompt: str, value: str, hint: str, changed: Callable[[str], None]) -> None:
        super().__init__()
        self._prompt = prompt
        self._before = value
        self._hint = hint
        self._changed = changed

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static(self._prompt, id="line-prompt", markup=False)
            yield Input(self._before, placeholder=self._hint, compact=True)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    @on(Input.Changed)
    def _say(self, event: Input.Changed) -> None:
        self._changed(event.value)

    @on(Input.Submitted)
    def _keep(self) -> None:
        self.dismiss(None)

    def action_leave(self) -> None:
        self._changed(self._before)
        self.dismiss(None)
