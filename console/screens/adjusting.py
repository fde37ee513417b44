"""How a backfill goes, set while it runs: without asking twice, since it can always be set back. To end it
takes a second key."""

import bisect
import getpass
from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.style import Style
from textual.widgets import Static

from console.look import STATUS
from console.recovery.widgets import Hint, Hints
from console.run_view import RunView
from console.underway import bar, progress, progress_words
from engine.machine import reports as rep
from engine.machine.underway import attempt_in_flight
from engine.plan.durations import format_duration
from engine.plan.models import Backfill

_Dial = Literal["batch", "pause"]
_BATCHES = tuple(float(n * 10**k) for k in range(7) for n in (1, 2, 5))
_PAUSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_LABEL = 22
_BAR = 30


_ENDS = (
    "The batch under way is undone; those before it stay, and are known. Then the run asks: "
    "a retry goes on behind the last key, or skip it, or roll back."
)


class Setting(NamedTuple):
    """What a backfill goes by; None leaves it to the plan. `pause` is in seconds."""

    batch: float | None = None
    pause: float | None = None
    held: bool = False


class AdjustDialog(ModalScreen[None]):
    """Sets how the backfill `task` goes on: in this attempt and in later ones. Each change is recorded."""

    DEFAULT_CSS = """
    AdjustDialog { align: center middle;
        & #dialog { width: 84; max-width: 96%; height: auto; max-height: 96%; padding: 0 1;
                    background: $surface; border: round $accent; border-title-color: $accent;
                    border-title-style: bold; }
        & #progress { height: auto; padding: 0 1; }
        & #dials { height: auto; padding: 0 1; margin-top: 1; link-color: $foreground; link-style: none; }
        & #ending { height: auto; padding: 0 1; margin-top: 1; }
        & #hints { margin-top: 1; }
    }
    """
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Leave it", id="adjust.back", show=False),
        Binding("up,k,down,j,tab", "other", "The other one", id="adjust.other", show=False),
        Binding("left,minus", "turn(-1)", "Less", id="adjust.less", show=False),
        Binding("right,plus,equals_sign", "turn(1)", "More", id="adjust.more", show=False),
        Binding("h", "hold", "Hold, or go on", id="adjust.hold", show=False),
        Binding("p", "as_planned", "As planned", id="adjust.planned", show=False),
        Binding("enter", "apply", "Apply", id="adjust.apply", show=False),
        Binding("c", "end", "End this attempt", id="adjust.end", show=False),
        Binding("y", "confirm", "Yes, end it", id="adjust.confirm", show=False),
    ]

    def __init__(self, view: RunView, task: str, *, actor: str = "") -> None:
        super().__init__()
        self.view = view
        self.task_id = task
        self.actor = actor or getpass.getuser()
        self._dial: _Dial = "batch"
        self._draft = self.setting
        self._drafted_on = self.setting
        self._ending = False
        """Whether the next key may end the attempt."""

    @property
    def planned(self) -> Backfill:
        backfill = self.view.by_id[self.task_id].run.backfill
        assert backfill is not None, f"{self.task_id} is no backfill"
        return backfill

    @property
    def setting(self) -> Setting:
        """What it goes by now."""
        made = self.view.newest.tasks[self.task_id].adjusted
        if made is None:
            return Setting()
        return Setting(None if made.batch is None else float(made.batch), made.pause_s, made.held)

    # -- what is shown -------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(id="progress")
            yield Static(id="dials")
            yield Static(id="ending")
            yield Hints()

    def on_mount(self) -> None:
        self.query_one("#dialog").border_title = f"How {self.task_id} goes"
        self._show()

    def refresh_view(self) -> None:
        if self.is_mounted:
            self._show()

    def _show(self) -> None:
        if self.setting != self._drafted_on:
            self._draft, self._drafted_on = self._carried_over(self.setting), self.setting
        self.query_one("#progress", Static).update(self._progress())
        self.query_one("#dials", Static).update(self._dials())
        ending = self.query_one("#ending", Static)
        ending.display = self._ending
        ending.update(Content.assemble(("End this attempt?  ", "bold $warning"), _ENDS))
        self.query_one(Hints).show(self._hints())

    def _carried_over(self, now: Setting) -> Setting:
        """What has been turned and is not set yet, on top of what it goes by now."""
        draft, before = self._draft, self._drafted_on
        batch = now.batch if draft.batch == before.batch else draft.batch
        pause = now.pause if draft.pause == before.pause else draft.pause
        return Setting(batch, pause, now.held)

    def _progress(self) -> Content:
        task = self.view.state.tasks[self.task_id]
        told = progress(task)
        mark = STATUS[task.status]
        head = (f"{mark.glyph} {mark.word}", f"bold ${mark.colour}")
        if told is None:
            return Content.assemble(head, ("  nothing is known of how far it is", "$quiet"))
        drawn = bar(told, _BAR)
        return Content.assemble(head, "  ", (drawn, f"${mark.colour}"), "\n", progress_words(task.underway))

    def _dials(self) -> Content:
        planned, draft = self.planned, self._draft
        batch, pause = draft.batch or planned.batch, planned.pause if draft.pause is None else draft.pause
        rows = [
            self._row("batch", "rows a batch", f"{batch:,.0f}", f"{planned.batch:,}"),
            self._row("pause", "pause between them", format_duration(pause), format_duration(planned.pause)),
        ]
        held = ("   held   nothing is written until it goes on", "bold $warning")
        goes = (f"{'no':^9}", "bold")
        rows.append(Content.assemble(f"  {'held back':<{_LABEL + 2}}", held if draft.held else goes))
        return Content("\n").join(rows)

    def _row(self, dial: _Dial, label: str, value: str, planned: str) -> Content:
        chosen = dial == self._dial
        changed = getattr(self._draft, dial) != getattr(self.setting, dial)
        click = Style.from_meta({"@click": f"screen.choose('{dial}')"})
        return Content.assemble(
            ("▸ " if chosen else "  ", "bold $accent"),
            Content.styled(f"{label:<{_LABEL}}", "bold" if chosen else "").stylize(click),
            ("◂ " if chosen else "  ", "$accent"),
            (f"{value:^9}", "bold $warning" if changed else "bold"),
            (" ▸" if chosen else "  ", "$accent"),
            (f"   planned: {planned}" + (", not set yet" if changed else ""), "$quiet"),
        )

    def _hints(self) -> Iterator[Hint]:
        if self._ending:
            yield Hint("y", "yes, end it", "screen.confirm")
            yield Hint("esc", "no", "screen.back")
            return
        yield Hint("←→", "change")
        if self._draft != self.setting:
            yield Hint("enter", "apply", "screen.apply")
        yield Hint("h", "go on" if self.setting.held else "hold", "screen.hold")
        yield Hint("p", "planned", "screen.as_planned")
        yield Hint("c", "end it", "screen.end")
        yield Hint("esc", "leave", "screen.back")

    # -- keys ----------------------------------------------------------------------------------------

    def action_choose(self, dial: _Dial) -> None:
        self._dial = dial
        self._show()

    def action_other(self) -> None:
        self.action_choose("pause" if self._dial == "batch" else "batch")

    def action_turn(self, steps: int) -> None:
        batch = self._dial == "batch"
        planned = float(self.planned.batch) if batch else self.planned.pause
        value = self._draft.batch if batch else self._draft.pause
        now = planned if value is None else value
        offered = sorted({*(_BATCHES if batch else _PAUSES), planned, now})
        at = min(max(bisect.bisect_left(offered, now) + steps, 0), len(offered) - 1)
        wanted = None if offered[at] == planned else offered[at]
        self._draft = self._draft._replace(batch=wanted) if batch else self._draft._replace(pause=wanted)
        self._show()

    def action_as_planned(self) -> None:
        self._draft = Setting(held=self._draft.held)
        self._show()

    def action_hold(self) -> None:
        """At once, with all else as it is applied: there may be no time to lose."""
        self._send(self.setting._replace(held=not self.setting.held))

    def action_apply(self) -> None:
        if self._draft != self.setting:
            self._send(self._draft)

    def _send(self, wanted: Setting) -> None:
        if self.view.controls:
            self.view.controls.report(
                rep.Adjust(
                    task=self.task_id,
                    batch=None if wanted.batch is None else int(wanted.batch),
                    pause_s=wanted.pause,
                    held=wanted.held,
                    actor=self.actor,
                )
            )

    def action_end(self) -> None:
        """The way to an answer while it is under way: what is asked then can be a rollback, too."""
        self._ending = attempt_in_flight(self.view.newest, self.task_id) is not None
        self._show()

    def action_confirm(self) -> None:
        state = self.view.newest
        flight = attempt_in_flight(state, self.task_id)
        if self._ending and flight and self.view.controls:
            attempt, purpose = flight
            self.view.controls.report(
                rep.Intervene(
                    task=self.task_id,
                    attempt=attempt,
                    purpose=purpose,
                    action="cancel_own",
                    actor=self.actor,
                    on_seq=state.seq,
                )
            )
            self.dismiss(None)

    def action_back(self) -> None:
        if self._ending:
            self._ending = False
            self._show()
        else:
            self.dismiss(None)
