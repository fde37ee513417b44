"""How the lanes look: bars, idle time, and the lines that go through all of them."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.style import Style

from console.look import STATUS, TRIGGER, Mark, one_line
from console.panels.axis import Axis
from console.panels.bars import Piece
from console.panels.canvas import Canvas, Row, clip, clip_middle
from console.panels.history import Span, Track
from console.underway import Live, live
from engine.machine.transitions import TaskStatus

_WASH = {TaskStatus.RUNNING: 0.45, TaskStatus.SUCCEEDED: 0.26}
"""How much colour a bar has; any other than these has as much as trouble."""
_TROUBLE_WASH = 0.4
_PLAN_WASH = 0.11
"""How much colour an expected bar has."""
_LEFT = 0.2
"""How much colour that part of a bar has which its task has not done yet, where that is known."""
_SECOND = 0.7
"""Every other bar has this share of its colour, so that neighbours are told apart."""
_LEVELS = " ▁▂▃▄▅▆▇"
_UNMARKED = frozenset({TaskStatus.SUCCEEDED, TaskStatus.RUNNING, TaskStatus.WAITING, TaskStatus.ROLLING_BACK})
"""What a bar need not be marked with at its end."""
_APART = "  "
_LEAST_WORDS = 6
"""Cells below which there is no room in a bar for what its task tells."""
_FEW = 6
"""Cells a line, at the least, for lines to be drawn through the lanes."""


class Part(NamedTuple):
    """Which row of the bars is painted, of how many."""

    row: int = 0
    rows: int = 1


class Painter:
    """Paints on `canvas`, from cell `left` on, what lies on `axis`. `now` is the cell of the line at now, or
    None where there is none; `selected` is the task whose bars are lit."""

    def __init__(self, canvas: Canvas, axis: Axis, left: int, now: int | None, selected: str | None) -> None:
        self.canvas = canvas
        self.axis = axis
        self.left = left
        self.now = now
        self.selected = selected
        self.lines: dict[int, tuple[str, Style]] = {}
        """The lines through all lanes but that at now, by their cells."""
        state, now_t = canvas.view.state, canvas.view.now_t
        self._live = {task: told for task in state.in_flight if (told := live(state, task, now_t))}
        self._tasks = canvas.view.by_id
        self._critical = canvas.view.graph.critical

    def put(self, row: Row, cell: int, char: str, style: Style) -> None:
        if 0 <= cell < self.axis.cells:
            row.put(self.left + cell, char, style)

    def ending_cell(self, t: float) -> int:
        """The last cell of what ends at `t`."""
        return self.axis.after(t) - 1

    # -- what happened -----------------------------------------------------------------------------

    def past(self, row: Row, track: Track, pieces: Iterable[Piece], part: Part) -> None:
        """What happened on `track`, which `pieces` are of. What did not end well is marked where it ended,
        however short it was."""
        for piece in pieces:
            if piece.bar:
                self._bar(row, piece, piece.bar, part)
            elif piece.crowded:
                self._crowd(row, piece, part)
            elif part.row == 0:
                for cell in range(piece.begin + (piece.begin & 1), piece.end, 2):
                    self.put(row, cell, "·", self.canvas.faded("quiet"))
        for span in track.troubles if part.row == 0 else ():
            self._trouble(row, span)

    def _trouble(self, row: Row, span: Span) -> None:
        end = span.until(math.inf)
        if end < self.axis.start or span.start > self.axis.end:
            return
        mark = STATUS[span.status]
        short = end - span.start < self.axis.scale
        cell = self.axis.cell((span.start + end) / 2) if short else self.ending_cell(end)
        if self.now is not None:
            cell = min(cell, self.now - 1)
        lit = span.task == self.selected
        style = self.canvas.wash(mark.colour, _TROUBLE_WASH) + self.canvas.ink(mark.colour, bold=True)
        self.put(row, cell, mark.glyph, self._lit(mark.colour) if lit else style)

    def _bar(self, row: Row, piece: Piece, span: Span, part: Part) -> None:
        mark, canvas = self._mark(span), self.canvas
        waits = span.status is TaskStatus.WAITING
        lit = span.task == self.selected and not waits
        if lit:
            style = self._lit(mark.colour)
        elif waits:
            style = canvas.ink(mark.colour)
        else:
            share = _WASH.get(span.status, _TROUBLE_WASH) * (_SECOND if piece.number & 1 else 1)
            style = canvas.ink("foreground", bold=span.end is None) + canvas.wash(mark.colour, share)
        at, room = self.left + piece.begin, piece.end - piece.begin
        row.put(at, ("░" if waits else " ") * room, style)
        self._edge(row, piece, span, style)
        row.put(at + 1, self._words(span, self._room(piece), part), style)
        told = self._told(span)
        if told and told.share is not None:
            left = canvas.ink("foreground", bold=True) + canvas.wash(mark.colour, _LEFT)
            row.tint(at + round(room * told.share), at + room, left)

    def _told(self, span: Span) -> Live | None:
        """What the task tells while it runs, if this is where it does."""
        return self._live.get(span.task) if span.attempt and span.end is None else None

    def _mark(self, span: Span) -> Mark:
        """That of its status; of waiting, where the attempt does nothing but wait for a lock."""
        told = self._told(span)
        return STATUS[TaskStatus.WAITING if told and told.blocked else span.status]

    def _edge(self, row: Row, piece: Piece, span: Span, style: Style) -> None:
        wide = piece.end - piece.begin > 1 and span.start >= self.axis.start
        if wide and (span.attempt or span.status is TaskStatus.RUNNING):
            critical = self.canvas.ink("critical") if span.attempt else self.canvas.faded("critical")
            edge = critical if span.task in self._critical else self.canvas.ink("background")
            row.put(self.left + piece.begin, "▏", style + edge)

    def _room(self, piece: Piece) -> int:
        """The cells of a bar that words can stand in: behind its edge, and before its mark or a line."""
        ended = piece.status not in _UNMARKED or piece.end - 1 in self.lines
        return piece.end - piece.begin - 1 - ended

    def _crowd(self, row: Row, piece: Piece, part: Part) -> None:
        """A cell of short bars, filled from below by the share of it in which one ran."""
        mark, canvas = STATUS[piece.status], self.canvas
        lit = self.selected in piece.tasks
        troubled = piece.status not in _UNMARKED
        full = (
            self._lit(mark.colour) if lit else canvas.wash(mark.colour, _TROUBLE_WASH if troubled else 0.35)
        )
        filled = piece.busy * part.rows - (part.rows - 1 - part.row)
        if filled >= 1 - 1e-6:
            self.put(row, piece.begin, " ", full)
        elif filled > 0:
            level = _LEVELS[max(1, int(filled * len(_LEVELS)))]
            style = canvas.ink(mark.colour) if lit else canvas.faded(mark.colour)
            self.put(row, piece.begin, level, style)

    def _lit(self, colour: str) -> Style:
        return self.canvas.ink("background", bold=True, on=colour)

    # -- what is expected --------------------------------------------------------------------------

    def expected(self, row: Row, pieces: Iterable[Piece], part: Part, now: float) -> None:
        canvas = self.canvas
        for piece in pieces:
            if not piece.spans:
                continue
            lit = self.selected in piece.tasks
            share = 0.4 if lit else _PLAN_WASH * (_SECOND if piece.number & 1 else 1)
            style = canvas.ink("foreground" if lit else "quiet") + canvas.wash("status-running", share)
            row.put(self.left + piece.begin, " " * (piece.end - piece.begin), style)
            span = piece.bar
            if span and span.start > now:
                self._edge(row, piece, span, style)
            if span and (span.start > now or not self._named_before(span, now)):
                text = self._words(span, self._room(piece), part)
                told = self._live.get(span.task) if span.start <= now and not part.row else None
                if told and (left := self._room(piece) - cell_len(text) - len(_APART)) >= _LEAST_WORDS:
                    text += _APART + clip(told.words, left)
                row.put(self.left + piece.begin + 1, text, style)

    def _named_before(self, span: Span, now: float) -> bool:
        """Whether there is room for the name of a bar in that part of it that lies before now."""
        return self.axis.cell(now) - self.axis.cell(span.start) > cell_len(span.task)

    # -- words -------------------------------------------------------------------------------------

    def _words(self, span: Span, room: int, part: Part) -> str:
        """What a bar is called, and what its task tells while it runs; in its second row that, or the title
        of the task. In at most `room` cells."""
        told = self._told(span)
        if part.row and told:
            return clip(told.words, room) if room > 3 else ""
        if part.row:
            task = self._tasks.get(span.task)
            title = one_line(task.name or "") if task else ""
            return clip(title, room) if title != span.task and room > 3 else ""
        name = fitted(self._glyphs(span), span.task, room)
        left = room - cell_len(name) - len(_APART)
        more = told and part.rows == 1 and left >= _LEAST_WORDS
        return name + _APART + clip(told.words, left) if told and more else name

    def _glyphs(self, span: Span) -> str:
        """What goes before the name of a bar."""
        runs = span.attempt and span.end is None
        again = f"↻{span.attempt} " if span.attempt > 1 else ""
        return (f"{self._mark(span).glyph} " if runs else "") + again

    def names(self, row: Row, pieces: Sequence[Piece], first: int, last: int) -> None:
        """The names of bars that do not have theirs inside, in the cells from `first` up to `last` below them
        where there is room. What runs or is in trouble comes first."""
        free = [cell not in self.lines for cell in range(first, last)]
        nameless = [piece for piece in pieces if self._nameless(piece)]
        nameless.sort(
            key=lambda piece: (piece.status in (TaskStatus.SUCCEEDED, TaskStatus.WAITING), piece.begin)
        )
        for piece in nameless:
            span, told = piece.spans[0], self._told(piece.spans[0])
            text = self._glyphs(span) + span.task
            texts = [text + _APART + told.words, text] if told else [text]
            at = piece.begin - first
            text = next((each for each in texts if self._take(free, at, cell_len(each) + 1)), "")
            if text:
                coming = not span.attempt
                quiet = coming or piece.status is TaskStatus.SUCCEEDED
                style = self.canvas.ink("quiet" if quiet else self._mark(span).colour)
                if span.task == self.selected:
                    style = self.canvas.ink("foreground", bold=True)
                row.put(self.left + piece.begin, text, style)
        self._counts(row, pieces, free, first)

    def _nameless(self, piece: Piece) -> bool:
        if len(piece.spans) != 1 or piece.spans[0].start < self.axis.start:
            return False
        span = piece.spans[0]
        return piece.bar is None or span.task not in self._words(span, self._room(piece), Part())

    def _take(self, free: list[bool], at: int, cells: int) -> bool:
        """Take `cells` cells from `at` on, if all of them are free; the last may lie behind the end."""
        wanted = free[at : at + cells]
        if at < 0 or not all(wanted) or len(wanted) < cells - 1:
            return False
        free[at : at + cells] = [False] * len(wanted)
        return True

    def _counts(self, row: Row, pieces: Sequence[Piece], free: list[bool], first: int) -> None:
        """How many bars there are in stretches in which they are too short to tell."""
        begin, count = -1, 0
        end = Piece(first + len(free), first + len(free))
        for piece in (*pieces, end):
            if piece.crowded:
                begin, count = (piece.begin if begin < 0 else begin), count + len(piece.spans)
                continue
            text = f"{count} short tasks"
            if count > 1 and piece.begin - begin > len(text) and self._take(free, begin - first, len(text)):
                row.put(self.left + begin, text, self.canvas.faded("foreground"))
            begin, count = -1, 0

    # -- lines through all lanes -------------------------------------------------------------------

    def rule(self, past: Iterable[float], expected: Iterable[float], resumed: Iterable[float]) -> None:
        """Set the lines at barriers, and at the moments at which the run was resumed; none where they would
        be too many."""
        self.lines = {}
        glyph = TRIGGER["barrier"].glyph
        for moments, char, style in (
            (resumed, "┊", self.canvas.ink("quiet")),
            (expected, glyph, self.canvas.faded("barrier")),
            (past, glyph, self.canvas.ink("barrier")),
        ):
            for t in moments:
                if 0 <= (cell := self.ending_cell(t)) < self.axis.cells:
                    self.lines[cell] = char, style
        if len(self.lines) * _FEW > self.axis.cells:
            self.lines = {}

    def through(self, row: Row, behind: Style | None = None) -> None:
        """The lines, and that at now, with `behind` as its ground."""
        for cell, (char, style) in self.lines.items():
            self.put(row, cell, char, style)
        if self.now is not None:
            style = self.canvas.ink("accent")
            self.put(row, self.now, "│", style + behind if behind else style)


def fitted(glyphs: str, task: str, room: int) -> str:
    """`task` behind `glyphs` in at most `room` cells: whole, or its last words, or with its middle left out,
    or without the glyphs, or nothing but them."""
    if cell_len(glyphs + task) <= room:
        return glyphs + task
    left = room - cell_len(glyphs)
    ends = [task[at + 1 :] for at, char in enumerate(task) if char in ".-_/: " and len(task) - at > 3]
    for end in ends:
        if cell_len(end) < left:
            return f"{glyphs}…{end}"
    for end in ends:
        if cell_len(end) <= left:
            return f"{glyphs}{end}"
    if left >= 7:
        return glyphs + clip_middle(task, left)
    if glyphs and room >= 4:
        return fitted("", task, room)
    return glyphs.rstrip() if cell_len(glyphs.rstrip()) <= room else ""
