"""Training on the screen: choose a drill, read what it is about, and see what came of each decision."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from console.look import one_line, plural
from console.recovery.widgets import Fact, Hint, Hints
from console.run_view import RunView
from console.sentences import mark_of, sentence
from console.terminal.leaving import show
from console.theming import ThemedApp
from console.training.drills import LoadedDrill, drill_titles, load_drill
from console.training.score import Decision, DrillScore, headline, leftovers, score_drill, timing
from engine.forecast.consequences import expected_finish
from engine.graph import Graph
from engine.machine.state import State
from engine.plan.durations import format_duration


class DrillList(ModalScreen[str | None]):
    """Ends with the name of the drill that was chosen, or None."""

    DEFAULT_CSS = """
    DrillList {
        & OptionList { height: auto; max-height: 14; border: none; padding: 0; background: transparent;
                       text-wrap: nowrap; text-overflow: ellipsis; }
        & OptionList:focus { border: none; }
        & #briefing { height: auto; max-height: 10; margin: 1 0; padding: 1 1 0 1; border-top: solid $frame; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", "Leave", show=False)]

    def __init__(self) -> None:
        super().__init__(classes="dialog")
        self._titles = drill_titles()

    def compose(self) -> ComposeResult:
        width = max(map(len, self._titles), default=0)
        with Vertical(classes="dialog-box") as box:
            box.border_title = "Drills"
            yield OptionList(
                *(
                    Option(Content.assemble((f" {name:{width}}  ", "bold $accent"), one_line(title)), id=name)
                    for name, title in self._titles.items()
                ),
                markup=False,
            )
            yield Static(id="briefing")
            yield Hints(Hint("↑↓", "look"), Hint("enter", "choose"), Hint("esc", "leave", "screen.leave"))

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, message: OptionList.OptionHighlighted) -> None:
        assert message.option_id
        self.query_one("#briefing", Static).update(
            Content(one_line(load_drill(message.option_id).drill.briefing))
        )

    @on(OptionList.OptionSelected)
    def _selected(self, message: OptionList.OptionSelected) -> None:
        self.dismiss(message.option_id)

    def action_leave(self) -> None:
        self.dismiss(None)


class DrillBriefing(ModalScreen[bool]):
    """What a drill is about. Ends with whether it is to be started. What goes wrong in it is not told."""

    DEFAULT_CSS = "DrillBriefing Hints { margin-top: 1; padding: 0; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,s", "start", "Start", show=False),
        Binding("escape,q", "leave", "Leave", show=False),
    ]

    def __init__(self, drill: LoadedDrill) -> None:
        super().__init__(classes="dialog")
        self.drill = drill

    def compose(self) -> ComposeResult:
        drill, plan = self.drill.drill, self.drill.plan.plan
        expected = expected_finish(State(plan), Graph(plan)) or 0.0
        with VerticalScroll(classes="dialog-box", can_focus=False) as box:
            box.border_title = f"Drill: {one_line(drill.title)}"
            yield Static(Content(one_line(drill.briefing)), classes="section")
            yield Fact("plan", f"{one_line(plan.name)}: {plural(len(plan.tasks), 'task')} on "
                       f"{plural(plan.workers, 'lane')}, {plan.model} model")  # fmt: skip
            yield Fact("clock", f"{drill.speed:g} times the real one; if nothing went wrong, done in "
                       f"{format_duration(expected / drill.speed)}")  # fmt: skip
            yield Fact("effects", "none: every task is simulated, and so is every failure")
            yield Fact("asked", "a question opens by itself; esc puts it aside, r opens it again")
            yield Hints(Hint("enter", "start", "screen.start"), Hint("esc", "leave", "screen.leave"))

    def action_start(self) -> None:
        self.dismiss(True)

    def action_leave(self) -> None:
        self.dismiss(False)


class DrillReport(ModalScreen[None]):
    """What the operator made of the drill: each decision, the time it took, what followed; and the lesson."""

    DEFAULT_CSS = """
    DrillReport {
        & .section { margin-bottom: 1; }
        & .made { text-style: bold; }
        & .made > .label { color: $accent; }
        & #lesson { border-top: solid $frame; border-title-color: $accent; border-title-style: bold;
                    height: auto; }
        & #lesson Static { height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,s", "look_around", "Look around", show=False),
        Binding("q", "app.quit", "Quit", show=False),
    ]

    def __init__(self, view: RunView, drill: LoadedDrill) -> None:
        super().__init__(classes="dialog")
        self.score: DrillScore = score_drill(view.events, drill)

    def compose(self) -> ComposeResult:
        score = self.score
        with VerticalScroll(classes="dialog-box -broad") as box:
            box.border_title = f"Drill: {one_line(score.drill.drill.title)}"
            box.border_subtitle = "↑↓ scroll · esc looks around · q leaves"
            yield Static(Content(headline(score)), classes="section")
            for decision in score.decisions:
                with Vertical(classes="section"):
                    yield from _decision(decision)
            if not score.decisions:
                yield Static(Content("Nobody had to decide anything."), classes="section")
            for text in leftovers(score):
                yield Static(Content.styled(text, "$warning"), classes="section")
            with Vertical(id="lesson") as lesson:
                lesson.border_title = " What there is to learn "
                yield Static(Content(one_line(score.drill.drill.lesson)))

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_look_around(self) -> None:
        self.dismiss(None)


def _decision(decision: Decision) -> ComposeResult:
    if decision.asked:
        mark = mark_of(decision.asked)
        yield Static(Content.assemble((mark.glyph, f"${mark.colour}"), f" {sentence(decision.asked)}"))
    yield Fact(f"  {timing(decision)}", sentence(decision.made), width=19, rows=0, classes="made")
    for label, text in decision.followed():
        yield Fact(f"  {label}", text, width=19, rows=0)


class TrainingApp(ThemedApp):
    """Before a drill: the list, unless `name` says which, and the briefing. `chosen` is what to start."""

    def __init__(self, name: str = "", theme: str = "") -> None:
        super().__init__(theme)
        self.chosen: LoadedDrill | None = None
        self._drill = load_drill(name) if name else None

    def on_mount(self) -> None:
        if self._drill:
            self._brief(self._drill)
        else:
            self._offer()

    def _offer(self) -> None:
        self.push_screen(DrillList(), self._picked)

    def _picked(self, name: str | None) -> None:
        if name is None:
            self.exit()
        else:
            self._brief(load_drill(name))

    def _brief(self, drill: LoadedDrill) -> None:
        def briefed(start: bool | None) -> None:
            if start:
                self.chosen = drill
            if start or self._drill:
                self.exit()
            else:
                self._offer()

        self.push_screen(DrillBriefing(drill), briefed)


def choose_drill(name: str = "", theme: str = "") -> LoadedDrill | None:
    """Let the operator choose a drill, or read about drill `name`; the drill to start, or None.

    Raises PlanErrors where there is no such drill, or where it is not right."""
    app = TrainingApp(name, theme)
    show(app)
    return app.chosen
