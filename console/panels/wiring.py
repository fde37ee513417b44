"""Edges as box characters: a cell of the graph for every place that a line runs through. Pure.

Light lines for most edges and heavy ones for the critical path, so that it shows without colour. Where two
lines cross without meeting, the one on top runs through and the other is broken."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.panels.layering import Edge, Item, Layering, Net

_BOX = " ╴╸╷╮┑╻┒┓╶─╾╭┬┭┎┰┱╺╼━┍┮┯┏┲┳╵╯┙│┤┥╽┧┪╰┴┵├┼┽┟╁╅┕┶┷┝┾┿┢╆╈╹┚┛╿┦┩┃┨┫┖┸┹┞╀╃┠╂╉┗┺┻┡╄╇┣╊╋"
"""By the weights (0 none, 1 light, 2 heavy) of the arms up, right, down and left, as digits to base 3."""
UP, RIGHT, DOWN, LEFT = 27, 9, 3, 1

_Stroke = dict[int, int]
"""Arm -> weight."""


@dataclass(frozen=True)
class Cell:
    char: str
    edges: frozenset[Edge]


class _Board:
    """Strokes by cell and by the line they belong to."""

    def __init__(self) -> None:
        self.strokes: dict[tuple[int, int], dict[object, _Stroke]] = defaultdict(lambda: defaultdict(dict))
        self.edges: dict[tuple[int, int, object], set[Edge]] = defaultdict(set)

    def mark(self, x: int, y: int, line: object, arms: Sequence[int], weight: int, edges: set[Edge]) -> None:
        stroke = self.strokes[y, x][line]
        for arm in arms:
            stroke[arm] = max(weight, stroke.get(arm, 0))
        self.edges[y, x, line] |= edges

    def cells(self) -> dict[int, dict[int, Cell]]:
        """By row and then by column."""
        rows: dict[int, dict[int, Cell]] = defaultdict(dict)
        for (y, x), lines in self.strokes.items():
            shown = _on_top(lines)
            arms: _Stroke = defaultdict(int)
            for line in shown:
                for arm, weight in lines[line].items():
                    arms[arm] = max(arms[arm], weight)
            edges = frozenset().union(*(self.edges[y, x, line] for line in shown))
            rows[y][x] = Cell(_BOX[sum(arm * weight for arm, weight in arms.items())], edges)
        return rows


def _on_top(lines: Mapping[object, _Stroke]) -> list[object]:
    """The lines drawn in a cell: all, unless upright lines only cross level ones. Then the heavier ones, and
    the upright ones where they weigh the same."""
    upright = [line for line, stroke in lines.items() if set(stroke) == {UP, DOWN}]
    level = [line for line, stroke in lines.items() if set(stroke) == {LEFT, RIGHT}]
    if not upright or not level or len(upright) + len(level) < len(lines):
        return list(lines)
    heaviest = [max(weight for line in some for weight in lines[line].values()) for some in (level, upright)]
    return level if heaviest[0] > heaviest[1] else upright


def wiring(
    layers: Layering, xs: Sequence[int], widths: Sequence[int], critical: frozenset[Edge]
) -> dict[int, dict[int, Cell]]:
    """The cells of all edges, with column `i` at cell `xs[i]` and `widths[i]` wide."""
    board = _Board()
    row = layers.row
    for index, nets in enumerate(layers.gaps):
        start, end = xs[index] + widths[index], xs[index + 1]
        leaving: dict[Item, set[Edge]] = defaultdict(set)
        for net in nets:
            for (left, right), edges in net.edges.items():
                leaving[left] |= edges
                weight = 2 if edges & critical else 1
                _join(board, net, (start, end), (row[left], row[right]), weight, edges)
        for left, edges in leaving.items():
            weight = 2 if edges & critical else 1
            for x in range(xs[index], start):
                board.mark(x, row[left], left, (LEFT, RIGHT), weight, edges)
    return board.cells()


def _join(
    board: _Board, net: Net, gap: tuple[int, int], rows: tuple[int, int], weight: int, edges: set[Edge]
) -> None:
    """One line through a gap: level to the track of its net, upright on it, and level again."""
    (start, end), (above, below) = gap, rows
    turn = start + 1 + net.track
    line = id(net)
    for x in range(start, turn):
        board.mark(x, above, line, (LEFT, RIGHT), weight, edges)
    for x in range(turn + 1, end):
        board.mark(x, below, line, (LEFT, RIGHT), weight, edges)
    if above == below:
        board.mark(turn, above, line, (LEFT, RIGHT), weight, edges)
        return
    down = below > above
    board.mark(turn, above, line, (LEFT, DOWN if down else UP), weight, edges)
    board.mark(turn, below, line, (UP if down else DOWN, RIGHT), weight, edges)
    for y in range(min(rows) + 1, max(rows)):
        board.mark(turn, y, line, (UP, DOWN), weight, edges)
