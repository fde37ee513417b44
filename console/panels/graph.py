"""The frontier graph: the plan's own graph, column by column, with what happens in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from console.look import CRITICAL, STATUS, plural
from console.messages import TaskSelected
from console.panels.canvas import BOLD, Canvas, Row, clip, clip_middle, joined
from console.panels.layering import Edge, Layering, layering
from console.panels.outline import Outline, counts_of, focus_of, on_the_move, outline
from console.panels.timing import progress_of, timing_words
from console.panels.wiring import Cell, wiring
from engine.machine.transitions import SETTLED, TaskStatus

_MARGIN = 1
_NARROWEST = 8
"""Cells of a column when it is squeezed so that the whole graph can be seen."""
_COMFORTABLE = 20
"""Cells of a column at most, where the graph has to scroll all the same."""
_PERCENT = 5
"""Cells of ` 100%` behind a running task's name."""
_LOOSEST = 8
"""Spare cells that one column takes at most."""
_STRONG = frozenset({TaskStatus.RUNNING, TaskStatus.FAILED, TaskStatus.IN_DOUBT, TaskStatus.ROLLING_BACK})
_WEAK = frozenset({TaskStatus.PENDING, TaskStatus.SUCCEEDED, TaskStatus.SKIPPED, TaskStatus.WAIVED})


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
        return self.xs[-1] + self.widths[-1] + _MARGIN

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

    def key_at(self, x: int, y: int) -> str | None:
        """The task or group whose node covers this cell."""
        for key in self.keys.get(y, ()):
            column = self.outline.column[key]
            if self.xs[column] <= x < self.xs[column] + self.widths[column]:
                return key
        return None


