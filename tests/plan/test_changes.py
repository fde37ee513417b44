"""What counts as a change of a plan, and what does not."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.plan.changes import TaskChange, plan_changes
from engine.plan.models import Plan, Task, parse_plan_data

SQL = {"sql": "CREATE TABLE a (x)", "on": "app"}
PLAN: dict[str, Any] = {
    "wesley": 1,
    "name": "move",
    "targets": {"app": {"sqlite": "app.db"}, "log": {"sqlite": "log.db"}},
    "resources": {"links": 3, "disk": 2},
    "defaults": {"timeout": 60.0, "lock_timeout": 1.0},
    "tasks": [
        {"id": "first", "run": SQL, "rollback": {"shell": "undo"}, "uses": {"links": 1}},
        {"id": "second", "run": {"shell": "do it"}, "needs": ["first"], "locks": ["a", "b"], "timeout": 5.0},
        {"id": "third", "run": {"python": "work:work"}, "needs": ["first", "second"], "verify": SQL},
    ],
}


def edited(task: int | None = None, **fields: Any) -> Plan:
    """The plan with other fields, of one of its tasks or of its own."""
    tasks = [dict(each) for each in PLAN["tasks"]]
    if task is None:
        return parse_plan_data({**PLAN, "tasks": tasks, **fields})
    tasks[task] = {**tasks[task], **fields}
    return parse_plan_data({**PLAN, "tasks": tasks})


BEFORE = edited()
SCHEDULING: dict[str, Plan] = {
    "titles": edited(name="another name"),
    "a title": edited(0, name="The first"),
    "duration": edited(0, duration=3.0),
    "effort": edited(0, effort=2.0),
    "value": edited(0, value=9.0),
    "risk": edited(0, risk=0.9),
    "phase": edited(0, phase="expand"),
    "wave": edited(0, wave="w1"),
    "phases and waves": edited(phases=["expand"], waves=[{"id": "w1"}]),
    "model, lanes and policy": edited(model="wave", workers=9, policy="fifo"),
    "retries and checkpoints": edited(retry={"attempts": 9}, checkpoints={"keep": 1}),
    "the order of a list": edited(2, needs=["second", "first"]),
    "locks named in another order": edited(1, locks=["b", "a"]),
    "a target that nothing uses": edited(targets={**PLAN["targets"], "log": {"sqlite": "other.db"}}),
    "a pool that nothing uses": edited(resources={"links": 3, "disk": 1}),
    "a default, written at the task": edited(0, timeout=60.0),
    "the order of tasks": parse_plan_data({**PLAN, "tasks": PLAN["tasks"][::-1]}),
}
COUNTING: dict[str, tuple[Plan, dict[str, tuple[str, ...]], bool]] = {
    "statement": (edited(0, run={**SQL, "sql": "CREATE TABLE b (x)"}), {"first": ("run",)}, True),
    "another target": (edited(0, run={**SQL, "on": "log"}), {"first": ("run", "target")}, True),
    "rollback": (edited(0, rollback={"shell": "undo more"}), {"first": ("rollback",)}, True),
    "no rollback": (edited(0, rollback=None), {"first": ("rollback",)}, True),
    "verify": (
        edited(2, verify=None),
        {"third": ("verify", "target", "lock_timeout", "lock_patience")},
        True,
    ),
    "needs": (edited(2, needs=["first"]), {"third": ("needs",)}, True),
    "where a target is": (
        edited(targets={**PLAN["targets"], "app": {"sqlite": "other.db"}}),
        {"first": ("target",), "third": ("target",)},
        True,
    ),
    "interpreter": (edited(interpreter="python3.14"), {"third": ("interpreter",)}, True),
    "critical": (edited(1, critical=True), {"second": ("critical",)}, False),
    "idempotent": (edited(1, idempotent=True), {"second": ("idempotent",)}, False),
    "timeout": (edited(1, timeout=6.0), {"second": ("timeout",)}, False),
    "default timeout": (
        edited(defaults={"timeout": 61.0, "lock_timeout": 1.0}),
        {"first": ("timeout",), "third": ("timeout",)},
        False,
    ),
    "lock timeout": (
        edited(defaults={"timeout": 60.0, "lock_timeout": 2.0}),
        {"first": ("lock_timeout",), "third": ("lock_timeout",)},
        False,
    ),
    "lock timeout of one task": (edited(0, lock_timeout=3.0), {"first": ("lock_timeout",)}, False),
    "lock patience": (
        edited(defaults={"timeout": 60.0, "lock_timeout": 1.0, "lock_patience": 9.0}),
        {"first": ("lock_patience",), "third": ("lock_patience",)},
        False,
    ),
    "classify": (edited(1, classify=[{"exit": 75, "as": "transient"}]), {"second": ("classify",)}, False),
    "units": (edited(0, uses={"links": 2}), {"first": ("uses",)}, False),
    "capacity": (edited(resources={"links": 2, "disk": 2}), {"first": ("uses",)}, False),
    "locks": (edited(1, locks=["a"]), {"second": ("locks",)}, False),
}


@pytest.mark.parametrize("what", SCHEDULING)
def test_what_only_concerns_scheduling_is_no_change(what: str) -> None:
    assert SCHEDULING[what] != BEFORE or what == "the order of a list"
    assert plan_changes(BEFORE, SCHEDULING[what]) == ()
    assert plan_changes(SCHEDULING[what], BEFORE) == ()


@pytest.mark.parametrize("what", COUNTING)
def test_what_counts_is_told_at_each_task_that_it_reaches(what: str) -> None:
    plan, expected, of_effect = COUNTING[what]
    changes = plan_changes(BEFORE, plan)
    assert {each.task: each.fields for each in changes} == expected
    assert {each.kind for each in changes} == {"changed"}
    assert {each.of_effect for each in changes} == {of_effect}
    assert plan_changes(plan, BEFORE) == changes


_every_field = {*Task.model_fields} - {"id"}


def test_every_field_of_a_task_is_known_to_count_or_not() -> None:
    """A field that is added to the language has to be thought of here."""
    counting = {field for _, fields, _ in COUNTING.values() for each in fields.values() for field in each}
    scheduling = {"name", "duration", "effort", "value", "risk", "phase", "wave"}
    of_the_whole_plan = {"target", "interpreter", "lock_patience"}
    assert _every_field == (counting - of_the_whole_plan) | scheduling


def backfilling(**fields: Any) -> Plan:
    backfill = {"table": "orders", "key": "id", "sql": "DELETE FROM x WHERE id BETWEEN :first AND :last"}
    return edited(0, run={"backfill": backfill | fields, "on": "app"})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"sql": "DELETE FROM y WHERE id BETWEEN :first AND :last"}, ("run",)),
        ({"table": "customers"}, ("run",)),
        ({"key": "number"}, ("run",)),
        ({"batch": 10}, ("pace",)),
        ({"pause": 1.0}, ("pace",)),
        ({"throttle": {"lock_waits": 1}}, ("pace",)),
        ({"batch": 10, "key": "number"}, ("run", "pace")),
    ],
)
def test_the_pace_of_a_backfill_is_no_change_of_what_it_does(
    fields: dict[str, Any], told: tuple[str, ...]
) -> None:
    (change,) = plan_changes(backfilling(), backfilling(**fields))
    assert change == TaskChange("first", "changed", told)
    assert change.of_effect == ("run" in told)


tasks = st.lists(st.sampled_from("abcdefg"), unique=True, min_size=1)


@settings(deadline=None)
@given(tasks, tasks, st.sets(st.sampled_from("abcdefg")))
def test_removed_and_added_mirror_each_other(before: list[str], after: list[str], touched: set[str]) -> None:
    def plan(ids: list[str], touched: set[str]) -> Plan:
        made = [{"id": each, "run": {"shell": f"{each}{each in touched}"}} for each in ids]
        return parse_plan_data({"wesley": 1, "name": "any", "tasks": made})

    old, new = plan(before, set()), plan(after, touched)
    changes = plan_changes(old, new)
    assert [each.task for each in changes if each.kind != "added"] == [
        each for each in before if each not in after or each in touched
    ]
    assert [each.task for each in changes if each.kind == "added"] == [e for e in after if e not in before]
    mirror = {"changed": "changed", "removed": "added", "added": "removed"}
    back = {TaskChange(task, mirror[kind], fields) for task, kind, fields in changes}  # type: ignore[arg-type]
    assert set(plan_changes(new, old)) == back
    assert plan_changes(old, old) == ()
