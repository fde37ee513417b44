"""The sample plans as they are shipped: they load, do what they say, and can be undone."""

import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

import sample_plans
from engine.forecast.published import published_beside
from engine.forecast.simulation import Simulation
from engine.graph import Graph
from engine.machine.state import State
from engine.plan.load import load_plan
from engine.plan.models import Action, Model, Task
from engine.runner.opening import Options, new_run

SAMPLES = Path(sample_plans.__file__).parent
PLANS = sorted(path for path in SAMPLES.rglob("*.yaml") if "\nwesley: 1\n" in path.read_text())


class Shop:
    """A copy of the shop's folder, in which single actions of a plan are carried out."""

    def __init__(self, folder: Path, plan: str) -> None:
        self.folder = folder
        self.plan = load_plan(folder / plan).plan
        tasks = {task.id: task for task in self.plan.tasks}
        self.tasks = [tasks[task_id] for task_id in Graph(self.plan).topological]
        self.file = folder / str(self.plan.targets["app"].sqlite)

    def perform(self, action: Action) -> "subprocess.CompletedProcess[str]":
        """Carry `action` out; what failed has a returncode other than 0."""
        match action.kind:
            case "sql":
                return self._script(action.text)
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
        """The schema and every row, table by table, but for what the engine itself keeps in there."""
        described: dict[str, object] = {}
        ours = "SELECT type, name, sql FROM sqlite_master WHERE tbl_name NOT LIKE '%wesley%'"
        for kind, name, sql in self.rows(ours):
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


@pytest.fixture
def quick(folder: Path) -> Path:
    """The shop without the pauses that are only there to watch."""
    for module in ("backfill.py", "checks.py"):
        text = (folder / module).read_text()
        (folder / module).write_text(re.sub(r"^PAUSE_S = .*$", "PAUSE_S = 0.0", text, flags=re.M))
    return folder


def run_for_real(path: Path, state: Path, *, model: Model = "rolling", **options: Any) -> State:
    loaded = load_plan(path)
    plan = loaded.plan.model_copy(update={"model": model})
    chosen = Options(actor="test", stop_at_question=True, **options)
    with new_run(loaded, plan, state, None, chosen) as run:
        return anyio.run(run.runner.run)


@pytest.mark.parametrize("path", PLANS, ids=lambda path: str(path.relative_to(SAMPLES)))
def test_every_plan_loads_without_a_warning_and_says_what_it_is(path: Path) -> None:
    assert load_plan(path).warnings == ()
    assert path.read_text().startswith("# ")
    assert "wesley-console" in path.read_text()


def test_shop_runs_for_real_in_both_models_with_the_same_money(quick: Path, tmp_path: Path) -> None:
    shop = Shop(quick, "plan.yaml")
    shop.run(until="seed-shop")
    sales = shop.rows("SELECT day, orders, revenue FROM daily_sales")
    models: tuple[Model, ...] = ("rolling", "wave")
    for model in models:  # the second run finds what the first one left
        ended = run_for_real(quick / "plan.yaml", tmp_path / model, model=model)
        assert ended.status == "completed"
        assert {task.status for task in ended.tasks.values()} == {"succeeded"}
        assert shop.rows("SELECT day, orders, revenue FROM daily_sales") == sales
    columns = [name for (name,) in shop.rows("SELECT name FROM pragma_table_info('orders')")]
    assert columns == ["id", "customer_id", "placed_at", "total_cents", "status_id", "address_id"]
    assert not list(quick.glob("*.maintenance"))


def test_trouble_is_over_after_two_retries_and_comes_back_with_a_new_shop(
    quick: Path, tmp_path: Path
) -> None:
    state = run_for_real(quick / "trouble.yaml", tmp_path / "state", on_unknown="retry")
    assert state.status == "completed"
    assert len(state.tasks["check-carrier"].attempts) == 3
    shop = Shop(quick, "trouble.yaml")
    shop.run(until="seed-shop")
    carrier = next(task for task in shop.tasks if task.id == "check-carrier")
    assert shop.perform(carrier.run).returncode == 1


def test_trouble_rolled_back_to_the_start_leaves_the_shop_as_it_was(quick: Path, tmp_path: Path) -> None:
    Shop(quick, "plan.yaml").run(until="seed-shop")
    state = run_for_real(
        quick / "trouble.yaml", tmp_path / "state", on_unknown="rollback", rollback_to="start"
    )
    assert state.status == "rolled_back"
    assert Shop(quick, "trouble.yaml").contents() == Shop(quick, "plan.yaml").contents()
    last = state.tasks["check-carrier"].last
    assert last is not None
    assert last.failure_class == "unknown"
    assert "written to while being read" in last.tail


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


def test_trouble_is_the_shop_migration_with_one_task_more() -> None:
    plain, trouble = (load_plan(SAMPLES / "shop" / name).plan for name in ("plan.yaml", "trouble.yaml"))
    assert {task.id for task in trouble.tasks} - {task.id for task in plain.tasks} == {"check-carrier"}
    assert len(trouble.tasks) == len(plain.tasks) + 1


HOUR = 3600.0


def test_reference_plan_has_the_known_bounds() -> None:
    graph = Graph(load_plan(SAMPLES / "reference" / "rolling.yaml").plan)
    assert len(graph.order) == 39
    assert graph.work_s == 190 * HOUR
    assert graph.critical_path_s == 32 * HOUR


def test_reference_plan_is_the_same_in_both_models() -> None:
    rolling, waves = (load_plan(SAMPLES / "reference" / f"{name}.yaml").plan for name in ("rolling", "waves"))
    assert (rolling.model, waves.model) == ("rolling", "wave")
    assert (rolling.tasks, rolling.waves, rolling.workers) == (waves.tasks, waves.waves, waves.workers)


@pytest.mark.parametrize(("name", "least_h", "most_h"), [("rolling", 48, 48), ("waves", 54, 60)])
def test_reference_plan_takes_as_long_as_it_is_known_to(name: str, least_h: int, most_h: int) -> None:
    state = Simulation(load_plan(SAMPLES / "reference" / f"{name}.yaml").plan).run()
    assert state.status == "completed"
    assert least_h * HOUR <= state.t <= most_h * HOUR


def test_published_figures_stand_beside_the_reference_plan() -> None:
    published = published_beside(SAMPLES / "reference" / "waves.yaml")
    assert published is not None
    assert published.wave is not None
    assert published.rolling is not None
    assert (published.wave.makespan, published.rolling.makespan) == (58 * HOUR, 45 * HOUR)
    assert (published.wave.checkpoints, published.rolling.checkpoints) == (4, 11)
