"""The sample plan `tenants` on a real server: what it leaves, and that it can be undone."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import anyio
import psycopg
import pytest
from psycopg import sql

import sample_plans
from engine.machine.state import State
from engine.plan.load import load_plan
from engine.plan.models import Action, Model, Plan, Task
from engine.runner.opening import Options, new_run

FOLDER = Path(sample_plans.__file__).parent / "tenants"
PLAN = FOLDER / "plan.yaml"
ORDERS = 6000
"""Enough for several batches of orders and of their items."""

TABLES = ("customers", "order_items", "orders", "products")
DESCRIBING: dict[str, LiteralString] = {
    "columns": """
        SELECT attname, format_type(atttypid, atttypmod), attnotnull, attidentity::text,
               pg_get_expr(adbin, adrelid)
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = {table}::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum""",
    "constraints": """
        SELECT conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid = {table}::regclass ORDER BY conname""",
    "indexes": """
        SELECT pg_get_indexdef(indexrelid), indisvalid FROM pg_index
        WHERE indrelid = {table}::regclass ORDER BY 1""",
    "triggers": """
        SELECT pg_get_triggerdef(oid) FROM pg_trigger
        WHERE tgrelid = {table}::regclass AND NOT tgisinternal ORDER BY 1""",
    "policies": """
        SELECT polname::text, relrowsecurity FROM pg_class LEFT JOIN pg_policy ON polrelid = pg_class.oid
        WHERE pg_class.oid = {table}::regclass""",
}
OTHERS: dict[str, LiteralString] = {
    "tables": """
        SELECT tablename::text FROM pg_tables
        WHERE schemaname = 'public' AND tablename NOT LIKE '\\_wesley%' ORDER BY 1""",
    "views": "SELECT viewname::text, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1",
    "functions": """
        SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1""",
}


class Shop:
    """The shop's database, as its owner sees it."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.connection = psycopg.connect(conninfo, autocommit=True)

    def rows(self, query: LiteralString | sql.Composed) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def build(self) -> None:
        """The old shop, as the plan's first task builds it."""
        seed = next(task for task in load_plan(PLAN).plan.tasks if task.id == "seed-shop")
        self.connection.execute(seed.run.text.encode())

    def described(self) -> dict[str, object]:
        """The schema and every row, table by table, but for what the engine itself keeps in there."""
        described: dict[str, object] = {name: self.rows(query) for name, query in OTHERS.items()}
        for table in TABLES:
            for name, query in DESCRIBING.items():
                described[f"{name} of {table}"] = self.rows(sql.SQL(query).format(table=sql.Literal(table)))
            everything = sql.SQL("SELECT * FROM {table} ORDER BY id").format(table=sql.Identifier(table))
            described[f"rows of {table}"] = self.rows(everything)
        return described


@pytest.fixture
def shop(conninfo: str) -> Iterator[Shop]:
    """An empty database, in which the seed would build a small shop."""
    shop = Shop(f"{conninfo} options='-c shop.orders={ORDERS}'")
    yield shop
    shop.connection.close()


@pytest.fixture
def application(shop: Shop) -> Iterator[str]:
    """A role like the new application's. Roles belong to the whole server: it is dropped again."""
    shop.connection.execute("CREATE ROLE tenant_application")
    yield "tenant_application"
    shop.connection.execute("DROP OWNED BY tenant_application; DROP ROLE tenant_application")


def run_for_real(plan: Plan, shop: Shop, state: Path, **options: Any) -> State:
    chosen = Options(
        actor="test", stop_at_question=True, environ=os.environ | {"SHOP_DATABASE": shop.conninfo}, **options
    )
    with new_run(load_plan(PLAN), plan, state, None, chosen) as run:
        return anyio.run(run.runner.run)


