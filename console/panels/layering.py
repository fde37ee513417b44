"""Where the nodes of a layered graph stand, and how its edges run between them. Pure: keys, rows and cells.

Columns are given. Nodes are ordered within them by barycentre sweeps, put in rows beside their neighbours,
and edges run right-angled through the gaps between columns. Edges that leave for the same nodes share one
line, and so do long edges on their way through the columns in between.
"""

import bisect
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Edge = tuple[str, str]
Item = str | tuple[str, str, int]
"""A node, or the place where a bundle of long edges (`from` or `to` a node) passes through a column."""
Carried = dict[tuple[Item, Item], set[Edge]]
"""Between two neighbouring columns: which edges run from an item to an item."""

_SWEEPS = 8
_CROWD = 20
"""More lines with bends than this in one gap, and nobody can follow them all: they share tracks."""
_TRACKS = 12
"""Tracks of a gap with a crowd in it."""


@dataclass
class Net:
    """A line in a gap: it joins all of `lefts` with all of `rights`. `track` is its place in the gap."""

    lefts: tuple[Item, ...]
    rights: tuple[Item, ...]
    edges: dict[tuple[Item, Item], set[Edge]]
    track: int = 0


@dataclass
class Layering:
    """`row` is the line an item stands in, `gaps` the nets between a column and the next, `height` the
    number of lines. `passing` are the edges of a bundle that passes through a column."""

    columns: list[list[Item]]
    row: dict[Item, int]
    gaps: list[list[Net]]
    height: int
    passing: dict[Item, set[Edge]] = field(default_factory=dict)

    def tracks(self, gap: int) -> int:
        return 1 + max((net.track for net in self.gaps[gap]), default=-1)


