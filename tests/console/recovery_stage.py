"""A run in virtual time for dialogs to act on: the engine's own machine answers what the operator decides."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from textual import events
from textual.app import ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input, Static

from console.recovery.dialog import DecisionDialog
from console.recovery.widgets import Confirm, Menu
from console.run_view import RunView
from console.screens.recovery import RecoveryDialog
from console.theming import ThemedApp
from engine.forecast.faults import Faults
from engine.forecast.simulation import Simulation, everything_succeeds
from engine.machine import reports as rep
from engine.machine.events import Origin, Purpose, TaskStarted
from engine.machine.fold import replay
from engine.machine.forking import Fork, fork, outlook
from engine.machine.state import State
from engine.plan.models import Plan, Task, parse_plan_data

START = datetime(2026, 3, 14, 2, 0, tzinfo=UTC)
OUTPUT = [f"batch {n}: 500 rows" for n in range(1, 41)] + ["unexpected NULL in total at order 105 637"]


def _sql(text: str) -> dict[str, str]:
    return {"sql": text, "on": "shop"}


def small_plan(**changes: dict[str, Any]) -> Plan:
    """Eight tasks on two lanes; `changes` are by task id, with `_` for `-`."""
    tasks: list[dict[str, Any]] = [
        {"id": "create", "name": "Create the totals", "run": _sql("CREATE TABLE totals (id INTEGER)"),
         "rollback": _sql("DROP TABLE totals"), "duration": "1m", "phase": "expand"},
        {"id": "tell", "name": "Tell the warehouse", "run": {"shell": "./tell.sh | tee told"},
         "needs": ["create"], "duration": "1m", "phase": "expand"},
        {"id": "fill", "name": "Write every total in cents", "needs": ["create"], "duration": "10m",
         "run": {"shell": "python3 fill.py --batch 500\n./count.sh"}, "rollback": _sql("DELETE FROM totals"),
         "phase": "backfill", "risk": 0.5, "critical": True, "verify": _sql("SELECT count(*) FROM totals")},
        {"id": "index", "needs": ["fill"], "duration": "5m", "phase": "backfill",
         "run": _sql("CREATE INDEX i ON totals (id)"), "rollback": _sql("DROP INDEX i")},
        {"id": "check", "needs": ["fill"], "duration": "2m", "phase": "validate", "run": {"shell": "./check"},
         "rollback": {"shell": "true"}},
        {"id": "switch", "name": "Read from the new totals", "needs": ["index", "check", "tell"],
         "duration": "1m", "phase": "switch", "risk": 0.8, "run": _sql("UPDATE settings SET totals = 'new'"),
         "critical": True, "rollback": _sql("UPDATE settings SET totals = 'old'")},
        {"id": "other", "duration": "20m", "phase": "expand", "run": {"shell": "./other"},
         "rollback": {"shell": "./undo-other"}},
        {"id": "after", "needs": ["other"], "duration": "1m", "phase": "validate", "run": {"shell": "true"}},
    ]  # fmt: skip
    for task in tasks:
        task.update(changes.get(task["id"], {}))
    return parse_plan_data(
        {
            "wesley": 1,
            "name": "totals",
            "workers": 2,
            "targets": {"shop": {"sqlite": "shop.db"}},
            "phases": ["expand", "backfill", "validate", "switch"],
            "tasks": tasks,
        }
    )


class Stage:
    """`faults` as in a faults file; the first attempt at the task of `doubtful`, or at its rollback,
    ends in doubt.

    The engine answers reports at once while `connected`; otherwise `answer` makes it do so."""

    def __init__(
        self,
        *faults: dict[str, Any],
        plan: Plan | None = None,
        doubtful: tuple[str, Purpose] | None = None,
        connected: bool = True,
        begin: bool = True,
    ) -> None:
        self.plan = plan or small_plan()
        told = Faults.model_validate({"faults": faults}).outcomes(everything_succeeds)

        def outcomes(task: Task, attempt: int, purpose: Purpose) -> tuple[float, rep.Report]:
            if (task.id, purpose) == doubtful and attempt == 1:
                lost = "the connection was lost at COMMIT"
                return 60.0, rep.InDoubt(task=task.id, attempt=attempt, purpose=purpose, reason=lost)
            return told(task, attempt, purpose)

        self.simulation = Simulation(self.plan, outcomes=outcomes)
        self.connected = connected
        self.idle_s = 0.0
        """Seconds that the run's clock has gone on since the last event."""
        self.reports: list[rep.AnyReport] = []
        self.view = RunView(self.plan, controls=self, output=lambda _task, attempt: OUTPUT if attempt else ())
        if begin:
            self.go_on()

    # -- what a screen sees as Controls --------------------------------------------------------------

    def report(self, report: rep.AnyReport) -> None:
        self.reports.append(report)
        if self.connected:
            self.answer(report)

    def now_t(self) -> float:
        return self.simulation.state.t + self.idle_s

    def trouble(self) -> str:
        return ""

    def opening(self) -> str:
        return ""

    # -- what a test does ----------------------------------------------------------------------------

    def answer(self, report: rep.AnyReport) -> None:
        """The engine takes `report`, and goes on as far as it can without an operator."""
        self.simulation.report(report)
        self.go_on()

    def go_on(self) -> None:
        self.simulation.run()
        self.view.fold(self.simulation.events[len(self.view.events) :])

    @property
    def question(self) -> int:
        """The number of the first open question."""
        return min(self.view.state.questions)

    @property
    def decision(self) -> rep.Decide:
        """What the operator sent last."""
        assert isinstance(self.reports[-1], rep.Decide)
        return self.reports[-1]


