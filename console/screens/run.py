"""The screen of a run: live, or looked at afterwards. It lays panels out; what is in them is theirs."""

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, Literal, Protocol, runtime_checkable

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Footer, Static

from console.actions import Keymap, bindings, first_key
from console.find import Finder
from console.messages import MomentSelected, Refreshable, TaskSelected
from console.outlook import Outlook
from console.panels.events import EventsPanel
from console.panels.graph import FrontierGraph
from console.panels.lanes import LanesPanel
from console.panels.task import TaskPanel
from console.panels.timeline import CheckpointTimeline
from console.panels.waves import WavesStrip
from console.run_view import RunView
from console.screens.finding import FindingScreen, FindLine
from console.screens.jump import JumpScreen
from console.screens.small import summary
from console.status_line import MomentLine, StatusLine

Mode = Literal["live", "inspect", "train"]

SMALLEST = (60, 18)
WIDE = 100
TALL = 30
ROOMY = 45
LANES_FRAME = 2
"""Rows of the border of the lanes panel."""
CHECKPOINTS = (4, 8)
"""Rows of the checkpoints panel, border included: at the least, and at the most."""
LEFT = ("graph", "lanes", "checkpoints")
SIDE = ("events", "task")
TITLES = {
    "graph": "1 Graph",
    "lanes": "2 Lanes",
    "checkpoints": "3 Checkpoints",
    "events": "4 Events",
    "task": "5 Task",
}


@runtime_checkable
class ShowsTask(Protocol):
    def select_task(self, task_id: str) -> None: ...


