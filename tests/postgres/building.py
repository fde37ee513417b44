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


async def waits_for_lock(database: Database, connection: Connection) -> None:
    async def look() -> bool:
        query = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
        rows = await database.look(query, (connection.info.backend_pid,))
        return bool(rows and rows[0][0])

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
