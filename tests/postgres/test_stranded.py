"""What a task had done in part when its run was rolled back beneath it: neither silently gone on behind, nor
silently done again. Whole runs, and their resumes, on a real server."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine.journal.rundir import RunDir
from engine.machine import reports as rep
from engine.machine.state import State
from engine.machine.transitions import RunStatus, TaskStatus
from engine.plan.load import load_plan
from engine.runner.opening import Options, new_run, resumed_run

pytestmark = pytest.mark.anyio

PLAN = """\
wesley: 1
name: stranded
targets: {{app: {{postgres: "{conninfo}"}}}}
checkpoints: {{progress: {progress}, phases: false}}
tasks:
  - id: column
    run: {{on: app, sql: "ALTER TABLE orders ADD COLUMN tenant int"}}
    rollback: {{on: app, sql: "ALTER TABLE orders DROP COLUMN tenant"}}
  - id: half
    needs: [column]
    critical: true
    idempotent: {idempotent}
    run: {{on: app, {action}}}
"""
BACKFILL = (
    "backfill: {table: orders, key: id, batch: 10, pause: 0s, sql: "
    '"UPDATE orders SET tenant = 60 / (80 - id - (SELECT n FROM luck)) WHERE id BETWEEN :first AND :last"}'
)
PARTS = (
    'sql: "UPDATE orders SET tenant = 1; VACUUM orders; '
    'UPDATE orders SET tenant = 60 / (80 - id - (SELECT n FROM luck))"'
)
"""Both fail at the row with id 80, until there is luck."""


@pytest.fixture
def sql(conninfo: str) -> Any:
    def execute(query: str) -> list[Any]:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    execute("CREATE TABLE orders AS SELECT generate_series(1, 100) AS id")
    execute("ALTER TABLE orders ADD PRIMARY KEY (id)")
    execute("CREATE TABLE luck AS SELECT 0 AS n")
    return execute


async def begun(
    folder: Path, conninfo: str, action: str, *, idempotent: bool = False, progress: int = 100
) -> State:
    """A run that fails half-way, and is rolled back for that: to its start, or with a checkpoint at 50 per
    cent to the moment before the task that fails."""
    known = {"conninfo": conninfo, "action": action, "progress": progress}
    text = PLAN.format(**known, idempotent=str(idempotent).lower())
    (folder / "plan.yaml").write_text(text)
    loaded = load_plan(folder / "plan.yaml")
    with new_run(loaded, loaded.plan, folder / "state", "r1", Options(actor="ann")) as run:
        return await run.runner.run()


async def resumed(folder: Path, *, retries: bool = False) -> State:
    """The run taken up again, to its end or to a question; with `retries` the open one is answered so."""
    options = Options(actor="ann", stop_at_question=not retries)
    with resumed_run(RunDir(folder / "state" / "runs" / "r1"), options) as run:
        if not retries:
            return await run.runner.run()
        (question,) = run.runner.state.questions
        run.runner.report(rep.Decide(question=question, action="retry", actor="ann"))
        return await run.runner.run()


@pytest.mark.parametrize("action", [BACKFILL, PARTS], ids=["backfill", "parts"])
async def test_it_asks_and_a_retry_begins_at_the_beginning(
    tmp_path: Path, conninfo: str, sql: Any, action: str
) -> None:
    state = await begun(tmp_path, conninfo, action)
    assert state.status is RunStatus.ROLLED_BACK
    sql("UPDATE luck SET n = 200")
    state = await resumed(tmp_path)
    (question,) = state.questions.values()
    assert question.task == "half"
    assert "done a part of it when the run was rolled back" in question.reason
    assert sql("SELECT count(tenant) FROM orders") == [(0,)]
    state = await resumed(tmp_path, retries=True)
    assert state.status is RunStatus.COMPLETED
    assert sql("SELECT count(tenant) FROM orders") == [(100,)]


@pytest.mark.parametrize("action", [BACKFILL, PARTS], ids=["backfill", "parts"])
async def test_where_nothing_beneath_it_was_undone_it_goes_on_behind_what_is_there(
    tmp_path: Path, conninfo: str, sql: Any, action: str
) -> None:
    state = await begun(tmp_path, conninfo, action, progress=50)
    assert state.status is RunStatus.ROLLED_BACK
    assert state.tasks["column"].status is TaskStatus.SUCCEEDED
    sql("UPDATE luck SET n = 200")
    sql("UPDATE orders SET tenant = 7 WHERE id = 1")
    state = await resumed(tmp_path)
    assert state.status is RunStatus.COMPLETED
    # Done again, no row would have 7 or 1 any more; the last part of the other one goes through them all.
    kept, before = (7, 30) if action == BACKFILL else (0, 0)
    assert sql("SELECT tenant FROM orders WHERE id = 1") == [(kept,)]
    assert sql("SELECT count(*) FROM orders WHERE tenant = 1") == [(before,)]


@pytest.mark.parametrize("action", [BACKFILL, PARTS], ids=["backfill", "parts"])
async def test_what_does_no_harm_twice_begins_anew_unasked(
    tmp_path: Path, conninfo: str, sql: Any, action: str
) -> None:
    await begun(tmp_path, conninfo, action, idempotent=True)
    sql("UPDATE luck SET n = 200")
    state = await resumed(tmp_path)
    assert state.tasks["half"].status is TaskStatus.SUCCEEDED
    assert sql("SELECT count(tenant) FROM orders") == [(100,)]
