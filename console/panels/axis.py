"""A time axis: which cell a moment stands in, and where its ticks and labels go. Pure."""

import bisect
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
_TENTHS = 9.95
"""Below so many seconds a duration is told to the tenth anyway."""
_HAIR = 1e-6
_PARTS = 8
"""A round length has this many round parts at least, so that it is little more than what is needed."""
_SLACK = 1.3
"""A length is kept for as long as it is less than this many times what is needed."""


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

    def after(self, t: float) -> int:
        """The first cell whose middle does not lie before moment `t`: where what ends at `t` is over."""
        about = math.ceil((t - self.start) / self.scale - 0.5)
        # Rounding may be off by one, and then a bar would have no end, or two: `middle` decides.
        if self.middle(about) < t:
            return about + 1
        return about - 1 if self.middle(about - 1) >= t else about

    def middle(self, cell: int) -> float:
        return self.start + (cell + 0.5) * self.scale

    def ticks(self) -> list[tuple[int, str]]:
        """Cells with their labels, far enough apart to be read."""
        ticks = self._every(_step(_LABEL * self.scale))
        longest = max((len(label) for _, label in ticks), default=0) + 3
        return ticks if longest <= _LABEL else self._every(_step(longest * self.scale))

    def _every(self, step: float) -> list[tuple[int, str]]:
        first, last = math.ceil(self.start / step), math.floor(self.end / step)
        return [(self.cell(n * step), _label(n * step, step)) for n in range(first, last + 1)]


def _step(least: float) -> float:
    index = bisect.bisect_left(_STEPS, least)
    return _STEPS[index] if index < len(_STEPS) else _STEPS[-1] * math.ceil(least / _STEPS[-1])


def _label(t: float, step: float) -> str:
    """`t` to the unit that ticks `step` apart differ in."""
    if step >= 3600 or t < _TENTHS:
        return format_duration(t)
    whole = math.floor(t + _HAIR)
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")]
    if step >= 60:
        units.pop()
    first = next((n for n, (count, _) in enumerate(units) if count), len(units) - 1)
    told = [f"{count}{unit}" for count, unit in units[first:] if count or unit == units[-1][1]]
    if len(told) > 1 and told[-1].startswith("0"):
        told.pop()
    thousandths = round((t - whole) * 1000)
    fraction = f"+{thousandths}ms" if step < 1 and thousandths else ""
    return "".join(told) + fraction


def steady(needed: float, before: float) -> float:
    """A round length of at least `needed` seconds. It stays what it was `before` for as long as that is
    enough and not too much, so that the scale stands still while the run, or what is expected of it,
    changes a little."""
    if needed <= before <= needed * _SLACK:
        return before
    unit = max((step for step in _STEPS if step <= needed / _PARTS), default=_STEPS[0])
    return max(unit * math.ceil(needed / unit - 1e-9), _STEPS[0])


def whole(length: float, cells: int) -> Axis:
    """The axis that shows `length` seconds from the start."""
    return Axis(0.0, max(length, 1e-3) / max(cells, 1), cells)
