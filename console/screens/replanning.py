"""The dialog between an operator and a plan that was changed while its run stood still."""

from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.style import Style
from textual.widgets import Static

from console.look import one_line, plural
from console.theming import ThemedApp
from engine.machine.replanning import RunChange
from engine.runner.replanning import PlanReview

PlanAnswer = Literal["accept", "keep", "leave"]


class PlanChangesDialog(ModalScreen[PlanAnswer]):
    """Dismissed with what holds: the changed plan, the one that the run started with, or neither for now.

    Accepting takes a second, different key; it is not offered where it is barred."""

    DEFAULT_CSS = """
    #plan-changes { height: auto; max-height: 14; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "arm", "Accept the changes"),
        Binding("y", "accept", "Yes, accept them"),
        Binding("k", "keep", "Keep the plan"),
        Binding("escape", "back", "Leave"),
    ]

    def __init__(self, review: PlanReview) -> None:
        super().__init__(classes="dialog")
        self.review = review
        self.armed = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box") as box:
            box.border_title = "The plan was changed"
            yield Static(self._situation())
            with VerticalScroll(id="plan-changes"):
                yield Static(Content("\n").join(map(_line, self.review.changes)))
            yield Static(id="plan-choices")

    def on_mount(self) -> None:
        self.query_one("#plan-changes").focus()
        self._refresh()

    def _situation(self) -> Content:
        count = plural(len(self.review.changes), "change")
        return Content(
            f"{one_line(self.review.run)} started with a plan that is not what its file says now. "
            f"{count} in {one_line(str(self.review.file))}:\n"
        )

    def _refresh(self) -> None:
        self.query_one(".dialog-box").set_class(self.armed, "-dangerous")
        self.query_one("#plan-choices", Static).update(Content("\n").join([Content(""), *self._choices()]))
        self.refresh_bindings()

    def _choices(self) -> list[Content]:
        if self.armed:
            return [
                Content.styled("Go on with the changed plan?", "bold $warning"),
                Content("What is done stays done; what is pending is done as the file says now."),
                Content("That is written into the run's journal, with your name."),
                Content(""),
                _choice("y", "yes, accept the changes", "accept", "$warning"),
                _choice("esc", "no, back", "back"),
            ]
        if self.review.barred:
            offer = Content.styled(f"They cannot be accepted: {one_line(self.review.barred)}.", "$warning")
        else:
            offer = _choice("a", "accept them, and go on with the changed plan", "arm")
        keep = "go on with the plan the run started with, and leave the changes out"
        return [offer, _choice("k", keep, "keep"), _choice("esc", "leave; nothing is started", "back")]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        return {
            "arm": not self.armed and not self.review.barred,
            "accept": self.armed,
            "keep": not self.armed,
        }.get(action, True)

    def action_arm(self) -> None:
        self.armed = True
        self._refresh()

    def action_accept(self) -> None:
        self.dismiss("accept")

    def action_keep(self) -> None:
        self.dismiss("keep")

    def action_back(self) -> None:
        if self.armed:
            self.armed = False
            self._refresh()
        else:
            self.dismiss("leave")


class PlanChangesApp(ThemedApp):
    """Puts the question on a screen of its own, before there is a run to show; `answer` is what it was."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+q", "quit", "Leave", show=False)]

    def __init__(self, review: PlanReview, theme: str = "") -> None:
        super().__init__(theme)
        self.review = review
        self.answer: PlanAnswer = "leave"

    def on_mount(self) -> None:
        self.push_screen(PlanChangesDialog(self.review), self._answered)

    def _answered(self, answer: PlanAnswer | None) -> None:
        self.answer = answer or "leave"
        self.exit()


def _line(each: RunChange) -> Content:
    glyph, style = ("·", "") if each.acceptable else ("!", "$warning")
    return Content.styled(f"{glyph} {each}", style)


def _choice(key: str, text: str, action: str, style: str = "") -> Content:
    line = Content.assemble((f" {key:>3} ", "bold $accent"), " ", (text, style))
    return line.stylize(Style.from_meta({"@click": f"screen.{action}"}))
