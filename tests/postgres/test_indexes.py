"""What concurrent statements leave half done is found, told and cleared away; nothing else is touched."""

from collections.abc import AsyncIterator
from dataclasses import replace

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
    connections,
    held_up,
    interrupted,
    kill,
    statement,
    waits_for_lock,
)
from tests.postgres.conftest import MakeJob

pytestmark = pytest.mark.anyio

BUILD = statement("CREATE INDEX CONCURRENTLY orders_note ON orders (note)")
BUILD_ONCE = statement("CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_note ON orders (note)")
UNIQUE = statement("CREATE UNIQUE INDEX CONCURRENTLY orders_note ON orders (note)")
DROP = statement("DROP INDEX CONCURRENTLY orders_note")
REINDEX = statement("REINDEX TABLE CONCURRENTLY orders")
DETACH = statement("ALTER TABLE parts DETACH PARTITION part CONCURRENTLY")

READ = "BEGIN; SELECT * FROM orders"
WRITE = "BEGIN; UPDATE orders SET note = note"


@pytest.fixture
async def connect(database: Database) -> AsyncIterator[Connect]:
    """Sessions on a database with two rows in `orders`, both with the same note."""
    async with connections(database) as make:
        await (await make("setup")).execute(
            "CREATE TABLE orders (id int PRIMARY KEY, note text, cents int);"
            "INSERT INTO orders VALUES (1, 'a', 5), (2, 'a', 7);"
            "CREATE TABLE others (id int, note text)"
        )
        yield make


@pytest.fixture
async def ours(connect: Connect) -> Connection:
    """The connection of the attempt."""
    return await connect("ours")


async def there(database: Database) -> dict[str, bool]:
    """The indexes of the tables, their TOAST tables' too: name → valid."""
    rows = await database.look(
        "SELECT indexrelid::regclass::text, indisvalid AND indisready AND indislive FROM pg_index i"
        " JOIN pg_class t ON i.indrelid IN (t.oid, t.reltoastrelid) WHERE t.relname IN ('orders', 'others')"
        " AND NOT (indisvalid AND indisprimary) AND NOT (indisvalid AND i.indrelid = t.reltoastrelid)"
    )
    return dict(rows)


async def holding(connect: Connect, sql: str = WRITE) -> Connection:
    holder = await connect("holder")
    await holder.execute(sql.encode())
    return holder


async def make_invalid(connect: Connect, database: Database, sql: str = BUILD.text) -> None:
    """A build is killed in its middle."""
    holder = await holding(connect)
    await interrupted(database, await connect("victim"), sql)
    await holder.rollback()
    assert False in (await there(database)).values()


# -- a build that fails --------------------------------------------------------------------------------------


async def test_a_unique_violation_leaves_no_invalid_index(
    database: Database, ours: Connection, job: MakeJob
) -> None:
    prepared = await indexes.prepare(ours, database, UNIQUE)
    with pytest.raises(psycopg.errors.UniqueViolation):
        await ours.execute(UNIQUE.text.encode())
    assert await there(database) == {"orders_note": False}

    cleaned = await indexes.clean_up(database, UNIQUE, job(UNIQUE.text), "cleaner", prepared)

    assert await there(database) == {}
    assert cleaned.clean
    assert cleaned.said == "the invalid index public.orders_note that it left was dropped"


async def test_a_build_whose_backend_was_killed_leaves_no_invalid_index(
    database: Database, connect: Connect, ours: Connection, job: MakeJob
) -> None:
    await holding(
        connect, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"
    )  # has nothing to do with the table
    prepared = await indexes.prepare(ours, database, BUILD)
    await interrupted(database, ours, BUILD.text)
    found = await indexes.evidence(database, BUILD)
    assert (found.done, found.detail) == (
        False,
        "index public.orders_note is invalid, and nobody works on it",
    )

    cleaned = await indexes.clean_up(database, BUILD, job(BUILD.text), "cleaner", prepared)

    assert cleaned.clean
    assert await there(database) == {}


