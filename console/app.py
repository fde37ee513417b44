"""The console: the screen of one run.

It folds the events that the engine publishes, repaints when something changed, and tells the engine what
the operator chose. It never decides anything about the run, and the engine never waits for it.
"""

import getpass
from collections.abc import AsyncIterable, Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from time import monotonic
from typing import TYPE_CHECKING

from textual import on
from textual.actions import parse
from textual.command import CommandPalette
from textual.screen import Screen
from textual.timer import Timer

from console.actions import ACTIONS, NamedAction, Scope, bindings, of_scope
from console.ahead import keep_looking_ahead
from console.interfering import Interfering
from console.look import one_line
from console.messages import Refreshable, RollbackRequested
from console.notices import Notices, on_terminal
from console.outlook import Outlook
from console.palette import ActionCommands, MoreThemes, TaskCommands, ThemeCommands
from console.panels.canvas import Canvas
from console.review import ReviewFacts
from console.run_view import RunView
from console.screens.review import ReviewScreen
from console.settings.preferences import Preferences
from console.status_line import title_text
from console.underway import adjustable, waiting
from engine.machine import events as ev
from engine.machine.reports import AnyReport, Continue, Decide, Pause, Stop, TakeCheckpoint

# What comes after the review is imported where it is shown, and `_load_the_rest` has it ready by then: so the
# review is there sooner.
if TYPE_CHECKING:
    from console.screens.run import Mode, RunScreen
    from console.screens.stop import StopChoice

REPAINT_S = 1 / 15
"""Seconds between repaints, at the least: events that arrive in between are drawn together."""
REPAINT_SHARE = 3
"""Repainting rests this many times as long as it takes, so that keys are heeded under any load."""
TICK_S = 1.0
FAST_TICK_S = 0.25
"""Seconds between repaints of a run in which nothing happens, so that bars grow with its clock."""

