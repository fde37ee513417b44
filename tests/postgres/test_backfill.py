"""Backfills: every row once, whatever becomes of attempts; held back and adjusted while they run."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import psycopg
import pytest

from engine.plan.models import FailureClass
from engine.tasks.base import Cancelled, Dials, Failed, Job, Outcome, Progress, Succeeded
from engine.tasks.postgres.backfill import BackfillExecutor
from engine.tasks.postgres.batches import COUNTED, TABLE
from tests.postgres.conftest import MakeJob
from tests.postgres.waiting import eventually

pytestmark = pytest.mark.anyio

TOUCH = "UPDATE orders SET touched = touched + 1 WHERE id BETWEEN :first AND :last"

Backfill = Callable[..., Job]


@pytest.fixture
def backfill(job: MakeJob) -> Backfill:
    """Makes jobs: a backfill of `orders`, with other fields of it, and of the Job with `more`."""

    def make(more: dict[str, Any] | None = None, **fields: Any) -> Job:
        written = {"table": "orders", "key": "id", "sql": TOUCH, "batch": 10, "pause": "0s"} | fields
        return job({"backfill": written, "on": "app"}, **(more or {}))

    return make


async def run(job: Job) -> Outcome:
    return await BackfillExecutor().run(job)


def failure(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


@pytest.fixture
async def sql(conninfo: str) -> Any:
    """Executes SQL on a connection of its own, and gives the rows."""
    connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)

    async def execute(query: str, *params: Any) -> list[Any]:
        cursor = await connection.execute(query.encode(), params or None)
        return await cursor.fetchall() if cursor.description else []

    yield execute
    await connection.close()


Sql = Callable[..., Awaitable[list[Any]]]


async def orders(sql: Sql, rows: int, key: str = "int", value: str = "n") -> None:
    await sql(f"CREATE TABLE orders (id {key} NOT NULL, touched int NOT NULL DEFAULT 0)")
    await sql("CREATE INDEX ON orders (id)")
    await sql(f"INSERT INTO orders (id) SELECT {value} FROM generate_series(1, {rows}) n")


async def preset(sql: Sql, setting: str) -> None:
    """Make sessions to come begin with `setting`."""
    ((name,),) = await sql("SELECT current_database()")
    await sql(f"ALTER DATABASE {name} SET {setting}")


async def touched(sql: Sql) -> dict[int, int]:
    """How many rows were touched how often."""
    return dict(await sql("SELECT touched, count(*) FROM orders GROUP BY 1"))


def told_of(job: MakeJob) -> list[Progress]:
    """The progress of batches: a look may meet the index of the backfill's own table in the making, too."""
    return [each for each in job.heard.progress if each.detail.startswith("batch ")]


async def test_every_row_is_touched_once_and_told_of(backfill: Backfill, job: MakeJob, sql: Sql) -> None:
    await orders(sql, 95)
    made = backfill()
    assert await run(made) == Succeeded(outputs={"rows": 95, "batches": 10})
    assert await touched(sql) == {1: 95}
    assert await sql(f"SELECT last_key, rows, changed, batches, finished FROM {TABLE}") == [
        ("95", 95, 95, 10, True)
    ]
    told = told_of(job)
    assert [each.done for each in told] == [*range(10, 91, 10), 95, 95]
    assert {each.total for each in told} == {95} and {each.unit for each in told} == {"rows"}
    assert told[0].detail == "batch 10, pause 0s, at key 10"
    output = made.output.tail()
    assert "begins at the first key of public.orders (id), 95 rows" in output
    assert "through: it stands at key 95, after 95 rows in 10 batches, 95 changed" in output


async def test_an_empty_table_is_done_at_once(backfill: Backfill, sql: Sql) -> None:
    await orders(sql, 0)
    assert await run(backfill()) == Succeeded(outputs={"rows": 0, "batches": 0})
    assert (await BackfillExecutor().evidence(backfill())).done


async def test_what_has_gone_through_is_not_gone_through_again(backfill: Backfill, sql: Sql) -> None:
    await orders(sql, 25)
    await run(backfill())
    assert await run(backfill({"attempt": 2})) == Succeeded(outputs={"rows": 25, "batches": 3})
    assert await touched(sql) == {1: 25}


async def test_rows_that_share_a_key_are_in_one_batch(backfill: Backfill, sql: Sql) -> None:
    await orders(sql, 100, value="n / 7")
    assert await run(backfill(batch=3)) == Succeeded(outputs={"rows": 100, "batches": 15})
    assert await touched(sql) == {1: 100}


