"""The lock radar of a plan, statement by statement."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.strip import Strip

from console.look import one_line
from console.panels.canvas import BOLD, Canvas, joined
from console.panels.locked import painted, wrapped
from console.radar import heading, is_felt, lines
from console.run_view import RunView
from engine.plan.sql.scripts import Script


class RadarLines(Canvas):
    """What each action of `scripts` locks: what runs first, then what would be rolled back."""

    DEFAULT_CSS = """
    RadarLines { background: $surface; }
    """

    def __init__(self, view: RunView, scripts: Sequence[Script]) -> None:
        super().__init__(view)
        self.scripts = scripts
        self._lines: list[Text] = []
        self._width = 0

    def prepare(self) -> None:
        if self._width != self.room.width:
            self._width = self.room.width
            self._lines = list(self._all())
            self.virtual_size = Size(self._width, len(self._lines))

    def notify_style_update(self) -> None:
        self._width = 0
        super().notify_style_update()

    def draw_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        return self.text_strip(self._lines[number] if number < len(self._lines) else Text())

    def _all(self) -> Iterator[Text]:
        for role, means in (("run", "What runs"), ("rollback", "What a rollback would run")):
            felt = [each for each in self.scripts if each.role == role and is_felt(each)]
            if felt:
                yield joined([(means, self.ink("primary", bold=True))])
                yield Text()
            for script in felt:
                title = joined([(one_line(heading(script)), BOLD)])
                yield from wrapped(title, self.app.console, self._width, 4)
                for line in lines(script):
                    yield from painted(line, self.ink, self.app.console, self._width)
                yield Text()


class RadarScreen(ModalScreen[None]):
    """`scripts`: see `engine.plan.sql.scripts.scripts`."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,l,q", "dismiss_screen", "Close")]
    DEFAULT_CSS = """
    RadarScreen .dialog-box { height: 92%; }
    RadarScreen RadarLines { height: 1fr; }
    """

    def __init__(self, view: RunView, scripts: Sequence[Script]) -> None:
        super().__init__(classes="dialog")
        self.view = view
        self.scripts = scripts

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box -broad") as box:
            box.border_title = "Locks on PostgreSQL"
            box.border_subtitle = "esc closes"
            yield RadarLines(self.view, self.scripts)

    def on_mount(self) -> None:
        self.query_one(RadarLines).focus()

    def action_dismiss_screen(self) -> None:
        self.dismiss(None)
