"""The sample plans as they are shipped: they load, do what they say, and can be undone."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest
from ruamel.yaml import YAML

import sample_plans
from engine.plan.models import Action, Plan, Task, parse_plan_data

SAMPLES = Path(sample_plans.__file__).parent
PLANS = sorted(path for path in SAMPLES.rglob("*.yaml") if "\nwesley: 1\n" in path.read_text())


def load(path: Path) -> Plan:
    return parse_plan_data(YAML(typ="safe").load(path))


def graph_of(plan: Plan) -> "nx.DiGraph[str]":
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(task.id for task in plan.tasks)
    graph.add_edges_from((before, task.id) for task in plan.tasks for before in task.needs)
    return graph


def in_order(plan: Plan) -> list[Task]:
    tasks = {task.id: task for task in plan.tasks}
    return [tasks[task_id] for task_id in nx.lexicographical_topological_sort(graph_of(plan))]


class Shop:
    """A copy of the shop's folder, in which single actions of a plan are carried out."""

    def __init__(self, folder: Path, plan: str) -> None:
        self.folder = folder
        self.plan = load(folder / plan)
        self.tasks = in_order(self.plan)
        self.file = folder / str(self.plan.targets["app"].sqlite)

    def perform(self, action: Action) -> "subprocess.CompletedProcess[str]":
        """Carry `action` out; what failed has a returncode other than 0."""
        match action.kind:
            case "sql":
                return self._script(action.text)
            case "sql_file":
                return self._script((self.folder / action.text).read_text())
            case "python":
                module, _, function = action.text.partition(":")
                hurry = "import backfill, checks; backfill.PAUSE_S = checks.PAUSE_S = 0"
                return self._child([sys.executable, "-c", f"{hurry}; import {module}; {module}.{function}()"])
            case _:
                return self._child(["sh", "-c", action.text])

    def holds(self, action: Action) -> bool:
        """What a task's `verify` says."""
        if action.kind == "sql":
            return self.rows(action.text) == [(1,)]
        return self.perform(action).returncode == 0

    def rows(self, query: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.file)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def run(self, *, until: str | None = None) -> list[Task]:
        """Every task up to and including `until`, with its `verify`; what was done, in order."""
        done = []
        for task in self.tasks:
            outcome = self.perform(task.run)
            assert outcome.returncode == 0, f"{task.id}: {outcome.stdout}{outcome.stderr}"
            assert task.verify is None or self.holds(task.verify), task.id
            done.append(task)
            if task.id == until:
                break
        return done

    def contents(self) -> dict[str, object]:
        """The schema and every row, table by table."""
        described: dict[str, object] = {}
        for kind, name, sql in self.rows("SELECT type, name, sql FROM sqlite_master"):
            described[f"{kind} {name}"] = sql
            if kind == "table":
                described[f"rows of {name}"] = self.rows(f"SELECT * FROM {name}")
        return described

    def _script(self, script: str) -> "subprocess.CompletedProcess[str]":
        connection = sqlite3.connect(self.file, isolation_level=None)
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{script};\nCOMMIT;")
        finally:
            connection.close()
        return subprocess.CompletedProcess(script, 0, "", "")

    def _child(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    leftovers = shutil.ignore_patterns("*.db*", "__pycache__", "trouble.attempts", "*.maintenance")
    return Path(shutil.copytree(SAMPLES / "shop", tmp_path / "shop", ignore=leftovers))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: str(path.relative_to(SAMPLES)))
def test_plan_loads_and_hangs_together(path: Path) -> None:
    plan = load(path)
    ids = [task.id for task in plan.tasks]
    assert len(ids) == len(set(ids))
    assert nx.is_directed_acyclic_graph(graph_of(plan))
    assert set(graph_of(plan)) == set(ids)
    assert path.read_text().startswith("# ")
    for task in plan.tasks:
        assert not plan.phases or task.phase in plan.phases
        assert not plan.waves or task.wave in [wave.id for wave in plan.waves]
        assert set(task.uses) <= set(plan.resources)
        for action in (task.run, task.rollback, task.verify):
            if action and action.kind == "sql_file":
                assert (path.parent / action.text).is_file()


