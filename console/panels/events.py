"""The events, newest at the bottom."""

from bisect import bisect_left, bisect_right
from typing import ClassVar

from textual import events as ui
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from console.export import Export
from console.look import plural
from console.messages import EventRequested, LineRequested, MomentSelected, TaskSelected
from console.panels.canvas import Canvas, joined
from console.panels.event_filter import GROUPS, EventFilter
from console.run_view import RunView
from console.sentences import mark_of, sentence
from engine.machine import events as ev

_BOOKKEEPING = (ev.TaskReady, ev.RollbackStepStarted, ev.QuestionWithdrawn)
"""Events that are needed for completeness and seldom for reading."""


class EventsPanel(Canvas, panel="events"):
    HELP = f"""The events of the run, newest at the bottom.

**↑ ↓** choose an event, **enter** goes to its task (and, when looking back, to its moment), **v** shows all
of it, **end** follows the newest again. **f** filters: by words, and by groups ({", ".join(GROUPS)}); **t**
shows those of the selected task only. How far tasks are is shown only where **progress** is asked for."""
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
        Binding("v", "whole", "Whole event", show=False, tooltip="All of the chosen event, or of the newest"),
        Binding("f", "filter", "Filter", show=False, tooltip="Show only some of the events"),
        Binding("t", "only_task", "Task only", show=False, tooltip="Those of the selected task, and back"),
    ]

    def __init__(self, view: RunView, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(view, id=id, classes=classes)
        self.task_id: str | None = None
        self.chosen: int | None = None
        """The line that is chosen; None follows the newest."""
        self._filter = EventFilter()
        self._lines: list[int] = []
        """The events that pass the filter, each by its place in the view."""
        self._seen = 0
        """So many of the view's events have been looked at for `_lines`."""

    def select_task(self, task_id: str | None) -> None:
        self.task_id = task_id

    def prepare(self) -> None:
        self._look_at_new_ones()
        self.virtual_size = Size(self.room.width, len(self._lines))
        if self.chosen is None:
            self.scroll_to(y=max(0, self._newest + 1 - self.room.height), animate=False)
        shown = f"{len(self._lines)} of {plural(len(self.view.events), 'event')}"
        self.write_below(f"{self._filter.text}: {shown}" if self._filter.text else "")

    def _look_at_new_ones(self) -> None:
        events = self.view.events
        new = range(self._seen, len(events))
        self._lines += [number for number in new if self._filter.lets_pass(events[number])]
        self._seen = len(events)

    @property
    def _newest(self) -> int:
        """The line of the newest event that the view shows; those behind it are yet to come."""
        return bisect_right(self._lines, self.view.state.seq - 1) - 1

    # -- filtering ---------------------------------------------------------------------------------

    def show_only(self, text: str) -> None:
        """Show the events that a filter of `text` lets pass, and hold on to the one that is chosen."""
        held = None if self.chosen is None or not self._lines else self._lines[self.chosen]
        self._filter, self._lines, self._seen = EventFilter(text), [], 0
        self._look_at_new_ones()
        if held is not None and self._lines:
            self._choose(min(bisect_left(self._lines, held), len(self._lines) - 1))
        else:
            self.chosen = None
        self.redraw()
        self.refresh_view()

    def action_filter(self) -> None:
        hint = f"words, or: {' '.join(GROUPS)}"
        self.post_message(LineRequested("events with", self._filter.text, hint, self.show_only))

    def action_only_task(self) -> None:
        only = (self.task_id or "").lower()
        self.show_only("" if self._filter.text == only else only)

    def export(self) -> Export:
        events = [self.view.events[number] for number in self._lines]
        lines = [f"{event.at:%Y-%m-%d %H:%M:%S} {event.seq:>6} {sentence(event)}" for event in events]
        what = f"events with {self._filter.text}" if self._filter.text else "all events but progress"
        return Export(what, f"{self.view.state.run}-events", (lines,))

    # -- moving ------------------------------------------------------------------------------------

    def action_move(self, steps: int) -> None:
        self._choose((self._newest if self.chosen is None else self.chosen) + steps)

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(1, self.room.height - 1))

    def action_oldest(self) -> None:
        self._choose(0)

    def action_newest(self) -> None:
        self._choose(len(self._lines))

    def action_go(self) -> None:
        if self.chosen is None:
            raise SkipAction  # nothing is chosen: enter means what it means elsewhere
        self._go(self.chosen)

    def action_whole(self) -> None:
        line = self._newest if self.chosen is None else self.chosen
        if line >= 0:
            self.post_message(EventRequested(self.view.events[self._lines[line]]))

    def on_click(self, event: ui.Click) -> None:
        offset = event.get_content_offset(self)
        line = offset.y + self.scroll_offset.y if offset else -1
        if 0 <= line < len(self._lines):
            self._choose(line)
            self._go(line)

    def on_mouse_scroll_up(self) -> None:
        """Scrolling away from the end holds still what is being read."""
        if self.chosen is None and self.max_scroll_y > 0:
            self.chosen = self._newest

    def _choose(self, line: int) -> None:
        """Choose a line; one behind the last means to follow the newest again."""
        self.chosen = max(0, line) if line <= self._newest and self._newest >= 0 else None
        if self.chosen is not None:
            top = self.scroll_offset.y
            self.scroll_to(y=min(max(top, self.chosen - self.room.height + 1), self.chosen), animate=False)
        self.refresh_view()

    def _go(self, line: int) -> None:
        event = self.view.events[self._lines[line]]
        self.post_message(MomentSelected(event.seq))
        task_id = getattr(event, "task", "")
        if task_id in self.view.by_id:
            self.post_message(TaskSelected(task_id))

    # -- drawing -----------------------------------------------------------------------------------

    def draw_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        if number >= len(self._lines):
            return self.text_strip(joined([("" if y else self._nothing(), self.ink("quiet"))]))
        event = self.view.events[self._lines[number]]
        mark = mark_of(event)
        yet_to_come = number > self._newest
        quiet = self.faded("quiet") if yet_to_come else self.ink("quiet")
        words = quiet if yet_to_come or isinstance(event, _BOOKKEEPING) else self.ink("foreground")
        glyph = quiet if yet_to_come else self.ink(mark.colour, bold=True)
        text = joined([(f"{event.at:%H:%M:%S} ", quiet), (f"{mark.glyph} ", glyph), (sentence(event), words)])
        return self.text_strip(text, chosen=number == self.chosen)

    def _nothing(self) -> str:
        if self._lines:
            return ""
        return "No such event so far." if self.view.events else "Nothing has happened yet."
