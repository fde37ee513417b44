"""The lock radar for people: in `check`, on the review, and in the task panel."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from console.app import ConsoleApp
from console.commands.check import check_plan
from console.panels.task import TaskPanel
from console.radar import facts, report, summarise
from console.review import ReviewFacts
from console.run_view import RunView
from console.screens.radar import RadarLines, RadarScreen
from console.screens.review import ReviewScreen
from engine.plan.load import load_plan
from engine.plan.models import Plan, parse_plan_data
from engine.plan.sql.derive import derived
from engine.plan.sql.scripts import scripts
from tests.console.panel_stage import PanelStage, lines_of, play
from tests.console.shell_stage import START

Compare = Callable[..., bool]
FACTS = ReviewFacts(run="20260314-0200-shop", folder="/var/lib/wesley/runs", plan_file="shop.yaml")
SIZES = [(80, 24), (120, 36), (200, 60)]


@pytest.fixture(autouse=True)
def _in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


def plan(**changes: Any) -> Plan:
    """A column, filled and indexed, and a table of the plan's own."""
    column = """
        ALTER TABLE orders ADD COLUMN org_id bigint;
        CREATE TRIGGER org BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION org_of_order();"""
    batches = {
        "table": "orders",
        "key": "id",
        "sql": "UPDATE orders SET org_id = 1 WHERE id BETWEEN :first AND :last",
    }
    orgs = "CREATE TABLE orgs (id int); CREATE INDEX ON orgs (id)"
    tidy = "VACUUM orders; " + "; ".join(
        f"ALTER TABLE orders ALTER org_id {how}" for how in ("TYPE int", "SET NOT NULL")
    )
    tasks: list[dict[str, Any]] = [
        {"id": "create-orgs", "run": {"sql": orgs, "on": "shop"}},
        {
            "id": "add-column",
            "run": {"sql": column, "on": "shop"},
            "rollback": {"sql": "ALTER TABLE orders DROP COLUMN org_id", "on": "shop"},
        },
        {"id": "fill-column", "run": {"backfill": batches, "on": "shop"}, "needs": ["add-column"]},
        {
            "id": "index-column",
            "run": {"sql": "CREATE INDEX CONCURRENTLY orders_org ON orders (org_id)", "on": "shop"},
            "rollback": {"sql": "DROP INDEX CONCURRENTLY orders_org", "on": "shop"},
            "needs": ["fill-column"],
        },
        {"id": "tidy", "run": {"sql": tidy, "on": "shop"}, "needs": ["index-column"]},
        {"id": "call", "run": {"sql": "CALL tell_everybody()", "on": "shop"}, "needs": ["tidy"]},
        {"id": "mail", "run": {"shell": "./mail.sh"}, "needs": ["tidy"]},
    ]  # fmt: skip
    data = {
        "wesley": 1,
        "name": "orders by org",
        "targets": {"shop": {"postgres": "embedded"}},
        "tasks": tasks,
    }
    return derived(parse_plan_data({**data, **changes}))


SQLITE = plan(
    targets={"shop": {"sqlite": "shop.db"}},
    tasks=[{"id": "a", "run": {"sql": "ALTER TABLE t ADD b", "on": "shop"}}],
)


def test_the_sum_names_each_table_once_where_it_is_hit_hardest() -> None:
    told = dict(facts(summarise(scripts(plan()))))
    assert told["statements"] == "4 of 10 block others"
    assert told["no access to"] == "orders" and told["no writes of"] == ""
    assert told["rewritten"] == "perhaps orders"
    assert told["alone"] == "2 statements that refuse a transaction"
    assert told["not seen"] == "what 1 statement may do besides"


def test_many_tables_are_counted() -> None:
    sql = "; ".join(f"TRUNCATE t{number}" for number in range(11))
    many = plan(tasks=[{"id": "a", "run": {"sql": sql, "on": "shop"}}])
    assert dict(facts(summarise(scripts(many))))["no access to"].endswith("t7 and 3 more")


def test_the_report_says_for_each_task_what_is_committed_at_once_and_what_is_locked() -> None:
    told = report(scripts(plan()))
    assert max(map(len, told.splitlines())) <= 80
    blocks = dict(block.split(": ", 1) for block in told.split("\n\n") if ": " in block.splitlines()[0])
    assert "create-orgs" not in blocks  # nobody else knows of its table yet
    assert blocks["add-column"].splitlines() == [
        "run on shop, one transaction of 2 statements",
        "  1  ALTER TABLE orders ADD COLUMN org_id bigint",
        "    orders: ACCESS EXCLUSIVE, blocks reads and writes",
        "  2  CREATE TRIGGER org BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION o…",
        "    orders: SHARE ROW EXCLUSIVE, blocks writes",
    ]
    assert "alone: CREATE INDEX CONCURRENTLY" in blocks["index-column"].replace("\n    ", " ")
    assert "  part 1, alone: VACUUM cannot run in a transaction" in blocks["tidy"].splitlines()
    assert "  part 2, one transaction of 2 statements" in blocks["tidy"].splitlines()
    assert "cannot be seen here" in blocks["call"]
    assert blocks["fill-column"].splitlines() == [
        "run on shop, a backfill: one transaction for each batch; only those",
        "    wait who write the rows of a batch",
    ]
    assert "1 more task: one transaction each, and nobody is blocked." in told


