"""Attempts at concurrent index builds from end to end: however they end, no invalid index stays unsaid."""

from dataclasses import replace
from pathlib import Path

import anyio
import psycopg
import pytest

from engine.plan.models import FailureClass
from engine.tasks.base import Cancelled, Failed, InDoubt, Job, Outcome, Succeeded
from engine.tasks.postgres import indexes
from engine.tasks.postgres.database import Database
from engine.tasks.postgres.executor import PostgresExecutor
from engine.tasks.postgres.subjects import BUILDER
from tests.postgres.attempts import busy, carry_out, nobody_left, waits
from tests.postgres.building import Connect, Connection, held_up, interrupted, there
from tests.postgres.conftest import MakeJob
from tests.postgres.cutting import Line, through
from tests.postgres.waiting import eventually

pytestmark = pytest.mark.anyio

BUILD = "CREATE INDEX CONCURRENTLY orders_note ON orders (note)"
ONCE = "CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_note ON orders (note)"
UNIQUE = "CREATE UNIQUE INDEX CONCURRENTLY orders_note ON orders (note)"
WRITE = "BEGIN; UPDATE orders SET note = note"
OLD_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"


@pytest.fixture
async def holder(connect: Connect) -> Connection:
    return await connect("holder")


class Under:
    """An attempt under way."""

    outcome: Outcome

    async def carry_out(self, job: Job) -> None:
        self.outcome = await carry_out(job)


async def test_a_unique_violation(database: Database, connect: Connect, job: MakeJob) -> None:
    made = job(UNIQUE)
    outcome = await carry_out(made)
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.sqlstate) == (FailureClass.PERMANENT, "23505")
    assert outcome.effect == "none"
    assert outcome.reason.endswith("the invalid index public.orders_note was dropped")
    assert await there(database) == {}
    assert await nobody_left(database, made)


TENANT = "SET search_path = tenant; CREATE UNIQUE INDEX CONCURRENTLY i ON orders (note)"


