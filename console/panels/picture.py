"""The graph laid out: what stands where, in cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len
from textual.geometry import Size

from console.look import plural
from console.panels.layering import Layering, layering
from console.panels.outline import Outline, outline
from console.panels.wiring import Cell, wiring
from console.run_view import RunView

MARGIN = 1
_NARROWEST = 8
"""Cells of a column when it is squeezed so that the whole graph can be seen."""
_COMFORTABLE = 20
"""Cells of a column at most, where the graph has to scroll all the same."""
_LOOSEST = 8
"""Spare cells that one column takes at most."""


@dataclass(frozen=True)
class Picture:
    """A laid out graph: what stands where, in cells of the body (without heading and caption)."""

    outline: Outline
    layers: Layering
    xs: tuple[int, ...]
    widths: tuple[int, ...]
    cells: dict[int, dict[int, Cell]]
    keys: dict[int, list[str]]
    """By row."""

    @property
    def width(self) -> int:
        return self.xs[-1] + self.widths[-1] + MARGIN

    @cached_property
    def room(self) -> dict[str, int]:
        """The cells that each node may fill: its column, and its own line up to where that first turns."""
        return {key: self._room(key, row) for row, keys in self.keys.items() for key in keys}

    def _room(self, key: str, row: int) -> int:
        column = self.outline.column[key]
        start = self.xs[column]
        end = start + self.widths[column]
        last = self.xs[column + 1] - 1 if column + 1 < len(self.xs) else end
        line = self.cells.get(row, {})
        while end < last and (end not in line or line[end].char in "─━"):
            end += 1
        return end - start

    def x(self, key: str) -> int:
        return self.xs[self.outline.column[key]]

    def standing_for(self, tasks: set[str]) -> frozenset[str]:
        """The keys that stand for these tasks: themselves, and the groups that some of them are in."""
        groups = {key for key, members in self.outline.groups.items() if not tasks.isdisjoint(members)}
        return frozenset((tasks & self.outline.column.keys()) | groups)

    def key_at(self, x: int, y: int) -> str | None:
        """The task or group whose node covers this cell."""
        for key in self.keys.get(y, ()):
            column = self.outline.column[key]
            if self.xs[column] <= x < self.xs[column] + self.widths[column]:
                return key
        return None


def lay_out(view: RunView, focus: frozenset[str], size: Size) -> Picture:
    """The picture with the tasks in `focus` shown one by one, for a body of `size`."""
    shown = outline(view.plan, view.graph, focus)
    layers = layering(shown.columns, shown.edges, size.height - bool(shown.sections))
    natural = [max(2 + cell_len(_label(key, shown)) for key in keys) for keys in shown.columns]
    tracks = [layers.tracks(gap) for gap in range(len(layers.gaps))]
    room = size.width - 2 * MARGIN
    loose = sum(natural) + sum(tracks) + 2 * len(tracks) <= room
    gaps = [max(3, count + 2) if loose else max(2, count + 1) for count in tracks]
    widths = _fit(natural, room - sum(gaps))
    xs = [MARGIN]
    for width, gap in zip(widths, gaps, strict=False):
        xs.append(xs[-1] + width + gap)
    keys: dict[int, list[str]] = {}
    for column in shown.columns:
        for key in column:
            keys.setdefault(layers.row[key], []).append(key)
    cells = wiring(layers, xs, widths, shown.critical)
    return Picture(shown, layers, tuple(xs), tuple(widths), cells, keys)


def _label(key: str, shown: Outline) -> str:
    group = shown.groups.get(key)
    return key if group is None else plural(len(group), "task") + " ✓00 ·00"


def _fit(natural: Sequence[int], room: int) -> list[int]:
    """Widths of columns: natural, wider by a little where there is room to spare, and squeezed evenly from
    the widest down where that lets the whole graph be seen."""
    spare = room - sum(natural)
    if spare >= 0:
        more = min(_LOOSEST, spare // len(natural))
        return [width + max(more, 0) for width in natural]
    caps = range(max(natural), _NARROWEST - 1, -1)
    fitting = (cap for cap in caps if sum(min(width, cap) for width in natural) <= room)
    cap = next(fitting, _COMFORTABLE)
    return [min(width, cap) for width in natural]
