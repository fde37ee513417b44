"""Making attempts on a real server, and looking at what they left there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from engine.tasks.base import Evidence, Job, Outcome
from engine.tasks.postgres.database import Database, application_name
from engine.tasks.postgres.executor import PostgresExecutor
from tests.postgres.waiting import eventually


async def carry_out(job: Job) -> Outcome:
    outcome = await PostgresExecutor().run(job)
    job.output.close()
    return outcome


async def evidence(job: Job, *, end_survivors: bool = False) -> Evidence:
    return await PostgresExecutor().evidence(job, end_survivors=end_survivors)


@asynccontextmanager
async def somebody(database: Database, name: str = "somebody") -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Somebody else who works on the database, in autocommit."""
    connection = await database.connect(name)
    try:
        yield connection
    finally:
        await connection.close()


async def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    return await database.look(query)


async def busy(database: Database, job: Job, word: str) -> int:
    """The pid of the job's backend, once it works on a query that holds `word`."""
    name = application_name(job.run, job.task.id, job.attempt, job.purpose)

    async def look() -> int:
        found = await database.look(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND state = 'active' "
            "AND position(%s in query) > 0",
            (name, word),
        )
        return int(found[0][0]) if found else 0

    return await eventually(look)


async def waits(database: Database, job: Job) -> int:
    """The pid of the job's backend, once it waits for a lock."""
    name = application_name(job.run, job.task.id, job.attempt, job.purpose)

    async def look() -> int:
        found = await database.look(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'",
            (name,),
        )
        return int(found[0][0]) if found else 0

    return await eventually(look)


async def nobody_left(database: Database, job: Job) -> bool:
    """That no backend of the job is there any more, or very soon."""
    name = application_name(job.run, job.task.id, job.attempt, job.purpose)

    async def gone() -> bool:
        return not await database.look("SELECT 1 FROM pg_stat_activity WHERE application_name = %s", (name,))

    return await eventually(gone, within_s=10.0)