@pytest.fixture
async def tenant(connect: Connect) -> Connection:
    """The table of another schema, of the same name; and an index of the public one that nobody has ended."""
    somebody = await connect("somebody")
    await somebody.execute("CREATE SCHEMA tenant; CREATE TABLE tenant.orders (LIKE public.orders)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        await somebody.execute("CREATE UNIQUE INDEX CONCURRENTLY i ON orders (note)")
    return somebody


async def test_what_is_left_is_looked_for_by_the_search_path_that_the_task_has_set(
    database: Database, tenant: Connection, job: MakeJob
) -> None:
    await tenant.execute("INSERT INTO tenant.orders SELECT * FROM public.orders")
    outcome = await carry_out(job(TENANT))
    assert isinstance(outcome, Failed)
    assert outcome.reason.endswith("the invalid index tenant.i was dropped")
    assert await there(database) == {"i": False}, "the other one is none of the task's business"


async def test_the_end_of_a_build_is_looked_for_by_the_search_path_that_the_task_has_set(
    database: Database, tenant: Connection, job: MakeJob, tmp_path: Path
) -> None:
    async with through(Line(at=b"CREATE UNIQUE INDEX", where="after"), database, tmp_path) as cut:
        made = job(TENANT, targets={"app": cut})
        assert isinstance(await carry_out(made), InDoubt)
    known = replace(made, intent=job.heard.intents[-1], targets={"app": database})
    found = await PostgresExecutor().evidence(known)
    assert (found.done, found.detail) == (True, "index tenant.i is there, and valid")
    again = job(TENANT, attempt=2, intent=known.intent)
    assert isinstance(await carry_out(again), Succeeded), "it knows what the first attempt has done"


async def test_a_server_that_freezes_holds_up_no_end(
    database: Database, connect: Connect, job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "_ANSWER_S", 0.1)
    line = Line(at=indexes._UNLIMITED[:30].encode(), silent=True)
    async with through(line, database, tmp_path) as frozen:
        made = job(UNIQUE, targets={"app": frozen}, lock_patience_s=0.1)
        outcome = await carry_out(made)
    assert line.cut.is_set()
    assert isinstance(outcome, Failed)
    assert (outcome.sqlstate, outcome.effect) == ("23505", "unknown")
    assert outcome.reason.endswith("could not be looked for: the server does not answer")


async def test_a_build_for_which_others_are_waited_for_shows_whom(
    database: Database, holder: Connection, job: MakeJob
) -> None:
    await holder.execute(OLD_SNAPSHOT)
    under, made = Under(), job(BUILD)
    async with anyio.create_task_group() as group:
        group.start_soon(under.carry_out, made)

        async def told() -> bool:
            details = [each.detail for each in job.heard.progress]
            waited = any("waiting for old snapshots: pid " in detail for detail in details)
            return waited and any(wait.blockers for wait in job.heard.lock_waits)

        await eventually(told)
        [blocker] = job.heard.lock_waits[-1].blockers
        assert (blocker.pid, blocker.application) == (holder.info.backend_pid, "holder")
        await holder.rollback()
    assert isinstance(under.outcome, Succeeded)
    assert await there(database) == {"orders_note": True}


async def test_a_killed_backend(database: Database, holder: Connection, job: MakeJob) -> None:
    await holder.execute(OLD_SNAPSHOT)
    under, made = Under(), job(BUILD)
    async with anyio.create_task_group() as group:
        group.start_soon(under.carry_out, made)
        pid = await waits(database, made)
        await database.look("SELECT pg_terminate_backend(%s)", (pid,))
    assert isinstance(under.outcome, InDoubt)
    await holder.rollback()
    known = replace(made, intent=job.heard.intents[-1])
    found = await PostgresExecutor().evidence(known)
    assert found.done is False
    assert "nobody works on what is still invalid, and the next attempt drops it" in found.detail
    assert isinstance(await carry_out(job(ONCE, attempt=2)), Succeeded)
    assert await there(database) == {"orders_note": True}


@pytest.mark.parametrize("how", ["stop", "give_up", "timeout"])
async def test_an_attempt_that_is_ended(
    database: Database, holder: Connection, job: MakeJob, how: str
) -> None:
    await holder.execute(OLD_SNAPSHOT)  # the build waits for it; the drop of what it leaves does not
    under = Under()
    made = job(BUILD, timeout_s=0.5 if how == "timeout" else None)
    async with anyio.create_task_group() as group:
        group.start_soon(under.carry_out, made)
        await waits(database, made)
        if how != "timeout":
            (made.stop if how == "stop" else made.give_up).set()
    outcome = under.outcome
    assert isinstance(outcome, Cancelled if how == "stop" else Failed)
    assert isinstance(outcome, Cancelled | Failed)
    assert outcome.effect == "none"
    assert outcome.reason.endswith("the invalid index public.orders_note was dropped")
    assert await there(database) == {}
    assert await nobody_left(database, made)


async def test_an_attempt_that_is_ended_while_the_table_is_held(
    database: Database, holder: Connection, job: MakeJob
) -> None:
    await holder.execute(WRITE)
    under, made = Under(), job(BUILD, grace_s=0.2)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(under.carry_out, made)
            await waits(database, made)
            made.stop.set()
    assert isinstance(under.outcome, Cancelled)
    assert under.outcome.effect == "unknown"
    assert "DROP INDEX CONCURRENTLY public.orders_note" in under.outcome.reason
    assert await there(database) == {"orders_note": False}
    await holder.rollback()
    assert isinstance(await carry_out(job(BUILD, attempt=2)), Succeeded)
    assert await there(database) == {"orders_note": True}


@pytest.mark.parametrize("way", ["stop", "give_up"])
async def test_an_attempt_that_is_ended_while_it_clears_an_earlier_index_away_names_that(
    database: Database, connect: Connect, holder: Connection, job: MakeJob, way: str
) -> None:
    await holder.execute(WRITE)
    await interrupted(database, await connect("killed"), BUILD)
    under, made = Under(), job(BUILD, grace_s=0.2)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(under.carry_out, made)
            await busy(database, made, "DROP INDEX")
            getattr(made, way).set()
    assert isinstance(under.outcome, Cancelled if way == "stop" else Failed)
    assert isinstance(under.outcome, Cancelled | Failed)
    assert under.outcome.effect == "unknown"
    assert "it was at making way for statement 1 of 1" in under.outcome.reason
    assert "the invalid index public.orders_note is still there" in under.outcome.reason
    assert "DROP INDEX CONCURRENTLY public.orders_note" in under.outcome.reason
    assert await there(database) == {"orders_note": False}
    await holder.rollback()
    assert isinstance(await carry_out(job(BUILD, attempt=2)), Succeeded)
    assert await there(database) == {"orders_note": True}


async def test_a_scope_that_is_cancelled_waits_no_longer_than_the_grace(
    database: Database, holder: Connection, job: MakeJob
) -> None:
    await holder.execute(WRITE)
    made = job(BUILD, grace_s=0.2)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(carry_out, made)
            await waits(database, made)
            group.cancel_scope.cancel()
    assert await nobody_left(database, made)


async def test_a_deadlock(database: Database, holder: Connection, job: MakeJob) -> None:
    await holder.execute("SET deadlock_timeout = '60s'")  # so that the build is the one that is ended
    await holder.execute(WRITE)
    under, made = Under(), job(BUILD)
    async with anyio.create_task_group() as group:
        group.start_soon(under.carry_out, made)
        await waits(database, made)
        await holder.execute("LOCK orders IN SHARE MODE")
        await holder.rollback()
    outcome = under.outcome
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.sqlstate) == (FailureClass.TRANSIENT, "40P01")
    assert outcome.effect == "none"
    assert await there(database) == {}


