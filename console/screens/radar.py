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
from console.radar import Line, heading, is_felt, lines
from console.run_view import RunView
from engine.plan.sql.scripts import Script

INKS = ("quiet", "warning", "error")
"""By the weight of a line: nobody is blocked, writes are, reads are too."""
_STEP = 2


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
        for role, title in (("run", "What runs"), ("rollback", "What a rollback would run")):
            felt = [each for each in self.scripts if each.role == role and is_felt(each)]
            if felt:
                yield joined([(title, self.ink("primary", bold=True))])
                yield Text()
            for script in felt:
                yield from self._wrapped(joined([(one_line(heading(script)), BOLD)]), 4)
                for line in lines(script):
                    yield from self._line(line)
                yield Text()

    def _line(self, line: Line) -> Iterator[Text]:
        indent = " " * (_STEP * line.indent)
        ink = self.ink("foreground" if line.kind == "statement" else INKS[line.weight])
        text = joined([(indent + line.text, ink)])
        if line.kind == "statement":
            text.truncate(max(1, self._width), overflow="ellipsis")
            yield text
        else:
            yield from self._wrapped(text, len(indent) + _STEP)

    def _wrapped(self, text: Text, indent: int) -> Iterator[Text]:
        first, *rest = text.wrap(self.app.console, max(20, self._width - indent)) or [text]
        yield first
        for line in rest:
            yield Text(" " * indent).append_text(line)


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