async def test_rows_that_come_meanwhile_behind_the_last_key_are_included(
    backfill: Backfill, job: MakeJob, sql: Sql
) -> None:
    await orders(sql, 30)
    made = backfill(pause="1h")
    async with anyio.create_task_group() as group:
        group.start_soon(run, made)
        await eventually(lambda: _told_of(job, 10))
        await sql("INSERT INTO orders SELECT n FROM generate_series(31, 55) n")
        made.dials.pause_s = 0.0
    assert await touched(sql) == {1: 55}
    assert told_of(job)[-1].total == 55


async def test_a_statement_may_say_anything_that_looks_like_a_placeholder(
    backfill: Backfill, sql: Sql
) -> None:
    await orders(sql, 5)
    await sql("ALTER TABLE orders ADD note text")
    statement = (
        "WITH few AS (SELECT id FROM orders WHERE id >= :FIRST AND id <= :last /* :last */) "
        "UPDATE orders o SET touched = touched + 1, note = '100 % :first %s $3'::text || (:first + 0) "
        "FROM few WHERE few.id = o.id RETURNING o.id"
    )
    assert isinstance(await run(backfill(sql=statement)), Succeeded)
    assert await sql("SELECT DISTINCT note FROM orders") == [("100 % :first %s $31",)]


@pytest.mark.parametrize(
    ("table", "key"), [('"Shop".orders', "id"), ('"Shop"."Order ""Items"""', '"The Id"'), ("ORDERS", "ID")]
)
async def test_names_are_read_as_sql_reads_them(table: str, key: str, backfill: Backfill, sql: Sql) -> None:
    await sql('CREATE SCHEMA "Shop"')
    await sql(f"CREATE TABLE {table} ({key} int PRIMARY KEY, touched int NOT NULL DEFAULT 0)")
    await sql(f"INSERT INTO {table} SELECT generate_series(1, 12)")
    statement = f"UPDATE {table} SET touched = touched + 1 WHERE {key} >= :first AND {key} <= :last"
    await run(backfill(table=table, key=key, sql=statement))
    assert await sql(f"SELECT touched, count(*) FROM {table} GROUP BY 1") == [(1, 12)]


async def test_a_partitioned_table_is_gone_through_as_one(backfill: Backfill, sql: Sql) -> None:
    await sql("CREATE TABLE orders (id int PRIMARY KEY, touched int DEFAULT 0) PARTITION BY RANGE (id)")
    for part in range(3):
        await sql(f"CREATE TABLE o{part} PARTITION OF orders FOR VALUES FROM ({part}00) TO ({part + 1}00)")
    await sql("INSERT INTO orders SELECT generate_series(0, 299)")
    assert isinstance(await run(backfill(batch=70)), Succeeded)
    assert await touched(sql) == {1: 300}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"table": "nowhere"}, "there is no table nowhere"),
        ({"table": "seen"}, "seen is no table: name the one"),
        ({"key": "number"}, "orders has no column number"),
        ({"key": "note"}, "note of orders may be NULL, and such rows would be passed over"),
        ({"key": "bare"}, "no index of orders begins with bare, and every batch would read the whole table"),
        ({"key": "partly"}, "no index of orders begins with partly"),
        ({"key": "second"}, "(CREATE INDEX CONCURRENTLY … ON public.orders (second))"),
        ({"key": "pattern"}, "no index of orders begins with pattern"),
    ],
)
async def test_keys_that_cannot_be_gone_along_are_refused(
    fields: dict[str, str], said: str, backfill: Backfill, sql: Sql
) -> None:
    await orders(sql, 3)
    await sql("CREATE VIEW seen AS SELECT * FROM orders")
    await sql("ALTER TABLE orders ADD note int")
    for column in ("bare", "partly", "second"):
        await sql(f"ALTER TABLE orders ADD {column} int NOT NULL DEFAULT 0")
    await sql("ALTER TABLE orders ADD pattern text NOT NULL DEFAULT ''")
    await sql("CREATE INDEX ON orders (partly) WHERE touched > 0")
    await sql("CREATE INDEX ON orders (id, second)")
    await sql("CREATE INDEX ON orders (pattern text_pattern_ops)")
    refused = failure(await run(backfill(**fields)))
    assert said in refused.reason
    assert (refused.failure_class, refused.rule, refused.effect) == (
        FailureClass.PERMANENT,
        "engine: keys of the backfill",
        "none",
    )
    assert await touched(sql) == {0: 3}