async def test_if_not_exists_over_an_invalid_index(
    database: Database, connect: Connect, holder: Connection, job: MakeJob
) -> None:
    await holder.execute(WRITE)
    await interrupted(database, await connect("victim"), BUILD)
    await holder.rollback()
    made = job(ONCE)
    assert isinstance(await carry_out(made), Succeeded)
    assert "index public.orders_note, left invalid by an earlier attempt, was dropped" in made.output.tail()
    assert await there(database) == {"orders_note": True}


async def test_what_is_there_already_is_said_and_done(
    database: Database, connect: Connect, job: MakeJob
) -> None:
    await (await connect("dba")).execute("CREATE INDEX orders_note ON orders (note)")
    made = job(ONCE)
    assert isinstance(await carry_out(made), Succeeded)
    assert "index public.orders_note is there already, valid and as the statement would" in made.output.tail()
    assert (await PostgresExecutor().evidence(made)).done is True


async def test_an_index_of_that_name_that_is_another_one(
    database: Database, connect: Connect, job: MakeJob
) -> None:
    await (await connect("dba")).execute("CREATE INDEX orders_note ON orders (lower(note))")
    outcome = await carry_out(job(ONCE))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.effect) == (FailureClass.PERMANENT, "none")
    assert "USING btree (lower(note))" in outcome.reason


@pytest.mark.parametrize(
    ("sql", "expected"),
    [(BUILD, FailureClass.UNKNOWN), ("DROP INDEX CONCURRENTLY orders_note", FailureClass.PERMANENT)],
)
async def test_a_name_that_is_taken_or_free_leaves_no_effect(
    database: Database, connect: Connect, job: MakeJob, sql: str, expected: FailureClass
) -> None:
    if sql == BUILD:
        await (await connect("dba")).execute("CREATE INDEX orders_note ON orders (note)")
    outcome = await carry_out(job(sql))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.effect) == (expected, "none")