def layering(columns: Sequence[Sequence[str]], edges: frozenset[Edge], room: int) -> Layering:
    """Lay out `columns`, in about `room` lines: closer where there are many nodes, wider where there are few,
    and more lines than `room` where it cannot be helped."""
    items: list[list[Item]] = [list(column) for column in columns]
    links = _links(items, edges)
    _sweep(items, links)
    tallest = max(len(column) for column in items)
    pitch = max(1, min(3, room // tallest))
    height = (tallest - 1) * pitch + 1
    row = _rows(items, links, pitch, height)
    gaps = [_nets(carried, row) for carried in links]
    passing: dict[Item, set[Edge]] = defaultdict(set)
    for carried in links:
        for (left, _), edges_here in carried.items():
            if isinstance(left, tuple):
                passing[left] |= edges_here
    return Layering(items, row, gaps, height, dict(passing))


def _links(items: list[list[Item]], edges: frozenset[Edge]) -> list[Carried]:
    """Split edges into steps from column to column, adding to `items` the places where long ones pass."""
    column = {key: index for index, keys in enumerate(items) for key in keys}
    long = [(a, b) for a, b in edges if column[b] - column[a] > 1]
    out: dict[str, int] = defaultdict(int)
    into: dict[str, int] = defaultdict(int)
    for a, b in long:
        out[a] += 1
        into[b] += 1
    links: list[Carried] = [defaultdict(set) for _ in items[1:]]
    placed: set[Item] = set()
    for a, b in sorted(edges):
        bundle = ("to", b) if into[b] > out[a] else ("from", a)
        left: Item = a
        for index in range(column[a] + 1, column[b] + 1):
            right: Item = b if index == column[b] else (*bundle, index)
            if isinstance(right, tuple) and right not in placed:
                placed.add(right)
                items[index].append(right)
            links[index - 1][left, right].add((a, b))
            left = right
    return links


def _beside(links: list[Carried]) -> tuple[dict[Item, list[Item]], dict[Item, list[Item]]]:
    before: dict[Item, list[Item]] = defaultdict(list)
    after: dict[Item, list[Item]] = defaultdict(list)
    for carried in links:
        for left, right in carried:
            before[right].append(left)
            after[left].append(right)
    return before, after


def _sweep(items: list[list[Item]], links: list[Carried]) -> None:
    """Order the items within their columns so that few edges cross; the best order met is kept."""
    before, after = _beside(links)
    place = {item: index / max(1, len(keys) - 1) for keys in items for index, item in enumerate(keys)}
    best = [list(column) for column in items]
    fewest = _crossings(items, links)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        forth = sweep % 2 == 0
        beside = before if forth else after
        for column in items[1:] if forth else items[-2::-1]:
            column.sort(key=lambda item: _centre(item, place, beside))
            place.update((item, index / max(1, len(column) - 1)) for index, item in enumerate(column))
        crossings = _crossings(items, links)
        if crossings < fewest:
            fewest, best = crossings, [list(column) for column in items]
    items[:] = best


def _centre(item: Item, place: Mapping[Item, float], beside: Mapping[Item, list[Item]]) -> float:
    near = beside.get(item)
    return sum(place[other] for other in near) / len(near) if near else place[item]


def _crossings(items: list[list[Item]], links: list[Carried]) -> int:
    place = {item: index for keys in items for index, item in enumerate(keys)}
    crossings = 0
    for carried in links:
        seen: list[int] = []
        for _, goal in sorted((place[left], place[right]) for left, right in carried):
            crossings += len(seen) - bisect.bisect_right(seen, goal)
            bisect.insort(seen, goal)
    return crossings


def _rows(items: list[list[Item]], links: list[Carried], pitch: int, height: int) -> dict[Item, int]:
    """A line for each item: near the mean of its neighbours', in order, and `pitch` apart."""
    before, after = _beside(links)
    row: dict[Item, float] = {}
    for column in items:
        margin = (height - 1 - (len(column) - 1) * pitch) / 2
        row.update((item, margin + index * pitch) for index, item in enumerate(column))
    for forth in (True, False, True):
        for column in items if forth else items[::-1]:
            wanted = [_mean_row(item, row, before, after, forth) for item in column]
            row.update(zip(column, _spread(wanted, pitch, height - 1), strict=True))
    return {item: round(at) for item, at in row.items()}


def _mean_row(
    item: Item,
    row: Mapping[Item, float],
    before: Mapping[Item, list[Item]],
    after: Mapping[Item, list[Item]],
    forth: bool,
) -> float:
    first, second = (before, after) if forth else (after, before)
    near = first.get(item) or second.get(item)
    return sum(row[other] for other in near) / len(near) if near else row[item]


def _spread(wanted: Sequence[float], pitch: int, last: int) -> list[int]:
    """Whole numbers from 0 to `last`, as near to `wanted` as it goes, in order and `pitch` apart.

    Neighbours that want the same place are moved as one block, around the mean of what they want."""
    blocks: list[tuple[float, int]] = []
    for index, want in enumerate(wanted):
        mean, count = want - index * pitch, 1
        while blocks and blocks[-1][0] > mean:
            earlier, many = blocks.pop()
            mean, count = (earlier * many + mean * count) / (many + count), many + count
        blocks.append((mean, count))
    top = last - (len(wanted) - 1) * pitch
    offsets = [min(max(round(mean), 0), top) for mean, count in blocks for _ in range(count)]
    return [offset + index * pitch for index, offset in enumerate(offsets)]


def _nets(carried: Carried, row: Mapping[Item, int]) -> list[Net]:
    """The lines in one gap, each with its track: items on the left with the same items on the right share
    one. A line ends left of any other that starts in the same row, and no two on one track overlap."""
    rights: dict[Item, list[Item]] = defaultdict(list)
    for left, right in carried:
        rights[left].append(right)
    bundles: dict[tuple[Item, ...], list[Item]] = defaultdict(list)
    for left in sorted(rights, key=row.__getitem__):
        bundles[tuple(sorted(rights[left], key=row.__getitem__))].append(left)
    nets = [
        Net(tuple(lefts), goals, {(a, b): carried[a, b] for a in lefts for b in goals})
        for goals, lefts in bundles.items()
    ]
    bent = [net for net in nets if len(_span(net, row)) > 1]
    if len(bent) > _CROWD:
        _pack(bent, row)
    else:
        _arrange(bent, row)
    return nets


def _pack(bent: list[Net], row: Mapping[Item, int]) -> None:
    """Tracks for a crowd: the first that is free, and where none is, one that is shared."""
    ends = [-1] * _TRACKS
    for span, net in sorted(((_span(net, row), net) for net in bent), key=lambda each: each[0].start):
        net.track = next((track for track, end in enumerate(ends) if end < span.start), ends.index(min(ends)))
        ends[net.track] = max(ends[net.track], span.stop - 1)


def _arrange(bent: list[Net], row: Mapping[Item, int]) -> None:
    """Tracks for lines that can be told apart: none overlap, and each leaves its row before another one
    reaches it."""
    starts = [{row[item] for item in net.lefts} for net in bent]
    ends = [{row[item] for item in net.rights} for net in bent]
    spans = [_span(net, row) for net in bent]
    before = [
        {other for other in range(len(bent)) if other != index and not starts[other].isdisjoint(ends[index])}
        for index in range(len(bent))
    ]
    left = set(range(len(bent)))
    placed: list[int] = []
    while left:
        index = min(left, key=lambda index: (len(before[index] & left), spans[index].start, index))
        left.remove(index)
        track = 1 + max((bent[other].track for other in placed if other in before[index]), default=-1)
        while any(bent[other].track == track and _overlap(spans[other], spans[index]) for other in placed):
            track += 1
        bent[index].track = track
        placed.append(index)


def _span(net: Net, row: Mapping[Item, int]) -> range:
    rows = [row[item] for item in (*net.lefts, *net.rights)]
    return range(min(rows), max(rows) + 1)


def _overlap(a: range, b: range) -> bool:
    return a.start < b.stop and b.start < a.stop