async def test_a_failure_that_left_nothing_says_nothing(
    database: Database, ours: Connection, job: MakeJob
) -> None:
    await ours.execute("CREATE INDEX orders_note ON orders (cents)")
    prepared = await indexes.prepare(ours, database, BUILD)
    assert prepared.needed  # whose index that is, the server's own refusal leaves to the operator
    with pytest.raises(psycopg.errors.DuplicateTable):
        await ours.execute(BUILD.text.encode())

    cleaned = await indexes.clean_up(database, BUILD, job(BUILD.text), "cleaner", prepared)

    assert (cleaned.clean, cleaned.said) == (True, "")
    assert await there(database) == {"orders_note": True}


async def test_what_cannot_be_dropped_now_is_named_and_dropped_by_the_next_attempt(
    database: Database, connect: Connect, ours: Connection, job: MakeJob
) -> None:
    prepared = await indexes.prepare(ours, database, BUILD)
    await make_invalid(connect, database)
    holder = await holding(connect, READ)

    cleaned = await indexes.clean_up(
        database, BUILD, job(BUILD.text, lock_patience_s=0.5), "cleaner", prepared
    )

    assert not cleaned.clean
    assert f"(pid {holder.info.backend_pid} of postgres (holder), for " in cleaned.said
    assert "the next attempt drops it" in cleaned.said
    assert "DROP INDEX CONCURRENTLY public.orders_note" in cleaned.said
    assert holder.info.backend_pid in {each.pid for wait in job.heard.lock_waits for each in wait.blockers}

    await holder.rollback()
    again = await indexes.prepare(ours, database, BUILD)
    assert again.needed
    assert again.said == "index public.orders_note, left invalid by an earlier attempt, was dropped"
    assert await there(database) == {}


async def test_once_the_attempt_is_to_end_cleaning_up_takes_no_longer_than_its_grace(
    database: Database, connect: Connect, ours: Connection, job: MakeJob
) -> None:
    prepared = await indexes.prepare(ours, database, BUILD)
    await make_invalid(connect, database)
    await holding(connect, READ)
    stopped = job(BUILD.text, lock_patience_s=60.0, grace_s=0.3)
    stopped.stop.set()

    with anyio.fail_after(10):
        cleaned = await indexes.clean_up(database, BUILD, stopped, "cleaner", prepared)

    assert not cleaned.clean


async def test_a_hurried_attempt_leaves_its_index_to_the_next_one(
    database: Database, connect: Connect, ours: Connection, job: MakeJob
) -> None:
    prepared = await indexes.prepare(ours, database, BUILD)
    await make_invalid(connect, database)
    await holding(connect, READ)
    hurried = job(BUILD.text, lock_patience_s=60.0, grace_s=60.0)
    hurried.give_up.set()
    hurried.hurry.set()

    with anyio.fail_after(10):
        cleaned = await indexes.clean_up(database, BUILD, hurried, "cleaner", prepared)

    assert not cleaned.clean


async def test_a_server_that_is_not_to_be_had_is_told_and_not_raised(
    database: Database, job: MakeJob
) -> None:
    away = replace(database, conninfo="host=/nowhere", _observer=None)
    cleaned = await indexes.clean_up(away, BUILD, job(BUILD.text), "cleaner", Prepared())
    assert not cleaned.clean
    assert cleaned.said.startswith("what it left could not be looked for: ")


async def test_an_index_that_was_built_all_the_same_is_told(
    database: Database, ours: Connection, job: MakeJob
) -> None:
    prepared = await indexes.prepare(ours, database, BUILD)
    await ours.execute(BUILD.text.encode())
    cleaned = await indexes.clean_up(database, BUILD, job(BUILD.text), "cleaner", prepared)
    assert not cleaned.clean
    assert cleaned.said == "index public.orders_note is there, and valid: it was built all the same"
    assert await there(database) == {"orders_note": True}


# -- before a build ------------------------------------------------------------------------------------------


async def test_if_not_exists_never_passes_an_invalid_index(
    database: Database, connect: Connect, ours: Connection
) -> None:
    await make_invalid(connect, database)
    prepared = await indexes.prepare(ours, database, BUILD_ONCE)
    assert prepared.needed
    await ours.execute(BUILD_ONCE.text.encode())
    assert await there(database) == {"orders_note": True}