async def test_somebody_else_s_build_is_waited_for(
    database: Database, connect: Connect, holder: Connection, job: MakeJob
) -> None:
    await holder.execute(WRITE)
    builder = await connect("cron")
    executor = PostgresExecutor()
    async with held_up(database, builder, BUILD):
        outcome = await carry_out(job(ONCE))
        assert isinstance(outcome, Failed)
        assert (outcome.failure_class, outcome.resource) == (FailureClass.RESOURCE, BUILDER)
        assert f"pid {builder.info.backend_pid} of postgres (cron, for " in outcome.reason
        assert outcome.effect == "none"
        available, detail = await executor.probe(BUILDER, job(ONCE))
        assert not available
        assert f"pid {builder.info.backend_pid} " in detail
        await holder.rollback()
    assert (await executor.probe(BUILDER, job(ONCE)))[0]
    assert isinstance(await carry_out(job(ONCE, attempt=2)), Succeeded)


async def test_a_build_behind_a_transaction_leaves_that_in_place(
    database: Database, connect: Connect, job: MakeJob
) -> None:
    script = (
        "ALTER TABLE orders ADD COLUMN paid bool;"
        "CREATE UNIQUE INDEX CONCURRENTLY orders_note ON orders (note);"
        "INSERT INTO orders VALUES (3, 'c', 9, true)"
    )
    outcome = await carry_out(job(script))
    assert isinstance(outcome, Failed)
    assert outcome.effect == "unknown"
    await (await connect("dba")).execute("UPDATE orders SET note = id::text")
    assert isinstance(await carry_out(job(script, attempt=2)), Succeeded)
    assert await there(database) == {"orders_note": True}
    assert await database.look("SELECT count(*) FROM orders") == [(3,)]


async def test_a_detached_partition_is_finished_by_another_attempt(
    database: Database, holder: Connection, job: MakeJob
) -> None:
    await holder.execute(
        "CREATE TABLE parts (id int) PARTITION BY RANGE (id);"
        "CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (9)"
    )
    await holder.execute("BEGIN; SELECT * FROM parts")
    detach = "ALTER TABLE parts DETACH PARTITION part CONCURRENTLY"
    under, made = Under(), job(detach, grace_s=0.2)
    async with anyio.create_task_group() as group:
        group.start_soon(under.carry_out, made)
        await waits(database, made)
        made.stop.set()
    assert isinstance(under.outcome, Cancelled)
    assert under.outcome.effect == "unknown"
    assert "partition part is half detached" in under.outcome.reason
    await holder.rollback()
    again = job(detach, attempt=2, intent=job.heard.intents[-1])
    assert isinstance(await carry_out(again), Succeeded)
    assert "finished with FINALIZE" in again.output.tail()
    assert await database.look("SELECT 1 FROM pg_inherits WHERE inhrelid = 'part'::regclass") == []
    assert (await PostgresExecutor().evidence(again)).done is True


async def test_a_drop_that_is_stopped_is_told_and_done_by_another_attempt(
    database: Database, holder: Connection, job: MakeJob
) -> None:
    await holder.execute("CREATE INDEX orders_note ON orders (note)")
    await holder.execute("BEGIN; SELECT * FROM orders")
    drop = "DROP INDEX CONCURRENTLY orders_note"
    under, made = Under(), job(drop, grace_s=0.2)
    async with anyio.create_task_group() as group:
        group.start_soon(under.carry_out, made)
        await waits(database, made)
        made.stop.set()
    assert isinstance(under.outcome, Cancelled)
    assert under.outcome.effect == "unknown"
    assert "index public.orders_note is half dropped" in under.outcome.reason
    assert await there(database) == {"orders_note": False}
    await holder.rollback()
    assert isinstance(await carry_out(job(drop, attempt=2)), Succeeded)
    assert await there(database) == {}
