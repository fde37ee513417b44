"""A live run for the console to show: the engine's own machine, with the test as the world around it."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from textual.pilot import Pilot

from console.app import ConsoleApp
from console.run_view import RunView
from engine.machine import commands as cmd
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.core import Machine
from engine.plan.models import FailureClass, Plan, parse_plan_data
from engine.runner.feed import Feed

START = datetime(2026, 3, 14, 2, 0, tzinfo=UTC)


def plan(**changes: Any) -> Plan:
    """Five tasks on two lanes: `a` and `b` at once, then `c` and `d`, and `e` at the end."""
    tasks = [
        {"id": "a", "duration": "10m", "rollback": {"shell": "undo a"}},
        {"id": "b", "duration": "20m", "rollback": {"shell": "undo b"}, "phase": "expand"},
        {"id": "c", "needs": ["a"], "duration": "10m", "rollback": {"shell": "undo c"}},
        {"id": "d", "needs": ["a", "b"], "duration": "10m", "risk": 0.8, "critical": True},
        {"id": "e", "needs": ["c", "d"], "duration": "5m", "name": "Swap [b]all[/b] [$x] views"},
    ]
    named = [{"run": {"shell": f"do {task['id']}"}, **task} for task in tasks]
    return parse_plan_data({"wesley": 1, "name": "move house", "workers": 2, "tasks": named, **changes})


class LiveRun:
    """The controls of a run whose tasks end when the test says so. Checkpoints are written at once."""

    def __init__(self, of: Plan | None = None) -> None:
        self.plan = of or plan()
        self.feed = Feed()
        self.reports: list[rep.AnyReport] = []
        self.cancelled: list[str] = []
        self.machine_events: list[ev.Event] = []
        self.t = 0.0
        self.machine = Machine(self.plan)
        self.view = RunView(self.plan, controls=self)
        self._attempts: Counter[str] = Counter()

    # -- what the screen sees ------------------------------------------------------------------------

    def report(self, report: rep.AnyReport) -> None:
        self.reports.append(report)
        self.happens(report)

    def now_t(self) -> float:
        return self.t

    def trouble(self) -> str:
        return ""

    def opening(self) -> str:
        return ""

    # -- what the test does --------------------------------------------------------------------------

    def begin(self) -> None:
        self.happens(rep.Begin(run="r1", plan_hash="", actor="ana"))

    def happens(self, report: rep.AnyReport) -> None:
        step = self.machine.handle(report, rep.Now(self.t, START + timedelta(seconds=self.t)))
        self.machine_events.extend(step.events)
        self.feed.publish(list(step.events))
        for command in list(step.commands):
            self._carry_out(command)

    def succeed(self, *tasks: str, after: float = 60.0) -> None:
        self.t += after
        for task in tasks:
            self.happens(rep.Succeeded(task=task, attempt=self._attempts[task]))

    def fail(
        self, task: str, reason: str = "exit 3", failure_class: str = "unknown", after: float = 60
    ) -> None:
        self.t += after
        self.happens(
            rep.Failed(
                task=task,
                attempt=self._attempts[task],
                failure_class=FailureClass(failure_class),
                reason=reason,
                rule="the test says so",
            )
        )

    def end_cancelled(self) -> None:
        """What was told to end has ended, leaving nothing behind."""
        for task in self.cancelled:
            done = rep.Cancelled(task=task, attempt=self._attempts[task], effect="none", reason="ended")
            self.happens(done)

    def _carry_out(self, command: cmd.AnyCommand) -> None:
        match command:
            case cmd.StartTask(task=task, attempt=attempt):
                self._attempts[task] = attempt
            case cmd.CancelTask(task=task):
                self.cancelled.append(task)
            case cmd.SaveCheckpoint(checkpoint=checkpoint, trigger=trigger, position=position):
                self.happens(
                    rep.CheckpointWritten(
                        checkpoint=checkpoint, trigger=trigger, position=position, position_hash=""
                    )
                )
            case cmd.Finish():
                self.feed.close()

    def taken_in(self) -> Self:
        """The same run, with all that has happened in its view already, as if it had been resumed."""
        self.view.fold(self.machine_events[len(self.view.events) :])
        self.feed = Feed()
        return self

    def told(self, kind: type[rep.Report]) -> list[Any]:
        """The reports of `kind` that came from the screen."""
        return [report for report in self.reports if isinstance(report, kind)]

    def events(self, kind: type[ev.Event]) -> list[Any]:
        return [event for event in self.view.events if isinstance(event, kind)]


class Desk:
    """An operator at the console of `run`."""

    def __init__(self, pilot: Pilot[None], run: LiveRun) -> None:
        assert isinstance(pilot.app, ConsoleApp)
        self.pilot = pilot
        self.app = pilot.app
        self.run = run

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def settle(self) -> None:
        """Wait until the screen has taken in all that has happened, and has drawn it."""
        while self.app.is_running and self.run.view.newest.seq < self.run.machine.state.seq:
            await self.pilot.pause()
        await self.pilot.pause()
        if self.app.is_running:
            self.app.repaint_views()
            await self.pilot.pause()

    @property
    def status(self) -> str:
        """The line on top, as plain text."""
        return self.app.run_screen.status_line.render().plain

    @property
    def footer(self) -> str:
        """The labels of the actions that the footer offers."""
        shown = self.app.screen.active_bindings.values()
        return " ".join(active.binding.description for active in shown if active.binding.show)