UNKNOWN = {"task": "fill", "attempt": 1, "exit": 3, "after": 0.5, "reason": "exit 3"}


def failure(**options: Any) -> Stage:
    """`fill` failed and nobody can tell why."""
    return Stage(UNKNOWN, **options)


def doubt(**options: Any) -> Stage:
    """Nobody saw how `fill` ended."""
    return Stage(doubtful=("fill", "run"), **options)


STILL_RUNNING = ("process 4711 (sh)", "process 4712 (sleep)")


def still_running(**options: Any) -> Stage:
    """Nobody saw how `fill` ended, and some of it has not ended at all."""
    stage = doubt(**options)
    simulation = stage.simulation
    look = rep.Decide(question=stage.question, action="resume", mode="look_again", actor="ben")
    simulation.events += simulation.machine.handle(look, rep.Now(simulation.state.t, START)).events
    found = rep.EvidenceFound(
        task="fill", attempt=1, done=None, detail=f"still running: {', '.join(STILL_RUNNING)}",
        survivors=STILL_RUNNING,
    )  # fmt: skip
    stage.answer(found)
    return stage


def rollback_scope(**options: Any) -> Stage:
    """`switch` failed for good; a rollback cannot undo `after`."""
    return Stage({"task": "switch", "attempt": 1, "class": "permanent", "reason": "no such table"}, **options)


def rollback_step(**options: Any) -> Stage:
    """The rollback that an operator chose has failed at `fill`."""
    broken = {"task": "fill", "attempt": 1, "purpose": "rollback", "exit": 1, "reason": "rows are locked"}
    return _rolling_back(
        Stage({"task": "switch", "attempt": 1, "exit": 3, "reason": "exit 3"}, broken, **options)
    )


def step_in_doubt(**options: Any) -> Stage:
    """Nobody saw how the rollback of `fill` ended."""
    wrong = {"task": "switch", "attempt": 1, "exit": 3, "reason": "exit 3"}
    return _rolling_back(Stage(wrong, doubtful=("fill", "rollback"), **options))


def _rolling_back(stage: Stage) -> Stage:
    stage.answer(
        rep.Decide(question=stage.question, action="rollback", to="start", actor="ben", reason="wrong totals")
    )
    return stage


def failed_wave(**options: Any) -> Stage:
    """In waves, `switch` failed for good; a rollback of its wave cannot undo `tell`."""
    tasks: list[dict[str, Any]] = [
        {"id": "create", "wave": "w1", "run": _sql("CREATE TABLE t (id)"), "rollback": _sql("DROP TABLE t")},
        {"id": "tell", "wave": "w2", "needs": ["create"], "run": {"shell": "./tell.sh"}},
        {"id": "fill", "wave": "w2", "needs": ["tell"], "run": _sql("INSERT INTO t VALUES (1)"),
         "rollback": _sql("DELETE FROM t")},
        {"id": "switch", "wave": "w2", "needs": ["fill"], "run": _sql("UPDATE s SET t = 1"),
         "critical": True},
    ]  # fmt: skip
    plan = parse_plan_data(
        {
            "wesley": 1,
            "name": "in waves",
            "model": "wave",
            "targets": {"shop": {"sqlite": "shop.db"}},
            "waves": [{"id": "w1"}, {"id": "w2"}],
            "tasks": [{"duration": "1m"} | task for task in tasks],
        }
    )
    return Stage(
        {"task": "switch", "attempt": 1, "class": "permanent", "reason": "gone"}, plan=plan, **options
    )