def test_what_stands_in_the_sql_cannot_steer_a_terminal_or_give_a_password_away() -> None:
    sql = "TRUNCATE \"a\x1b[31m\"; CREATE SUBSCRIPTION s CONNECTION 'host=h password=hunter2' PUBLICATION p"
    told = report(scripts(plan(tasks=[{"id": "a", "run": {"sql": sql, "on": "shop"}}])))
    assert "\x1b" not in told and "hunter2" not in told and "a�[31m" in told


def test_check_prints_it_and_gives_the_same_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(json.dumps(plan().model_dump(mode="json", by_alias=True, exclude_defaults=True)))
    check_plan(path, as_json=False, allow_outside=False)
    assert "orders: ACCESS EXCLUSIVE, blocks reads and writes" in capsys.readouterr().out
    check_plan(path, as_json=True, allow_outside=False)
    told = json.loads(capsys.readouterr().out)
    assert told["sql"] == [script.as_dict() for script in scripts(load_plan(path).plan)]
    assert {script["task"] for script in told["sql"]} == {task.id for task in plan().tasks} - {"mail"}


# -- the review ----------------------------------------------------------------------------------------


def reviewed(of: Plan, **facts: Any) -> ConsoleApp:
    about = ReviewFacts(run="r1", folder="/runs", **facts)
    return ConsoleApp(RunView(of), review=about, now=lambda: START)


@pytest.mark.anyio
async def test_the_review_opens_all_of_it_and_comes_back() -> None:
    app = reviewed(plan())
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("l")
        await pilot.pause()
        assert isinstance(app.screen, RadarScreen)
        shown = "\n".join(lines_of(app.screen.query_one(RadarLines)))
        assert "What runs" in shown and "orders: ACCESS EXCLUSIVE, blocks reads and writes" in shown
        await pilot.press("end")
        await pilot.pause()
        shown = "\n".join(lines_of(app.screen.query_one(RadarLines)))
        assert "What a rollback would run" in shown and "DROP COLUMN org_id" in shown
        await pilot.press("escape")
        assert isinstance(app.screen, ReviewScreen)


@pytest.mark.anyio
@pytest.mark.parametrize("app", [reviewed(SQLITE), reviewed(plan(), simulated=True)])
async def test_where_nothing_is_locked_there_is_nothing_to_open(app: ConsoleApp) -> None:
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("l")
        assert isinstance(app.screen, ReviewScreen)


@pytest.mark.parametrize("size", SIZES)
def test_the_review_of_a_plan_for_postgresql(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = ConsoleApp(RunView(plan()), review=FACTS, now=lambda: START)
    assert snap_compare(app, terminal_size=size)


@pytest.mark.parametrize("size", SIZES)
def test_every_statement(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = ConsoleApp(RunView(plan()), review=FACTS, now=lambda: START)
    assert snap_compare(app, terminal_size=size, press=["l"])


# -- the task panel ------------------------------------------------------------------------------------


def panel(task_id: str, of: Plan) -> Callable[[], TaskPanel]:
    def make() -> TaskPanel:
        made = TaskPanel(RunView(of))
        made.select_task(task_id)
        return made

    return make


def shown(task_id: str, of: Plan | None = None) -> str:
    return "\n".join(play(panel(task_id, of or plan()), (80, 40)).shown)


def test_a_task_shows_what_each_of_its_statements_locks() -> None:
    told = shown("add-column")
    assert "locks      1  ALTER TABLE orders ADD COLUMN org_id bigint" in told
    assert "orders: SHARE ROW EXCLUSIVE, blocks writes" in told
    assert "undoing    1  ALTER TABLE orders DROP COLUMN org_id" in told
    assert "holds      lock shop.orders" in told


def test_a_task_that_blocks_nobody_says_so() -> None:
    assert "locks      blocks nobody" in shown("create-orgs")
    assert "locks      one transaction for each batch" in shown("fill-column")


def test_a_task_that_commits_in_parts_shows_them() -> None:
    told = shown("tidy")
    assert "2 parts, each committed by itself" in told and "part 2, one transaction of 2 statements" in told


def test_off_postgresql_there_is_no_radar() -> None:
    assert "locks  " not in shown("mail") and "locks  " not in shown("a", SQLITE)


def test_the_radar_follows_a_plan_that_was_changed() -> None:
    async def change(pilot: Pilot[None]) -> None:
        stage = pilot.app
        assert isinstance(stage, PanelStage)
        sql = {"id": "tidy", "run": {"sql": "TRUNCATE lines", "on": "shop"}}
        stage.panel.view = RunView(plan(tasks=[sql]))
        stage.panel.refresh_view()

    told = "\n".join(play(panel("tidy", plan()), (80, 40), change).shown)
    assert "lines: ACCESS EXCLUSIVE" in told and "part 2" not in told


@pytest.mark.parametrize("size", [(50, 24), (80, 30)])
def test_a_task_on_postgresql(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(PanelStage(panel("tidy", plan())), terminal_size=size)
