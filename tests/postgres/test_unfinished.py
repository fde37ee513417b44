"""Builders that are alive are left alone; drops, rebuilds and detachments left half done are gone on with."""

import anyio
import psycopg
import pytest

from engine.plan.models import FailureClass
from engine.tasks.postgres import indexes
from engine.tasks.postgres.database import Database, application_name
from engine.tasks.postgres.session import RefusedError
from engine.tasks.postgres.subjects import BUILDER, Prepared
from tests.postgres.building import (
    Connect,
    Connection,
    held_up,
    holding,
    interrupted,
    kill,
    left_invalid,
    statement,
    there,
    waits_for_lock,
)
from tests.postgres.conftest import MakeJob

pytestmark = pytest.mark.anyio

BUILD = statement("CREATE INDEX CONCURRENTLY orders_note ON orders (note)")
BUILD_ONCE = statement("CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_note ON orders (note)")
DROP = statement("DROP INDEX CONCURRENTLY orders_note")
REINDEX = statement("REINDEX TABLE CONCURRENTLY orders")
DETACH = statement("ALTER TABLE parts DETACH PARTITION part CONCURRENTLY")

READ = "SELECT * FROM orders"
WRITE = "UPDATE orders SET note = note"


# -- builders that are alive ---------------------------------------------------------------------------------


async def test_an_index_is_left_to_its_builder_while_that_is_alive(
    database: Database, connect: Connect, ours: Connection, job: MakeJob
) -> None:
    holder, builder = await holding(connect, WRITE), await connect("cron")
    async with held_up(database, builder, BUILD.text):
        who = f"pid {builder.info.backend_pid} of postgres (cron, for "
        for sql in (BUILD, BUILD_ONCE, DROP):
            with pytest.raises(RefusedError) as refused:
                await indexes.prepare(ours, database, sql)
            assert refused.value.verdict.failure_class is FailureClass.RESOURCE
            assert refused.value.verdict.resource == BUILDER
            assert who in str(refused.value)
            found = await indexes.evidence(database, sql)
            assert found.done is None
            assert who in found.detail
            available, detail = await indexes.probe(database, sql)
            assert not available
            assert who in detail
        cleaned = await indexes.clean_up(database, BUILD, job(BUILD.text), "cleaner", Prepared())
        assert not cleaned.clean
        assert who in cleaned.said
        assert await there(database) == {"orders_note": False}
        await holder.rollback()
    assert (await indexes.probe(database, BUILD))[0]
    assert (await indexes.evidence(database, BUILD)).done is True


async def test_a_builder_of_this_run_is_called_by_its_task(
    database: Database, connect: Connect, ours: Connection
) -> None:
    holder, builder = await holding(connect, WRITE), await connect(application_name("r1", "t", 1, "run"))
    async with held_up(database, builder, BUILD.text):
        with pytest.raises(RefusedError, match="which is t of this run"):
            await indexes.prepare(ours, database, BUILD)
        await holder.rollback()


async def test_a_role_that_may_not_see_what_others_do_sees_that_they_build(
    database: Database, connect: Connect, ours: Connection
) -> None:
    await ours.execute("CREATE ROLE narrow; ALTER TABLE orders OWNER TO narrow")
    try:
        holder, builder = await holding(connect, WRITE), await connect("cron")
        await ours.execute("SET ROLE narrow")
        async with held_up(database, builder, BUILD.text):
            with pytest.raises(RefusedError, match=f"pid {builder.info.backend_pid} "):
                await indexes.prepare(ours, database, BUILD)
            await holder.rollback()
    finally:
        await ours.execute("RESET ROLE; ALTER TABLE orders OWNER TO postgres; DROP ROLE narrow")


async def test_a_builder_of_another_index_of_the_table_is_said(
    database: Database, connect: Connect, ours: Connection
) -> None:
    holder, builder = await holding(connect, WRITE), await connect("cron")
    async with held_up(database, builder, "CREATE INDEX CONCURRENTLY orders_cents ON orders (cents)"):
        prepared = await indexes.prepare(ours, database, BUILD)
        assert prepared.needed
        assert f"waits for pid {builder.info.backend_pid} of postgres (cron, for " in prepared.said
        await holder.rollback()


