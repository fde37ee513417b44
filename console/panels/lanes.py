"""The lanes: what each has done, does, and is expected to do, on one time axis."""

import bisect
from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from console.look import STATUS, TRIGGER, one_line, plural
from console.messages import TaskSelected
from console.panels.axis import Axis, horizon, whole, zoomed
from console.panels.canvas import Canvas, Row, clip_middle, joined
from console.panels.history import History, Span, Track
from console.run_view import RunView
from engine.machine.transitions import TaskStatus

_HEADS = 2
_ZOOM = 0.5
_WASH = {TaskStatus.RUNNING: 0.4, TaskStatus.SUCCEEDED: 0.22}
"""How much colour a bar has; any other than these has as much as trouble."""
_TROUBLE_WASH = 0.35
_PLAN_WASH = 0.1
"""How much colour an expected bar has."""

Expected = tuple[str, int, float, float]
"""(task, lane, start, end), in seconds on the run's clock."""


class LanesPanel(Canvas):
    HELP = """One row a lane, with the share of the time that it has been busy. ‖ through all lanes is a
barrier; marks on the ruler are checkpoints; what lies behind the line at now is expected.

**+ -** zoom, **← →** pan, **0** shows the whole run again; a click chooses a task."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus,equals_sign", "zoom(1)", "Zoom in", show=False),
        Binding("minus", "zoom(-1)", "Zoom out", show=False),
        Binding("0", "fit", "Whole run", show=False),
        Binding("left,h", "pan(-1)", "Earlier", show=False),
        Binding("right,l", "pan(1)", "Later", show=False),
    ]

    selected: str | None = None

    def __init__(
        self, view: RunView, *, name: str | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(view, name=name, id=id, classes=classes)
        self._history = History(view)
        self._expected: dict[int, list[Span]] = {}
        self._ends = 0.0
        self._zoomed: Axis | None = None
        self._axis = Axis(0.0, 1.0, 1)
        self.hide_scrollbars()

    # -- what is shown ---------------------------------------------------------------------------

    def set_forecast(self, expected: Sequence[Expected]) -> None:
        """What is expected of the lanes from now on; drawn behind the line at now."""
        lanes: dict[int, list[Span]] = {}
        for task, lane, start, end in sorted(expected, key=lambda bar: bar[2]):
            lanes.setdefault(lane, []).append(Span(task, start, end))
        self._expected = lanes
        self._ends = max((end for _, _, _, end in expected), default=0.0)
        self.refresh_view()

    def select_task(self, task_id: str | None) -> None:
        """Mark the bars of this task."""
        if task_id != self.selected:
            self.selected = task_id
            self.refresh_view()

    def action_zoom(self, steps: int) -> None:
        around = min(self.view.now_t, self._axis.end)
        closer = zoomed(self._axis, _ZOOM**steps, around)
        fits = closer.start == 0.0 and closer.end >= self._length()
        self._zoomed = None if fits else closer
        self.refresh_view()

    def action_fit(self) -> None:
        self._zoomed = None
        self.refresh_view()

    def action_pan(self, steps: int) -> None:
        axis = self._axis
        latest = max(0.0, self._length() - axis.scale * axis.cells / 2)
        start = min(latest, axis.start + steps * axis.scale * axis.cells / 4)
        self._zoomed = Axis(max(0.0, start), axis.scale, axis.cells)
        self.refresh_view()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        lane = self._lane_at(offset.y)
        span = self._span(lane, offset.x - self._gutter) if lane is not None else None
        if span:
            self.select_task(span.task)
            self.post_message(TaskSelected(span.task))

    # -- layout ----------------------------------------------------------------------------------

    @property
    def _lanes(self) -> int:
        return max(len(self.view.state.lanes), 1 + max(self._history.lanes, default=-1))

    @property
    def _open(self) -> bool:
        """Whether there is a now, with a past and a future."""
        return self.view.state.started and not self.view.state.finished

    @property
    def _gutter(self) -> int:
        return len(f"lane {self._lanes} 100% ")

    def _length(self) -> float:
        """Seconds that the whole run takes, as far as that can be told."""
        now = self.view.now_t
        if self.view.state.finished:
            return max(now, 1e-3)
        return horizon(max(now * 1.02, self._ends)) if now > self._ends else self._ends

    def prepare(self) -> None:
        self._history.follow()
        cells = max(1, self.room.width - self._gutter - 1)
        if self._zoomed:
            self._zoomed = Axis(self._zoomed.start, self._zoomed.scale, cells)
        self._axis = self._zoomed or whole(self._length(), cells)
        self.virtual_size = Size(self.room.width, _HEADS + self._lanes * self._pitch + self._tail)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        """As many rows as it takes without free ones between the lanes."""
        return _HEADS + self._lanes + bool(self._history.undo.spans) + 1

    @property
    def _tail(self) -> int:
        """Rows below the lanes: what a rollback does, and a caption."""
        return bool(self._history.undo.spans) + self._captioned

    @property
    def _captioned(self) -> bool:
        """The caption is what gives way where there is no room for all lanes."""
        return self.room.height > _HEADS + self._lanes + bool(self._history.undo.spans)

    @property
    def _pitch(self) -> int:
        """Rows from one lane to the next: with a free row between them where there is room."""
        room = self.room.height - _HEADS - self._tail
        return 2 if room >= 2 * self._lanes else 1

    def _lane_at(self, y: int) -> int | None:
        lane, between = divmod(y - _HEADS + self.scroll_offset.y, self._pitch)
        return lane if y >= _HEADS and not between and lane < self._lanes else None

    def _span(self, lane: int, cell: int) -> Span | None:
        """What a lane does in a cell of the axis: as it happened up to now, and as expected from then on."""
        t = self._axis.middle(cell)
        if t <= self.view.now_t:
            track = self._history.lanes.get(lane)
            index = track.at(t) if track else None
            return track.spans[index] if track and index is not None else None
        bars = self._expected.get(lane, [])
        index = bisect.bisect_right(bars, t, key=lambda bar: bar.start) - 1
        end = bars[index].end if index >= 0 else None
        return bars[index] if end is not None and t < end else None

    # -- drawing ---------------------------------------------------------------------------------

    def draw_line(self, y: int) -> Strip:
        width = self.room.width
        line = Row(width)
        last = self.room.height - 1
        if y == 0:
            self._draw_labels(line)
        elif y == 1:
            self._draw_ruler(line)
        elif y == last and self._captioned:
            return self._caption()
        elif y == last - self._captioned and self._history.undo.spans:
            self._draw_undo(line)
        else:
            lane = self._lane_at(y)
            if lane is not None:
                self._draw_lane(line, lane)
            elif y - _HEADS + self.scroll_offset.y < self._lanes * self._pitch:
                self._draw_uprights(line, range(self._axis.cells))
        return line.strip(self.base)

    def _draw_labels(self, line: Row) -> None:
        cell = self._axis.cell(self.view.now_t)
        taken = range(0)
        if self._open and 0 <= cell < self._axis.cells:
            now = min(self._gutter + cell, line.width - len("now"))
            line.put(now, "now", self.ink("accent", bold=True))
            taken = range(now - 1, now + len("now") + 1)
        for cell, label in self._axis.ticks():
            x = self._gutter + cell
            if x + len(label) <= line.width and (x >= taken.stop or x + len(label) <= taken.start):
                line.put(x, label, self.ink("quiet"))

    def _draw_ruler(self, line: Row) -> None:
        axis, gutter = self._axis, self._gutter
        line.put(gutter, "─" * axis.cells, self.ink("frame"))
        for cell, _ in axis.ticks():
            self._put(line, cell, "┬", "quiet")
        now = axis.cell(self.view.now_t)
        if self._open:
            self._put(line, now, "▼", "accent")
        for checkpoint in self.view.state.checkpoints.values():
            mark = TRIGGER[checkpoint.trigger]
            self._put(line, self._ending_cell(checkpoint.t), mark.glyph, mark.colour)

    def _put(self, line: Row, cell: int, char: str, colour: str) -> None:
        if 0 <= cell < self._axis.cells:
            line.put(self._gutter + cell, char, self.ink(colour))

    def _draw_uprights(self, line: Row, free: Sequence[int]) -> None:
        """The line at now, and the barriers, through the cells that nothing else stands in."""
        now = self._axis.cell(self.view.now_t)
        if now in free and self._open:
            self._put(line, now, "│", "accent")
        for t, _ in self._history.barriers:
            self._put(line, self._ending_cell(t), "‖", "barrier")

    def _ending_cell(self, t: float) -> int:
        """The last cell of what ends at `t`: a cell belongs to whatever its middle lies in."""
        return self._axis.cell(t - self._axis.scale / 2)

    def _draw_lane(self, line: Row, lane: int) -> None:
        track = self._history.lanes.get(lane, Track())
        now = self.view.now_t
        share = f"{track.busy(now) / now:.0%}" if now > 0 else "–"
        end = line.put(0, f"lane {lane + 1:<{len(str(self._lanes))}} ", self.ink("foreground"))
        line.put(end, f"{share:>4}", self.ink("quiet"))
        spans = [self._span(lane, cell) for cell in range(self._axis.cells)]
        self._draw_spans(line, spans)
        self._draw_uprights(line, [cell for cell, span in enumerate(spans) if span is None])
        self._draw_troubles(line, track)

    def _draw_spans(self, line: Row, spans: Sequence[Span | None]) -> None:
        begin = 0
        for cell in range(1, len(spans) + 1):
            if cell == len(spans) or spans[cell] is not spans[begin]:
                span = spans[begin]
                if span:
                    self._draw_bar(line, span, begin, cell)
                else:
                    self._draw_idle(line, begin, cell)
                begin = cell

    def _draw_idle(self, line: Row, begin: int, end: int) -> None:
        now = self._axis.cell(self.view.now_t)
        for cell in range(begin, min(end, now)):
            self._put(line, cell, "┈", "frame")

    def _draw_bar(self, line: Row, span: Span, begin: int, end: int) -> None:
        mark = STATUS[span.status]
        at, room = self._gutter + begin, end - begin
        expected = self._axis.middle(begin) > self.view.now_t
        if expected:
            style = self.faded("foreground") + self.wash(mark.colour, _PLAN_WASH)
        elif span.status is TaskStatus.WAITING:
            style = self.ink(mark.colour)
        else:
            style = self.ink("foreground") + self.wash(mark.colour, _WASH.get(span.status, _TROUBLE_WASH))
        if span.task == self.selected:
            style += self.cursor
        line.put(at, ("░" if span.status is TaskStatus.WAITING and not expected else " ") * room, style)
        if span.start >= self._axis.start:
            line.put(at, "▏", style + self.ink("background"))
        continued = expected and span.start <= self.view.now_t
        glyph = f"{mark.glyph} " if span.end is None and not expected else ""
        if room > 4 and not continued:
            line.put(at + 1, clip_middle(glyph + span.task, room - 2), style)

    def _draw_troubles(self, line: Row, track: Track) -> None:
        """An attempt that did not end well is marked where it ended, however short it was."""
        for cell in range(self._axis.cells):
            start = self._axis.middle(cell)
            result = track.trouble_in(start, start + self._axis.scale)
            if result:
                mark = STATUS[result]
                style = self.ink(mark.colour, bold=True) + self.wash(mark.colour, _TROUBLE_WASH)
                line.put(self._gutter + cell, mark.glyph, style)

    def _draw_undo(self, line: Row) -> None:
        line.put(0, f"{STATUS[TaskStatus.ROLLED_BACK].glyph} rollback", self.ink("status-rolled-back"))
        undo = self._history.undo
        found = [undo.at(self._axis.middle(cell)) for cell in range(self._axis.cells)]
        self._draw_spans(line, [None if index is None else undo.spans[index] for index in found])
        self._draw_troubles(line, undo)

    def _caption(self) -> Strip:
        quiet = self.ink("quiet")
        now = self.view.now_t
        busy = sum(track.busy(now) for track in self._history.lanes.values())
        share = f", {busy / now / self._lanes:.0%} busy" if now > 0 else ""
        parts = [(plural(self._lanes, "lane") + share, quiet)]
        waiting = self.view.state.with_status(TaskStatus.WAITING)
        if waiting:
            mark = STATUS[TaskStatus.WAITING]
            first = self.view.state.tasks[waiting[0]]
            more = f", and {len(waiting) - 1} more" if len(waiting) > 1 else ""
            reason = one_line(first.waiting_for)
            parts.append((f"  {mark.glyph} {first.id} waits: {reason}{more}", self.ink(mark.colour)))
        return self.text_strip(joined(parts))
