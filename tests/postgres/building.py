"""Statements under way on a real server, held up by other sessions."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import anyio
import psycopg

from engine.plan.sql.parse import Statement, split
from engine.tasks.postgres.database import Database
from tests.postgres.waiting import eventually

Connection = psycopg.AsyncConnection[Any]
Connect = Callable[[str], Awaitable[Connection]]


def statement(sql: str) -> Statement:
    [found] = split(sql)
    return found


@asynccontextmanager
async def connections(database: Database) -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        async def make(application: str) -> Connection:
            return await stack.enter_async_context(await database.connect(application))

        yield make


@asynccontextmanager
async def shop(database: Database) -> AsyncIterator[Connect]:
    """Sessions on a database with two rows in `orders`, both with the same note."""
    async with connections(database) as make:
        await (await make("setup")).execute(
            "CREATE TABLE orders (id int PRIMARY KEY, note text, cents int);"
            "INSERT INTO orders VALUES (1, 'a', 5), (2, 'a', 7);"
            "CREATE TABLE others (id int, note text)"
        )
        yield make


_WAITED_FOR = """
SELECT 1 FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids(%s)) AND state = 'idle in transaction'
"""
"""Who only looks is waited for, too, by a concurrent build: as long as the look takes."""


async def waits_for_lock(database: Database, connection: Connection) -> None:
    """Returns once the connection waits for a transaction that somebody has left open."""

    async def look() -> bool:
        rows = await database.look(_WAITED_FOR, (connection.info.backend_pid,))
        return bool(rows)

    await eventually(look)


@asynccontextmanager
async def held_up(database: Database, connection: Connection, sql: str) -> AsyncIterator[None]:
    """`sql` is under way on `connection`, and waits for a lock of somebody else. It ends with the context."""

    async def execute() -> None:
        with suppress(psycopg.Error):
            await connection.execute(sql.encode())

    async with anyio.create_task_group() as group:
        group.start_soon(execute)
        await waits_for_lock(database, connection)
        yield


async def gone(database: Database, connection: Connection) -> None:
    """Returns once the backend has ended."""

    async def look() -> bool:
        query = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
        return not await database.look(query, (connection.info.backend_pid,))

    await eventually(look)


async def kill(database: Database, connection: Connection) -> None:
    await database.look("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
    await gone(database, connection)


async def interrupted(database: Database, connection: Connection, sql: str) -> None:
    """The backend is killed while `sql` waits for a lock of somebody else."""
    async with held_up(database, connection, sql):
        await kill(database, connection)


async def there(database: Database) -> dict[str, bool]:
    """The indexes of `orders` and `others`, and the invalid ones of their TOAST tables, but for sound primary
    keys: name → whether it is valid."""
    rows = await database.look(
        "SELECT indexrelid::regclass::text, indisvalid AND indisready AND indislive FROM pg_index i"
        " JOIN pg_class t ON i.indrelid IN (t.oid, t.reltoastrelid) WHERE t.relname IN ('orders', 'others')"
        " AND NOT (indisvalid AND indisprimary) AND NOT (indisvalid AND i.indrelid = t.reltoastrelid)"
    )
    return dict(rows)


async def holding(connect: Connect, sql: str) -> Connection:
    """Somebody whose transaction has begun with `sql`."""
    holder = await connect("holder")
    await holder.execute(f"BEGIN; {sql}".encode())
    return holder


async def left_invalid(connect: Connect, database: Database, sql: str) -> None:
    """`sql`, which builds on `orders` or `others`, is killed in its middle."""
    holder = await holding(connect, "UPDATE orders SET id = id; INSERT INTO others VALUES (0)")
    await interrupted(database, await connect("victim"), sql)
    await holder.rollback()
    assert False in (await there(database)).values()
