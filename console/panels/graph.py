"""The frontier graph: the plan's own graph, column by column, with what happens in it, and how an operator
moves about in it."""

from collections.abc import Collection
from typing import ClassVar, NamedTuple

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Offset

from console.messages import TaskSelected
from console.panels.focus import Hand, collapsible
from console.panels.graph_canvas import GraphCanvas
from console.panels.nodes import Level

ALL_AT_ONCE = 600
"""Up to this many tasks can all be expanded at once."""
_PAN_ROWS = 3


class Place(NamedTuple):
    """What was chosen in the graph, whether it followed the frontier, and where it was scrolled to."""

    selected: str | None
    group: str | None
    follow: bool
    scroll: Offset


class FrontierGraph(GraphCanvas, panel="graph"):
    HELP = """The graph of tasks. Heavy lines are the critical path; where two lines cross, the broken one
runs on behind the other. A line that leaves a running task, or a failed one, has its colour. ⊞ stands for all
tasks of a phase or wave in that column that are not shown one by one.

Choosing a task lights all that it depends on and all that depends on it. The graph follows the frontier until
you choose, scroll or drag; **f** lets it follow again, and takes back what was expanded and collapsed."""
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(0,-1)", "Up", show=False, tooltip="Choose the task above"),
        Binding("down,j", "move(0,1)", "Down", show=False, tooltip="Choose the task below"),
        Binding("left,h", "move(-1,0)", "Left", show=False, tooltip="Choose a task in the column before"),
        Binding("right,l", "move(1,0)", "Right", show=False, tooltip="Choose a task in the next column"),
        Binding("space", "toggle_group", "Expand", show=False,
                tooltip="Expand a group, or collapse the phase or wave of a task"),
        Binding("e", "expand_all", "Expand all", show=False, tooltip="Show every task"),
        Binding("E", "collapse_all", "Collapse all", show=False, tooltip="Show groups, and what needs you"),
        Binding("f", "toggle_follow", "Follow", show=False, tooltip="Follow the frontier, or hold still"),
        Binding("plus,equals_sign", "detail(1)", "More detail", show=False,
                tooltip="Show more of each task: mark, id, name, times"),
        Binding("minus", "detail(-1)", "Less detail", show=False, tooltip="Show less of each task"),
        Binding("0", "detail(0)", "Own detail", show=False, tooltip="As much of each as there is room for"),
        Binding("shift+left", "pan(-1,0)", "Pan left", show=False, tooltip="Move a column to the left"),
        Binding("shift+right", "pan(1,0)", "Pan right", show=False, tooltip="Move a column to the right"),
        Binding("shift+up", "pan(0,-1)", "Pan up", show=False, tooltip="Move up"),
        Binding("shift+down", "pan(0,1)", "Pan down", show=False, tooltip="Move down"),
        Binding("pageup", "page(-1)", "Page up", show=False, tooltip="Move up by what is in sight"),
        Binding("pagedown", "page(1)", "Page down", show=False, tooltip="Move down by what is in sight"),
    ]  # fmt: skip

    _dragged_from: tuple[Offset, Offset] | None = None
    _dragged = False

    # -- selection ---------------------------------------------------------------------------------

    def select_task(self, task_id: str | None) -> None:
        """Show this task as the selected one. The first is only marked, since nobody has chosen it yet; any
        other is brought into sight, and lights its ancestors and descendants."""
        if task_id == self.selected:
            return
        chosen = self.selected is not None and task_id is not None
        self.selected, self._group = task_id, None
        self._explore(not chosen and self.follow)

    def follow_frontier(self) -> None:
        """Let go of whatever was chosen, expanded or scrolled to."""
        self.hand = Hand()
        self._group = None
        self._explore(True)

    def reveal(self, task_id: str) -> None:
        """Choose this task, and bring it into sight."""
        self.selected, self._group = task_id, None
        self._explore(False)

    def place(self) -> Place:
        """What is chosen and in sight, to `return_to` later."""
        return Place(self.selected, self._group, self.follow, self.scroll_offset)

    def return_to(self, place: Place) -> None:
        self.selected, self._group = place.selected, place.group
        self._explore(place.follow)
        self.scroll_to(*place.scroll, animate=False)

    def mark(self, found: Collection[str]) -> None:
        """Mark the tasks that were found."""
        if self._found != frozenset(found):
            self._found = frozenset(found)
            self.refresh_view()

    def action_move(self, dx: int, dy: int) -> None:
        target = self._neighbour(dx, dy)
        if target:
            self._choose(target)

    def action_toggle_follow(self) -> None:
        if self.follow:
            self._explore(False)
        else:
            self.follow_frontier()

    def action_toggle_group(self) -> None:
        key = self.cursor_key
        if self._picture is None or key is None:
            return
        if key in self._picture.outline.groups:
            self._expand(key)
        else:
            self.hand.collapse(collapsible(self.ground.parts, key))
            self._group = key
            self._explore(False)

    def _expand(self, group: str) -> None:
        assert self._picture is not None
        tasks = self._picture.outline.groups[group]
        self.hand.expand(tasks)
        self._choose(tasks[0])

    def action_expand_all(self) -> None:
        order = self.view.graph.order
        if len(order) > ALL_AT_ONCE:
            key = self.key("expand")
            self.app.notify(
                f"{len(order)} tasks are too many to see. Expand a group with {key}.", markup=False
            )
            return
        self.hand = Hand(opened=set(order))
        self._explore(False)

    def action_collapse_all(self) -> None:
        self.hand = Hand(closed=set(self.view.graph.order))
        self._group = self.selected
        self._explore(False)

    def _choose(self, key: str) -> None:
        """Choose a task, which the whole app shows then, or a group, which only the graph knows of."""
        groups = self._picture.outline.groups if self._picture else {}
        self._group = groups[key][0] if key in groups else None
        if self._group is None:
            self.selected = key
            self.post_message(TaskSelected(key))
        self._explore(False)

    def _explore(self, follow: bool) -> None:
        self.follow = follow
        self.refresh_view()
        self._light()
        if self.cursor_key and not follow:
            self._show([self.cursor_key])
        self.redraw()
        self.refresh_view()

    def _neighbour(self, dx: int, dy: int) -> str | None:
        """What is next to the chosen one in this direction, as the eye sees it."""
        picture = self._picture
        if picture is None:
            return None
        column, row = picture.outline.column, picture.layers.row
        here = self.cursor_key
        if here is None:
            return next((task for task in self._moment.moving if task in column), next(iter(column)))
        ahead = [
            key
            for key in column
            if (dx and (column[key] - column[here]) * dx > 0)
            or (dy and column[key] == column[here] and (row[key] - row[here]) * dy > 0)
        ]
        return min(
            ahead, key=lambda key: (abs(column[key] - column[here]), abs(row[key] - row[here])), default=None
        )

    # -- mouse and scrolling -----------------------------------------------------------------------

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or self._picture is None or self._dragged:
            return
        key = self._picture.key_at(offset.x + self.scroll_offset.x, self._body_row(offset.y))
        if key in self._picture.outline.groups and event.chain > 1:
            self._expand(key)
        elif key:
            self._choose(key)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._dragged_from, self._dragged = (event.screen_offset, self.scroll_offset), False
        self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragged_from is None:
            return
        begun, scroll = self._dragged_from
        moved = begun - event.screen_offset
        if moved or self._dragged:
            self._dragged = True
            self._stay()
            self.scroll_to(scroll.x + moved.x, scroll.y + moved.y, animate=False, immediate=True)

    def on_mouse_up(self) -> None:
        self._dragged_from = None
        self.release_mouse()

    def on_mouse_scroll_down(self) -> None:
        self._stay()

    def on_mouse_scroll_up(self) -> None:
        self._stay()

    def action_pan(self, columns: int, steps: int) -> None:
        self._stay()
        if self._picture and columns:
            self.scroll_to(
                x=self._picture.column_start(self.scroll_offset.x, columns), animate=False, immediate=True
            )
        if steps:
            self.scroll_to(y=self.scroll_offset.y + steps * _PAN_ROWS, animate=False, immediate=True)

    def action_page(self, pages: int) -> None:
        self._stay()
        self.scroll_to(
            y=self.scroll_offset.y + pages * (self._body_height - 1), animate=False, immediate=True
        )

    def _stay(self) -> None:
        """Hold still what is being looked at, where there is anything to scroll."""
        if self.follow and (self.max_scroll_x or self.max_scroll_y):
            self.follow = False
            self.refresh_view()

    def action_detail(self, step: int) -> None:
        wanted = self._shown_level + step
        self._level = Level(min(max(wanted, Level.MARKS), Level.TIMES)) if step else None
        self.refresh_view()
        if self.cursor_key and not self.follow:
            self._show([self.cursor_key])