async def test_an_error_leaves_the_batches_before_it_and_another_attempt_goes_on(
    backfill: Backfill, sql: Sql
) -> None:
    await orders(sql, 50)
    await sql("ALTER TABLE orders ADD CHECK (id <> 35 OR touched = 0)")
    failed = failure(await run(backfill()))
    assert failed.reason.startswith("batch 4, keys 31 to 40: new row")
    assert (failed.failure_class, failed.sqlstate, failed.effect) == (
        FailureClass.PERMANENT,
        "23514",
        "unknown",
    )
    assert await touched(sql) == {1: 30, 0: 20}
    found = await BackfillExecutor().evidence(backfill())
    assert found.done is False and found.by == "ledger"
    assert found.detail == (
        "it stands at key 30, after 30 rows in 3 batches, and another attempt goes on from there"
    )
    await sql("ALTER TABLE orders DROP CONSTRAINT orders_check")
    again = backfill({"attempt": 2})
    assert await run(again) == Succeeded(outputs={"rows": 50, "batches": 5})
    assert await touched(sql) == {1: 50}
    assert "goes on along public.orders (id): it stands at key 30" in again.output.tail()


async def test_a_key_that_would_steer_a_terminal_is_made_visible(backfill: Backfill, sql: Sql) -> None:
    await orders(sql, 20, "text", r"lpad(n::text, 2, '0') || E'\x1b]0;pwned\x07'")
    await sql("ALTER TABLE orders ADD CHECK (id < '15' OR touched = 0)")
    failure(await run(backfill()))
    found = await BackfillExecutor().evidence(backfill())
    assert found.detail.startswith("it stands at key 10␛]0;pwned␇, after 10 rows in 1 batch")


async def test_no_server_ends_a_backfill_for_its_pauses(backfill: Backfill, sql: Sql) -> None:
    await orders(sql, 20)
    await preset(sql, "idle_session_timeout = '50ms'")
    assert await run(backfill(pause="200ms")) == Succeeded(outputs={"rows": 20, "batches": 2})


async def test_a_backfill_that_began_along_other_keys_is_refused(backfill: Backfill, sql: Sql) -> None:
    await orders(sql, 50)
    await sql("ALTER TABLE orders ADD number int GENERATED ALWAYS AS (-id) STORED UNIQUE")
    await sql("ALTER TABLE orders ALTER number SET NOT NULL, ADD CHECK (id <> 35 OR touched = 0)")
    await run(backfill())
    refused = failure(await run(backfill({"attempt": 2}, key="number")))
    assert "it has gone along public.orders (id) so far" in refused.reason
    assert refused.failure_class is FailureClass.PERMANENT


async def test_after_a_rollback_it_begins_anew(backfill: Backfill, sql: Sql) -> None:
    await orders(sql, 25)
    await run(backfill())
    back = backfill({"purpose": "rollback"}, sql=TOUCH.replace("touched + 1", "touched - 1"))
    assert await run(back) == Succeeded(outputs={"rows": 25, "batches": 3})
    assert await touched(sql) == {0: 25}
    assert (await BackfillExecutor().evidence(back)).done
    anew = backfill({"attempt": 2, "undone": 1})
    assert (await BackfillExecutor().evidence(anew)).done is False
    assert await run(anew) == Succeeded(outputs={"rows": 25, "batches": 3})
    assert await touched(sql) == {1: 25}


async def test_what_past_runs_did_is_weighed(backfill: Backfill, sql: Sql) -> None:
    await orders(sql, 25)
    past = backfill({"run": "r2", "past_runs": ("r0", "r1")})

    async def known() -> tuple[bool | None, str]:
        found = await BackfillExecutor().evidence(past)
        return found.done, found.detail

    assert await known() == (False, f"there is no table {TABLE}: no batch was done")
    await run(backfill())
    assert await known() == (True, f"{TABLE} counts 1 for the task, and 0 for its rollback")
    await run(backfill({"purpose": "rollback"}))
    assert (await known())[0] is False
    await sql("ALTER TABLE orders ADD CHECK (id <> 15 OR touched < 3)")
    await run(backfill({"undone": 1, "attempt": 2}))
    assert await known() == (None, "the last run stands at key 10, after 10 rows in 1 batch")


