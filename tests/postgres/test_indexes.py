"""What concurrent index builds leave half done is found, told and cleared away; nothing else is touched."""

from dataclasses import replace

import anyio
import psycopg
import pytest

from engine.plan.models import FailureClass
from engine.tasks.postgres import indexes
from engine.tasks.postgres.database import Database
from engine.tasks.postgres.session import RefusedError
from engine.tasks.postgres.subjects import Prepared
from tests.postgres.building import (
    Connect,
    Connection,
    holding,
    interrupted,
    left_invalid,
    statement,
    there,
)
from tests.postgres.conftest import MakeJob

pytestmark = pytest.mark.anyio

BUILD = statement("CREATE INDEX CONCURRENTLY orders_note ON orders (note)")
BUILD_ONCE = statement("CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_note ON orders (note)")
UNIQUE = statement("CREATE UNIQUE INDEX CONCURRENTLY orders_note ON orders (note)")

READ = "SELECT * FROM orders"
WRITE = "UPDATE orders SET note = note"
OLD_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1"


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
    assert cleaned.said == "the invalid index public.orders_note was dropped"


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
        "nobody works on what is still invalid, and the next attempt drops it: public.orders_note",
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
    await left_invalid(connect, database, BUILD.text)
    holder = await holding(connect, READ)

    cleaned = await indexes.clean_up(
        database, BUILD, job(BUILD.text, lock_patience_s=0.5), "cleaner", prepared
    )

    assert not cleaned.clean
    assert f"(pid {holder.info.backend_pid} of postgres (holder, for " in cleaned.said
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
    await left_invalid(connect, database, BUILD.text)
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
    await left_invalid(connect, database, BUILD.text)
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
    await left_invalid(connect, database, BUILD.text)
    prepared = await indexes.prepare(ours, database, BUILD_ONCE)
    assert prepared.needed
    await ours.execute(BUILD_ONCE.text.encode())
    assert await there(database) == {"orders_note": True}


SAME = {
    "INDEX orders_note ON orders (note)": "INDEX {} orders_note ON orders USING btree (note ASC)",
    "INDEX orders_note ON orders (note) WITH (fillfactor = 70)": "INDEX {} orders_note ON orders (note)",
    "UNIQUE INDEX orders_note ON orders (lower(note) DESC, id) INCLUDE (cents) WHERE cents > 5": (
        "UNIQUE INDEX {} orders_note ON public.orders (LOWER(note) DESC NULLS FIRST, id)"
        " INCLUDE (cents) WHERE (cents > 5)"
    ),
    'INDEX "Orders by note" ON orders (note)': 'INDEX {} "Orders by note" ON orders (note)',
    f"INDEX {'n' * 63} ON orders (note)": f"INDEX {{}} {'n' * 70} ON orders (note)",
}
"""What is there, and another way to write it."""

OTHERS = (
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
)


async def test_what_is_there_as_wanted_is_not_built_again(database: Database, ours: Connection) -> None:
    for existing, wanted in SAME.items():
        await ours.execute(f"CREATE {existing}".encode())
        sql = statement("CREATE " + wanted.format("CONCURRENTLY IF NOT EXISTS"))
        prepared = await indexes.prepare(ours, database, sql)
        assert not prepared.needed, existing
        assert "is there already, valid and as the statement would build it" in prepared.said
        assert (await indexes.evidence(database, sql)).done is True
        [name] = await there(database)
        await ours.execute(f"DROP INDEX {name}".encode())
    assert await database.look("SELECT relname FROM pg_class WHERE relname LIKE '\\_wesley%'") == []


async def test_another_index_of_that_name_is_refused_rather_than_passed_over(
    database: Database, ours: Connection
) -> None:
    await ours.execute("UPDATE orders SET note = id::text")
    for existing in OTHERS:
        await ours.execute(f"CREATE {existing}".encode())
        with pytest.raises(RefusedError, match="is another than the statement would build") as refused:
            await indexes.prepare(ours, database, BUILD_ONCE)
        assert refused.value.verdict.failure_class is FailureClass.PERMANENT, existing
        assert "CREATE " in str(refused.value)  # what is there instead
        assert (await indexes.evidence(database, BUILD_ONCE)).done is False
        assert await there(database) == {"orders_note": True}
        await ours.execute("DROP INDEX orders_note")


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
    holder = await holding(connect, "INSERT INTO others VALUES (1, 'a')")
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
    await left_invalid(connect, database, BUILD.text)
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
