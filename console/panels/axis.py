"""A time axis: which cell a moment stands in, and where its ticks and labels go. Pure."""

import math
from dataclasses import dataclass

from engine.plan.durations import format_duration

_STEPS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10_800, 21_600, 43_200),
    *(86_400, 172_800, 604_800, 2_592_000),
)
_LABEL = 11
"""Cells between two labels, at least."""
_GROWTH = 1.25
"""A horizon grows in steps of this factor, so that the scale stands still in between."""


@dataclass(frozen=True)
class Axis:
    """`cells` cells from second `start` on, `scale` seconds each."""

    start: float
    scale: float
    cells: int

    @property
    def end(self) -> float:
        return self.start + self.scale * self.cells

    def cell(self, t: float) -> int:
        """The cell that holds moment `t`; it may lie outside the axis."""
        return math.floor((t - self.start) / self.scale)

    def middle(self, cell: int) -> float:
        return self.start + (cell + 0.5) * self.scale

    def ticks(self) -> list[tuple[int, str]]:
        """Cells with their labels, far enough apart to be read."""
        least = _LABEL * self.scale
        step = next((step for step in _STEPS if step >= least), _STEPS[-1] * math.ceil(least / _STEPS[-1]))
        first = math.ceil(self.start / step)
        last = math.floor(self.end / step)
        return [(self.cell(n * step), format_duration(n * step)) for n in range(first, last + 1)]


def horizon(needed: float) -> float:
    """A little more than `needed` seconds, the same for a good while as that grows."""
    if needed <= 1:
        return 1.0
    return float(_GROWTH ** math.ceil(math.log(needed, _GROWTH) + 1e-9))


def whole(length: float, cells: int) -> Axis:
    """The axis that shows `length` seconds from the start."""
    return Axis(0.0, max(length, 1e-3) / max(cells, 1), cells)


def zoomed(axis: Axis, factor: float, around: float) -> Axis:
    """`axis` with `factor` times the seconds in a cell, and the moment `around` in the same place."""
    scale = axis.scale * factor
    return Axis(max(0.0, around - (around - axis.start) * factor), scale, axis.cells)
