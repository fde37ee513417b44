"""The cells of a lane: which bar each belongs to, and what becomes of bars shorter than a cell. Pure.

A cell belongs to whatever its middle lies in, so bars never overlap, and what is at least a cell long is
always seen. Shorter ones share the cell that their own middle lies in: it says how busy the lane was."""

import bisect
from collections.abc import Iterator
from typing import NamedTuple

from console.panels.axis import Axis
from console.panels.history import Span, Track
from engine.machine.transitions import TaskStatus

_GRAVEST = (
    TaskStatus.FAILED,
    TaskStatus.IN_DOUBT,
    TaskStatus.CANCELLED,
    TaskStatus.RUNNING,
    TaskStatus.ROLLING_BACK,
    TaskStatus.ROLLED_BACK,
)


class Piece(NamedTuple):
    """Cells from `begin` up to `end` of a lane. Of one bar: `spans` has it alone. Of several that are shorter
    than a cell: it has them all, and `busy` is the share of the cell in which one of them ran. Without any
    the lane was idle. `number` is that of the first span on its track, `tasks` are those of the spans, and
    `gravest` is the gravest of their statuses."""

    begin: int
    end: int
    spans: tuple[Span, ...] = ()
    busy: float = 0.0
    number: int = 0
    tasks: frozenset[str] = frozenset()
    gravest: TaskStatus = TaskStatus.SUCCEEDED

    @property
    def bar(self) -> Span | None:
        return self.spans[0] if len(self.spans) == 1 and not self.crowded else None

    @property
    def crowded(self) -> bool:
        """Whether it stands for bars that are shorter than a cell."""
        return self.busy > 0.0

    @property
    def status(self) -> TaskStatus:
        return self.gravest if self.crowded or not self.spans else self.spans[0].status


def pieces(track: Track, axis: Axis, first: int, last: int, now: float) -> Iterator[Piece]:
    """The cells from `first` up to `last`, in order and without gaps; no two pieces that are idle stand side
    by side."""
    cell = first
    while cell < last:
        piece = _piece(track, axis, cell, last, now)
        yield piece
        cell = piece.end


def _piece(track: Track, axis: Axis, cell: int, last: int, now: float) -> Piece:
    number = _long_one(track, axis, cell, now)
    if number is not None:
        span = track.spans[number]
        end = min(axis.after(span.until(now)), last)
        return Piece(cell, end, (span,), number=number, tasks=frozenset((span.task,)))
    short = _shorter_ones(track, axis, cell, now)
    if short:
        start = axis.start + cell * axis.scale
        ran = track.busy(min(start + axis.scale, now)) - track.busy(min(start, now))
        tasks = frozenset(span.task for span in short)
        return Piece(cell, cell + 1, short, max(ran / axis.scale, 0.01), tasks=tasks, gravest=_gravest(short))
    end = cell + 1
    while end < last and _is_idle(track, axis, end, now):
        end = _next_busy(track, axis, end, last)
    return Piece(cell, end)


def _long_one(track: Track, axis: Axis, cell: int, now: float) -> int | None:
    """The number of the span that the middle of the cell lies in, unless it is shorter than a cell. One that
    still grows has its end at `now`."""
    middle = axis.middle(cell)
    number = track.at(middle)
    if number is None or _short(track.spans[number], axis, now):
        return None
    return number if middle < track.spans[number].until(now) else None


def _gravest(spans: tuple[Span, ...]) -> TaskStatus:
    found = {span.status for span in spans}
    return next((status for status in _GRAVEST if status in found), spans[0].status)


def _short(span: Span, axis: Axis, now: float) -> bool:
    return span.until(now) - span.start < axis.scale


def _shorter_ones(track: Track, axis: Axis, cell: int, now: float) -> tuple[Span, ...]:
    """The spans that are shorter than a cell and have their middle in this one."""
    start = axis.start + cell * axis.scale
    end = start + axis.scale
    low = bisect.bisect_left(track.starts, start - axis.scale)
    high = bisect.bisect_left(track.starts, end)
    return tuple(
        span
        for span in track.spans[low:high]
        if _short(span, axis, now) and start <= (span.start + span.until(now)) / 2 < end
    )


def _is_idle(track: Track, axis: Axis, cell: int, now: float) -> bool:
    return _long_one(track, axis, cell, now) is None and not _shorter_ones(track, axis, cell, now)


def _next_busy(track: Track, axis: Axis, cell: int, last: int) -> int:
    """The next cell after an idle one that something may happen in."""
    index = bisect.bisect_right(track.starts, axis.middle(cell))
    if index == len(track.starts):
        return last
    return min(max(cell + 1, axis.cell(track.starts[index])), last)


class Tiling:
    """The pieces of a track from cell 0 on, kept from drawing to drawing: what is over does not change."""

    def __init__(self) -> None:
        self._of: tuple[Track, Axis] | None = None
        self._pieces: list[Piece] = []
        self._over = 0
        """Cells up to this one look as they will for ever."""

    def pieces(self, track: Track, axis: Axis, last: int, now: float) -> list[Piece]:
        """What `pieces` gives for the cells up to `last`."""
        kept = self._pieces
        if self._of is None or self._of[0] is not track or self._of[1] != axis:
            self._of = track, axis
            kept.clear()
        while kept and (kept[-1].end > min(self._over, last) or not kept[-1].spans):
            kept.pop()
        kept.extend(pieces(track, axis, kept[-1].end if kept else 0, last, now))
        self._over = max(0, axis.cell(track.starts[-1]) - 1) if track.starts else 0
        return kept