async def test_an_attempt_that_comes_too_late_changes_nothing(backfill: Backfill, sql: Sql) -> None:
    await orders(sql, 25)
    await run(backfill({"attempt": 2}))
    await sql("INSERT INTO orders VALUES (99)")
    late = failure(await run(backfill({"attempt": 1})))
    assert late.failure_class is FailureClass.UNKNOWN
    assert "attempt 2 has gone on with it already" in late.reason
    assert await touched(sql) == {1: 25, 0: 1}


# -- locks, deadlocks, serialization


async def test_a_batch_that_gets_no_lock_is_tried_again(
    backfill: Backfill, conninfo: str, job: MakeJob, sql: Sql
) -> None:
    await orders(sql, 40)
    made = backfill({"lock_timeout_s": 0.05, "lock_patience_s": 60.0})
    async with await psycopg.AsyncConnection.connect(conninfo) as other, anyio.create_task_group() as group:
        await other.execute("SELECT 1 FROM orders WHERE id = 25 FOR UPDATE")
        group.start_soon(run, made)
        await eventually(lambda: _said(made, "rolled back, once more in"))
        await other.rollback()
    assert await touched(sql) == {1: 40}


async def test_patience_with_locks_ends(backfill: Backfill, conninfo: str, sql: Sql) -> None:
    await orders(sql, 40)
    made = backfill({"lock_timeout_s": 0.02, "lock_patience_s": 0.2})
    async with await psycopg.AsyncConnection.connect(conninfo) as other:
        await other.execute("SELECT 1 FROM orders WHERE id = 25 FOR UPDATE")
        ended = failure(await run(made))
    assert (ended.failure_class, ended.sqlstate) == (FailureClass.TRANSIENT, "55P03")
    assert ended.reason.startswith("batch 3, keys 21 to 30: canceling statement due to lock timeout")
    assert await touched(sql) == {1: 20, 0: 20}


async def _said(made: Job, text: str) -> bool:
    return text in made.output.tail()


OTHERS_WAIT = """
CREATE FUNCTION others_wait(bigint) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
  WHILE nextval('tries') = 1 AND NOT EXISTS (
    SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))
  ) LOOP
    PERFORM setval('tries', 1, false), pg_sleep(0.01);
  END LOOP;
  RETURN $1;
END $$"""
"""The first time it is called it returns once somebody waits for its session; then at once."""


