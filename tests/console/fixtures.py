"""Run views to draw: a shop migration told event by event, in the states that screens have to show.

Nothing here runs an engine. The clock is fixed, so what is drawn is the same every time.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from ruamel.yaml import YAML

from console.run_view import OutputSource, RunView
from engine.machine import events as ev
from engine.machine.reports import AnyReport
from engine.plan.models import FailureClass, Plan, parse_plan_data

START = datetime(2026, 3, 14, 2, 0, tzinfo=UTC)
REFERENCE = Path(__file__).parents[2] / "sample_plans" / "reference"
Lines = dict[tuple[str, int], Sequence[str]]
"""What attempts printed, by (task, attempt)."""


class HeldControls:
    """An engine whose clock stands still; it remembers what it was told."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.reports: list[AnyReport] = []

    def report(self, report: AnyReport) -> None:
        self.reports.append(report)

    def now_t(self) -> float:
        return self.now

    def trouble(self) -> str:
        return ""

    def opening(self) -> str:
        return ""


def outputs(lines: Lines) -> OutputSource:
    return lambda task, attempt: lines.get((task, attempt), ())


class Story:
    """Events in the order they happen. `t` is in seconds and carries on until the next `at`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.events: list[ev.Event] = []
        self.t = 0.0
        self._attempts: dict[str, int] = {}
        self._lanes: dict[str, int] = {}
        self._saved = 0

    def at(self, minutes: float) -> Self:
        self.t = minutes * 60
        return self

    def add(self, kind: type[ev.Event], **fields: Any) -> Self:
        at = START + timedelta(seconds=self.t)
        self.events.append(kind(seq=len(self.events) + 1, t=self.t, at=at, **fields))
        return self

    def begin(self) -> Self:
        return self.add(
            ev.RunStarted,
            run="20260314-0200-shop",
            plan=self.plan.name,
            plan_hash="5f1d" * 16,
            model=self.plan.model,
            policy=self.plan.policy,
            lanes=self.plan.workers,
            seed=0,
            simulated=False,
            actor="ana",
        )

    def ready(self, *tasks: str) -> Self:
        for task in tasks:
            self.add(ev.TaskReady, task=task)
        return self

    def start(self, task: str, lane: int) -> Self:
        self._attempts[task] = self._attempts.get(task, 0) + 1
        self._lanes[task] = lane
        return self.add(ev.TaskStarted, task=task, attempt=self._attempts[task], lane=lane)

    def done(self, *tasks: str) -> Self:
        for task in tasks:
            self.add(ev.TaskSucceeded, task=task, attempt=self._attempts[task], lane=self._lanes[task])
        return self

    def fail(self, task: str, failure_class: FailureClass, reason: str, **fields: Any) -> Self:
        return self.add(
            ev.TaskFailed,
            task=task,
            attempt=self._attempts[task],
            lane=self._lanes[task],
            failure_class=failure_class,
            reason=reason,
            **fields,
        )

    def checkpoint(self, trigger: ev.Trigger, *, stable: bool = True, note: str = "") -> Self:
        self._saved += 1
        completed = sum(isinstance(event, ev.TaskSucceeded) for event in self.events)
        return self.add(
            ev.CheckpointSaved,
            checkpoint=f"cp-{self._saved:04}",
            trigger=trigger,
            position=len(self.events),
            position_hash="a1" * 32,
            completed=completed,
            stable=stable,
            file=f"cp-{self._saved:04}.json",
            note=note,
        )

    def view(self, *, now: float | None = None, lines: Lines | None = None) -> RunView:
        """The view of a run with these events; with `now` (minutes) an engine is still attached to it."""
        controls = None if now is None else HeldControls(now * 60)
        view = RunView(self.plan, controls=controls, output=outputs(lines or {}))
        view.fold(self.events)
        return view


def _sql(statement: str) -> dict[str, str]:
    return {"sql": statement, "on": "shop"}


def _task(
    task: str,
    name: str,
    phase: str,
    minutes: float,
    needs: str = "",
    *,
    run: dict[str, str],
    rollback: dict[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    known = {"id": task, "name": name, "phase": phase, "wave": phase, "needs": needs.split()}
    undo = {"rollback": rollback} if rollback else {}
    return known | {"duration": f"{minutes}m", "run": run} | undo | more


_TASKS = [
    _task("create-orgs", "Create the orgs table", "expand", 1,
          run=_sql("CREATE TABLE orgs (\n  id INTEGER PRIMARY KEY,\n  name TEXT NOT NULL UNIQUE\n);"),
          rollback=_sql("DROP TABLE orgs"), value=6),
    _task("add-org-id", "Give customers an organisation", "expand", 2, "create-orgs",
          run=_sql("ALTER TABLE customers ADD COLUMN org_id INTEGER REFERENCES orgs (id)"),
          rollback=_sql("ALTER TABLE customers DROP COLUMN org_id"), locks=["customers"], risk=0.3),
    _task("add-total-cents", "Room for totals in cents", "expand", 2,
          run=_sql("ALTER TABLE orders ADD COLUMN total_cents INTEGER"),
          rollback=_sql("ALTER TABLE orders DROP COLUMN total_cents"), locks=["orders"]),
    _task("create-statuses", "Create the order statuses", "expand", 1,
          run=_sql("CREATE TABLE statuses (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)"),
          rollback=_sql("DROP TABLE statuses")),
    _task("fill-orgs", "Collect organisations from customers", "backfill", 6, "create-orgs",
          run={"shell": "python3 fill_orgs.py --batch 500 | tee fill_orgs.out"},
          rollback=_sql("DELETE FROM orgs"), idempotent=True, value=7),
    _task("backfill-customers", "Point customers at their organisation", "backfill", 12,
          "add-org-id fill-orgs", run={"python": "shop:backfill_customers"},
          rollback=_sql("UPDATE customers SET org_id = NULL"),
          critical=True, idempotent=True, risk=0.4, value=9, uses={"writers": 1}),
    _task("backfill-orders", "Write every total in cents", "backfill", 15, "add-total-cents",
          run=_sql("UPDATE orders\nSET total_cents = CAST(round(total * 100) AS INTEGER)\n"
                   "WHERE total_cents IS NULL; -- 412 000 rows"),
          rollback=_sql("UPDATE orders SET total_cents = NULL"), critical=True, risk=0.5, value=9,
          uses={"writers": 1}, locks=["orders"], timeout="30m"),
    _task("backfill-statuses", "Point orders at their status", "backfill", 8, "create-statuses",
          run={"python": "shop:backfill_statuses"}, rollback=_sql("UPDATE orders SET status_id = NULL"),
          uses={"writers": 1}),
    _task("index-orders", "Index orders by customer", "backfill", 5, "backfill-orders",
          run=_sql("CREATE INDEX orders_customer ON orders (customer_id)"),
          rollback=_sql("DROP INDEX orders_customer")),
    _task("check-customers", "No customer without organisation", "validate", 3, "backfill-customers",
          run=_sql("SELECT count(*) FROM customers WHERE org_id IS NULL"), rollback={"shell": "true"}),
    _task("check-orders", "Totals agree month by month", "validate", 4, "backfill-orders",
          run={"python": "shop:check_orders"}, rollback={"shell": "true"}, critical=True),
    _task("switch-reads", "Read from the new columns", "switch", 2,
          "check-customers check-orders backfill-statuses",
          run=_sql("DROP VIEW sales;\nCREATE VIEW sales AS SELECT org_id, sum(total_cents) FROM orders;"),
          rollback={"shell": "sqlite3 shop.db < old_view.sql"}, critical=True, risk=0.7, value=10),
    _task("switch-writes", "Write to the new columns", "switch", 2, "switch-reads index-orders",
          run=_sql("UPDATE settings SET write_to = 'new'"),
          rollback=_sql("UPDATE settings SET write_to = 'old'"), critical=True, risk=0.7, value=10),
    _task("drop-totals", "Drop the old totals", "contract", 2, "switch-writes",
          run=_sql("ALTER TABLE orders DROP COLUMN total"), risk=0.9, value=2),
    _task("drop-status-text", "Drop the status text", "contract", 2, "switch-writes",
          run=_sql("ALTER TABLE orders DROP COLUMN status"), risk=0.9, value=2),
    _task("analyze", "Refresh the statistics", "contract", 1, "drop-totals drop-status-text",
          run=_sql("ANALYZE"), rollback={"shell": "true"}, idempotent=True),
]  # fmt: skip
_PHASES = ["expand", "backfill", "validate", "switch", "contract"]


def shop_plan(model: str = "rolling") -> Plan:
    """Sixteen tasks, three lanes, five phases that are waves as well; the last three cannot all be undone."""
    return parse_plan_data(
        {
            "wesley": 1,
            "name": "shop migration",
            "model": model,
            "workers": 3,
            "targets": {"shop": {"sqlite": "shop.db"}},
            "resources": {"writers": 2},
            "phases": _PHASES,
            "waves": [{"id": phase, "name": phase.capitalize()} for phase in _PHASES],
            "tasks": _TASKS,
        }
    )


def empty(plan: Plan | None = None) -> RunView:
    """A run that has not begun."""
    return RunView(plan or shop_plan())


def _expand() -> Story:
    story = Story(shop_plan()).begin().ready("create-orgs", "add-total-cents", "create-statuses")
    story.start("create-orgs", 0).start("add-total-cents", 1).start("create-statuses", 2)
    story.at(1.1).done("create-orgs").ready("add-org-id", "fill-orgs").start("fill-orgs", 0)
    story.at(1.3).done("create-statuses").ready("backfill-statuses").start("add-org-id", 2)
    story.at(2.2).done("add-total-cents").ready("backfill-orders").start("backfill-orders", 1)
    return story.at(3.4).done("add-org-id").checkpoint("phase", note="expand").start("backfill-statuses", 2)


def midway() -> Story:
    """The first thirteen minutes: `expand` is done, and one task was retried."""
    story = _expand().at(5).fail(
        "backfill-statuses", FailureClass.TRANSIENT, "database is locked",
        rule="sqlite: SQLITE_BUSY is TRANSIENT", effect="none",
    )  # fmt: skip
    story.add(
        ev.RetryScheduled,
        task="backfill-statuses",
        retry=1,
        delay=2.0,
        due_t=302.0,
        reason="database is locked",
    )
    story.t = 302.0
    story.ready("backfill-statuses").start("backfill-statuses", 2)
    story.at(7.4).done("fill-orgs").checkpoint("progress").ready("backfill-customers")
    story.add(ev.TaskWaiting, task="backfill-customers", reason="needs 1 of writers; all 2 are in use")
    story.at(12.6).done("backfill-statuses").ready("backfill-customers").start("backfill-customers", 2)
    return story


_OUTPUT = {
    ("backfill-customers", 1): [f"batch {n:>3}: 500 customers" for n in range(1, 61)],
    ("backfill-statuses", 1): ["sqlite3.OperationalError: database is locked"],
}


def running() -> RunView:
    """Midway: two tasks run, one retry lies behind, two checkpoints are saved; it is 15 minutes in."""
    return midway().view(now=15.0, lines=_OUTPUT)


HOLDER = ev.Blocker(
    pid=4711, started="2026-03-14T01:02:11.000000+00:00", user="alice", application="psql",
    state="idle in transaction", age_s=840.0, state_s=700.0,
    query="UPDATE orders SET note = $1 WHERE id = $2",
)  # fmt: skip
QUEUED = ev.Blocker(
    pid=5230, started="2026-03-14T02:13:02.000000+00:00", user="reports", application="metabase",
    state="active", age_s=65.0, state_s=64.0, query="SELECT count(*) FROM orders WHERE total_cents > $1",
    waits_for=(4711,),
)  # fmt: skip


def lock_wait(*blockers: ev.Blocker, now: float = 15.0) -> RunView:
    """Midway: `backfill-orders` tells how far it is, and `backfill-customers` waits for a lock."""
    story = midway()
    story.at(12.6).add(
        ev.TaskProgressed, task="backfill-orders", attempt=1, done=120_000, total=600_000, unit="rows"
    )
    story.at(14.4).add(
        ev.LockWaitChanged, task="backfill-customers", attempt=1, pid=5301, relation="orders",
        blockers=blockers or (QUEUED, HOLDER), tries=4,
    )  # fmt: skip
    story.at(14.6).add(
        ev.TaskProgressed, task="backfill-orders", attempt=1, done=412_000, total=600_000, unit="rows",
        detail="batch 1,000, pause 50ms", held="replication lag 12s",
    )  # fmt: skip
    return story.view(now=now, lines=_OUTPUT)


def question_open() -> RunView:
    """A backfill failed UNKNOWN: the run pauses, and the operator is asked."""
    story = midway().at(14.2).fail(
        "backfill-orders", FailureClass.UNKNOWN, "exit 3",
        rule="built-in: any other exit code is UNKNOWN", exit_code=3,
        tail="batch 211: 500 rows\nbatch 212: 137 rows\nunexpected NULL in total at order 105 637\n",
    )  # fmt: skip
    story.add(ev.QuestionOpened, about="failure", task="backfill-orders", reason="exit 3")
    story.add(ev.RunPausing, reason="backfill-orders failed and nobody can tell why")
    lines = dict(_OUTPUT)
    lines["backfill-orders", 1] = [f"batch {n}: 500 rows" for n in range(180, 212)] + [
        "batch 212: 137 rows",
        "unexpected NULL in total at order 105 637",
    ]
    return story.view(now=15.0, lines=lines)


def _all_done() -> Story:
    story = midway().at(17.5).done("backfill-orders").ready("index-orders", "check-orders")
    story.start("index-orders", 0).start("check-orders", 1)
    story.at(21.2).done("check-orders").checkpoint("progress")
    story.at(22.5).done("index-orders")
    story.at(24.8).done("backfill-customers").checkpoint("phase", note="backfill")
    story.ready("check-customers").start("check-customers", 2)
    story.at(27.6).done("check-customers").checkpoint("phase", note="validate").ready("switch-reads")
    story.add(ev.TaskWaiting, task="switch-reads", reason="a checkpoint is written first: risk 0.7", lane=0)
    story.at(27.7).checkpoint("risk", note="switch-reads").start("switch-reads", 0)
    story.at(29.8).done("switch-reads").ready("switch-writes").start("switch-writes", 0)
    return story.at(31.6).done("switch-writes").checkpoint("phase", note="switch")


def finished() -> RunView:
    """Completed, every task succeeded."""
    story = _all_done().ready("drop-totals", "drop-status-text")
    story.start("drop-totals", 0).start("drop-status-text", 1)
    story.at(33.4).done("drop-totals", "drop-status-text").ready("analyze").start("analyze", 0)
    story.at(34.2).done("analyze").checkpoint("phase", note="contract")
    return story.add(ev.RunFinished, status="completed").view()


def rolled_back() -> RunView:
    """An operator rolled the switch back to the checkpoint before it; one dropped column stays dropped."""
    story = _all_done().ready("drop-totals", "drop-status-text")
    story.start("drop-totals", 0).start("drop-status-text", 1)
    story.at(32.9).done("drop-totals")
    story.at(33.1).fail(
        "drop-status-text", FailureClass.UNKNOWN, "no such column: status",
        rule="built-in: any other error is UNKNOWN", effect="none",
    )  # fmt: skip
    question = len(story.events) + 1
    story.add(ev.QuestionOpened, about="failure", task="drop-status-text", reason="no such column: status")
    story.add(ev.RunPaused, reason="a question is open")
    story.at(35).add(
        ev.DecisionMade, question=question, task="drop-status-text", action="rollback", to="cp-0006",
        actor="ana", reason="support sees wrong totals", on_seq=question + 1,
    )  # fmt: skip
    to_seq = next(
        e.position for e in story.events if isinstance(e, ev.CheckpointSaved) and e.trigger == "risk"
    )
    story.add(
        ev.RollbackStarted, to="cp-0006", to_seq=to_seq, tasks=("switch-writes", "switch-reads"),
        stay=("drop-totals",), reason="support sees wrong totals",
    )  # fmt: skip
    for minute, task in ((35.1, "switch-writes"), (35.6, "switch-reads")):
        story.at(minute).add(ev.RollbackStepStarted, task=task, attempt=1)
        story.at(minute + 0.4).add(ev.TaskRolledBack, task=task, attempt=1)
    return story.add(ev.RunFinished, status="rolled_back", reason="support sees wrong totals").view()


def at_barrier() -> RunView:
    """Wave mode: the second wave has one task left, and two lanes idle until its barrier."""
    story = Story(shop_plan("wave")).begin().add(ev.WaveStarted, wave="expand")
    story.ready("create-orgs", "add-total-cents", "create-statuses")
    story.start("create-orgs", 0).start("add-total-cents", 1).start("create-statuses", 2)
    story.at(1.1).done("create-orgs").ready("add-org-id").start("add-org-id", 0)
    story.at(1.3).done("create-statuses")
    story.at(2.2).done("add-total-cents")
    story.at(3.3).done("add-org-id").add(ev.BarrierReached, wave="expand").checkpoint(
        "barrier", note="expand"
    )
    story.add(ev.WaveStarted, wave="backfill").ready("fill-orgs", "backfill-orders", "backfill-statuses")
    story.start("backfill-orders", 0).start("fill-orgs", 1).start("backfill-statuses", 2)
    story.at(9.6).done("fill-orgs").checkpoint("progress").ready("backfill-customers")
    story.add(ev.TaskWaiting, task="backfill-customers", reason="needs 1 of writers; all 2 are in use")
    story.at(11.5).done("backfill-statuses").ready("backfill-customers").start("backfill-customers", 1)
    story.at(18.6).done("backfill-orders").checkpoint("progress").ready("index-orders").start(
        "index-orders", 0
    )
    return story.at(21.9).done("index-orders").view(now=22.5, lines=_OUTPUT)


def reference_plan(model: str = "rolling") -> Plan:
    """The 39-task reference plan, as the sample plans have it."""
    path = REFERENCE / ("waves.yaml" if model == "wave" else "rolling.yaml")
    return parse_plan_data(YAML(typ="safe").load(path.read_text(encoding="utf-8")))


def reference_running(model: str = "rolling", *, share: float = 0.45) -> RunView:
    """The reference plan with `share` of its tasks started, as `told` tells it."""
    return told(reference_plan(model), share)


def told(plan: Plan, share: float) -> RunView:
    """A run of `plan` in which `share` of the tasks have been started, each as long as expected, every lane
    taking the next task in topological order as soon as it is free; in the wave model with a barrier behind
    each wave that has been worked off. Good for a picture, not for a proof."""
    story = Story(plan).begin()
    graph = story.view().graph
    wave_of = {task.id: task.wave or "" for task in plan.tasks if plan.model == "wave"}
    number = {wave.id: index for index, wave in enumerate(plan.waves)}
    order = sorted(graph.topological, key=lambda task: number.get(wave_of.get(task, ""), 0))
    lanes = [0.0] * plan.workers
    ends: dict[str, float] = {}
    wave = ""
    moments: list[tuple[float, int, str, int]] = []
    for task in order[: round(len(order) * share)]:
        if wave_of and wave_of[task] != wave:
            lanes = [max(lanes)] * len(lanes)
            moments.append((lanes[0], 1, wave_of[task], -1))
            wave = wave_of[task]
        lane = min(range(len(lanes)), key=lanes.__getitem__)
        start = max(lanes[lane], *(ends[parent] for parent in graph.parents[task]), 0.0)
        ends[task] = lanes[lane] = start + graph.expected_s[task]
        moments += [(start, 2, task, lane), (lanes[lane], 0, task, lane)]
    now = max((start for start, step, _, _ in moments if step), default=0.0) + 60
    for t, step, what, lane in sorted(moments):
        if t <= now:
            story.t = t
            _tell(story, step, what, lane)
    return story.view(now=now / 60)


def _tell(story: Story, step: int, what: str, lane: int) -> None:
    if step == 0:
        story.done(what)
    elif step == 2:
        story.ready(what).start(what, lane)
    else:
        opened = [event.wave for event in story.events if isinstance(event, ev.WaveStarted)]
        if opened:
            story.add(ev.BarrierReached, wave=opened[-1]).checkpoint("barrier", note=opened[-1])
        story.add(ev.WaveStarted, wave=what)