@pytest.mark.parametrize(
    ("existing", "wanted"),
    [
        ("INDEX orders_note ON orders (note)", "INDEX {} orders_note ON orders USING btree (note ASC)"),
        (
            "INDEX orders_note ON orders (note) WITH (fillfactor = 70)",
            "INDEX {} orders_note ON orders (note)",
        ),
        (
            "UNIQUE INDEX orders_note ON orders (lower(note) DESC, id) INCLUDE (cents) WHERE cents > 5",
            "UNIQUE INDEX {} orders_note ON public.orders (LOWER(note) DESC NULLS FIRST, id)"
            " INCLUDE (cents) WHERE (cents > 5)",
        ),
        ('INDEX "Orders by note" ON orders (note)', 'INDEX {} "Orders by note" ON orders (note)'),
        (f"INDEX {'n' * 63} ON orders (note)", f"INDEX {{}} {'n' * 70} ON orders (note)"),
    ],
)
async def test_what_is_there_as_wanted_is_not_built_again(
    database: Database, ours: Connection, existing: str, wanted: str
) -> None:
    await ours.execute(f"CREATE {existing}".encode())
    sql = statement("CREATE " + wanted.format("CONCURRENTLY IF NOT EXISTS"))
    prepared = await indexes.prepare(ours, database, sql)
    assert not prepared.needed
    assert prepared.said.endswith(
        "is there already, valid and as the statement would build it: nothing was built"
    )
    assert (await indexes.evidence(database, sql)).done is True
    assert len(await there(database)) == 1
    assert await database.look("SELECT relname FROM pg_class WHERE relname LIKE '\\_wesley%'") == []


@pytest.mark.parametrize(
    "existing",
    [
        "INDEX orders_note ON orders (cents)",
        "INDEX orders_note ON orders (note, id)",
        "INDEX orders_note ON orders (note DESC)",
        "INDEX orders_note ON orders (lower(note))",
        'INDEX orders_note ON orders (note COLLATE "C")',
        "INDEX orders_note ON orders (note text_pattern_ops)",
        "INDEX orders_note ON orders (note) INCLUDE (cents)",
        "INDEX orders_note ON orders (note) WHERE cents > 5",
        "INDEX orders_note ON orders USING hash (note)",
        "UNIQUE INDEX orders_note ON orders (note)",
    ],
)
async def test_another_index_of_that_name_is_refused_rather_than_passed_over(
    database: Database, ours: Connection, existing: str
) -> None:
    await ours.execute("UPDATE orders SET note = id::text")
    await ours.execute(f"CREATE {existing}".encode())
    with pytest.raises(RefusedError, match="is another than the statement would build") as refused:
        await indexes.prepare(ours, database, BUILD_ONCE)
    assert refused.value.verdict.failure_class is FailureClass.PERMANENT
    assert "CREATE " in str(refused.value)  # what is there instead
    assert (await indexes.evidence(database, BUILD_ONCE)).done is False
    assert await there(database) == {"orders_note": True}


async def test_what_cannot_be_compared_is_said(database: Database, ours: Connection) -> None:
    await ours.execute(
        "CREATE FUNCTION whole(orders) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT $1.note $$;"
        "CREATE INDEX orders_note ON orders (whole(orders))"
    )
    sql = statement("CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_note ON orders (whole(orders))")
    prepared = await indexes.prepare(ours, database, sql)
    assert not prepared.needed
    assert "not compared: `CREATE INDEX orders_note ON public.orders" in prepared.said


async def test_an_invalid_index_of_another_table_is_never_dropped(
    database: Database, connect: Connect, ours: Connection
) -> None:
    holder = await holding(connect, "BEGIN; INSERT INTO others VALUES (1, 'a')")
    await interrupted(
        database, await connect("victim"), "CREATE INDEX CONCURRENTLY orders_note ON others (note)"
    )
    await holder.rollback()
    for sql in (BUILD, BUILD_ONCE):
        with pytest.raises(RefusedError, match=r"an index of another table, .* it is invalid") as refused:
            await indexes.prepare(ours, database, sql)
        assert refused.value.verdict.failure_class is FailureClass.PERMANENT
    assert await there(database) == {"orders_note": False}
    assert (await indexes.evidence(database, BUILD)).done is False


