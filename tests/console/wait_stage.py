"""A run whose tasks wait for a lock or fill a table back, and what happens to it while it is looked at."""

from datetime import timedelta
from typing import Any

from textual.pilot import Pilot

from console.run_view import RunView
from engine.machine import events as ev
from engine.machine.reports import AnyReport
from engine.plan.models import Action, Backfill, Plan
from tests.console import fixtures
from tests.console.fixtures import START, HeldControls

WAITS = "backfill-customers"
FILLS = "backfill-orders"


class Scene:
    """`view` as `fixtures.lock_wait` has it; what is told of it further is seen at once."""

    def __init__(self, view: RunView | None = None) -> None:
        self.view = view or fixtures.lock_wait()
        assert isinstance(self.view.controls, HeldControls)
        self.controls = self.view.controls

    @property
    def reports(self) -> list[AnyReport]:
        return self.controls.reports

    def tell(self, kind: type[ev.Event], **fields: Any) -> None:
        t = self.controls.now
        known = {"task": WAITS} | fields
        event = kind(seq=self.view.newest.seq + 1, t=t, at=START + timedelta(seconds=t), **known)
        self.view.fold([event])

    def blocked_by(self, *blockers: ev.Blocker, after: float = 0.0) -> None:
        """What is seen `after` seconds later; ages are those of that moment."""
        self.controls.now += after
        self.tell(ev.LockWaitChanged, attempt=1, pid=5301, relation="orders", blockers=blockers, tries=4)


def with_backfill(view: RunView) -> RunView:
    """`view`, with a plan in which the task that fills back is a backfill."""
    made = RunView(_planned(view.plan), controls=HeldControls(15.0 * 60))
    made.fold(view.events)
    return made


def _planned(plan: Plan) -> Plan:
    fill = Action(
        backfill=Backfill(
            table="orders",
            key="id",
            sql="UPDATE orders SET total_cents = round(total * 100) WHERE id BETWEEN :first AND :last",
        ),
        on="shop",
    )
    tasks = tuple(task.model_copy(update={"run": fill}) if task.id == FILLS else task for task in plan.tasks)
    return plan.model_copy(update={"tasks": tasks})


def said(pilot: Pilot[None], selector: str) -> str:
    """What a part of the dialog on top says; empty where it is not shown."""
    part = pilot.app.screen.query_one(selector)
    return str(part.render()) if part.display else ""