class FrontierGraph(Canvas):
    """The graph. Arrow keys and clicks select a task, which lights what it depends on and what waits for it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(0,-1)", "Up", show=False),
        Binding("down,j", "move(0,1)", "Down", show=False),
        Binding("left,h", "move(-1,0)", "Left", show=False),
        Binding("right,l", "move(1,0)", "Right", show=False),
        Binding("f", "toggle_follow", "Follow", show=False),
        Binding("escape", "unselect", "Clear selection", show=False),
    ]

    DEFAULT_CSS = """
    FrontierGraph { scrollbar-size: 0 0; }
    """

    selected: str | None = None
    follow = True
    _picture: Picture | None = None
    _drawn_for: tuple[frozenset[str], Size] | None = None
    _lit: frozenset[str] = frozenset()
    _lit_edges: frozenset[Edge] = frozenset()

    # -- selection and scrolling -------------------------------------------------------------------

    def select_task(self, task_id: str | None) -> None:
        """Show this task as the selected one, and bring it into sight."""
        if task_id == self.selected:
            return
        self.selected = task_id
        if not self.is_mounted:
            return
        self.refresh_view()
        self._light()
        self.redraw()
        if task_id:
            self._show([task_id])

    def action_move(self, dx: int, dy: int) -> None:
        target = self._neighbour(dx, dy)
        if target:
            self._choose(target)

    def action_unselect(self) -> None:
        self.select_task(None)

    def action_toggle_follow(self) -> None:
        self.follow = not self.follow
        self.redraw()
        self.refresh_view()

    def _choose(self, task_id: str) -> None:
        self.follow = False
        self.select_task(task_id)
        self.post_message(TaskSelected(task_id))

    def _neighbour(self, dx: int, dy: int) -> str | None:
        """The task next to the selected one in this direction, as the eye sees it."""
        picture = self._picture
        if picture is None:
            return None
        column, row = picture.outline.column, picture.layers.row
        tasks = [key for keys in picture.outline.columns for key in keys if key not in picture.outline.groups]
        if self.selected not in column:
            moving = on_the_move(self.view) or tasks
            return next((task for task in moving if task in column), None)
        here = self.selected
        ahead = [
            task
            for task in tasks
            if (dx and (column[task] - column[here]) * dx > 0)
            or (dy and column[task] == column[here] and (row[task] - row[here]) * dy > 0)
        ]

        def distance(task: str) -> tuple[int, int]:
            return abs(column[task] - column[here]), abs(row[task] - row[here])

        return min(ahead, key=distance, default=None)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or self._picture is None:
            return
        key = self._picture.key_at(offset.x + self.scroll_offset.x, self._body_row(offset.y))
        if key and key not in self._picture.outline.groups:
            self._choose(key)

    def on_mouse_scroll_down(self) -> None:
        self.follow = False

    def on_mouse_scroll_up(self) -> None:
        self.follow = False

    def _show(self, tasks: Sequence[str]) -> None:
        """Scroll as little as it takes to bring these tasks into the middle of what can be seen."""
        picture = self._picture
        shown = [task for task in tasks if picture and task in picture.outline.column]
        if picture is None or not shown:
            return
        xs = [picture.x(task) for task in shown]
        rows = [picture.layers.row[task] for task in shown]
        width, height = self.size.width, self._body_height
        if picture.width > width:
            self.scroll_to(x=(min(xs) + max(xs)) // 2 + _NARROWEST - width // 2, animate=False)
        if picture.layers.height > height:
            self.scroll_to(y=(min(rows) + max(rows)) // 2 - height // 2, animate=False)

    # -- layout --------------------------------------------------------------------------------------

    @property
    def _heads(self) -> int:
        return 1 if self._picture and self._picture.outline.sections else 0

    @property
    def _body_height(self) -> int:
        return max(1, self.size.height - self._heads - 1)

    def _body_row(self, y: int) -> int:
        """The row of the picture that stands in row `y` of the panel."""
        spare = self._body_height - self._picture.layers.height if self._picture else 0
        return y - self._heads + self.scroll_offset.y - max(0, spare) // 2

    def arrange(self) -> None:
        wanted = focus_of(self.view, self.selected), self.size
        if wanted != self._drawn_for:
            self._drawn_for = wanted
            self._picture = self._lay_out(wanted[0])
            self.virtual_size = Size(
                self._picture.width, self._picture.layers.height + self._heads + 1
            )
            self._light()
            self._frame.clear()
        if self.follow:
            self._show(on_the_move(self.view))

    def _lay_out(self, focus: frozenset[str]) -> Picture:
        shown = outline(self.view.plan, self.view.graph, focus)
        height = self.size.height - 1 - bool(shown.sections)
        layers = layering(shown.columns, shown.edges, height)
        natural = [
            max((2 + cell_len(self._label(key, shown)) for key in keys), default=0) for keys in shown.columns
        ]
        tracks = [layers.tracks(gap) for gap in range(len(layers.gaps))]
        room = self.size.width - 2 * _MARGIN
        loose = sum(natural) + sum(tracks) + 2 * len(tracks) <= room
        gaps = [max(3, count + 2) if loose else max(2, count + 1) for count in tracks]
        widths = _fit(natural, room - sum(gaps))
        xs = [_MARGIN]
        for width, gap in zip(widths, gaps, strict=False):
            xs.append(xs[-1] + width + gap)
        keys: dict[int, list[str]] = {}
        for column in shown.columns:
            for key in column:
                keys.setdefault(layers.row[key], []).append(key)
        cells = wiring(layers, xs, widths, shown.critical)
        return Picture(shown, layers, tuple(xs[: len(widths)]), tuple(widths), cells, keys)

    def _label(self, key: str, shown: Outline) -> str:
        group = shown.groups.get(key)
        return key if group is None else plural(len(group), "task") + " ✓00 ·00"

    def _light(self) -> None:
        """Find out what the selection lights: all that the task depends on, and all that depends on it."""
        self._lit = self._lit_edges = frozenset()
        picture, task_id = self._picture, self.selected
        if picture is None or task_id not in self.view.by_id or task_id is None:
            return
        graph = self.view.graph
        sides = [
            _keys({task_id, *near}, picture.outline)
            for near in (graph.ancestors(task_id), graph.descendants(task_id))
        ]
        self._lit = sides[0] | sides[1]
        self._lit_edges = frozenset(
            (a, b) for a, b in picture.outline.edges if any(a in side and b in side for side in sides)
        )

    # -- drawing -------------------------------------------------------------------------------------

    def draw_line(self, y: int) -> Strip:
        width = self.size.width
        if self._picture is None:
            return Strip.blank(width, self.base)
        if y == self.size.height - 1:
            return self._caption(width)
        line = Row(width, self.scroll_offset.x)
        if y < self._heads:
            self._draw_heading(line, self._picture)
        else:
            self._draw_body(line, self._picture, self._body_row(y))
        return line.strip(self.base)

    def _draw_heading(self, line: Row, picture: Picture) -> None:
        ends = [picture.xs[first] - 2 for _, first, _ in picture.outline.sections[1:]] + [picture.width]
        for (title, first, last), end in zip(picture.outline.sections, ends, strict=True):
            keys = [key for column in picture.outline.columns[first:last] for key in column]
            tasks = [task for key in keys for task in picture.outline.groups.get(key, (key,))]
            counts = counts_of(self.view, tasks)
            done = sum(counts[status] for status in SETTLED)
            start = picture.xs[first]
            figure = f" {done}/{len(tasks)}"
            at = line.put(start, clip(title, max(3, end - start - len(figure))), self.ink("barrier", bold=True))
            line.put(at, figure, self.ink("quiet"))

    def _draw_body(self, line: Row, picture: Picture, row: int) -> None:
        for _, first, _ in picture.outline.sections[1:]:
            line.put(picture.xs[first] - 1, "┊", self.ink("barrier"))
        for x, cell in picture.cells.get(row, {}).items():
            line.put(x, cell.char, self._wire_style(cell))
        for key in picture.keys.get(row, ()):
            column = picture.outline.column[key]
            self._draw_node(line, key, picture.xs[column], picture.room[key])

    def _wire_style(self, cell: Cell) -> Style:
        critical = self._picture is not None and not cell.edges.isdisjoint(self._picture.outline.critical)
        if self._lit:
            if cell.edges.isdisjoint(self._lit_edges):
                return self.ink("frame")
            return self.ink("critical" if critical else "foreground")
        return self.ink("critical") if critical else self.faded("quiet")

    def _draw_node(self, line: Row, key: str, x: int, room: int) -> None:
        group = self._picture.outline.groups.get(key) if self._picture else None
        if group is not None:
            self._draw_group(line, key, group, x, room)
            return
        task = self.view.state.tasks[key]
        mark = STATUS[task.status]
        on_path = key in self.view.graph.critical
        dimmed = bool(self._lit) and key not in self._lit
        colour = self.faded if dimmed else self.ink
        glyph = self.faded(mark.colour) if dimmed else self.ink(mark.colour, bold=True)
        text = mark.colour if task.status in _STRONG else "quiet" if task.status in _WEAK else "foreground"
        percent, share = "", 0.0
        if task.status is TaskStatus.RUNNING:
            share = progress_of(self.view, key)
            percent = f" {share:.0%}"
        label = clip_middle(key, room - 2)
        if 2 + cell_len(label) + len(percent) > room:
            percent = ""
        end = line.put(x, mark.glyph, glyph)
        end = line.put(end, f" {label}", colour(text) + (BOLD if on_path else Style.null()))
        end = line.put(end, percent, colour(text))
        if key == self.selected:
            line.tint(x, end, self.cursor)
            line.tint(x, x + 1, glyph)
        elif share and not dimmed:
            line.tint(x, x + round(min(1.0, share) * (end - x)), self.wash(mark.colour))
        if end < x + room:
            line.put(end, " ")

    def _draw_group(self, line: Row, key: str, tasks: Sequence[str], x: int, room: int) -> None:
        dimmed = bool(self._lit) and key not in self._lit
        colour = self.faded if dimmed else self.ink
        counts = counts_of(self.view, tasks)
        text = [
            (f" {mark.glyph}{counts[status]}", colour(mark.colour))
            for status, mark in STATUS.items()
            if counts[status]
        ]
        heading = plural(len(tasks), "task")
        if cell_len(heading) + sum(cell_len(part) for part, _ in text) > room:
            heading = "⋯"
        text.insert(0, (heading, colour("quiet")))
        end = x
        for part, style in text:
            if end + cell_len(part) <= x + room:
                end = line.put(end, part, style)
        line.put(end, " ")

    def _caption(self, width: int) -> Strip:
        quiet = self.ink("quiet")
        following = "following the frontier (f)" if self.follow else "f follows the frontier"
        if self.selected not in self.view.by_id or self.selected is None:
            count = plural(len(self.view.graph.order), "task")
            heavy = ("━━ critical path", self.ink(CRITICAL.colour))
            return self.text_strip(joined([(f" {count}  ", quiet), heavy, (f"  {following}", quiet)]), width)
        task = self.view.state.tasks[self.selected]
        mark = STATUS[task.status]
        graph = self.view.graph
        parts = [
            (f" {mark.glyph} ", self.ink(mark.colour, bold=True)),
            (task.id, BOLD),
            (f"  {mark.word}", self.ink(mark.colour)),
            (timing_words(self.view, task.id), self.ink("foreground")),
        ]
        if task.id in graph.critical:
            parts.append((f"  {CRITICAL.glyph} {CRITICAL.word}", self.ink(CRITICAL.colour)))
        needs, feeds = len(graph.parents[task.id]), len(graph.descendants(task.id))
        parts.append((f"  needs {needs}, {feeds} depend on it", quiet))
        return self.text_strip(joined(parts), width)


def _keys(tasks: set[str], shown: Outline) -> frozenset[str]:
    """Tasks as the keys that stand for them."""
    groups = {key for key, members in shown.groups.items() if not tasks.isdisjoint(members)}
    return frozenset((tasks & shown.column.keys()) | groups)


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