@pytest.mark.parametrize("taken", ["INDEX orders_note ON others (note)", "TABLE orders_note ()"])
async def test_if_not_exists_does_not_pass_over_what_only_bears_the_name(
    database: Database, ours: Connection, taken: str
) -> None:
    await ours.execute(f"CREATE {taken}".encode())
    with pytest.raises(RefusedError, match=r"public\.orders_note is there already"):
        await indexes.prepare(ours, database, BUILD_ONCE)
    assert (await indexes.prepare(ours, database, BUILD)).needed  # the server refuses that itself
    with pytest.raises(psycopg.errors.DuplicateTable):
        await ours.execute(BUILD.text.encode())


async def test_names_are_looked_up_where_the_server_would(
    database: Database, connect: Connect, ours: Connection
) -> None:
    await make_invalid(connect, database)
    await ours.execute('CREATE SCHEMA "New"; CREATE TABLE "New".orders (note text); SET search_path = "New"')
    assert await indexes.prepare(ours, database, BUILD) == Prepared()
    assert await there(database) == {"orders_note": False}
    qualified = statement("CREATE INDEX CONCURRENTLY orders_note ON public.orders (note)")
    assert "public.orders_note, left invalid" in (await indexes.prepare(ours, database, qualified)).said


async def test_a_table_that_is_not_there_is_the_server_s_to_refuse(
    database: Database, ours: Connection
) -> None:
    sql = statement("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON nowhere (a)")
    assert (await indexes.prepare(ours, database, sql)).needed
    assert (await indexes.evidence(database, sql)).done is False


async def test_a_partitioned_index_that_waits_for_its_parts_is_no_leftover(
    database: Database, ours: Connection
) -> None:
    await ours.execute(
        "CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE INDEX p_id ON ONLY p (id);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9)"
    )
    await ours.execute(
        "CREATE TABLE p2 (id int); ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (9) TO (19)"
    )
    sql = statement("CREATE INDEX CONCURRENTLY IF NOT EXISTS p_id ON p (id)")
    assert (await indexes.prepare(ours, database, sql)).needed
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        await ours.execute(sql.text.encode())
    assert await database.look("SELECT 1 FROM pg_class WHERE relname = 'p_id'")


# -- builders that are alive ---------------------------------------------------------------------------------


async def test_an_index_is_left_to_its_builder_while_that_is_alive(
    database: Database, connect: Connect, ours: Connection, job: MakeJob
) -> None:
    holder, builder = await holding(connect), await connect("cron")
    async with held_up(database, builder, BUILD.text):
        who = f"pid {builder.info.backend_pid} of postgres (cron), for "
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
    holder, builder = await holding(connect), await connect(application_name("r1", "t", 1, "run"))
    async with held_up(database, builder, BUILD.text):
        with pytest.raises(RefusedError, match="which is t of this run"):
            await indexes.prepare(ours, database, BUILD)
        await holder.rollback()


async def test_a_role_that_may_not_see_what_others_do_sees_that_they_build(
    database: Database, connect: Connect, ours: Connection
) -> None:
    await ours.execute("CREATE ROLE narrow; ALTER TABLE orders OWNER TO narrow")
    try:
        holder, builder = await holding(connect), await connect("cron")
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
    holder, builder = await holding(connect), await connect("cron")
    async with held_up(database, builder, "CREATE INDEX CONCURRENTLY orders_cents ON orders (cents)"):
        prepared = await indexes.prepare(ours, database, BUILD)
        assert prepared.needed
        assert f"waits for pid {builder.info.backend_pid} of postgres (cron)" in prepared.said
        await holder.rollback()


async def test_the_drop_before_a_build_ends_when_the_attempt_is_cancelled(
    database: Database, connect: Connect, ours: Connection
) -> None:
    await make_invalid(connect, database)
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


async def test_what_a_rebuild_left_is_dropped_by_the_next_attempt_and_no_other_s(
    database: Database, connect: Connect, ours: Connection
) -> None:
    await ours.execute(BUILD.text.encode())
    await make_invalid(connect, database, "CREATE INDEX CONCURRENTLY orders_x_ccnew ON orders (cents)")
    holder = await holding(connect)
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
    holder = await holding(connect, "BEGIN; SELECT * FROM parts")
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
