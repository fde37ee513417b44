"""Which stretch of a run is looked at: all of it, one that goes along with now, or one that stands still.
Pure."""

from console.panels.axis import Axis, steady, whole

CLOSEST = 0.005
"""Seconds in a cell, at the least."""
_LEAD = 0.6
"""Where now stands in a stretch that goes along with it, as a share of the width, unless told otherwise."""


class Window:
    """`scale` is None while the whole run is shown, and otherwise seconds in a cell. `start` is None while
    the window goes along with now, which then stands at the share `lead` of its width."""

    def __init__(self) -> None:
        self.scale: float | None = None
        self.start: float | None = None
        self.lead = _LEAD
        self._length = 0.0

    @property
    def whole(self) -> bool:
        return self.scale is None

    def axis(self, cells: int, needed: float, now: float, *, growing: bool) -> Axis:
        """The axis of `cells` cells for a run of which `needed` seconds can be told by now. `growing`: it may
        become longer yet."""
        cells = max(cells, 1)
        self._length = steady(needed, self._length) if growing else needed
        if self.scale is None or self.scale * cells >= self._length:
            self.fit()
            return whole(self._length, cells)
        if self.start is not None:
            return Axis(self.start, self.scale, cells)
        first = now // self.scale - round(self.lead * cells)  # whole cells: nothing trembles as time goes on
        return Axis(max(0.0, first * self.scale), self.scale, cells)

    def fit(self) -> None:
        """Show the whole run."""
        self.scale = self.start = None

    def follow(self, scale: float, lead: float = _LEAD) -> None:
        """Go along with now, `scale` seconds in a cell."""
        self.scale = max(scale, CLOSEST)
        self.start = None
        self.lead = lead

    def zoom(self, axis: Axis, factor: float, around: float, *, along: bool) -> None:
        """Show `factor` times the seconds in a cell, with the moment `around` in the same place: for good
        where that is now, and it is to go `along` with it."""
        cells_before = (around - axis.start) / axis.scale
        if along:
            self.follow(axis.scale * factor, cells_before / axis.cells)
            return
        self.scale = max(axis.scale * factor, CLOSEST)
        self.start = self._within(around - cells_before * self.scale, axis.cells)

    def pan(self, axis: Axis, share: float) -> None:
        """Move on by `share` of what is shown."""
        if self.scale is not None:
            self.start = self._within(axis.start + share * axis.cells * axis.scale, axis.cells)

    def bring(self, axis: Axis, start: float, end: float) -> None:
        """Move as little as it takes to have the moments from `start` to `end` in sight, or `start` where
        they are too many."""
        if self.scale is None or (start >= axis.start and end <= axis.end):
            return
        margin = 2 * axis.scale
        if start < axis.start or end - start > axis.end - axis.start - 2 * margin:
            self.start = self._within(start - margin, axis.cells)
        else:
            self.start = self._within(end + margin - axis.cells * axis.scale, axis.cells)

    def _within(self, start: float, cells: int) -> float:
        """`start`, such that the window keeps to the run."""
        assert self.scale is not None
        return max(0.0, min(start, self._length - self.scale * cells))
