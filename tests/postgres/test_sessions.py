"""What is done to a stranger's backend, and to that one only."""

from collections.abc import AsyncIterator

import anyio
import psycopg
import pytest

from engine.tasks.postgres.database import Database, application_name
from engine.tasks.postgres.sessions import intervene
from engine.tasks.postgres.waits import started_text
from tests.postgres.building import Connect, Connection, connections
from tests.postgres.waiting import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture
async def connect(database: Database) -> AsyncIterator[Connect]:
    async with connections(database) as make:
        yield make


async def began(database: Database, connection: Connection) -> str:
    query = "SELECT backend_start FROM pg_stat_activity WHERE pid = %s"
    [(moment,)] = await database.look(query, (connection.info.backend_pid,))
    return started_text(moment)


async def is_sleeping(database: Database, connection: Connection) -> None:
    async def look() -> bool:
        query = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"
        return await database.look(query, (connection.info.backend_pid,)) == [("PgSleep",)]

    await eventually(look)


async def test_a_statement_is_cancelled_and_its_session_lives_on(
    database: Database, connect: Connect
) -> None:
    theirs = await connect("report")
    pid, started = theirs.info.backend_pid, await began(database, theirs)

    async def run() -> None:
        with pytest.raises(psycopg.errors.QueryCanceled):
            await theirs.execute("SELECT pg_sleep(60)")

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await is_sleeping(database, theirs)
        done, told = await intervene(database, "cancel_backend", pid, started)
    assert (done, told) == (True, f"what pid {pid} ran is cancelled; it is idle now")
    assert await (await theirs.execute("SELECT 1")).fetchall() == [(1,)]


async def test_a_connection_is_ended_with_its_transaction(database: Database, connect: Connect) -> None:
    theirs, other = await connect("batch"), await connect("other")
    await theirs.execute("CREATE TABLE orders (id int)")
    await theirs.execute("BEGIN; INSERT INTO orders VALUES (1)")
    pid, started = theirs.info.backend_pid, await began(database, theirs)
    done, told = await intervene(database, "terminate_backend", pid, started)
    assert (done, told) == (
        True,
        f"the connection of pid {pid} is ended, and its transaction rolled back",
    )
    with pytest.raises(psycopg.OperationalError):
        await theirs.execute("SELECT 1")
    assert await (await other.execute("SELECT count(*) FROM orders")).fetchall() == [(0,)]
    assert await intervene(database, "terminate_backend", pid, started) == (
        False,
        f"pid {pid} had ended already",
    )


@pytest.mark.parametrize("action", ["cancel_backend", "terminate_backend"])
async def test_another_backend_with_its_number_is_left_alone(
    database: Database, connect: Connect, action: str
) -> None:
    theirs = await connect("batch")
    pid = theirs.info.backend_pid
    done, told = await intervene(database, action, pid, "2026-03-14T02:00:00.000001+00:00")
    assert (done, told) == (False, f"pid {pid} had ended already: another one has its number now")
    assert await (await theirs.execute("SELECT 1")).fetchall() == [(1,)]


async def test_where_nothing_runs_there_is_nothing_to_cancel(database: Database, connect: Connect) -> None:
    theirs = await connect("batch")
    await theirs.execute("BEGIN; SELECT 1")
    pid, started = theirs.info.backend_pid, await began(database, theirs)
    done, told = await intervene(database, "cancel_backend", pid, started)
    assert not done
    assert told.startswith(f"pid {pid} is idle in transaction: it runs no statement that could be cancelled")
    await theirs.rollback()
    done, told = await intervene(database, "cancel_backend", pid, started)
    assert (done, told) == (False, f"pid {pid} is idle: it runs nothing that could be cancelled")


@pytest.mark.parametrize("action", ["cancel_backend", "terminate_backend"])
async def test_a_task_of_this_run_is_left_alone(database: Database, connect: Connect, action: str) -> None:
    ours = await connect(application_name("r1", "t", 2, "run"))
    pid, started = ours.info.backend_pid, await began(database, ours)
    done, told = await intervene(database, action, pid, started)
    assert (done, told) == (False, f"pid {pid} works for t of this run")
    assert await (await ours.execute("SELECT 1")).fetchall() == [(1,)]


@pytest.mark.parametrize("sees", [False, True])
async def test_what_the_role_may_not_do_is_said(database: Database, connect: Connect, sees: bool) -> None:
    admin, theirs = await connect("admin"), await connect("batch")
    pid, started = theirs.info.backend_pid, await began(database, theirs)
    await admin.execute("CREATE ROLE humble LOGIN")
    if sees:
        await admin.execute("GRANT pg_read_all_stats, pg_signal_backend TO humble")
    humble = Database(
        name="app", run="r1", conninfo=f"{database.conninfo} user=humble", version=database.version
    )
    try:
        done, told = await intervene(humble, "terminate_backend", pid, started)
    finally:
        await humble.close()
        await admin.execute("DROP ROLE humble")
    assert not done
    assert told.startswith("not allowed: ")
    assert ("SUPERUSER attribute" if sees else "may not see when") in told
    assert await (await theirs.execute("SELECT 1")).fetchall() == [(1,)]


async def test_a_server_that_cannot_be_asked_is_no_reason_to_fall_over(database: Database) -> None:
    gone = Database(name="app", run="r1", conninfo="host=/nowhere dbname=x", version=database.version)
    done, told = await intervene(gone, "cancel_backend", 1, "")
    assert not done
    assert told.startswith("the server could not be asked: ")
