"""The gallery: `python docs/make_pictures.py [NAME …]` makes the pictures, and docs/gallery.md with them.

Each run that is shown is recorded first: the engine's own machine carries it out in virtual time, so its
events are the same each time, and a picture changes only where the console does. The screens are the
console's own, fed with the events up to the moment that is shown, with keys pressed as an operator would.
"""

import asyncio
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from console.app import ConsoleApp
from console.review import ReviewFacts
from console.run_view import RunView
from console.settings.file import Settings
from console.settings.preferences import Preferences
from engine.forecast.faults import Fault, Faults
from engine.forecast.simulation import EPOCH, Simulation
from engine.machine import reports as rep
from engine.machine.core import Machine
from engine.machine.events import Blocker, Engine, Event
from engine.machine.fold import replay
from engine.machine.state import State
from engine.plan.load import load_plan
from engine.plan.models import Plan, parse_plan_data

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "sample_plans"
OUTPUT = (
    "carrier list: opened, 412,004 bytes, dated last night",
    "  500 addresses compared, all known",
    "  carrier list: 398,112 bytes now; it was written to while being read",
    "  731 addresses compared, 212 of them unknown",
    "result thrown away: a list that changes proves nothing. The shop was only read.",
)
SETTLED_S = 2.0
"""Seconds until everything that is worked out beside the screen has come in."""
_WEB_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


class Still:
    """Controls of a run that stands still for its picture."""

    def __init__(self, t: float) -> None:
        self._t = t

    def report(self, report: rep.AnyReport) -> None:
        raise AssertionError(f"nothing is decided in a picture: {report}")

    def now_t(self) -> float:
        return self._t

    def trouble(self) -> str:
        return ""

    def opening(self) -> str:
        return ""


@dataclass(frozen=True)
class Recording:
    """A run: its plan, and its events so far. `after_s` is how long ago the last of them was."""

    plan: Plan
    events: tuple[Event, ...]
    after_s: float = 0.0

    def until(self, kind: str, task: str = "", after_s: float = 0.0) -> "Recording":
        """Up to the first event of `kind`, and all of its instant."""
        found = next(
            event
            for event in self.events
            if event.kind == kind and (not task or getattr(event, "task", "") == task)
        )
        return self.up_to(found.t, after_s)

    def up_to(self, t: float, after_s: float = 0.0) -> "Recording":
        kept = tuple(event for event in self.events if event.t <= t)
        return Recording(self.plan, kept, after_s)


# -- the runs ------------------------------------------------------------------------------------------


@cache
def shop(on_unknown: str = "ask") -> Recording:
    """The shop migration with trouble: one check fails in a way that nobody foresaw."""
    plan = load_plan(SAMPLES / "shop" / "trouble.yaml").plan
    fault = Fault(task="check-carrier", attempt=1, exit=1, output="\n".join(OUTPUT), reason=OUTPUT[-1])
    simulation = Simulation(plan, outcomes=Faults(faults=(fault,)).outcomes(), on_unknown=on_unknown)
    simulation.run()
    return Recording(plan, tuple(simulation.events), after_s=20.0)


@cache
def reference(name: str) -> Recording:
    plan = load_plan(SAMPLES / "reference" / f"{name}.yaml").plan
    simulation = Simulation(plan)
    simulation.run()
    return Recording(plan, tuple(simulation.events))


