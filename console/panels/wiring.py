"""Edges as box characters: a cell of the graph for every place that a line runs through. Pure.

Light lines for most edges and heavy ones for the critical path, so that it shows without colour. Where two
lines cross without meeting, the one on top runs through and the other is broken. Rows are worked out when
somebody looks at them: a large graph has many more than a screen."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.panels.layering import Edge, Item, Layering, Net

_BOX = " ╴╸╷╮┑╻┒┓╶─╾╭┬┭┎┰┱╺╼━┍┮┯┏┲┳╵╯┙│┤┥╽┧┪╰┴┵├┼┽┟╁╅┕┶┷┝┾┿┢╆╈╹┚┛╿┦┩┃┨┫┖┸┹┞╀╃┠╂╉┗┺┻┡╄╇┣╊╋"
"""By the weights (0 none, 1 light, 2 heavy) of the arms up, right, down and left, as digits to base 3."""
UP, RIGHT, DOWN, LEFT = 27, 9, 3, 1
_BLOCK = 16
"""Upright lines are looked up by so many rows at a time."""

_Stroke = dict[int, int]
"""Arm -> weight."""


@dataclass(frozen=True)
class Cell:
    """A character of the drawing, and the edges that run through it."""

    char: str
    edges: frozenset[Edge]


@dataclass(frozen=True)
class _Piece:
    """A straight piece of one line, or a bend: cells `left` to `right` of rows `top` to `bottom`."""

    line: object
    top: int
    bottom: int
    left: int
    right: int
    arms: tuple[int, ...]
    weight: int
    edges: frozenset[Edge]


class Wiring:
    """The cells of all edges, with column `i` at cell `xs[i]` and `widths[i]` wide."""

    def __init__(
        self, layers: Layering, xs: Sequence[int], widths: Sequence[int], critical: frozenset[Edge]
    ) -> None:
        self._pieces: dict[int, list[_Piece]] = defaultdict(list)
        """By block of rows."""
        self._rows: dict[int, dict[int, Cell]] = {}
        self._sources: dict[int, frozenset[str]] = {}
        for index, nets in enumerate(layers.gaps):
            gap = xs[index] + widths[index], xs[index + 1]
            leaving: dict[Item, set[Edge]] = defaultdict(set)
            for net in nets:
                for (left, right), edges in net.edges.items():
                    leaving[left] |= edges
                    ends = layers.row[left], layers.row[right]
                    self._join(net, gap, ends, 2 if edges & critical else 1, frozenset(edges))
            for left, edges in leaving.items():
                weight = 2 if edges & critical else 1
                at = layers.row[left]
                self._level(left, at, xs[index], gap[0], weight, frozenset(edges))

    def row(self, y: int) -> dict[int, Cell]:
        """The cells of row `y`, by column."""
        if y not in self._rows:
            self._rows[y] = self._drawn(y)
        return self._rows[y]

    def sources(self, y: int) -> frozenset[str]:
        """The nodes whose lines run through row `y`, to somewhere on the right."""
        if y not in self._sources:
            cells = self.row(y).values()
            self._sources[y] = frozenset(start for cell in cells for start, _ in cell.edges)
        return self._sources[y]

    def _join(
        self, net: Net, gap: tuple[int, int], rows: tuple[int, int], weight: int, edges: frozenset[Edge]
    ) -> None:
        """One line through a gap: level to the track of its net, upright on it, and level again."""
        (start, end), (above, below) = gap, rows
        turn = start + 1 + net.track
        line = id(net)
        self._level(line, above, start, turn, weight, edges)
        self._level(line, below, turn + 1, end, weight, edges)
        if above == below:
            self._level(line, above, turn, turn + 1, weight, edges)
            return
        there, back = (DOWN, UP) if below > above else (UP, DOWN)
        self._add(_Piece(line, above, above, turn, turn, (LEFT, there), weight, edges))
        self._add(_Piece(line, below, below, turn, turn, (back, RIGHT), weight, edges))
        top, bottom = min(rows) + 1, max(rows) - 1
        if top <= bottom:
            self._add(_Piece(line, top, bottom, turn, turn, (UP, DOWN), weight, edges))

    def _level(
        self, line: object, row: int, start: int, end: int, weight: int, edges: frozenset[Edge]
    ) -> None:
        if start < end:
            self._add(_Piece(line, row, row, start, end - 1, (LEFT, RIGHT), weight, edges))

    def _add(self, piece: _Piece) -> None:
        for block in range(piece.top // _BLOCK, piece.bottom // _BLOCK + 1):
            self._pieces[block].append(piece)

    def _drawn(self, y: int) -> dict[int, Cell]:
        here: dict[int, list[_Piece]] = defaultdict(list)
        for piece in self._pieces[y // _BLOCK]:
            if piece.top <= y <= piece.bottom:
                for x in range(piece.left, piece.right + 1):
                    here[x].append(piece)
        made: dict[tuple[int, ...], Cell] = {}
        cells = {}
        for x, pieces in here.items():
            alike = tuple(map(id, pieces))
            if alike not in made:
                made[alike] = _cell(pieces)
            cells[x] = made[alike]
        return cells


def _cell(pieces: Sequence[_Piece]) -> Cell:
    lines: dict[object, _Stroke] = defaultdict(dict)
    edges: dict[object, set[Edge]] = defaultdict(set)
    for piece in pieces:
        stroke = lines[piece.line]
        for arm in piece.arms:
            stroke[arm] = max(piece.weight, stroke.get(arm, 0))
        edges[piece.line] |= piece.edges
    shown = _on_top(lines)
    arms: _Stroke = defaultdict(int)
    for line in shown:
        for arm, weight in lines[line].items():
            arms[arm] = max(arms[arm], weight)
    char = _BOX[sum(arm * weight for arm, weight in arms.items())]
    return Cell(char, frozenset().union(*(edges[line] for line in shown)))


def _on_top(lines: Mapping[object, _Stroke]) -> list[object]:
    """The lines drawn in a cell: all, unless upright lines only cross level ones. Then the heavier ones, and
    the upright ones where they weigh the same."""
    upright = [line for line, stroke in lines.items() if set(stroke) == {UP, DOWN}]
    level = [line for line, stroke in lines.items() if set(stroke) == {LEFT, RIGHT}]
    if not upright or not level or len(upright) + len(level) < len(lines):
        return list(lines)
    heaviest = [max(weight for line in some for weight in lines[line].values()) for some in (level, upright)]
    return level if heaviest[0] > heaviest[1] else upright