async def test_a_deadlock_is_tried_again(backfill: Backfill, conninfo: str, sql: Sql) -> None:
    await orders(sql, 20)
    await preset(sql, "deadlock_timeout = '10ms'")
    await sql("CREATE TABLE other (id int PRIMARY KEY, n int)")
    await sql("INSERT INTO other VALUES (1, 0)")
    await sql("CREATE SEQUENCE tries")
    await sql(OTHERS_WAIT)
    statement = (
        "WITH o AS (UPDATE orders SET touched = touched + 1 WHERE id BETWEEN :first AND :last RETURNING id) "
        "UPDATE other SET n = other.n + w.n FROM (SELECT others_wait(count(*)) AS n FROM o) w"
    )
    made = backfill({"lock_timeout_s": 10.0}, sql=statement, batch=20)
    async with await psycopg.AsyncConnection.connect(conninfo) as other, anyio.create_task_group() as group:
        await other.execute("SET deadlock_timeout = '1min'")
        await other.execute("UPDATE other SET n = n")
        group.start_soon(run, made)
        await eventually(lambda: sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
        await other.execute("UPDATE orders SET id = id")
        await other.commit()
    assert "keys 1 to 20: deadlock detected" in made.output.tail()
    assert await touched(sql) == {1: 20}


async def test_a_batch_that_cannot_be_serialised_is_tried_again(
    backfill: Backfill, conninfo: str, sql: Sql
) -> None:
    await orders(sql, 20)
    await preset(sql, "default_transaction_isolation = 'repeatable read'")
    made = backfill({"lock_timeout_s": 10.0})
    async with await psycopg.AsyncConnection.connect(conninfo) as other, anyio.create_task_group() as group:
        await other.execute("UPDATE orders SET touched = 100 WHERE id = 15")
        group.start_soon(run, made)
        await eventually(lambda: sql("SELECT 1 FROM pg_locks WHERE NOT granted"))
        await other.commit()
    assert "could not serialize access" in made.output.tail()
    assert await touched(sql) == {1: 19, 101: 1}


# -- ended from outside


@pytest.mark.parametrize("way", ["stop", "give_up", "timeout"])
async def test_an_attempt_is_ended_in_a_batch_and_leaves_whole_batches(
    way: str, backfill: Backfill, sql: Sql
) -> None:
    await orders(sql, 30)
    slow = TOUCH.replace("WHERE", "FROM (SELECT pg_sleep(CASE :first WHEN 11 THEN 60 ELSE 0 END)) s WHERE")
    made = backfill({"timeout_s": 0.4} if way == "timeout" else {}, sql=slow)
    ended: list[Outcome] = []

    async def attempt() -> None:
        ended.append(await run(made))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(attempt)
            await eventually(lambda: sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
            if way != "timeout":
                getattr(made, way).set()
    (outcome,) = ended
    assert isinstance(outcome, Cancelled if way == "stop" else Failed)
    assert outcome.effect == "unknown"
    assert "batch 2, keys 11 to 20; it stands at key 10, after 10 rows in 1 batch" in outcome.reason
    if isinstance(outcome, Failed):
        expected = FailureClass.TRANSIENT if way == "timeout" else FailureClass.UNKNOWN
        assert outcome.failure_class is expected
    assert await touched(sql) == {1: 10, 0: 20}
    assert await run(backfill({"attempt": 2})) == Succeeded(outputs={"rows": 30, "batches": 3})
    assert await touched(sql) == {1: 30}


async def test_a_pause_is_cut_short_by_a_stop(backfill: Backfill, job: MakeJob, sql: Sql) -> None:
    await orders(sql, 30)
    made = backfill(pause="1h")
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(run, made)
            await eventually(lambda: _told_of(job, 10))
            made.stop.set()
    assert await touched(sql) == {1: 10, 0: 20}


@pytest.mark.parametrize("way", ["stop", "give_up"])
async def test_what_is_ended_while_it_is_held_tells_how_far_it_came(
    way: str, backfill: Backfill, job: MakeJob, sql: Sql
) -> None:
    await orders(sql, 30)
    made = backfill(pause="1h")
    ended: list[Outcome] = []

    async def attempt() -> None:
        ended.append(await run(made))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(attempt)
            await eventually(lambda: _told_of(job, 10))
            made.dials.held, made.dials.pause_s = True, 0.0
            await eventually(lambda: _held(job, "by an operator"))
            getattr(made, way).set()
    (outcome,) = ended
    assert isinstance(outcome, Cancelled if way == "stop" else Failed)
    assert (
        "; it was at a pause between batches; it stands at key 10, after 10 rows in 1 batch" in outcome.reason
    )


# -- adjusted while it runs


async def test_batch_pause_and_hold_are_heeded_while_it_runs(
    backfill: Backfill, job: MakeJob, sql: Sql
) -> None:
    await orders(sql, 100)
    made = backfill({"dials": Dials(batch=5)}, pause="1h")
    async with anyio.create_task_group() as group:
        group.start_soon(run, made)
        await eventually(lambda: _told_of(job, 5))
        made.dials.held = True
        made.dials.pause_s = 0.0
        await eventually(lambda: _held(job, "by an operator"))
        assert await touched(sql) == {1: 5, 0: 95}
        made.dials.batch = 95
        made.dials.held = False
    assert await touched(sql) == {1: 100}
    held = [each.held for each in told_of(job)]
    assert held == ["", "by an operator", "", "", ""]
    assert job.heard.progress[-1].detail == "batch 95, pause 0s, at key 100"


async def _told_of(job: MakeJob, rows: int) -> bool:
    return any(each.done == rows for each in told_of(job))


async def _held(job: MakeJob, why: str) -> bool:
    return bool(job.heard.progress) and why in job.heard.progress[-1].held


async def test_the_total_of_a_large_table_is_an_estimate(backfill: Backfill, job: MakeJob, sql: Sql) -> None:
    rows = COUNTED + 1
    await orders(sql, rows)
    made = backfill(batch=rows, sql=TOUCH + " AND id < 5")
    await run(made)
    first, last = told_of(job)[0], told_of(job)[-1]
    assert first.total is not None and first.total >= rows
    assert (last.total, last.done) == (rows, rows)
    assert f"{COUNTED // 1000},00" in made.output.tail() and ", about 10" in made.output.tail()