async def test_the_drop_before_a_build_ends_when_the_attempt_is_cancelled(
    database: Database, connect: Connect, ours: Connection
) -> None:
    await left_invalid(connect, database, BUILD.text)
    await holding(connect, READ)
    async with anyio.create_task_group() as group:

        async def prepare() -> None:
            with pytest.raises(psycopg.errors.QueryCanceled):
                await indexes.prepare(ours, database, BUILD)

        group.start_soon(prepare)
        await waits_for_lock(database, ours)
        await ours.cancel_safe()


# -- drops ---------------------------------------------------------------------------------------------------


async def test_a_drop_that_was_interrupted_is_told_and_done_by_the_next_attempt(
    database: Database, connect: Connect, ours: Connection, job: MakeJob
) -> None:
    await ours.execute(BUILD.text.encode())
    prepared = await indexes.prepare(ours, database, DROP)
    assert (await indexes.evidence(database, DROP)).done is False
    holder = await holding(connect, READ)
    async with held_up(database, ours, DROP.text):
        assert (await indexes.evidence(database, DROP)).done is None
        await kill(database, ours)
    assert (await indexes.evidence(database, DROP)).done is False

    cleaned = await indexes.clean_up(database, DROP, job(DROP.text), "cleaner", prepared)
    assert not cleaned.clean
    assert "index public.orders_note is half dropped" in cleaned.said
    assert "REINDEX INDEX CONCURRENTLY public.orders_note would bring it back" in cleaned.said

    await holder.rollback()
    again = await connect("again")
    assert (await indexes.prepare(again, database, DROP)).needed
    await again.execute(DROP.text.encode())
    assert (await indexes.evidence(database, DROP)).done is True


async def test_a_drop_that_was_refused_left_all_as_it_was(
    database: Database, ours: Connection, job: MakeJob
) -> None:
    prepared = await indexes.prepare(ours, database, DROP)
    with pytest.raises(psycopg.errors.UndefinedObject):
        await ours.execute(DROP.text.encode())
    cleaned = await indexes.clean_up(database, DROP, job(DROP.text), "cleaner", prepared)
    assert (cleaned.clean, cleaned.said) == (True, "")


# -- rebuilds ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "hold", "left"),
    [
        (REINDEX.text, WRITE, {"orders_pkey_ccnew", "orders_note_ccnew", "toast_ccnew"}),
        (REINDEX.text, READ, {"orders_pkey_ccold", "orders_note_ccold", "toast_ccold"}),
        ("REINDEX INDEX CONCURRENTLY orders_note", WRITE, {"orders_note_ccnew"}),
        (
            "REINDEX (CONCURRENTLY) SCHEMA public",
            READ,
            {"orders_pkey_ccold", "orders_note_ccold", "toast_ccold"},
        ),
    ],
)
async def test_a_rebuild_that_was_interrupted_leaves_no_invalid_index(
    database: Database, connect: Connect, ours: Connection, job: MakeJob, sql: str, hold: str, left: set[str]
) -> None:
    await ours.execute(BUILD.text.encode())
    reindex = statement(sql)
    prepared = await indexes.prepare(ours, database, reindex)
    holder = await holding(connect, hold)
    async with held_up(database, ours, sql):
        assert (await indexes.evidence(database, reindex)).done is None
        with pytest.raises(RefusedError, match="works on it"):
            await indexes.prepare(await connect("second"), database, reindex)
        await kill(database, ours)
    invalid = {name for name, valid in (await there(database)).items() if not valid}
    assert {name if "toast" not in name else f"toast_{name[-5:]}" for name in invalid} == left
    assert (await indexes.evidence(database, reindex)).done is False
    await holder.rollback()

    cleaned = await indexes.clean_up(database, reindex, job(sql), "cleaner", prepared)

    assert cleaned.clean
    assert await there(database) == {"orders_note": True}