@pytest.mark.parametrize("model", ["rolling", "wave"])
def test_the_migrated_shop_has_tenants_that_are_kept_apart(
    model: Model, shop: Shop, application: str, tmp_path: Path
) -> None:
    plan = load_plan(PLAN).plan.model_copy(update={"model": model})
    ended = run_for_real(plan, shop, tmp_path)

    assert ended.status == "completed"
    assert {task.status for task in ended.tasks.values()} == {"succeeded"}
    of_a_stranger = """
        SELECT count(*) FROM orders AS o JOIN customers AS c ON c.id = o.customer_id
        JOIN order_items AS i ON i.order_id = o.id
        WHERE (o.tenant_id, i.tenant_id) IS DISTINCT FROM (c.tenant_id, c.tenant_id)"""
    assert shop.rows("SELECT count(*) FROM orders") == [(ORDERS,)]
    assert shop.rows(of_a_stranger) == [(0,)]
    assert shop.rows("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]
    assert shop.rows("SELECT count(*) FROM pg_constraint WHERE NOT convalidated") == [(0,)]
    columns = shop.rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attnum > 0"
    )
    assert "site" not in [name for (name,) in columns]

    place_an_order(shop)
    assert shop.rows("SELECT count(*) FROM orders") == [(ORDERS + 1,)]
    assert shop.rows(of_a_stranger) == [(0,)]

    shop.connection.execute("GRANT SELECT, INSERT ON customers, orders, order_items TO tenant_application")
    shop.connection.execute("SET ROLE tenant_application")
    assert shop.rows("SELECT count(*) FROM orders") == [(0,)]
    shop.connection.execute("SET shop.tenant = '3'")
    assert shop.rows("SELECT DISTINCT tenant_id FROM customers") == [(3,)]
    assert shop.rows("SELECT DISTINCT tenant_id FROM order_items") == [(3,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        shop.connection.execute(
            "INSERT INTO customers (tenant_id, name, email) VALUES (4, 'Eve', 'eve@mail')"
        )
    shop.connection.execute("RESET ROLE")


def test_rolled_back_to_the_start_it_is_the_old_shop_table_by_table(shop: Shop, tmp_path: Path) -> None:
    shop.build()
    before = shop.described()
    ended = run_for_real(
        with_a_last_task_that_fails(), shop, tmp_path, on_unknown="rollback", rollback_to="start"
    )

    assert ended.status == "rolled_back"
    assert ended.tasks["forget-sites"].status == "rolled_back"
    after = shop.described()
    assert after.keys() == before.keys()
    for what, was in before.items():
        assert after[what] == was, what


def test_every_task_but_the_first_and_the_last_can_be_undone() -> None:
    tasks = load_plan(PLAN).plan.tasks
    assert [task.id for task in tasks if task.rollback is None] == ["seed-shop", "drop-sites"]


def test_rows_of_the_old_application_have_their_tenant_as_soon_as_there_are_tenants(shop: Shop) -> None:
    """Also those of customers that are not filled yet, and of a site that nobody has seen before."""
    shop.build()
    for task in load_plan(PLAN).plan.tasks[1:]:
        if task.phase == "expand":
            shop.connection.execute(task.run.text.encode())
    place_an_order(shop)
    shop.connection.execute("UPDATE orders SET status = 'paid' WHERE id = 5")
    shop.connection.execute(
        "INSERT INTO customers (site, name, email) VALUES ('new.example', 'Eve', 'eve@mail')"
    )

    filled = """
        SELECT o.id, t.site = c.site FROM orders AS o JOIN customers AS c ON c.id = o.customer_id
        JOIN tenants AS t ON t.id = o.tenant_id ORDER BY o.id"""
    assert shop.rows(filled) == [(5, True), (ORDERS + 1, True)]
    items = """
        SELECT i.tenant_id = o.tenant_id FROM order_items AS i JOIN orders AS o ON o.id = i.order_id
        ORDER BY i.id DESC LIMIT 1"""
    assert shop.rows(items) == [(True,)]
    newcomer = (
        "SELECT t.site FROM customers AS c JOIN tenants AS t ON t.id = c.tenant_id WHERE c.name = 'Eve'"
    )
    assert shop.rows(newcomer) == [("new.example",)]


def test_traffic_beside_the_migration_meets_no_error_and_loses_no_order(shop: Shop, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    seconds = ["--seconds-before", "0.3", "--seconds-after", "0.3", "--report-seconds", "0.3"]
    done = subprocess.run(
        [sys.executable, FOLDER / "traffic.py", "--orders", str(ORDERS), *seconds, "--json", figures],
        env=os.environ | {"SHOP_DATABASE": shop.conninfo, "WESLEY_CONSOLE_STATE": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads(figures.read_text())
    assert (result["exit_code"], result["errors"], result["orders_lost"]) == (0, [], 0), done.stdout
    assert result["orders_placed"] > 0
    for who in ("reader", "writer", "report"):
        assert result["figures"][who]["during"]["statements"] > 0
    assert "longest stall of a writer" in done.stdout


def place_an_order(shop: Shop) -> None:
    """As the old application does it."""
    ((order,),) = shop.rows("INSERT INTO orders (customer_id, total) VALUES (7, 9.95) RETURNING id")
    shop.connection.execute(
        "INSERT INTO order_items (order_id, product_id, quantity, price) VALUES (%s, 1, 1, 9.95)", [order]
    )


def with_a_last_task_that_fails() -> Plan:
    """The plan, but for its last task: that one cannot be undone, and here it fails instead."""
    plan = load_plan(PLAN).plan
    failing = {"run": Action(shell="exit 1"), "verify": None}
    last: Task = plan.tasks[-1].model_copy(update=failing)
    return plan.model_copy(update={"tasks": (*plan.tasks[:-1], last)})
