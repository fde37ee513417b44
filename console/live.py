"""The console on a run that is carried out: engine and screen side by side in one task group.

Whichever ends first, the other is told and waited for: an engine is never dropped because a screen went
away, and a screen never freezes because an engine did.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from console.app import ConsoleApp
from console.collecting import spare_what_there_is
from console.exits import Exit, exit_code
from console.review import ReviewFacts
from console.run_view import RunView
from console.settings.preferences import load_preferences
from console.terminal.leaving import leave_on_signals
from engine.graph import Graph
from engine.journal.rundir import RunDir, new_run_id, run_dir
from engine.machine import reports as rep
from engine.machine.state import State
from engine.plan.load import LoadedPlan
from engine.plan.models import Plan
from engine.runner.core import Runner
from engine.runner.feed import Feed
from engine.runner.kept import OutputShelf
from engine.runner.opening import OpenRun, Options, new_run, resumed_run
from engine.runner.replanning import PlanDecision, keep_plan

if TYPE_CHECKING:
    from console.training.drills import LoadedDrill

_NOTICE_S = 15.0
"""How long a notice stays: it may hold an address that somebody wants to copy."""

Opener = Callable[[], AbstractContextManager[OpenRun]]


class Remote:
    """The screen's way to an engine that may not have started yet, or may be gone already."""

    def __init__(self) -> None:
        self.runner: Runner | None = None

    def report(self, report: rep.AnyReport) -> None:
        if self.runner:
            self.runner.report(report)

    def now_t(self) -> float:
        return self.runner.now_t() if self.runner else 0.0

    def trouble(self) -> str:
        return self.runner.trouble if self.runner else ""

    def opening(self) -> str:
        return self.runner.opening if self.runner else ""


class Session:
    """One run on the screen. `open_run` makes this process the run's owner; it is left as soon as the engine
    has ended, so that the run can be taken up elsewhere while this screen is still being read."""

    def __init__(self, plan: Plan, options: Options, open_run: Opener) -> None:
        self.remote = Remote()
        self.view = RunView(plan, controls=self.remote, output=self._output)
        self.feed = Feed()
        self._options = options
        self._open_run = open_run
        self._kept: OutputShelf | None = None
        self._confirmed = anyio.Event()
        self._engine_ended = anyio.Event()
        self._error: BaseException | None = None

    def confirm(self) -> None:
        """The operator wants the run to be carried out."""
        self._confirmed.set()

    def show(self, app: ConsoleApp) -> State:
        """Show the run until the operator leaves; the state it was left in. Raises what ended the engine."""
        anyio.run(self._side_by_side, app)
        if self._error:
            raise self._error
        return self.view.newest

    async def _side_by_side(self, app: ConsoleApp) -> None:
        async with anyio.create_task_group() as both:
            both.start_soon(self._engine, app)
            both.start_soon(leave_on_signals, app, self._checkpoint)
            await app.run_async()
            if self._confirmed.is_set():
                leaving = rep.Stop(actor=self._options.actor, reason="the console was closed", drain=False)
                self.remote.report(leaving)
                await self._engine_ended.wait()
                async for batch in self.feed:  # the app takes no more, but what came of the run is to be told
                    self.view.fold(batch)
            both.cancel_scope.cancel()

    async def _engine(self, app: ConsoleApp) -> None:
        await self._confirmed.wait()
        try:
            with self._open_run() as run:
                self._kept = OutputShelf(run.rundir)
                self.remote.runner = run.runner
                run.runner.watched_by(self.feed)
                run.runner.on_notice = partial(_notify, app)
                spare_what_there_is()
                await run.runner.run()
        except Exception as error:
            # The terminal is the screen's until it has left it: say what happened after that.
            self._error = error
            self.feed.close()
            app.exit()
        finally:
            self.remote.runner = None
            self._engine_ended.set()

    def _checkpoint(self, number: signal.Signals) -> None:
        self.remote.report(rep.TakeCheckpoint(actor=self._options.actor, reason=number.name))

    def _output(self, task: str, attempt: int) -> Sequence[str]:
        return self._kept(task, attempt) if self._kept else ()