async def test_what_a_rebuild_of_a_long_name_left_is_found(
    database: Database, connect: Connect, ours: Connection
) -> None:
    name = "n" * 63
    await ours.execute(f"CREATE INDEX {name} ON orders (note)".encode())
    await left_invalid(connect, database, f"REINDEX INDEX CONCURRENTLY {name}")
    prepared = await indexes.prepare(ours, database, statement(f"REINDEX INDEX CONCURRENTLY {name}"))
    assert "left invalid by an earlier attempt, was dropped" in prepared.said
    assert await there(database) == {name: True}


async def test_what_a_rebuild_of_partitions_left_is_found(
    database: Database, connect: Connect, ours: Connection
) -> None:
    await ours.execute(
        "DROP TABLE others; CREATE TABLE p (id int, note text) PARTITION BY RANGE (id);"
        "CREATE TABLE others PARTITION OF p FOR VALUES FROM (0) TO (9); CREATE INDEX p_note ON p (note)"
    )
    for sql in ("REINDEX TABLE CONCURRENTLY p", "REINDEX INDEX CONCURRENTLY p_note"):
        holder = await holding(connect, "SELECT * FROM others")
        await interrupted(database, await connect("victim"), sql)
        await holder.rollback()
        found = await indexes.evidence(database, statement(sql))
        assert (found.done, "public.others_note_idx_ccold" in found.detail) == (False, True)
        prepared = await indexes.prepare(ours, database, statement(sql))
        assert "public.others_note_idx_ccold" in prepared.said
        assert await there(database) == {"others_note_idx": True}


async def test_what_a_rebuild_left_is_dropped_by_the_next_attempt_and_no_other_s(
    database: Database, connect: Connect, ours: Connection
) -> None:
    await ours.execute(BUILD.text.encode())
    await left_invalid(connect, database, "CREATE INDEX CONCURRENTLY orders_x_ccnew ON orders (cents)")
    holder = await holding(connect, WRITE)
    await interrupted(database, await connect("victim"), "REINDEX INDEX CONCURRENTLY orders_note")
    await holder.rollback()
    prepared = await indexes.prepare(ours, database, statement("REINDEX INDEX CONCURRENTLY orders_note"))
    assert prepared.said == "index public.orders_note_ccnew, left invalid by an earlier attempt, was dropped"
    assert await there(database) == {"orders_note": True, "orders_x_ccnew": False}


# -- partitions ----------------------------------------------------------------------------------------------


async def test_a_partition_that_was_half_detached_is_finished_by_the_next_attempt(
    database: Database, connect: Connect, ours: Connection, job: MakeJob
) -> None:
    await ours.execute(
        "CREATE TABLE parts (id int) PARTITION BY RANGE (id);"
        "CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (9)"
    )
    assert indexes.concerns(DETACH)
    prepared = await indexes.prepare(ours, database, DETACH)
    assert prepared.needed
    assert (await indexes.evidence(database, DETACH)).done is False
    holder = await holding(connect, "SELECT * FROM parts")
    await interrupted(database, ours, DETACH.text)
    found = await indexes.evidence(database, DETACH)
    assert (found.done, found.detail) == (False, "part is half detached of parts")
    cleaned = await indexes.clean_up(database, DETACH, job(DETACH.text), "cleaner", prepared)
    assert not cleaned.clean
    assert "partition part is half detached" in cleaned.said

    await holder.rollback()
    again = await indexes.prepare(await connect("again"), database, DETACH)
    assert not again.needed
    assert "finished with FINALIZE" in again.said
    assert (await indexes.evidence(database, DETACH)).done is True


async def test_statements_that_leave_nothing_half_done_are_no_concern() -> None:
    for sql in ("CREATE INDEX i ON t (a)", "VACUUM t", "ALTER TABLE t DETACH PARTITION p", "SELECT 1"):
        assert not indexes.concerns(statement(sql))