@cache
def large() -> Recording:
    """500 tasks in five phases, each of them fed by two of the phase before."""
    phases = ["expand", "backfill", "validate", "switch", "contract"]
    tasks = [
        {
            "id": f"{phases[number // 100]}-{number % 100:02}",
            "phase": phases[number // 100],
            "needs": [f"{phases[number // 100 - 1]}-{other % 100:02}" for other in (number, number + 7)]
            if number >= 100
            else [],
            "duration": f"{3 + number * 7 % 11}m",
            "run": {"simulate": {}},
        }
        for number in range(500)
    ]
    data = {"wesley": 1, "name": "tenant isolation", "workers": 8, "phases": phases, "tasks": tasks}
    plan = parse_plan_data(data)
    simulation = Simulation(plan)
    simulation.run()
    return Recording(plan, tuple(simulation.events))


@cache
def doubt() -> Recording:
    """The engine died in mid-task; the one after it found no evidence of what became of the task."""
    died = shop().until("task_started", "create-addresses")
    machine = Machine(died.plan, state=replay(State(died.plan), died.events))
    now = rep.Now(died.events[-1].t + 40, EPOCH + timedelta(seconds=died.events[-1].t + 40))
    engine = Engine(host="db-admin", pid=4021, boot_id="", process_started=0.0, version="")
    events = list(machine.handle(rep.EngineResumed(actor="operator", engine=engine), now).events)
    for task in [task.id for task in machine.state.tasks.values() if task.status == "in_doubt"]:
        found = "the ledger of app holds no row of this attempt, and the task has no verify"
        report = rep.EvidenceFound(task=task, attempt=1, done=None, detail=found)
        events += machine.handle(report, now).events
    return Recording(died.plan, (*died.events, *events), after_s=12.0)


@cache
def tenants() -> Recording:
    """The migration on PostgreSQL: a backfill is under way, and a report that somebody left open blocks it
    all."""
    plan = load_plan(SAMPLES / "tenants" / "plan.yaml").plan
    simulation = Simulation(plan)
    simulation.run()
    begun = Recording(plan, tuple(simulation.events)).until("task_started", "require-for-orders")
    machine = Machine(plan, state=replay(State(plan), begun.events))
    since = {"task": "require-for-orders", "attempt": 1, "pid": 8125, "relation": "orders"}
    reader = Blocker(
        pid=7311,
        started="2026-01-01T02:31:00.000000+00:00",
        user="alice",
        application="monthly-report",
        state="idle in transaction",
        age_s=1260.0,
        state_s=1140.0,
        query="SELECT site, sum(total_cents) FROM orders WHERE placed_at > $1 GROUP BY site",
    )
    filled = {"task": "fill-items", "attempt": 1, "total": 750_000, "unit": "rows"}
    told = (
        (0.4, rep.Progressed(**filled, done=412_000, detail="batch 4,000, pause 20ms, at key 412000")),
        (2.0, rep.LockWaitSeen(**since, tries=1, blockers=(reader,))),
        (2.4, rep.Progressed(**filled, done=450_000, detail="batch 4,000, pause 20ms, at key 450000")),
    )
    events = list(begun.events)
    for after_s, report in told:
        t = begun.events[-1].t + after_s
        events += machine.handle(report, rep.Now(t, EPOCH + timedelta(seconds=t))).events
    return Recording(plan, tuple(events), after_s=9.0)


def running() -> Recording:
    return shop().until("task_started", "link-addresses", after_s=1.2)


# -- the pictures --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """`caption` stands under it in the gallery. `keys` are pressed before it is taken."""

    name: str
    caption: str
    of: Callable[[], Recording] = running
    keys: tuple[str, ...] = ()
    size: tuple[int, int] = (120, 36)
    theme: str = "wesley-dark"
    mode: str = "live"
    review: bool = False
    group: str = field(default="In the middle of a run")


POSTGRES = "On PostgreSQL"
QUESTIONS = "When an operator is needed"
AFTER = "Before and after"
SIZES = "Sizes and themes"
PICTURES = (
    Picture("running", "A rolling run: the graph, lanes with what is to come, checkpoints, events, a task."),
    Picture("waves", "The 39-task reference plan in waves; the barrier, and who it waits for.",
            lambda: reference("waves").up_to(15 * 3600 + 1800)),
    Picture("large", "500 tasks: what runs and what is next in full, the rest counted by phase.",
            lambda: large().up_to(8500)),
    Picture("lanes", "The lanes alone: every attempt to scale, what held tasks up, and what is expected.",
            lambda: reference("rolling").up_to(22 * 3600), ("2", "z")),
    Picture("events", "The events, filtered to what went wrong.", lambda: shop("retry"),
            ("4", "z", "f", *"trouble", "enter"), mode="inspect"),
    Picture("find", "Finding a task.", keys=("slash", *"address")),
    Picture("tenants", "A backfill under way, and an ALTER that waits for its lock: behind whom.",
            tenants, group=POSTGRES),
    Picture("lock-wait", "Who blocks it, and what each choice would do.", tenants, ("L",), group=POSTGRES),
    Picture("question", "A failure that nobody foresaw: what happened, and what each answer would do.", shop,
            group=QUESTIONS),
    Picture("rollback", "A rollback before it is confirmed: what it would undo, and what would stay.", shop,
            ("escape", "R"), group=QUESTIONS),
    Picture("doubt", "The engine died in mid-task: the evidence, and the answers.", doubt, group=QUESTIONS),
    Picture("output", "All that a task printed.", shop, ("o",), group=QUESTIONS),
    Picture("review", "Before anything starts.", review=True, group=AFTER),
    Picture("summary", "The end.", lambda: shop("skip"), ("s",), group=AFTER),
    Picture("inspector", "Looking back, event by event.", lambda: shop("skip"),
            ("left_square_bracket",) * 12, mode="inspect", group=AFTER),
    Picture("help", "Every key, and what the marks mean.", keys=("question_mark",), group=AFTER),
    Picture("light", "The light theme.", theme="wesley-light", group=SIZES),
    Picture("high-contrast", "High contrast.", theme="wesley-high-contrast", group=SIZES),
    Picture("colour-blind", "Told apart without red and green.", theme="wesley-colour-blind", group=SIZES),
    Picture("small", "80×24.", size=(80, 24), group=SIZES),
    Picture("question-small", "A question at 80×24.", shop, size=(80, 24), group=SIZES),
    Picture("tiny", "48×12: a summary that still takes keys.", shop, ("escape",), (48, 12), group=SIZES),
    Picture("wide", "200×60.", lambda: reference("rolling").up_to(22 * 3600), size=(200, 60), group=SIZES),
)  # fmt: skip


async def take(picture: Picture) -> None:
    """Show the run as the picture wants it, and save the screen."""
    recording = picture.of()
    view = RunView(recording.plan, output=lambda task, _: OUTPUT if task == "check-carrier" else ())
    if not picture.review:
        view.fold(recording.events)
    if picture.mode == "live":
        view.controls = Still(0.0 if picture.review else recording.events[-1].t + recording.after_s)
    app = ConsoleApp(
        view,
        mode="inspect" if picture.mode == "inspect" else "live",
        review=a_review() if picture.review else None,
        actor="operator",
        preferences=Preferences(settings=Settings(theme=picture.theme)),
        now=lambda: datetime(2026, 1, 1, 3, 0, tzinfo=UTC),
    )
    async with app.run_test(size=picture.size) as pilot:
        await pilot.pause(SETTLED_S)
        await pilot.press(*picture.keys)
        await pilot.pause(SETTLED_S)
        svg = app.export_screenshot(title="wesley-console", simplify=True)
    path = HERE / "pictures" / f"{picture.name}.svg"
    path.write_text(_WEB_FONTS.sub("", svg))
    print(path.relative_to(HERE.parent))


def a_review() -> ReviewFacts:
    return ReviewFacts(
        run="20260101-030000-shop-migration-x7k2",
        folder="~/.local/state/wesley-console/runs/20260101-030000-shop-migration-x7k2",
        plan_file="sample_plans/shop/trouble.yaml",
        simulated=False,
        speed=1.0,
        on_unknown="ask",
        forecast=lambda: shop("retry").events[-1].t,
    )


def gallery() -> str:
    lines = ["# Gallery", "", "Made by `python docs/make_pictures.py`; see there which runs these are.", ""]
    for group in dict.fromkeys(picture.group for picture in PICTURES):
        lines += [f"## {group}", ""]
        for picture in PICTURES:
            if picture.group == group:
                lines += [picture.caption, "", f"![{picture.caption}](pictures/{picture.name}.svg)", ""]
    return "\n".join(lines)


async def main(names: list[str]) -> None:
    for picture in PICTURES:
        if not names or picture.name in names:
            await take(picture)
    (HERE / "gallery.md").write_text(gallery())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