def forked(**options: Any) -> Stage:
    """A run gone on with from where `fill` was ready, although the original had started it after that."""
    original = failure()
    known = original.view.events
    started = next(e.seq for e in known if isinstance(e, TaskStarted) and e.task == "fill")
    kept, later = known[: started - 1], known[started - 1 :]
    stage = Stage(begin=False, **options)
    state = replay(State(stage.plan), kept)
    news = fork(state, outlook(state, later, 0), FORK, START)
    stage.simulation = Simulation(stage.plan, state=state)
    stage.simulation.events += [*kept, *news]
    stage.answer(rep.EngineResumed(actor="ana"))
    return stage


FORK = Fork(
    run="again",
    past=(Origin(run="first", path="/runs/first"),),
    actor="ana",
    checkpoint="cp-9000",
    trigger="manual",
    position_hash="",
    file="cp-9000.json",
    lost=(),
)


def two_questions(**options: Any) -> Stage:
    """`fill` and `other` have both failed."""
    return Stage(UNKNOWN, {"task": "other", "attempt": 1, "exit": 4, "reason": "exit 4"}, **options)


class StageApp(ThemedApp):
    """An empty console: only what the dialogs need of one."""

    def __init__(self, theme: str = "wesley-dark") -> None:
        super().__init__(theme)
        self.results: list[object] = []

    def compose(self) -> ComposeResult:
        yield Static("the run")


class Desk:
    """An operator at a dialog."""

    def __init__(self, pilot: Pilot[None], stage: Stage, dialog: DecisionDialog) -> None:
        self.pilot = pilot
        self.app = pilot.app
        self.stage = stage
        self.dialog = dialog

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def say(self, text: str) -> None:
        """Paste: much quicker than key by key."""
        self.dialog.query_one(Input).post_message(events.Paste(text))
        await self.pilot.pause()

    async def settle(self) -> None:
        while self.app.workers:
            await self.app.workers.wait_for_complete()
            await self.pilot.pause()

    async def refresh(self) -> None:
        """What the app's pump does when events have come in."""
        self.dialog.refresh_view()
        await self.pilot.pause()
        await self.settle()

    def text(self, selector: str) -> str:
        part = self.dialog.query_one(selector, Static)
        return str(part.content) if part.display else ""

    @property
    def facts(self) -> str:
        return "\n".join(str(part.content) for part in self.dialog.query("#facts Static").results(Static))

    @property
    def told(self) -> str:
        return "\n".join(str(part.content) for part in self.dialog.query("#told Static").results(Static))

    @property
    def rows(self) -> list[str]:
        menu = self.dialog.query_one(Menu)
        return [str(option.prompt) for option in menu.options]

    @property
    def focused(self) -> str:
        choice = self.dialog.query_one(Menu).choice
        assert choice
        return choice.key

    @property
    def confirming(self) -> bool:
        return self.dialog.query_one(Confirm).display

    @property
    def is_open(self) -> bool:
        return self.dialog in self.app.screen_stack

    @property
    def results(self) -> list[object]:
        return self.app.results  # type: ignore[attr-defined]


@asynccontextmanager
async def at_desk(
    stage: Stage, dialog: DecisionDialog, *, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Desk]:
    """`dialog` open on an otherwise empty console."""
    app = StageApp()
    async with app.run_test(size=size) as pilot:
        await app.push_screen(dialog, app.results.append)
        at = Desk(pilot, stage, dialog)
        await at.settle()
        yield at


def desk(
    stage: Stage, *, size: tuple[int, int] = (80, 24), question: int = 0
) -> AbstractAsyncContextManager[Desk]:
    """The dialog on a question of `stage`, by default the one that it is about."""
    return at_desk(stage, RecoveryDialog(stage.view, question or stage.question, actor="ana"), size=size)
