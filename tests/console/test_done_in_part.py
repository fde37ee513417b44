"""Backfills that ended half way, in the summary: their batches are in the table."""

from typing import Any

from console.summary import summarise
from engine.machine import reports as rep
from engine.plan.models import Plan, parse_plan_data
from tests.console.shell_stage import LiveRun


def test_a_backfill_that_was_stopped_half_way_is_done_in_part_and_nothing_is_ready_any_more() -> None:
    run = LiveRun(filling())
    run.begin()
    rows: dict[str, Any] = {"task": "fill", "attempt": 1, "total": 1000, "unit": "rows"}
    run.happens(rep.Progressed(done=370, **rows))
    run.fail("fill", "no such function")
    run.succeed("other")
    run.report(rep.Decide(question=0, action="rollback", to="start", actor="ana", reason="enough"))
    run.happens(rep.Succeeded(task="other", attempt=1, purpose="rollback"))
    told = lines(run)
    assert run.view.newest.status == "rolled_back"
    assert told["done in part"] == "fill, 370 of about 1,000 rows"
    assert "ready" not in told
    assert told["pending"] == "1 task"


def test_what_is_through_or_was_never_begun_is_not_done_in_part() -> None:
    run = LiveRun(filling())
    run.begin()
    assert "done in part" not in lines(run)
    run.happens(rep.Progressed(task="fill", attempt=1, done=1000, total=1000, unit="rows"))
    run.succeed("fill", "other", "last")
    assert "done in part" not in lines(run)


def filling() -> Plan:
    sql = "UPDATE orders SET n = 1 WHERE id BETWEEN :first AND :last"
    backfill = {"table": "orders", "key": "id", "sql": sql}
    fill: dict[str, Any] = {"run": {"backfill": backfill, "on": "shop"}}
    undo: dict[str, Any] = {"rollback": {"shell": "undo"}}
    tasks: list[dict[str, Any]] = [
        {"id": "fill", **fill},
        {"id": "other", **undo},
        {"id": "last", "needs": ["fill"]},
    ]
    made = [{"run": {"shell": "do"}, **task} for task in tasks]
    targets = {"shop": {"postgres": "embedded"}}
    return parse_plan_data({"wesley": 1, "name": "fill it", "workers": 2, "targets": targets, "tasks": made})


def lines(run: LiveRun) -> dict[str, str]:
    return {line.label: line.text for line in summarise(run.taken_in().view).lines}