Summary = Callable[[], Screen[None]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _load_the_rest() -> None:
    import console.screens.recovery
    import console.screens.run  # noqa: F401


class ConsoleApp(Interfering):
    """Shows `view`, live or as a record.

    `events` yields what the engine publishes, in batches, until it is gone; those in `view` already are not
    repeated. `review` opens the review screen first, and `on_confirm` is called once, when the operator
    starts the run. `summary` makes the screen that is shown when the run has ended. `speed` is how many
    seconds of the run's clock pass in a real one. `preferences` are the operator's own.

    The app ends by itself: at once where nothing is live, otherwise after the engine has published
    `run_finished` (or is gone) in answer to the `Stop` that leaving sends.
    """

    BINDINGS = bindings("app")
    COMMANDS = {ActionCommands, TaskCommands, MoreThemes}  # noqa: RUF012  # declared so by Textual

    def __init__(
        self,
        view: RunView,
        *,
        mode: "Mode" = "live",
        events: AsyncIterable[Sequence[ev.Event]] | None = None,
        review: ReviewFacts | None = None,
        on_confirm: Callable[[], None] = lambda: None,
        summary: Summary | None = None,
        folder: str = "",
        actor: str = "",
        speed: float = 1.0,
        preferences: Preferences | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        preferences = preferences or Preferences()
        super().__init__(preferences.theme)
        settings, self.memory = preferences.settings, preferences.memory
        self.title = f"wesley-console · {one_line(view.plan.name)}"
        self.view = view
        self.mode = mode
        self.actor = actor or getpass.getuser()
        self.engine_gone = False
        self.leaving = False
        self.outlook: Outlook | None = None
        self.keymap = settings.keymap
        self._now = now
        self._speed = speed
        self.notices = Notices(
            settings, write=self._to_terminal, tell=self._tell_quietly, rehearsal=mode == "train"
        )
        self._incoming = events
        self._review = review
        self._on_confirm = on_confirm
        self.folder = folder
        self._summary = summary or self._finished
        self._tick_s = TICK_S if speed == 1.0 else FAST_TICK_S
        self._offered: set[int] = set()
        self._summary_due = False
        self._repaint_due: Timer | None = None
        self._repainted = 0.0
        self._repaint_cost = 0.0
        self._available: list[str] = []

    @cached_property
    def run_screen(self) -> "RunScreen":
        from console.screens.run import RunScreen

        return RunScreen(
            self.view,
            mode=self.mode,
            now=self._now,
            speed=self._speed,
            keymap=self.keymap,
            hint=self.memory.give_hint,
        )

    @property
    def selected_task(self) -> str:
        return self.run_screen.selected

    def _finished(self) -> Screen[None]:
        from console.screens.finished import FinishedScreen

        return FinishedScreen(self.view, self.folder)

    def on_mount(self) -> None:
        if self.keymap:
            self.set_keymap(self.keymap)
        if self._review:
            self.push_screen(ReviewScreen(self.view, self._review), self._reviewed)
            self.call_after_refresh(self.run_worker, _load_the_rest, thread=True)
        else:
            self._show_run()
        if self._incoming is not None:
            self.run_worker(self._pump(self._incoming))
        if self.mode != "inspect":
            self.set_interval(self._tick_s, self._tick)
            ahead = keep_looking_ahead(
                self.view,
                self._tick_s,
                live=lambda: self.live,
                over=lambda: self.engine_gone,
                show=self._show_outlook,
            )
            self.run_worker(ahead)

    def _reviewed(self, start: bool | None) -> None:
        if start:
            self._show_run()
            self._on_confirm()

    def _show_run(self) -> None:
        self.push_screen(self.run_screen)
        self._stale()

    @property
    def live(self) -> bool:
        """Whether there is a run that leaving would leave behind."""
        attached = self.view.controls is not None and self.mode != "inspect" and not self.engine_gone
        newest = self.view.newest
        return attached and newest.started and not newest.finished

    # -- events in, pictures out -------------------------------------------------------------------

    async def _pump(self, incoming: AsyncIterable[Sequence[ev.Event]]) -> None:
        async for batch in incoming:
            self.view.fold(batch)
            for event in batch:
                self._notice(event)
            self._stale()
        self.engine_gone = self.run_screen.status_line.engine_gone = True
        if self.leaving:
            self.exit()
        self._stale()

    def _show_outlook(self, outlook: Outlook | None) -> None:
        self.outlook = outlook
        if outlook or self.run_screen.is_mounted:
            self.run_screen.show_outlook(outlook or Outlook(None))

    def _notice(self, event: ev.Event) -> None:
        """What an operator is told besides what the panels show."""
        if isinstance(event, ev.QuestionOpened):
            self.run_worker(self.notices.question(event, self.view))
        elif isinstance(event, ev.DecisionRefused):
            self._tell_refused(event)
        elif isinstance(event, ev.InterventionRefused | ev.InterventionEnded):
            self.tell_of_intervention(event)
        elif isinstance(event, ev.CheckpointFailed):
            title = "No checkpoint could be written"
            self.notify(event.reason, title=title, severity="error", markup=False)
        elif isinstance(event, ev.CheckpointSaved) and event.trigger == "manual":
            self.notify(f"Checkpoint {event.checkpoint} is saved", markup=False)
        elif isinstance(event, ev.RunFinished):
            if self.leaving:
                self.exit()
            else:
                self._summary_due = True

    def _tell_refused(self, event: ev.DecisionRefused) -> None:
        """Where the dialog that asked is still open, it tells that itself."""
        from console.recovery.dialog import DecisionDialog

        if not any(isinstance(screen, DecisionDialog) for screen in self.screen_stack):
            what = "the answer" if event.question else event.action
            self.notify(event.why, title=f"Refused: {what}", severity="warning", markup=False)

    def _stale(self) -> None:
        if self._repaint_due is None:
            rest = max(REPAINT_S, REPAINT_SHARE * self._repaint_cost)
            wait = max(self._repainted + rest - monotonic(), 0.001)
            self._repaint_due = self.set_timer(wait, self.repaint_views)

    def _tick(self) -> None:
        """Under a dialog only that is drawn anew while nothing happens: what shows through it would cost a
        repaint of the whole screen."""
        if not self.live:
            return
        if not self.screen.is_modal:
            self._stale()
        elif isinstance(self.screen, Refreshable):
            self.screen.refresh_view()

    def repaint_views(self) -> None:
        self._repaint_due = None
        if not self.screen_stack:
            return  # the app is closing
        began = monotonic()
        for screen in self.screen_stack:
            if isinstance(screen, Refreshable) and screen.is_mounted:
                screen.refresh_view()
        self._repainted = monotonic()
        self._repaint_cost = self._repainted - began
        available = [action.id for action in self.available_actions(self.screen)]
        if available != self._available:
            self._available = available
            self.screen.refresh_bindings()
        self.notices.show_title(title_text(self.view, self.engine_gone))
        self.parting = self.notices.parting
        self._open_next()

    def _to_terminal(self, data: str) -> None:
        if self._driver is not None and not self.is_headless and on_terminal():
            self._driver.write(data)

    def _tell_quietly(self, message: str) -> None:
        self.notify(message, severity="warning", markup=False)

    def _open_next(self) -> None:
        """Open what waits to be seen, unless the operator is busy with a dialog. A question that was put
        aside does not come back by itself: it stays on the status line."""
        if self.screen is not self.run_screen:
            return
        fresh = [number for number in self.view.state.questions if number not in self._offered]
        if fresh and self._may("answer"):
            self._open_question(fresh[0])
        elif self._summary_due:
            self.action_summary()

    def _open_question(self, number: int) -> None:
        self._offered.add(number)
        self.run_screen.select_task(self.view.state.questions[number].task)
        from console.screens.recovery import RecoveryDialog

        self.push_screen(RecoveryDialog(self.view, number, actor=self.actor), self._answered)

    def _answered(self, decision: Decide | None) -> None:
        if decision is None:  # put aside, and with it all that the dialog could have gone on to
            self._offered.update(self.view.state.questions)
        self._stale()

    # -- what can be done --------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        return self._may(action)

    def _may(self, action: str) -> bool:
        """Whether the app's own `action` makes sense as things stand."""
        state = self.view.state
        if action == "summary":
            return self.view.newest.finished
        if action not in _CHANGES:
            return True
        if not self.live or self.view.read_only:
            return False
        settled_on = state.stopping or state.rollback
        return {
            "answer": bool(state.questions),
            "pause": state.operator_pause is None and not settled_on,
            "go_on": state.operator_pause is not None and not settled_on,
            "rollback": not settled_on,
            "lock_wait": bool(waiting(state)),
            "adjust": bool(adjustable(self.view.state)),
        }.get(action, True)

    def available_actions(self, screen: Screen[object]) -> list[NamedAction]:
        """The named actions that make sense on `screen` now, those of the panel in focus included."""
        scopes: list[Scope] = ["app"]
        panel = ""
        if isinstance(screen, ReviewScreen):
            scopes.append("review")
        elif screen is self.run_screen:
            scopes.append("run")
            panel = screen.focused.PANEL if isinstance(screen.focused, Canvas) else ""
        found = []
        for action in of_scope(*scopes, panel=panel):
            namespace, name, parameters = parse(action.target)
            owner = self if namespace == "app" or action.scope == "app" else screen
            if action.panel or owner.check_action(name, parameters):
                found.append(action)
        return found

    def search_themes(self) -> None:
        self.push_screen(CommandPalette([ThemeCommands], placeholder="Which theme?"))

    def choose_theme(self, name: str) -> None:
        """Take theme `name`, next time too."""
        self.theme = name
        self.memory.choose(name)

    def take_picture(self) -> None:
        self.set_timer(0.1, self.deliver_screenshot)  # once the palette is closed

    def _tell(self, report: AnyReport) -> None:
        assert self.view.controls is not None
        self.view.controls.report(report)

    def action_answer(self) -> None:
        self._open_question(next(iter(self.view.state.questions)))

    def action_pause(self) -> None:
        self._tell(Pause(actor=self.actor))

    def action_go_on(self) -> None:
        self._tell(Continue(actor=self.actor))

    def action_checkpoint(self) -> None:
        self._tell(TakeCheckpoint(actor=self.actor))

    @on(RollbackRequested)
    def _rollback_requested(self, message: RollbackRequested) -> None:
        if self._may("rollback"):
            self.action_rollback(message.to)

    def action_rollback(self, to: str = "last") -> None:
        from console.screens.rollback import RollbackDialog

        self.push_screen(RollbackDialog(self.view, actor=self.actor, to=to))

    def action_summary(self) -> None:
        self._summary_due = False
        self.push_screen(self._summary())

    def action_help(self) -> None:
        from console.screens.help import HelpScreen  # late: what it needs for its text takes a while to load

        self.run_screen.hint_taken()
        focused = self.run_screen.focused
        panel = (focused.HELP or "").strip() if focused and self.screen is self.run_screen else ""
        self.push_screen(HelpScreen(self.available_actions(self.screen), self.keymap, panel))

    # -- leaving -----------------------------------------------------------------------------------

    def action_abort(self) -> None:
        self._ask_to_stop(leaving=False)

    async def action_quit(self) -> None:
        if self.live:
            self._ask_to_stop(leaving=True)
        else:
            self.exit()

    def leave(self, *, drain: bool = True, reason: str = "the console was left") -> None:
        """Leave without a question: stop the run where one is live, and end the app when it has stopped."""
        self.leaving = True
        if self.live:
            self._tell(Stop(actor=self.actor, reason=reason, drain=drain))
        else:
            self.exit()

    def action_suspend_process(self) -> None:
        """Not while a run is live: its engine would stand still with the screen, amid what it is doing."""
        if self.live:
            why = "Its engine would stand still, its tasks would not. Use another terminal; p pauses the run."
            self.notify(why, title="Not suspended: a run is live", severity="warning", markup=False)
        else:
            super().action_suspend_process()

    def _ask_to_stop(self, *, leaving: bool) -> None:
        from console.screens.stop import StopDialog

        if not isinstance(self.screen, StopDialog):
            dialog = StopDialog(self.view, leaving=leaving, folder=self.folder)
            self.push_screen(dialog, partial(self._stop, leaving))

    def _stop(self, leaving: bool, choice: "StopChoice | None") -> None:
        if choice is None or not self.live:
            return
        self.leaving = self.leaving or leaving
        reason = "the operator left the console" if leaving else "aborted by the operator"
        self._tell(Stop(actor=self.actor, reason=reason, drain=choice == "drain"))


_CHANGES = frozenset(action.id for action in ACTIONS if action.changes_run)