def _notify(app: ConsoleApp, text: str, *, passing: bool = False) -> None:
    """Show a line about the run's targets; what is soon over stands in the status line meanwhile."""
    if not passing:
        app.notify(text, timeout=_NOTICE_S, markup=False)


def show_new(loaded: LoadedPlan, plan: Plan, state_dir: Path, run_id: str, options: Options) -> Exit:
    """The console on a plan: review first; nothing of the run exists until it is confirmed."""
    preferences = load_preferences()
    session = Session(plan, options, lambda: new_run(loaded, plan, state_dir, run_id, options))
    review = ReviewFacts(
        run=run_id,
        folder=str(run_dir(state_dir, run_id).path),
        plan_file=str(loaded.path),
        simulated=options.simulate,
        speed=options.speed,
        on_unknown=options.on_unknown,
        forecast=lambda: _expected_length(plan),
    )
    app = ConsoleApp(
        session.view,
        events=session.feed,
        review=review,
        on_confirm=session.confirm,
        folder=str(run_dir(state_dir, run_id).path),
        actor=options.actor,
        speed=options.speed,
        preferences=preferences,
    )
    return _told(session.show(app), run_dir(state_dir, run_id))


def _expected_length(plan: Plan) -> float:
    from engine.forecast.consequences import expected_finish  # late: it is asked for once the review is shown

    return expected_finish(State(plan), Graph(plan)) or 0.0


def show_resumed(rundir: RunDir, options: Options, on_plan: PlanDecision) -> Exit:
    """The console on a run that exists. Raises NothingToResume, and what opening the run raises."""
    preferences = load_preferences()
    session = _taken_up(rundir, options, on_plan)
    app = ConsoleApp(
        session.view,
        events=session.feed,
        folder=str(rundir.path),
        actor=options.actor,
        speed=options.speed,
        preferences=preferences,
    )
    return _told(session.show(app), rundir)


def _taken_up(rundir: RunDir, options: Options, on_plan: PlanDecision = keep_plan) -> Session:
    stack = ExitStack()
    run = stack.enter_context(resumed_run(rundir, options, on_plan))

    @contextmanager
    def opened() -> Iterator[OpenRun]:
        with stack:
            yield run

    session = Session(run.plan, run.options, opened)
    session.view.fold(run.events)
    session.confirm()
    return session


def show_drill(drill: "LoadedDrill", state_dir: Path, options: Options) -> Exit:
    """A drill on the console. Its briefing was the review: it starts at once, and ends with its report."""
    from console.screens.training import DrillReport
    from console.training.cut_off import begin_and_cut_off
    from console.training.score import render_score, score_drill

    plan = drill.plan.plan
    run_id = new_run_id(f"drill {drill.name}", datetime.now(UTC))
    if drill.drill.dies_in:
        session = _taken_up(begin_and_cut_off(drill, state_dir, run_id, options), options)
    else:
        session = Session(plan, options, lambda: new_run(drill.plan, plan, state_dir, run_id, options))
        session.confirm()
    app = ConsoleApp(
        session.view,
        mode="train",
        events=session.feed,
        summary=lambda: DrillReport(session.view, drill),
        folder=str(run_dir(state_dir, run_id).path),
        actor=options.actor,
        speed=options.speed,
        preferences=load_preferences(),
    )
    state = session.show(app)
    print(render_score(score_drill(session.view.events, drill)))
    return exit_code(state) if state.started else Exit.OK


def _told(state: State, rundir: RunDir) -> Exit:
    """Say on the terminal, now that it is the shell's again, what came of the run."""
    from console.headless import closing_lines  # late: the screen comes first

    for line in closing_lines(state, rundir):
        print(line)
    return exit_code(state) if state.started else Exit.OK
