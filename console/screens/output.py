"""All that is kept of what an attempt printed."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widgets import Input
from textual.worker import get_current_worker

from console.export import Export, copy
from console.look import plural
from console.panels.canvas import Canvas, printable
from console.recovery.widgets import Hint, Hints
from console.run_view import RunView
from console.screens.saving import SaveDialog

_SIDEWAYS = 4096
"""Cells of a line that one can scroll to: as many as are kept of it for a screen."""
_BLOCK = 1000
"""So many lines are searched at a time."""


class OutputLines(Canvas):
    """The lines of an output. Stays at its end, until one scrolls away from it."""

    DEFAULT_CSS = """
    OutputLines { background: $surface; scrollbar-size-horizontal: 0; }
    """

    def __init__(self, view: RunView, lines: Callable[[], Sequence[str]]) -> None:
        super().__init__(view)
        self.lines: Sequence[str] = ()
        self.wanted = ""
        """What is searched for, in small letters."""
        self.found: int | None = None
        self.follows = True
        self._lines = lines
        self._shown = 0

    @property
    def _bottom(self) -> int:
        return max(0, self._shown - self.room.height)

    def prepare(self) -> None:
        self.lines = self._lines()
        self._shown = len(self.lines)
        self.virtual_size = Size(_SIDEWAYS, self._shown)
        if self.follows and self.scroll_offset.y != self._bottom:
            self.scroll_to(y=self._bottom, animate=False)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        self.follows = round(new_value) >= self._bottom
        super().watch_scroll_y(old_value, new_value)

    def draw_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        if number >= self._shown:
            nothing = "Nothing has been printed." if y == 0 and not self._shown else ""
            return self.text_strip(Text(nothing, style=self.ink("quiet"), end=""))
        line = printable(self.lines[number])[self.scroll_offset.x :]
        text = Text(line, style=self.ink("foreground"), end="")
        if self.wanted:
            text.highlight_words([self.wanted], self.cursor, case_sensitive=False)
        return self.text_strip(text)

    def go_to(self, number: int) -> None:
        """Show line `number`, with some of what stands before it."""
        self.found = number
        self.scroll_to(y=max(0, number - self.room.height // 3), animate=False)
        self.redraw()


class OutputScreen(ModalScreen[None]):
    """`title` says whose output it is, `stem` begins the name of a file it is saved to. `lines` gives the
    lines there are by now, safe for screens."""

    DEFAULT_CSS = """
    OutputScreen { align: center middle; }
    #output-frame { width: 96%; height: 94%; background: $surface; border: round $accent; padding: 0 1;
                    border-title-color: $accent; border-title-style: bold; }
    #output-frame OutputLines { height: 1fr; }
    #output-frame Input { display: none; }
    #output-frame Input.-open { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,o,q", "close", "Close", id="output.close", show=False),
        Binding("slash", "search", "Search", id="output.search", show=False),
        Binding("n", "next(1)", "Next match", id="output.next", show=False),
        Binding("N", "next(-1)", "Match before", id="output.previous", show=False),
        Binding("y", "copy", "Copy", id="output.copy", show=False),
        Binding("w", "save", "Save", id="output.save", show=False),
    ]

    def __init__(self, view: RunView, title: str, stem: str, lines: Callable[[], Sequence[str]]) -> None:
        super().__init__()
        self._title = title
        self._stem = stem
        self.shown = OutputLines(view, lines)

    def compose(self) -> ComposeResult:
        with Vertical(id="output-frame"):
            yield self.shown
            yield Input(placeholder="search for …", compact=True)
            yield Hints(
                Hint("↑↓", "scroll"),
                Hint("end", "follow"),
                Hint("/", "search", "screen.search"),
                Hint("y", "copy", "screen.copy"),
                Hint("w", "save", "screen.save"),
                Hint("esc", "back", "screen.close"),
                id="output-hints",
            )

    def on_mount(self) -> None:
        self.shown.focus()
        self.watch(self.shown, "scroll_y", self._say_where, init=False)

    def refresh_view(self) -> None:
        self.shown.refresh_view()
        self._say_where()

    def _say_where(self) -> None:
        frame, lines = self.query_one("#output-frame"), self.shown
        frame.border_title = self._title
        top, height = lines.scroll_offset.y, lines.room.height
        where = f"lines {top + 1:,} to {min(top + height, len(lines.lines)):,} of {len(lines.lines):,}"
        frame.border_subtitle = plural(len(lines.lines), "line") if lines.follows else where

    # -- keys ----------------------------------------------------------------------------------------

    def action_close(self) -> None:
        """Out of the search first, then out of the output."""
        if self.query_one(Input).has_class("-open"):
            self._end_search()
            self.shown.wanted = ""
            self.shown.redraw()
        else:
            self.dismiss(None)

    def action_copy(self) -> None:
        copy(self.app, self.export())

    def action_save(self) -> None:
        self.app.push_screen(SaveDialog(self.export()))

    def export(self) -> Export:
        return Export(self._title, self._stem, (self.shown.lines,))

    # -- searching -----------------------------------------------------------------------------------

    def action_search(self) -> None:
        field = self.query_one(Input)
        field.add_class("-open")
        field.value = ""
        field.focus()

    @on(Input.Submitted)
    def _searched(self, event: Input.Submitted) -> None:
        self._end_search()
        self.shown.wanted, self.shown.found = event.value.lower(), None
        self.shown.redraw()
        self.action_next(-1)

    def _end_search(self) -> None:
        self.query_one(Input).remove_class("-open")
        self.shown.focus()

    def action_next(self, step: int) -> None:
        """On to the next match, or back to the one before: from where one was found, else from the end."""
        lines = self.shown
        if lines.wanted:
            start = len(lines.lines) if lines.found is None else lines.found
            self._find(lines.wanted, lines.lines, start, step)

    @work(thread=True, exclusive=True)
    def _find(self, wanted: str, lines: Sequence[str], start: int, step: int) -> None:
        worker = get_current_worker()
        first, last = (start + 1, len(lines)) if step > 0 else (0, start)
        blocks = range(first, last, _BLOCK)
        for begin in blocks if step > 0 else reversed(blocks):
            if worker.is_cancelled:
                return
            block = lines[begin : min(begin + _BLOCK, last)]
            hits = [begin + at for at, line in enumerate(block) if wanted in line.lower()]
            if hits:
                self.app.call_from_thread(self.shown.go_to, hits[0] if step > 0 else hits[-1])
                return
        where = "after this" if step > 0 else "before this"
        self.app.call_from_thread(self.notify, f"“{wanted}” is not found {where}", timeout=3, markup=False)
