"""The graph laid out: what stands where, in cells. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from textual.geometry import Size

from console.panels.layering import Layering, layering
from console.panels.outline import Outline
from console.panels.wiring import Wiring

MARGIN = 1
_COMFORTABLE = 24
"""Cells of a column at most, where the graph has to scroll all the same."""
_LOOSEST = 8
"""Spare cells that one column takes at most."""


class Width(NamedTuple):
    """Cells that a node would like to have, and cells that it should not have less of."""

    wanted: int
    least: int


Measure = Callable[[str], Width]
"""By the key of the node."""


@dataclass(frozen=True)
class Picture:
    """A laid out graph: what stands where, in cells of the body (without heading and caption)."""

    outline: Outline
    layers: Layering
    xs: tuple[int, ...]
    widths: tuple[int, ...]
    wiring: Wiring
    keys: dict[int, list[str]]
    """By row."""

    @property
    def width(self) -> int:
        return self.xs[-1] + self.widths[-1] + MARGIN

    def room(self, key: str) -> int:
        """The cells that a node may fill: its column, and its own line up to where that first turns."""
        column = self.outline.column[key]
        start = self.xs[column]
        end = start + self.widths[column]
        last = self.xs[column + 1] - 1 if column + 1 < len(self.xs) else end
        line = self.wiring.row(self.layers.row[key])
        while end < last and (end not in line or line[end].char in "─━"):
            end += 1
        return end - start

    def x(self, key: str) -> int:
        return self.xs[self.outline.column[key]]

    def end(self, key: str) -> int:
        column = self.outline.column[key]
        return self.xs[column] + self.widths[column]

    def standing_for(self, tasks: Iterable[str]) -> frozenset[str]:
        """The keys that stand for these tasks: themselves, and the groups that some of them are in."""
        key_of = self.outline.key_of
        return frozenset(key_of[task] for task in tasks if task in key_of)

    def key_at(self, x: int, y: int) -> str | None:
        """The task or group whose node covers this cell."""
        for key in self.keys.get(y, ()):
            if self.x(key) <= x < self.end(key):
                return key
        return None

    def column_start(self, x: int, step: int = 0) -> int:
        """Where to scroll to so that the picture begins with a whole column: that of cell `x`, or the one
        `step` columns on."""
        index = max((index for index, start in enumerate(self.xs) if start - MARGIN <= x), default=0)
        if step < 0 and x > self.xs[index] - MARGIN:
            step += 1
        return self.xs[min(max(index + step, 0), len(self.xs) - 1)] - MARGIN


def lay_out(shown: Outline, size: Size, measures: Sequence[Measure]) -> tuple[Picture, int]:
    """The picture of `shown` for a body of `size`, and which of `measures` it is made to: the first with
    which all can be seen at once, with no column squeezed too far; else the last."""
    layers = layering(shown.columns, shown.edges, size.height - bool(shown.sections))
    tracks = [layers.tracks(gap) for gap in range(len(layers.gaps))]
    room = size.width - 2 * MARGIN
    taken = -1
    for measure in measures:
        taken += 1
        measured = [[measure(key) for key in keys] for keys in shown.columns]
        natural = [max(width.wanted for width in column) for column in measured]
        least = [max(width.least for width in column) for column in measured]
        if sum(least) + sum(tracks) + len(tracks) <= room:
            break
    loose = sum(natural) + sum(tracks) + 2 * len(tracks) <= room
    gaps = [max(3, count + 2) if loose else max(2, count + 1) for count in tracks]
    widths = _fit(natural, least, room - sum(gaps))
    xs = [MARGIN]
    for width, gap in zip(widths, gaps, strict=False):
        xs.append(xs[-1] + width + gap)
    keys: dict[int, list[str]] = {}
    for column in shown.columns:
        for key in column:
            keys.setdefault(layers.row[key], []).append(key)
    wiring = Wiring(layers, xs, widths, shown.critical)
    return Picture(shown, layers, tuple(xs), tuple(widths), wiring, keys), taken


def _fit(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths of columns: natural, wider by a little where there is room to spare, and squeezed evenly from
    the widest down, if not too far, where that lets the whole graph be seen."""
    spare = room - sum(natural)
    if spare >= 0:
        more = min(_LOOSEST, spare // len(natural))
        return [width + max(more, 0) for width in natural]
    squeezed = ([max(min(width, cap), few) for width, few in zip(natural, least, strict=True)]
                for cap in range(max(natural), min(least) - 1, -1))  # fmt: skip
    fitting = (widths for widths in squeezed if sum(widths) <= room)
    few = [max(min(width, _COMFORTABLE), few) for width, few in zip(natural, least, strict=True)]
    return next(fitting, few)
