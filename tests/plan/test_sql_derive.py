"""Locks and uses that come from a plan's SQL on PostgreSQL."""

from pathlib import Path
from typing import Any

import pytest

from engine.plan.models import Plan, Task
from engine.plan.pinned import pin, unpin
from tests.plan.written import HEAD, load_text

TARGETS = "targets: {app: {postgres: embedded}, other: {postgres: embedded}, lite: {sqlite: app.db}}\n"


def derived(folder: Path, *tasks: tuple[str, str], more: str = "") -> dict[str, Task]:
    """The tasks `t1`, `t2`… with this SQL, and these further keys, as they come out."""
    written = HEAD + TARGETS + more + "tasks:\n"
    for number, (sql, keys) in enumerate(tasks, start=1):
        written += f"  - id: t{number}\n    run: {{sql: '{sql}', on: app}}\n" + (
            f"    {keys}\n" if keys else ""
        )
    return {task.id: task for task in load_text(folder, written).plan.tasks}


@pytest.mark.parametrize(
    ("sql", "locks"),
    [
        ("ALTER TABLE orders ADD COLUMN a int", ("app.orders",)),
        ("ALTER TABLE public.orders ADD COLUMN a int", ("app.orders",)),
        ("ALTER TABLE shop.orders ADD COLUMN a int", ("app.shop.orders",)),
        ('ALTER TABLE "Order Lines" ADD COLUMN a int', ("app.Order_Lines",)),
        ("ALTER TABLE orders VALIDATE CONSTRAINT c; CREATE INDEX ON lines (a)", ("app.orders", "app.lines")),
        ("ALTER TABLE orders ADD FOREIGN KEY (a) REFERENCES orgs NOT VALID", ("app.orders", "app.orgs")),
        ("CREATE INDEX CONCURRENTLY i ON orders (a)", ("app.orders",)),
        ("DROP INDEX i", ("app.i",)),
        ("UPDATE orders SET a = 1 WHERE id = 2; SELECT * FROM orgs", ()),
    ],
)
def test_a_task_holds_the_tables_that_it_locks_strongly(
    sql: str, locks: tuple[str, ...], tmp_path: Path
) -> None:
    assert derived(tmp_path, (sql, ""))["t1"].locks == locks


def test_what_the_plan_says_of_locks_is_left_as_it_is(tmp_path: Path) -> None:
    alter = "ALTER TABLE orders ADD COLUMN a int"
    found = derived(tmp_path, (alter, "locks: []"), (alter, "locks: [mine, app.orders]"), (alter, ""))
    assert [task.locks for task in found.values()] == [(), ("mine", "app.orders"), ("app.orders",)]


def test_two_builds_on_a_table_never_run_side_by_side(tmp_path: Path) -> None:
    build = "CREATE INDEX CONCURRENTLY {} ON orders (a)"
    found = derived(tmp_path, (build.format("i"), "locks: []"), (build.format("j"), "locks: [mine]"))
    assert [task.locks for task in found.values()] == [("app.orders",), ("mine", "app.orders")]


def test_a_build_takes_a_unit_of_the_pool_for_builds_if_there_is_one(tmp_path: Path) -> None:
    build, pool = "CREATE INDEX CONCURRENTLY i ON orders (a)", "resources: {index_builds: 2}\n"
    assert derived(tmp_path, (build, ""))["t1"].uses == {}
    assert derived(tmp_path, (build, ""), more=pool)["t1"].uses == {"index_builds": 1}
    assert derived(tmp_path, (build, "uses: {index_builds: 2}"), more=pool)["t1"].uses == {"index_builds": 2}
    assert derived(tmp_path, ("DROP INDEX CONCURRENTLY i", ""), more=pool)["t1"].uses == {}


def test_an_index_is_known_by_the_plan_that_makes_it(tmp_path: Path) -> None:
    found = derived(
        tmp_path, ("CREATE INDEX CONCURRENTLY i ON orders (a)", ""), ("DROP INDEX i", "needs: [t1]")
    )
    assert found["t2"].locks == ("app.orders",)


def test_dropping_a_foreign_key_of_the_plan_holds_both_tables(tmp_path: Path) -> None:
    add = "ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES orgs NOT VALID"
    found = derived(tmp_path, (add, ""), ("ALTER TABLE orders DROP CONSTRAINT f", "needs: [t1]"))
    assert found["t2"].locks == ("app.orders", "app.orgs")


def test_a_table_named_with_and_without_its_schema_is_one(tmp_path: Path) -> None:
    found = derived(tmp_path, ("TRUNCATE shop.orders", ""), ("TRUNCATE orders", ""), ("TRUNCATE a.b", ""))
    assert [task.locks for task in found.values()] == [("app.orders",), ("app.orders",), ("app.a.b",)]


def test_very_long_names_are_cut_and_stay_different(tmp_path: Path) -> None:
    long = "x" * 63
    found = derived(tmp_path, (f'TRUNCATE "{long}"."{long}"', ""), (f'TRUNCATE "{long}"."{long[1:]}y"', ""))
    first, second = (task.locks[0] for task in found.values())
    assert first != second and len(first) == len(second) == 100


def test_locks_are_pinned_with_the_plan_and_do_not_change_again(tmp_path: Path) -> None:
    text = HEAD + TARGETS + "tasks:\n  - id: t\n    run: {sql: 'TRUNCATE orders', on: app}\n"
    plan: Plan = load_text(tmp_path, text).plan
    assert unpin(pin(plan)) == plan and plan.tasks[0].locks == ("app.orders",)


def test_nobody_is_warned_of_a_lock_that_nobody_wrote(tmp_path: Path) -> None:
    text = HEAD + TARGETS + "tasks:\n  - id: t\n    run: {sql: 'DROP TABLE orders', on: app}\n"
    assert load_text(tmp_path, text).warnings == ()


def test_sql_for_sqlite_gives_no_locks(tmp_path: Path) -> None:
    text = HEAD + TARGETS + "tasks:\n  - id: t\n    run: {sql: 'DROP TABLE orders', on: lite}\n"
    plan: Any = load_text(tmp_path, text).plan
    assert plan.tasks[0].locks == ()