class RunScreen(FindingScreen):
    BINDINGS: ClassVar[list[BindingType]] = bindings("run")
    AUTO_FOCUS = "#graph"

    def __init__(
        self,
        view: RunView,
        *,
        mode: Mode,
        now: Callable[[], datetime],
        speed: float,
        keymap: Keymap,
        hint: Callable[[], bool] = lambda: False,
    ) -> None:
        """`hint` tells whether the first hint is due; asked once, when the screen is shown."""
        super().__init__()
        self.keymap = keymap
        self._hint = hint
        self.view = view
        self.mode = mode
        self.zoomed = ""
        self._selected = ""
        self._following = True
        self.status_line = StatusLine(
            view,
            now=now,
            speed=speed,
            answer_key=first_key("answer", keymap),
            lock_key=first_key("lock_wait", keymap),
            adjust_key=first_key("adjust", keymap),
        )
        self.graph = FrontierGraph(view, id="graph", classes="panel")
        self.graph.keymap = keymap
        self.finder = Finder(view)
        self.lanes_panel = LanesPanel(view, id="lanes", classes="panel")
        self.panels: dict[str, Widget] = {
            "graph": self.graph,
            "lanes": self.lanes_panel,
            "checkpoints": CheckpointTimeline(view, id="checkpoints", classes="panel"),
            "events": EventsPanel(view, id="events", classes="panel"),
            "task": TaskPanel(view, id="task-panel", classes="panel"),
        }

    def compose(self) -> ComposeResult:
        yield self.status_line
        if self.mode == "inspect":
            yield MomentLine(self.view)
        with Vertical(id="whole"):
            yield WavesStrip(self.view, id="waves")
            with Horizontal(id="panels"):
                with Vertical(id="left"):
                    yield from (self.panels[name] for name in LEFT)
                with Vertical(id="side"):
                    yield from (self.panels[name] for name in SIDE)
        yield Static(id="too-small", markup=False)
        yield Static(self._first_hint(), id="first-hint")
        yield FindLine(self.finder, self.keymap)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        for name, panel in self.panels.items():
            panel.border_title = TITLES[name]
        if not self._hint():
            self.query_one("#first-hint").remove()
        self._arrange()
        if not self._selected:
            self.select_task(self.view.graph.critical_path[0])

    @property
    def selected(self) -> str:
        return self._selected

    def refresh_view(self) -> None:
        self.lanes_panel.styles.height = "1fr" if self.zoomed else self._lanes_height()
        self.panels["checkpoints"].styles.height = "1fr" if self.zoomed else self._checkpoints_height()
        if self._selected and self._selected not in self.view.by_id:
            self._select_afresh(self.view.graph.critical_path[0])  # another plan: it is not in that any more
        self._follow()
        for part in (*self.query("StatusLine, MomentLine, WavesStrip"), *self.panels.values()):
            if part.display and isinstance(part, Refreshable):
                part.refresh_view()
        if self.finder.text:
            self.refresh_finding()
        if self.has_class("-tiny"):
            self._show_small()

    def show_outlook(self, outlook: Outlook) -> None:
        """Show what is expected of the run from now on."""
        self.view.expected = outlook
        self.status_line.finish_t = outlook.finish_t
        self.refresh_view()

    def _follow(self) -> None:
        """Until the operator has chosen a task, the selected one is one that is asked about, or running."""
        state = self.view.state
        asked = [question.task for question in state.questions.values() if question.task]
        eligible = asked or state.in_flight
        if self._following and eligible and self._selected not in eligible:
            self._select_afresh(eligible[0])

    def _select_afresh(self, task_id: str) -> None:
        self.graph.select_task(None)  # the graph takes what comes after nothing as not chosen
        self.select_task(task_id)

    def select_task(self, task_id: str) -> None:
        self._selected = task_id
        for panel in self.panels.values():
            if isinstance(panel, ShowsTask):
                panel.select_task(task_id)

    # -- room for panels ---------------------------------------------------------------------------

    def on_resize(self) -> None:
        self._arrange()

    def _room(self) -> set[str]:
        """The panels there is room for. What gives way first is what can be done without longest."""
        width, height = self.app.size
        names = {"graph", "lanes"}
        if height >= TALL:
            names.add("checkpoints")
        if width >= WIDE:
            names.add("task")
        if width >= WIDE and height >= TALL:
            names.add("events")
        return names

    def _lanes_height(self) -> int:
        """What the lanes need, and a row more a lane where there is room to spare; never so much that the
        graph has to suffer."""
        spare = len(self.view.state.lanes) if self.app.size.height >= ROOMY else 0
        return min(self.lanes_panel.needed_height + spare + LANES_FRAME, self.app.size.height * 2 // 5)

    def _checkpoints_height(self) -> int:
        """Less where that lets the graph be seen whole."""
        height = self.panels["checkpoints"].styles.height
        now = int(height.value) if height and height.is_cells else CHECKPOINTS[1]
        return min(max(now - self.graph.lacking, CHECKPOINTS[0]), CHECKPOINTS[1])

    def _arrange(self) -> None:
        width, height = self.app.size
        shown = {self.zoomed} if self.zoomed else self._room()
        self.set_class(width < SMALLEST[0] or height < SMALLEST[1], "-tiny")
        self.set_class(bool(self.zoomed), "-zoomed")
        for name, panel in self.panels.items():
            panel.display = name in shown
        self.query_one("#left").display = bool(shown.intersection(LEFT))
        self.query_one("#side").display = bool(shown.intersection(SIDE))
        self.refresh_view()

    def _show_small(self) -> None:
        shown = {binding.id for _, binding, enabled, _ in self.active_bindings.values() if enabled}
        text = summary(self.view, self.keymap, shown.__contains__, self.app.size.height - 1)
        self.query_one("#too-small", Static).update(text)

    def _first_hint(self) -> Content:
        """What a newcomer needs to find everything else."""
        parts = [
            (first_key("help", self.keymap), "every key"),
            ("1–5", "a panel"),
            (first_key("zoom", self.keymap), "enlarges it"),
            (first_key("palette", self.keymap), "anything by name"),
        ]
        said = [Content.assemble((key, "bold $accent"), f" {means}") for key, means in parts]
        return Content.assemble("New here?  ", Content("   ").join(said))

    def hint_taken(self) -> None:
        self.query("#first-hint").remove()

    def action_panel(self, name: str) -> None:
        if self.zoomed or name not in self._room():
            self.zoomed = name
            self._arrange()
        self.panels[name].focus()

    def action_zoom(self) -> None:
        focused = next((name for name, panel in self.panels.items() if panel.has_focus_within), "")
        self.zoomed = "" if self.zoomed else focused
        self._arrange()

    def action_jump(self) -> None:
        targets = [widget for widget in self.focus_chain if widget.region]
        self.app.push_screen(JumpScreen(targets), self._jumped)

    def _jumped(self, target: Widget | None) -> None:
        if target is not None:
            target.focus()

    def go_to_task(self, task_id: str) -> None:
        self.post_message(TaskSelected(task_id))
        self.action_panel("graph")

    def action_unzoom(self) -> None:
        if self.end_finding():
            return
        if not self.zoomed:
            self._following = True
            self.graph.follow_frontier()
        self.zoomed = ""
        self._arrange()

    # -- looking back ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        if action in _STEPS:
            return self.mode == "inspect" and not self.app.screen.is_modal
        if action in ("find_next", "find_previous"):
            return bool(self.finder.text)
        return True

    def show_moment(self, seq: int) -> None:
        """Show the run as it stood after event `seq`."""
        self.view.show_past(max(seq, 1))
        self.refresh_view()

    def action_step_back(self) -> None:
        self.show_moment(self.view.state.seq - 1)

    def action_step_on(self) -> None:
        self.show_moment(self.view.state.seq + 1)

    def action_checkpoint_back(self) -> None:
        seqs = [checkpoint.seq for checkpoint in self.view.newest.checkpoints.values()]
        self.show_moment(max((seq for seq in seqs if seq < self.view.state.seq), default=1))

    def action_checkpoint_on(self) -> None:
        seqs = [checkpoint.seq for checkpoint in self.view.newest.checkpoints.values()]
        newest = self.view.newest.seq
        self.show_moment(min((seq for seq in seqs if seq > self.view.state.seq), default=newest))

    def action_oldest(self) -> None:
        self.show_moment(1)

    def action_newest(self) -> None:
        self.show_moment(self.view.newest.seq)

    @on(TaskSelected)
    def _task_selected(self, message: TaskSelected) -> None:
        if message.task_id in self.view.by_id:  # what was done earlier may be gone from the plan
            self._following = False
            self.select_task(message.task_id)

    @on(MomentSelected)
    def _moment_selected(self, message: MomentSelected) -> None:
        if self.mode == "inspect":
            self.show_moment(message.seq)


_STEPS = frozenset({"step_back", "step_on", "checkpoint_back", "checkpoint_on", "oldest", "newest"})