def test_shop_ends_in_its_new_shape_with_the_same_money(folder: Path) -> None:
    shop = Shop(folder, "plan.yaml")
    shop.run(until="seed-shop")
    before = shop.rows("SELECT day, orders, revenue FROM daily_sales")
    shop.run()
    assert shop.rows("SELECT day, orders, revenue FROM daily_sales") == before
    columns = [name for (name,) in shop.rows("SELECT name FROM pragma_table_info('orders')")]
    assert columns == ["id", "customer_id", "placed_at", "total_cents", "status_id", "address_id"]
    assert shop.rows("SELECT count(*) FROM addresses") > [(2000,)]
    assert not list(folder.glob("*.maintenance"))


def test_shop_rolled_back_to_the_start_is_the_shop_it_was(folder: Path) -> None:
    shop = Shop(folder, "plan.yaml")
    shop.run(until="seed-shop")
    before = shop.contents()
    done = shop.run(until="set-aside-legacy")
    assert {task.id for task in shop.tasks} - {task.id for task in done} == {"drop-legacy"}
    assert shop.contents() != before
    for task in reversed(done):
        if task.rollback:
            assert shop.perform(task.rollback).returncode == 0
    assert shop.contents() == before
    assert {task.id for task in shop.tasks if task.rollback is None} == {"seed-shop", "drop-legacy"}


def test_shop_keeps_both_shapes_in_step_while_it_is_being_moved(folder: Path) -> None:
    shop = Shop(folder, "plan.yaml")
    shop.run(until="start-sync")
    insert = """
        INSERT INTO orders (customer_id, placed_at, status, total, street, postcode, city)
        VALUES (7, '2025-01-01 09:30', ' PAID', '1,234.50', '1 New Street', '12345', 'Corston')"""
    shop.perform(Action(sql=insert, on="app"))
    joined = """
        SELECT o.total_cents, s.name, a.street FROM orders AS o
        JOIN order_statuses AS s ON s.id = o.status_id JOIN addresses AS a ON a.id = o.address_id"""
    assert shop.rows(joined) == [(123_450, "paid", "1 New Street")]


def test_shop_writes_the_old_columns_too_once_it_is_switched(folder: Path) -> None:
    shop = Shop(folder, "plan.yaml")
    shop.run(until="switch-writes")
    sql = "UPDATE orders SET total_cents = 995, status_id = 3, address_id = 1 WHERE id = 42"
    shop.perform(Action(sql=sql, on="app"))
    assert shop.rows("SELECT total, status FROM orders WHERE id = 42") == [("9.95", "shipped")]


def test_checks_end_as_permanent_when_the_money_differs(folder: Path) -> None:
    shop = Shop(folder, "plan.yaml")
    shop.run(until="link-addresses")
    shop.perform(Action(sql="UPDATE orders SET total_cents = total_cents + 1 WHERE id = 42", on="app"))
    check = next(task for task in shop.tasks if task.id == "check-totals")
    outcome = shop.perform(check.run)
    assert outcome.returncode == check.classify[0].exit
    assert "DIFFERENT" in outcome.stdout
    assert "Traceback" not in outcome.stderr


def test_seed_replaces_whatever_shop_is_there(folder: Path) -> None:
    shop = Shop(folder, "plan.yaml")
    shop.run(until="seed-shop")
    fresh = shop.contents()
    shop.run(until="start-sync")
    (folder / "shop.db-wal").write_bytes(b"left behind by a kill")
    shop.run(until="seed-shop")
    assert shop.contents() == fresh


def test_trouble_lasts_two_attempts_and_comes_back_with_a_new_shop(folder: Path) -> None:
    shop = Shop(folder, "trouble.yaml")
    carrier = next(task for task in shop.tasks if task.id == "check-carrier")
    for attempts in (3, 1):
        shop.run(until="seed-shop")
        outcomes = [shop.perform(carrier.run) for _ in range(attempts)]
        assert [outcome.returncode for outcome in outcomes] == [1, 1, 0][:attempts]
        assert "written to while being read" in outcomes[0].stdout


def test_trouble_is_the_shop_migration_with_one_task_more() -> None:
    plain, trouble = (load(SAMPLES / "shop" / name) for name in ("plan.yaml", "trouble.yaml"))
    assert {task.id for task in trouble.tasks} - {task.id for task in plain.tasks} == {"check-carrier"}
    assert len(trouble.tasks) == len(plain.tasks) + 1
