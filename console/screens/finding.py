"""Finding a task from the screen of a run: a line to type into, and then from match to match."""

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Footer, Static

from console.actions import Keymap, first_key
from console.find import HINT, Finder
from console.look import one_line
from console.panels.graph import FrontierGraph
from console.screens.line import LineScreen
from console.screens.panels import PanelScreen


class FindScreen(LineScreen):
    """The line that is typed into. Up and down go from match to match already; `place` says at which one is,
    `left` hears of Escape."""

    DEFAULT_CSS = """
    FindScreen #find-place { width: auto; padding: 0 1; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "step(1)", "Next", id="find.next", show=False),
        Binding("up", "step(-1)", "Previous", id="find.previous", show=False),
    ]

    def __init__(
        self,
        value: str,
        *,
        changed: Callable[[str], None],
        stepped: Callable[[int], None],
        place: Callable[[], str],
        left: Callable[[], None],
    ) -> None:
        super().__init__("find", value, HINT, changed)
        self._stepped = stepped
        self._place = place
        self._left = left

    def on_mount(self) -> None:
        self.query_one(Horizontal).mount(Static(self._place(), id="find-place", markup=False))

    def refresh_view(self) -> None:
        self.query_one("#find-place", Static).update(self._place())

    def action_step(self, by: int) -> None:
        self._stepped(by)
        self.refresh_view()

    def action_leave(self) -> None:
        self._left()
        self.dismiss(None)


class FindLine(Static):
    """In place of the footer, once something has been typed: what is looked for, and how far one is."""

    DEFAULT_CSS = """
    FindLine { dock: bottom; height: 1; padding: 0 1; background: $footer-background; display: none; }
    """

    def __init__(self, finder: Finder, keymap: Keymap) -> None:
        super().__init__(markup=False)
        self._finder = finder
        self._keymap = keymap

    def refresh_view(self) -> None:
        keys = [("find_next", "next"), ("find_previous", "previous"), ("unzoom", "ends it")]
        said = [
            Content.assemble("   ", (first_key(action, self._keymap), "bold $accent"), f" {means}")
            for action, means in keys
        ]
        found = [
            ("find ", "bold $accent"),
            (one_line(self._finder.text), ""),
            (f"   {self._finder.place}", "bold"),
        ]
        self.update(Content.assemble(*found, *said))


class FindingScreen(PanelScreen):
    """A screen with a graph to find tasks in."""

    graph: FrontierGraph
    keymap: Keymap
    finder: Finder
    _selected: str
    _following: bool

    def select_task(self, task_id: str) -> None:
        raise NotImplementedError

    def action_find(self) -> None:
        """Open the line; Escape brings back all that it changes: what was selected, found and in sight."""
        selected, following, text = self._selected, self._following, self.finder.text
        place = self.graph.place()

        def look_for(wanted: str) -> None:
            found = self.finder.search(wanted, selected)
            if found:
                self._go_to(found)
            else:
                bring_back()
            self.refresh_finding()

        def bring_back() -> None:
            self._following = following
            self.select_task(selected)
            self.graph.return_to(place)

        def leave() -> None:
            self.finder.search(text, selected)
            bring_back()
            self.refresh_finding()

        line = FindScreen(
            text, changed=look_for, stepped=self._step, place=lambda: self.finder.place, left=leave
        )
        self.app.push_screen(line)

    def action_find_next(self) -> None:
        self._step(1)

    def action_find_previous(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        if found := self.finder.step(by):
            self._go_to(found)
        self.refresh_finding()

    def _go_to(self, task_id: str) -> None:
        self._following = False
        self.select_task(task_id)
        self.graph.reveal(task_id)

    def end_finding(self) -> bool:
        """Forget what was found; False where nothing was looked for."""
        looked = bool(self.finder.text)
        self.finder.search("", None)
        self.refresh_finding()
        return looked

    def refresh_finding(self) -> None:
        """Bring up to date what shows that something is looked for."""
        self.finder.refresh()
        self.graph.mark(self.finder.matches)
        line, footer = self.query_one(FindLine), self.query_one(Footer)
        if line.display is not bool(self.finder.text):
            line.display = bool(self.finder.text)
            footer.display = not line.display
            self.refresh_bindings()
        line.refresh_view()
        for screen in self.app.screen_stack:
            if isinstance(screen, FindScreen) and screen.is_mounted:
                screen.refresh_view()
