"""The events, newest at the bottom."""

from typing import ClassVar

from textual import events as ui
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from console.messages import MomentSelected, TaskSelected
from console.panels.canvas import Canvas, joined
from console.sentences import mark_of, sentence
from engine.machine import events as ev

_BOOKKEEPING = (ev.TaskReady, ev.RollbackStepStarted, ev.QuestionWithdrawn)
"""Events that are needed for completeness and seldom for reading."""


class EventsPanel(Canvas, panel="events"):
    HELP = """Every event of the run, newest at the bottom.

**↑ ↓** choose an event, **enter** goes to its task (and, when looking back, to its moment), **end** follows
the newest again."""
    DEFAULT_CSS = """
    EventsPanel { overflow: hidden scroll; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Older", show=False),
        Binding("down,j", "move(1)", "Newer", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "oldest", "Oldest", show=False),
        Binding("end", "newest", "Newest", show=False),
        Binding("enter", "go", "Go to the task", show=False),
    ]

    chosen: int | None = None
    """The number of the line that is chosen; None follows the newest."""

    def prepare(self) -> None:
        self.virtual_size = Size(self.room.width, len(self.view.events))
        if self.chosen is None:
            self.scroll_to(y=max(0, self._newest + 1 - self.room.height), animate=False)

    @property
    def _newest(self) -> int:
        """The line of the newest event that the view shows; those behind it are yet to come."""
        return self.view.state.seq - 1

    # -- moving ------------------------------------------------------------------------------------

    def action_move(self, steps: int) -> None:
        self._choose((self._newest if self.chosen is None else self.chosen) + steps)

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(1, self.room.height - 1))

    def action_oldest(self) -> None:
        self._choose(0)

    def action_newest(self) -> None:
        self._choose(len(self.view.events))

    def action_go(self) -> None:
        if self.chosen is None:
            raise SkipAction  # nothing is chosen: enter means what it means elsewhere
        self._go(self.chosen)

    def on_click(self, event: ui.Click) -> None:
        offset = event.get_content_offset(self)
        line = offset.y + self.scroll_offset.y if offset else -1
        if 0 <= line < len(self.view.events):
            self._choose(line)
            self._go(line)

    def on_mouse_scroll_up(self) -> None:
        """Scrolling away from the end holds still what is being read."""
        if self.chosen is None and self.max_scroll_y > 0:
            self.chosen = self._newest

    def _choose(self, line: int) -> None:
        """Choose a line; one behind the last means to follow the newest again."""
        self.chosen = None if line > self._newest else max(0, line)
        if self.chosen is not None:
            top = self.scroll_offset.y
            self.scroll_to(y=min(max(top, self.chosen - self.room.height + 1), self.chosen), animate=False)
        self.refresh_view()

    def _go(self, line: int) -> None:
        event = self.view.events[line]
        self.post_message(MomentSelected(event.seq))
        task_id = getattr(event, "task", "")
        if task_id in self.view.by_id:
            self.post_message(TaskSelected(task_id))

    # -- drawing -----------------------------------------------------------------------------------

    def draw_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        if number >= len(self.view.events):
            empty = "" if self.view.events or y else "Nothing has happened yet."
            return self.text_strip(joined([(empty, self.ink("quiet"))]))
        event = self.view.events[number]
        mark = mark_of(event)
        yet_to_come = number > self._newest
        quiet = self.faded("quiet") if yet_to_come else self.ink("quiet")
        words = quiet if yet_to_come or isinstance(event, _BOOKKEEPING) else self.ink("foreground")
        glyph = quiet if yet_to_come else self.ink(mark.colour, bold=True)
        text = joined([(f"{event.at:%H:%M:%S} ", quiet), (f"{mark.glyph} ", glyph), (sentence(event), words)])
        return self.text_strip(text, chosen=number == self.chosen)
