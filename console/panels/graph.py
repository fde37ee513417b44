"""The frontier graph: the plan's own graph, column by column, with what happens in it."""

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from console.look import CRITICAL, STATUS, plural
from console.messages import TaskSelected
from console.panels.canvas import BOLD, Canvas, Row, clip, clip_middle, joined
from console.panels.layering import Edge
from console.panels.outline import counts_of, focus_of, on_the_move
from console.panels.picture import Picture, lay_out
from console.panels.timing import progress_of, timing_words
from console.panels.wiring import Cell
from engine.machine.transitions import SETTLED, TaskStatus

_STRONG = frozenset({TaskStatus.RUNNING, TaskStatus.FAILED, TaskStatus.IN_DOUBT, TaskStatus.ROLLING_BACK})
_WEAK = frozenset({TaskStatus.PENDING, TaskStatus.SUCCEEDED, TaskStatus.SKIPPED, TaskStatus.WAIVED})


class FrontierGraph(Canvas, panel="graph"):
    HELP = """The graph of tasks. Heavy lines are the critical path; where two lines cross, the broken one
runs on behind the other.

**arrow keys** or a click choose a task, which lights all that it depends on and all that depends on it.
**f** goes back to following the frontier."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(0,-1)", "Up", show=False),
        Binding("down,j", "move(0,1)", "Down", show=False),
        Binding("left,h", "move(-1,0)", "Left", show=False),
        Binding("right,l", "move(1,0)", "Right", show=False),
        Binding("f", "toggle_follow", "Follow", show=False),
    ]

    selected: str | None = None
    follow = True
    """Whether the graph stays where things happen. While it does, the selected task is only marked."""
    _picture: Picture | None = None
    _drawn_for: tuple[frozenset[str], Size, int] | None = None
    _lit: frozenset[str] = frozenset()
    _lit_edges: frozenset[Edge] = frozenset()

    def on_mount(self) -> None:
        self.hide_scrollbars()

    # -- selection and scrolling -------------------------------------------------------------------

    def select_task(self, task_id: str | None) -> None:
        """Show this task as the selected one. The first is only marked, since nobody has chosen it yet; any
        other is brought into sight, and lights its ancestors and descendants."""
        if task_id == self.selected:
            return
        chosen = self.selected is not None and task_id is not None
        self.selected = task_id
        self._explore(not chosen and self.follow)

    def action_move(self, dx: int, dy: int) -> None:
        target = self._neighbour(dx, dy)
        if target:
            self._choose(target)

    def action_toggle_follow(self) -> None:
        self._explore(not self.follow)

    def _choose(self, task_id: str) -> None:
        self.selected = task_id
        self._explore(False)
        self.post_message(TaskSelected(task_id))

    def _explore(self, follow: bool) -> None:
        self.follow = follow
        self.refresh_view()
        self._light()
        if self.selected and not follow:
            self._show([self.selected])
        self.redraw()
        self.refresh_view()

    def _neighbour(self, dx: int, dy: int) -> str | None:
        """The task next to the selected one in this direction, as the eye sees it."""
        picture = self._picture
        if picture is None:
            return None
        column, row = picture.outline.column, picture.layers.row
        tasks = [key for keys in picture.outline.columns for key in keys if key not in picture.outline.groups]
        here = self.selected
        if here not in column:
            moving = on_the_move(self.view) or tasks
            return next((task for task in moving if task in column), None)
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
        self._stay()

    def on_mouse_scroll_up(self) -> None:
        self._stay()

    def _stay(self) -> None:
        """Hold still what is being looked at, where there is anything to scroll."""
        if self.max_scroll_x or self.max_scroll_y:
            self.follow = False

    def _show(self, tasks: Sequence[str]) -> None:
        """Bring these tasks into the middle, unless all of them can be seen already."""
        picture = self._picture
        shown = [task for task in tasks if picture and task in picture.outline.column]
        if picture is None or not shown:
            return
        left = min(picture.x(task) for task in shown)
        right = max(picture.x(task) + picture.room[task] for task in shown)
        rows = [picture.layers.row[task] for task in shown]
        x, y = self.scroll_offset
        width, height = self.room.width, self._body_height
        if left < x or right > x + width:
            self.scroll_to(x=max(0, (left + right - width) // 2), animate=False)
        if min(rows) < y or max(rows) >= y + height:
            self.scroll_to(y=max(0, (min(rows) + max(rows) - height) // 2), animate=False)

    # -- layout --------------------------------------------------------------------------------------

    @property
    def _heads(self) -> int:
        return 1 if self._picture and self._picture.outline.sections else 0

    @property
    def _body_height(self) -> int:
        return max(1, self.room.height - self._heads - 1)

    def _body_row(self, y: int) -> int:
        """The row of the picture that stands in row `y` of the panel."""
        spare = self._body_height - self._picture.layers.height if self._picture else 0
        return y - self._heads + self.scroll_offset.y - max(0, spare) // 2

    def prepare(self) -> None:
        plan_seq = self.view.state.plan_seq
        wanted = focus_of(self.view, self.selected, self.room.height), self.room, plan_seq
        if wanted != self._drawn_for:
            self._drawn_for = wanted
            self._picture = lay_out(self.view, wanted[0], self.room - (0, 1))
            self.virtual_size = Size(self._picture.width, self._picture.layers.height + self._heads + 1)
            self._light()
            self._frame.clear()
        if self.follow:
            self._show(on_the_move(self.view))

    def _light(self) -> None:
        """Find out what the selection lights: all that the task depends on, and all that depends on it."""
        self._lit = frozenset()
        self._lit_edges = frozenset()
        picture, task_id = self._picture, self.selected
        if picture is None or task_id is None or self.follow:
            return
        graph = self.view.graph
        near = graph.ancestors(task_id), graph.descendants(task_id)
        sides = [picture.standing_for({task_id, *side}) for side in near]
        self._lit = sides[0] | sides[1]
        self._lit_edges = frozenset(
            (a, b) for a, b in picture.outline.edges if any(a in side and b in side for side in sides)
        )

    # -- drawing -------------------------------------------------------------------------------------

    def draw_line(self, y: int) -> Strip:
        width = self.room.width
        if self._picture is None:
            return self.blank()
        if y == self.room.height - 1:
            return self._caption()
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
            at = line.put(
                start, clip(title, max(3, end - start - len(figure))), self.ink("barrier", bold=True)
            )
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

    def _caption(self) -> Strip:
        quiet = self.ink("quiet")
        if self.selected is None:
            count = plural(len(self.view.graph.order), "task")
            heavy = ("━━ critical path", self.ink(CRITICAL.colour))
            return self._with_arrows(joined([(f" {count}  ", quiet), heavy]))
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
        if not self.follow:
            parts.append(("  f: follow the frontier", quiet))
        return self._with_arrows(joined(parts))

    def _with_arrows(self, text: Text) -> Strip:
        """`text`, and at its right end the directions in which there is more of the graph."""
        x, y = self.scroll_offset
        more = zip("◂▸▴▾", (x > 0, x < self.max_scroll_x, y > 0, y < self.max_scroll_y), strict=True)
        arrows = " ".join(arrow for arrow, there in more if there)
        text.truncate(self.room.width - cell_len(arrows) - 1, overflow="ellipsis", pad=True)
        return self.text_strip(text + joined([(arrows, self.ink("accent"))]))
