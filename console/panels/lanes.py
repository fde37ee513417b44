"""The lanes: what each has done, does, and is expected to do, on one time axis."""

import math
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from console.look import STATUS, TRIGGER
from console.messages import TaskSelected
from console.outlook import Outlook
from console.panels.axis import Axis
from console.panels.bars import Piece, Tiling, pieces
from console.panels.canvas import Canvas, Row, clip, joined
from console.panels.history import History, Span, Track
from console.panels.lane_rows import TAILS, Line, Tail, body_rows, tail_rows
from console.panels.lane_words import bar_words, lock_words, notes, percent, share_words, waits_words
from console.panels.painting import Painter, Part
from console.panels.window import Window
from console.run_view import RunView
from engine.machine.transitions import TaskStatus

_HEADS = 2
_ZOOM = 0.5
_PAN = 0.25
_READABLE = 14
"""Cells that a bar of middling length takes when now is jumped to."""

_NOTHING = Track()


class LanesPanel(Canvas, panel="lanes"):
    HELP = """One row a lane, with the share of the time so far in which it ran a task. Bars behind the line
at now are expected. **‖** through all lanes is a barrier, and below it stands the task that it waits for to
the last; **┊** is where another engine took the run up. Marks on the ruler are checkpoints, **◌** the next
one. A gold edge is the critical path, **↻2** a second attempt, **▁** to **▇** tasks too short to tell apart.

The mouse chooses a task; its wheel moves along the axis, and zooms with **ctrl**."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1)", "Bar before", show=False, tooltip="Choose the bar before"),
        Binding("right,l", "move(1)", "Bar after", show=False, tooltip="Choose the bar after"),
        Binding("up,k", "cross(-1)", "Lane above", show=False, tooltip="Choose the bar above"),
        Binding("down,j", "cross(1)", "Lane below", show=False, tooltip="Choose the bar below"),
        Binding("plus,equals_sign", "zoom(1)", "Zoom in", show=False,
                tooltip="Zoom in, around the chosen bar or now"),
        Binding("minus,underscore", "zoom(-1)", "Zoom out", show=False),
        Binding("less_than_sign,shift+left", "pan(-1)", "Earlier", show=False),
        Binding("greater_than_sign,shift+right", "pan(1)", "Later", show=False),
        Binding("0", "fit", "Whole run", show=False, tooltip="Show the whole run"),
        Binding("f", "now", "Now", show=False, tooltip="Go to now, and go along with it"),
    ]  # fmt: skip

    selected: str | None = None

    def __init__(
        self, view: RunView, *, name: str | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(view, name=name, id=id, classes=classes)
        self.window = Window()
        self._history = History(view)
        self._outlook = Outlook()
        self._expected: dict[int, Track] = {}
        self._axis = Axis(0.0, 1.0, 1)
        self._over = 0
        """The cell that what happened goes up to."""
        self._coming = 0
        """The cell that what is expected begins with."""
        self._body: list[Line] = []
        self._tail: list[Tail] = []
        self._cursor: tuple[int, Span] | None = None
        self._tilings: dict[int, Tiling] = {}
        self._past: dict[int, list[Piece]] = {}
        self._expectations: dict[int, tuple[tuple[Track, Axis, int], list[Piece]]] = {}
        self.hide_scrollbars()

    # -- choosing ----------------------------------------------------------------------------------

    def select_task(self, task_id: str | None) -> None:
        """Light the bars of this task."""
        if task_id != self.selected:
            self.selected = task_id
            self._cursor = None
            self.refresh_view()

    @property
    def current(self) -> tuple[int, Span] | None:
        """The lane and the bar that was chosen, else the newest one of the selected task."""
        if self._cursor or self.selected is None:
            return self._cursor
        past = self._history.places.get(self.selected)
        if past:
            return past[-1]
        to_come = (
            (lane, span) for lane, track in self._expected.items() for span in track.spans
            if span.task == self.selected
        )  # fmt: skip
        return next(to_come, None)

    def _bars_of(self, lane: int) -> list[Span]:
        """What can be chosen on a lane, in order: what happened, and what is expected to."""
        past = self._history.lanes.get(lane, _NOTHING).spans
        expected = self._expected.get(lane, _NOTHING).spans
        now = self.view.now_t
        return [span for span in past if span.attempt] + [span for span in expected if span.start >= now]

    def action_move(self, steps: int) -> None:
        if self.current is None:
            self.action_cross(0)
            return
        lane, span = self.current
        bars = self._bars_of(lane)
        at = next((number for number, each in enumerate(bars) if each is span), None)
        if at is not None and 0 <= at + steps < len(bars):
            self._choose(lane, bars[at + steps])

    def action_cross(self, steps: int) -> None:
        """Choose on the next lane in this direction that has a bar: the one nearest in time."""
        lane, moment = -1 if steps > 0 else self._lanes, self.view.now_t
        if self.current:
            lane, span = self.current
            moment = (span.start + span.until(self.view.now_t)) / 2
        for other in range(lane + steps, self._lanes) if steps >= 0 else range(lane - 1, -1, -1):
            bars = self._bars_of(other)
            if bars and other != lane:
                self._choose(other, min(bars, key=lambda bar: self._away(bar, moment)))
                return

    def _away(self, bar: Span, moment: float) -> float:
        return max(bar.start - moment, moment - bar.until(self.view.now_t), 0.0)

    def _choose(self, lane: int, span: Span) -> None:
        self.selected = span.task
        self._cursor = lane, span
        self.window.bring(self._axis, span.start, span.until(self.view.now_t))
        self.refresh_view()
        rows = [row for row, line in enumerate(self._body) if line.lane == lane]
        if rows:
            lowest = rows[-1] - (self.room.height - _HEADS - len(self._tail)) + 1
            top = min(max(self.scroll_offset.y, lowest), rows[0])
            self.scroll_to(y=top, animate=False)
        self.post_message(TaskSelected(span.task))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        found = self._bar_at(offset.x - self._gutter, offset.y) if offset else None
        if found:
            self._choose(*found)

    def _bar_at(self, cell: int, y: int) -> tuple[int, Span] | None:
        line = self._line_at(y)
        if line is None or not 0 <= cell < self._axis.cells:
            return None
        for piece in (*self._past[line.lane], *self._expected_of(line.lane)):
            if piece.begin <= cell < piece.end and piece.spans:
                return line.lane, piece.spans[len(piece.spans) // 2]
        return None

    # -- the stretch that is looked at ---------------------------------------------------------------

    def action_zoom(self, steps: int) -> None:
        self._zoom_around(_ZOOM**steps, self._around())

    def _around(self) -> float:
        """The moment that zooming keeps in place: the chosen bar, now, or the middle: what is in sight."""
        axis, now = self._axis, self.view.now_t
        if self._cursor:
            span = self._cursor[1]
            middle = (span.start + span.until(now)) / 2
            if axis.start <= middle <= axis.end:
                return middle
        return now if axis.start <= now <= axis.end else axis.middle(axis.cells // 2)

    def _zoom_around(self, factor: float, moment: float) -> None:
        along = self._open and moment == self.view.now_t
        self.window.zoom(self._axis, factor, moment, along=along)
        self.refresh_view()

    def action_fit(self) -> None:
        self.window.fit()
        self.refresh_view()

    def action_pan(self, steps: int) -> None:
        self.window.pan(self._axis, steps * _PAN)
        self.refresh_view()

    def action_now(self) -> None:
        """Go along with now; from the whole run, so near that names can be read."""
        scale = self.window.scale
        if scale is None:
            lengths = sorted(self.view.graph.expected_s[task] for task in self.view.state.lanes if task)
            middling = lengths[len(lengths) // 2] if lengths else self._length()
            scale = min(self._axis.scale, max(middling, 1e-3) / _READABLE)
        self.window.follow(scale)
        self.refresh_view()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseEvent, steps: int) -> None:
        if event.ctrl:
            offset = event.get_content_offset(self)
            cell = offset.x - self._gutter if offset else self._axis.cells // 2
            self._zoom_around(_ZOOM**-steps, self._axis.middle(cell))
        elif event.shift or not self.max_scroll_y:
            self.action_pan(steps)
        else:
            return
        event.stop()
        event.prevent_default()

    # -- layout ------------------------------------------------------------------------------------

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
        if not self._open:
            return max(now, 1e-3)
        return max(now * 1.02, self._outlook.finish_t or 0.0, *(bar.end for bar in self._outlook.bars), 1.0)

    def prepare(self) -> None:
        self._history.follow()
        if self.view.outlook is not self._outlook:
            self._outlook = self.view.outlook
            self._expected = {}
            for bar in sorted(self._outlook.bars, key=lambda bar: bar.start):
                track = self._expected.setdefault(bar.lane, Track())
                track.begin(bar.task, bar.start, TaskStatus.RUNNING)
                track.finish(bar.end, None)
        cells = self.room.width - self._gutter - 1
        self._axis = self.window.axis(cells, self._length(), self.view.now_t, growing=self._open)
        self._tail = self._tail_for(self.room.height - _HEADS - self._lanes)
        room = self.room.height - _HEADS - len(self._tail)
        self._body = body_rows(self._lanes, room)
        self.virtual_size = Size(self.room.width, _HEADS + len(self._body) + len(self._tail))
        self._tail_top = min(_HEADS + len(self._body), self.room.height - len(self._tail))
        now = self._axis.cell(self.view.now_t)
        over = now if self._open else self._axis.after(self.view.now_t)
        self._over, self._coming = max(0, min(over, cells)), max(0, now + 1)
        for lane in range(self._lanes):
            track = self._history.lanes.get(lane, _NOTHING)
            tiling = self._tilings.setdefault(lane, Tiling())
            self._past[lane] = tiling.pieces(track, self._axis, self._over, self.view.now_t)
        line_at = now if self._open and 0 <= now < cells else None
        self._painter = Painter(self, self._axis, self._gutter, line_at, self.selected)
        self._painter.rule(
            (barrier.t for barrier in self._history.barriers),
            (barrier.t for barrier in self._outlook.barriers),
            (taken_up.t for taken_up in self._history.taken_up),
        )

    @property
    def needed_height(self) -> int:
        """As many rows as it takes to say all there is to say, with one row a lane."""
        self._history.follow()
        return _HEADS + self._lanes + len(self._tail_for(len(TAILS)))

    def _tail_for(self, room: int) -> list[Tail]:
        """The rows below the lanes, as many as there is `room` for."""
        return tail_rows(self._history, self._outlook, room)

    def _line_at(self, y: int) -> Line | None:
        row = y - _HEADS + self.scroll_offset.y
        inside = _HEADS <= y < self._tail_top
        return self._body[row] if inside and row < len(self._body) else None

    def _expected_of(self, lane: int) -> list[Piece]:
        """What is expected of it, from there on."""
        track = self._expected.get(lane) if self._open else None
        if track is None:
            return []
        key = track, self._axis, self._coming
        known = self._expectations.get(lane)
        if known is None or known[0] != key:
            known = key, list(pieces(track, self._axis, self._coming, self._axis.cells, math.inf))
            self._expectations[lane] = known
        return known[1]

    # -- drawing -----------------------------------------------------------------------------------

    def draw_line(self, y: int) -> Strip:
        row = Row(self.room.width)
        below = y - self._tail_top
        if y == 0:
            self._draw_labels(row)
        elif y == 1:
            self._draw_ruler(row)
        elif y == self.room.height - 1 and "caption" in self._tail:
            return self._caption()
        elif below >= 0:
            rows = [tail for tail in self._tail if tail != "caption"]
            if below < len(rows):
                self._draw_tail(row, rows[below])
        elif line := self._line_at(y):
            self._draw_body(row, line)
        return row.strip(self.base)

    def _draw_labels(self, row: Row) -> None:
        taken = range(0)
        if self._painter.now is not None:
            now = min(self._gutter + self._painter.now, row.width - len("now"))
            row.put(now, "now", self.ink("accent", bold=True))
            taken = range(now - 1, now + len("now") + 1)
        for cell, label in self._axis.ticks():
            x = self._gutter + cell
            if x + len(label) <= row.width and (x >= taken.stop or x + len(label) <= taken.start):
                row.put(x, label, self.ink("quiet"))

    def _draw_ruler(self, row: Row) -> None:
        """Ticks, and the checkpoints: those that are kept, faintly those that are not, and the next one."""
        painter, state = self._painter, self.view.state
        row.put(self._gutter, "─" * self._axis.cells, self.ink("frame"))
        kept = {checkpoint.id for checkpoint in state.kept_checkpoints()}
        gone = [each for each in state.checkpoints.values() if each.id not in kept]
        for checkpoint in gone:
            glyph = TRIGGER[checkpoint.trigger].glyph
            painter.put(row, painter.ending_cell(checkpoint.t), glyph, self.ink("frame"))
        for cell, _ in self._axis.ticks():
            painter.put(row, cell, "┬", self.ink("quiet"))
        for checkpoint in state.kept_checkpoints():
            mark = TRIGGER[checkpoint.trigger]
            painter.put(row, painter.ending_cell(checkpoint.t), mark.glyph, self.ink(mark.colour))
        for expected in self._outlook.checkpoints[:1]:
            painter.put(row, max(painter.ending_cell(expected.t), self._coming), "◌", self.ink("checkpoint"))
        if painter.now is not None:
            painter.put(row, painter.now, "▼", self.ink("accent"))

    def _draw_body(self, row: Row, line: Line) -> None:
        painter = self._painter
        past, expected = self._past[line.lane], self._expected_of(line.lane)
        busy = False
        if line.kind == "bar":
            self._draw_gutter(row, line.lane)
        if line.kind in ("bar", "title"):
            part = Part(
                row=int(line.kind == "title"), rows=2 if Line("title", line.lane) in self._body else 1
            )
            painter.past(row, self._history.lanes.get(line.lane, _NOTHING), past, part)
            painter.expected(row, expected, part, self.view.now_t)
            busy = bool(past) and past[-1].bar is not None and past[-1].bar.end is None
        elif line.kind == "names":
            painter.names(row, past, 0, self._over)
            now = self.view.now_t
            to_come = [piece for piece in expected if piece.spans and piece.spans[0].start > now]
            painter.names(row, to_come, self._coming, self._axis.cells)
        painter.through(row, self.wash("status-running", 0.3) if busy else None)

    def _draw_gutter(self, row: Row, lane: int) -> None:
        now = self.view.now_t
        busy = self._history.lanes.get(lane, _NOTHING).busy(now)
        end = row.put(0, f"lane {lane + 1:<{len(str(self._lanes))}} ", self.ink("foreground"))
        row.put(end, f"{percent(busy, now):>4}", self.ink("quiet"))

    # -- below the lanes -----------------------------------------------------------------------------

    def _draw_tail(self, row: Row, tail: Tail) -> None:
        if tail == "notes":
            self._draw_notes(row)
            return
        mark = STATUS[TaskStatus.WAITING if tail == "held" else TaskStatus.ROLLED_BACK]
        row.put(0, f"{mark.glyph} {'held up' if tail == 'held' else 'rollback'}", self.ink(mark.colour))
        track = self._history.held if tail == "held" else self._history.undo
        found = pieces(track, self._axis, 0, self._over, self.view.now_t)
        self._painter.past(row, track, [piece for piece in found if piece.spans], Part())
        self._painter.through(row)

    def _draw_notes(self, row: Row) -> None:
        waits = self._history.barriers or self._outlook.barriers
        row.put(0, "waits for" if waits else "", self.ink("quiet"))
        self._painter.through(row)
        free = 0
        for note in notes(self._history, self._outlook):
            cell = self._painter.ending_cell(note.t)
            text = clip(note.text, cell - free)
            if 0 <= cell < self._axis.cells and cell - free > 3:
                style = self.ink(note.colour) if note.sure else self.faded(note.colour)
                row.put(self._gutter + cell - cell_len(text), text, style)
            free = max(free, cell + 2)

    def _caption(self) -> Strip:
        share = share_words(self, self._history, self._lanes)
        if self.has_focus and self.current:
            return self.text_strip(joined([*bar_words(self, *self.current), "    ", *share]))
        if words := lock_words(self):
            return self.text_strip(joined([*words, "    ", *share]))
        return self.text_strip(joined([*share, *waits_words(self)]))

    def on_focus(self) -> None:
        self.refresh_view()

    def on_blur(self) -> None:
        self.refresh_view()
