"""The frontier graph as a picture: what is laid out, what of it is in sight, and how it is painted."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from time import monotonic

from rich.cells import cell_len
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip

from console.actions import Keymap, first_key
from console.panels import caption
from console.panels.canvas import Canvas, Row, clip, joined
from console.panels.focus import ACTIVE, Hand, Moment, focus_of, moment_of
from console.panels.ground import Edge, Ground, ground_of
from console.panels.nodes import Face, Level, draw, group_face, task_face, width_of
from console.panels.outline import counts_of, outline
from console.panels.picture import Picture, lay_out
from console.panels.tally import Tally
from console.panels.wiring import Cell
from engine.machine.transitions import SETTLED, TaskStatus

_REST_S = 1.0
"""Seconds between one picture and the next while things only go on: what is looked at stays where it is."""
_REST_SHARE = 20
"""Laying out rests so many times as long as it takes, besides."""


class GraphCanvas(Canvas):
    selected: str | None = None
    keymap: Keymap = {}  # noqa: RUF012  # never changed, only replaced
    """Keys that the operator has changed."""
    follow = True
    """Whether the graph stays where things happen. While it does, the selected task is only marked."""
    clock: Callable[[], float] = staticmethod(monotonic)
    _group: str | None = None
    """A task in the group that is chosen, while one is."""
    _level: Level | None = None
    """The level of detail the operator wants; None leaves it to what there is room for."""
    _shown_level = Level.IDS
    _found: frozenset[str] = frozenset()
    _ground: tuple[int, Ground] | None = None
    _picture: Picture | None = None
    _area = Size(0, 0)
    """The room there is, as of the last time that the graph was brought up to date."""
    _moment = Moment((), frozenset(), ())
    _moment_of: Hashable = None
    _laid_for: Hashable = None
    _rest_until = 0.0
    _lit: frozenset[str] = frozenset()
    _lit_edges: frozenset[Edge] = frozenset()

    def on_mount(self) -> None:
        self.hide_scrollbars()
        self.hand = Hand()
        self._lines: dict[int, tuple[Hashable, Strip]] = {}

    def key(self, action: str) -> str:
        """The key that a text names for an action of the graph's own."""
        return first_key(f"graph_{action}", self.keymap)

    @property
    def cursor_key(self) -> str | None:
        """What is chosen as it is drawn: the selected task, or the group chosen after it."""
        if self._picture is None:
            return None
        return self._picture.outline.key_of.get(self._group or self.selected or "")

    # -- in sight ------------------------------------------------------------------------------------

    def _show(self, keys: Sequence[str]) -> None:
        """Bring into sight as many of these as fit, the first ones first; stay where that is so already."""
        picture = self._picture
        shown = [key for key in keys if picture and key in picture.outline.column]
        if picture is None or not shown:
            return
        width, height = self._area.width, self._body_height
        left, right = picture.x(shown[0]), picture.end(shown[0])
        top = bottom = picture.layers.row[shown[0]]
        for key in shown[1:]:
            wider = min(left, picture.x(key)), max(right, picture.end(key))
            taller = min(top, picture.layers.row[key]), max(bottom, picture.layers.row[key])
            if wider[1] - wider[0] < width and taller[1] - taller[0] < height:
                (left, right), (top, bottom) = wider, taller
        x, y = self.scroll_offset
        if left < x or right > x + width:
            middle = picture.column_start(max(0, (left + right - width) // 2))
            fits = middle < left and right <= middle + width
            self.scroll_to(x=middle if fits else picture.column_start(left), animate=False)
        if top < y or bottom >= y + height:
            self.scroll_to(y=max(0, (top + bottom - height) // 2), animate=False)

    # -- layout --------------------------------------------------------------------------------------

    @property
    def ground(self) -> Ground:
        """What the plan's graph is made of, worked out once for each plan."""
        plan_seq = self.view.state.plan_seq
        if self._ground is None or self._ground[0] != plan_seq:
            self._ground = plan_seq, ground_of(self.view.plan, self.view.graph)
        return self._ground[1]

    @property
    def lacking(self) -> int:
        """Rows that the panel would need besides to show all columns whole; below 0 where it has more."""
        tallest = max(map(len, self._picture.layers.columns)) if self._picture else 0
        return tallest + self._heads + 1 - self.room.height

    @property
    def _heads(self) -> int:
        return 1 if self._picture and self._picture.outline.sections else 0

    @property
    def _body_height(self) -> int:
        return max(1, self._area.height - self._heads - 1)

    def _body_row(self, y: int) -> int:
        """The row of the picture that stands in row `y` of the panel."""
        spare = self._body_height - self._picture.layers.height if self._picture else 0
        return y - self._heads + self.scroll_offset.y - max(0, spare) // 2

    def prepare(self) -> None:
        self._area = self.room
        happened = self.view.revision, self._area.height
        if happened != self._moment_of:
            self._moment, self._moment_of = moment_of(self.view, self._area.height), happened
        forced = self._area, self.view.state.plan_seq, self._level, self.selected, self._group
        wanted = forced, frozenset(self.hand.opened), frozenset(self.hand.closed)
        if wanted != self._laid_for or self._outdated():
            self._laid_for = wanted
            self._lay_out()
        self._tally.update()
        if self.follow:
            self._show(self._moment.moving)
        self.write_below(self._subtitle())

    def _outdated(self) -> bool:
        """Whether something is in a group that should be shown: at once where it needs an operator, and
        otherwise when the picture has stood for a while."""
        assert self._picture is not None
        groups, key_of = self._picture.outline.groups, self._picture.outline.key_of
        hidden = [task for task in self._moment.core if key_of[task] in groups]
        if not hidden or (self.hand.closed and self._moment.needed.isdisjoint(hidden)):
            return False
        calm = self.view.read_only or self.view.state.finished or self.clock() >= self._rest_until
        return calm or not self._moment.needed.isdisjoint(hidden)

    def _lay_out(self) -> None:
        began = self.clock()
        chosen = None if self._group else self.selected
        focus = focus_of(self.view, self._moment, chosen, self._area.height, self.hand)
        shown = outline(self.ground, focus)
        levels = (Level.NAMES, Level.IDS) if self._level is None else (self._level,)
        measures = [partial(width_of, self.view.by_id, shown, level) for level in levels]
        self._picture, taken = lay_out(shown, self._area - (0, 1), measures)
        self._shown_level = levels[taken]
        self._tally = Tally(self.view, shown.groups)
        self.virtual_size = Size(self._picture.width, self._picture.layers.height + self._heads + 1)
        self._light()
        self._frame.clear()
        self._lines.clear()
        cost = self.clock() - began
        self._rest_until = began + max(_REST_S, _REST_SHARE * cost)

    def _light(self) -> None:
        """Find out what the selection lights: all that the task depends on, and all that depends on it."""
        self._lit = frozenset()
        self._lit_edges = frozenset()
        self._lines.clear()
        picture, task_id = self._picture, self.selected
        if picture is None or task_id is None or self.follow or self._group:
            return
        graph = self.view.graph
        sides = [
            picture.standing_for({task_id, *side})
            for side in (graph.ancestors(task_id), graph.descendants(task_id))
        ]
        self._lit = sides[0] | sides[1]
        self._lit_edges = frozenset(
            (a, b) for a, b in picture.outline.edges if any(a in side and b in side for side in sides)
        )

    # -- drawing -------------------------------------------------------------------------------------

    def draw_line(self, y: int) -> Strip:
        picture = self._picture
        if picture is None:
            return self.blank()
        if y == self._area.height - 1:
            return self._caption(picture)
        if y < self._heads:
            line = Row(self._area.width, self.scroll_offset.x)
            self._draw_heading(line, picture)
            return line.strip(self.base)
        row = self._body_row(y)
        faces = [(key, self._face(key, picture)) for key in picture.keys.get(row, ())]
        hot = self._hot(row, picture)
        looks = row, self.scroll_offset.x, self._area.width, tuple(hot.items()), tuple(faces)
        kept = self._lines.get(y)
        if kept and kept[0] == looks:
            return kept[1]
        line = Row(self._area.width, self.scroll_offset.x)
        self._draw_wires(line, picture, row, hot)
        for key, face in faces:
            draw(self, line, picture.x(key), picture.room(key), face)
        strip = line.strip(self.base)
        self._lines[y] = looks, strip
        return strip

    def _draw_heading(self, line: Row, picture: Picture) -> None:
        ends = [picture.xs[first] - 2 for _, first, _ in picture.outline.sections[1:]] + [picture.width]
        for (title, first, last), end in zip(picture.outline.sections, ends, strict=True):
            keys = [key for column in picture.outline.columns[first:last] for key in column]
            groups = [key for key in keys if key in picture.outline.groups]
            counts = counts_of(self.view, [key for key in keys if key not in picture.outline.groups])
            counts = sum(map(self._tally.counts, groups), counts)
            done = sum(counts[status] for status in SETTLED)
            start = picture.xs[first]
            figure = f" {done}/{counts.total()}"
            heading = clip(title, max(3, end - start - len(figure)))
            at = line.put(start, heading, self.ink("barrier", bold=True))
            line.put(at, figure, self.ink("quiet"))

    def _hot(self, row: int, picture: Picture) -> dict[str, TaskStatus]:
        """The tasks that run or have failed, of those whose lines run through this row."""
        states = self.view.state.tasks
        sources = picture.wiring.sources(row)
        return {
            task: states[task].status for task in sources if task in states and states[task].status in ACTIVE
        }

    def _draw_wires(self, line: Row, picture: Picture, row: int, hot: dict[str, TaskStatus]) -> None:
        for _, first, _ in picture.outline.sections[1:]:
            line.put(picture.xs[first] - 1, "┊", self.ink("barrier"))
        styles: dict[frozenset[Edge], Style] = {}
        for x, cell in picture.wiring.row(row).items():
            if cell.edges not in styles:
                styles[cell.edges] = self._wire_style(picture, cell, hot)
            line.put(x, cell.char, styles[cell.edges])

    def _wire_style(self, picture: Picture, cell: Cell, hot: dict[str, TaskStatus]) -> Style:
        critical = not cell.edges.isdisjoint(picture.outline.critical)
        if self._lit:
            if cell.edges.isdisjoint(self._lit_edges):
                return self.ink("frame")
            return self.ink("critical" if critical else "foreground")
        leaving = {hot[source] for source, _ in cell.edges if source in hot}
        if TaskStatus.FAILED in leaving:
            return self.ink("status-failed")
        if critical:
            return self.ink("critical")
        return self.faded("status-running" if leaving else "quiet")

    def _face(self, key: str, picture: Picture) -> Face:
        groups = picture.outline.groups
        if key in groups:
            face = group_face(picture.outline, key, self._tally.counts(key), self._shown_level)
            found = not self._found.isdisjoint(groups[key])
        else:
            face = task_face(self.view, key, self._shown_level)
            found = key in self._found
        dimmed = bool(self._lit) and key not in self._lit
        if not (found or dimmed) and key != self.cursor_key:
            return face
        return face._replace(found=found, dimmed=dimmed, cursor=key == self.cursor_key)

    def _caption(self, picture: Picture) -> Strip:
        cursor = self.cursor_key
        group = picture.outline.groups.get(cursor or "")
        if cursor is None:
            parts = caption.of_plan(self)
        elif group:
            key = self.key("expand")
            title, counts = picture.outline.titles[cursor], self._tally.counts(cursor)
            parts = caption.of_group(self, title, counts, key)
        else:
            parts = caption.of_task(self, cursor)
        x, y = self.scroll_offset
        more = zip("◂▸▴▾", (x > 0, x < self.max_scroll_x, y > 0, y < self.max_scroll_y), strict=True)
        arrows = " ".join(arrow for arrow, there in more if there)
        end = joined([*caption.out_of_sight(self, self._unseen(picture)), (arrows, self.ink("accent"))])
        text = joined(parts)
        text.truncate(self._area.width - cell_len(end.plain) - 1, overflow="ellipsis", pad=True)
        return self.text_strip(text + end)

    def _unseen(self, picture: Picture) -> list[TaskStatus]:
        """The statuses of what runs or has failed where it is scrolled out of sight, or has no room."""
        x, y = self.scroll_offset
        states, key_of = self.view.state.tasks, picture.outline.key_of
        rows = range(y, y + self._body_height)
        return [
            states[task].status
            for task in self._moment.moving
            if states[task].status in ACTIVE
            and not (
                x <= picture.x(key_of[task]) < x + self._area.width
                and picture.layers.row[key_of[task]] in rows
                and key_of[task] == task
            )
        ]

    def _subtitle(self) -> str:
        detail = self._shown_level.name.lower()
        if self.follow:
            return f"following · {detail}"
        return f"{self.key('follow')} follows · {detail}"
