"""Jump mode: a letter on each thing that can be focused; the letter goes there."""

from collections.abc import Sequence
from string import ascii_lowercase

from textual import events
from textual.app import ComposeResult
from textual.geometry import Offset
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

LETTERS = "asdfghjkl" + "".join(sorted(set(ascii_lowercase) - set("asdfghjkl")))
"""Those under the fingers first."""


class JumpScreen(ModalScreen[Widget | None]):
    """Ends with the one of `targets` that was chosen, or None: any other key, a click, another size."""

    def __init__(self, targets: Sequence[Widget]) -> None:
        super().__init__()
        self.targets = dict(zip(LETTERS, targets, strict=False))

    def compose(self) -> ComposeResult:
        for letter, target in self.targets.items():
            mark = Static(f" {letter.upper()} ", classes="letter", markup=False)
            mark.styles.offset = target.region.offset + Offset(max(0, target.region.width // 2 - 2), 0)
            yield mark
        yield Static("Press a letter to go there, anything else to stay.", classes="how", markup=False)

    def on_mount(self) -> None:
        self._opened_at = self.app.size

    def on_key(self, event: events.Key) -> None:
        event.stop()
        self._end(self.targets.get((event.character or "").lower()))

    def on_click(self, event: events.Click) -> None:
        where = event.screen_offset
        self._end(next((each for each in self.targets.values() if each.region.contains_point(where)), None))

    def on_resize(self, event: events.Resize) -> None:
        if self.is_mounted and event.size != self._opened_at:
            self._end(None)

    def _end(self, target: Widget | None) -> None:
        if self.is_current:  # several things can end it at once, and it ends once
            self.dismiss(target)
