"""Statements that PostgreSQL carries out in several transactions of its own, and may leave half done.

These are CREATE, DROP and REINDEX INDEX CONCURRENTLY, and DETACH PARTITION CONCURRENTLY. `prepare` comes
before such a statement, on the attempt's own connection; `clean_up` after one that failed, on a connection of
its own; `evidence` tells of one whose end nobody saw.

Connections of their own are given the `settings` that the task has made before the statement: by another
search_path its names would be those of other tables.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import psycopg

from engine.tasks.base import Evidence, Job
from engine.tasks.postgres import catalog, waits
from engine.tasks.postgres.catalog import Backend, Found
from engine.tasks.postgres.database import own_application
from engine.tasks.postgres.sqlstates import told
from engine.tasks.postgres.subjects import COST, Prepared, Site, Subject, subject, subject_of

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from engine.plan.sql.parse import Statement
    from engine.tasks.postgres.database import Database

_CANCEL_S = 2.0
_ANSWER_S = 5.0
"""Seconds within which a server has to answer that a drop is cancelled; then nobody waits for it any more."""
_ASK_AGAIN_S = 0.25
_UNLIMITED = "SELECT set_config('lock_timeout', '0', false), set_config('statement_timeout', '0', false)"


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanedUp:
    """`clean` is true if certainly nothing is left of the failed statement: the effect is "none" then. `said`
    is for the output and the reason; empty where nothing was left in the first place."""

    clean: bool
    said: str = ""


def concerns(statement: "Statement") -> bool:
    """Whether the functions of this module are to be called for this statement."""
    return subject(statement) is not None


async def prepare(
    connection: "AsyncConnection[Any]", database: "Database", statement: "Statement"
) -> Prepared:
    """Make way for the statement: what an earlier one left half done is dropped, or finished.

    To be called on the attempt's own connection, in autocommit, while it is watched as any statement of the
    attempt: a cancellation by `connection.cancel_safe` (stop, give_up, timeout) ends it. Waits for locks as
    long as that takes, and leaves the connection set so. Raises RefusedError, and psycopg.Error."""
    await connection.execute("SET lock_timeout = 0")
    return await subject_of(statement).prepare(Site(connection, database))


async def clean_up(
    database: "Database",
    statement: "Statement",
    job: Job,
    application: str,
    prepared: Prepared | None,
    *,
    settings: Sequence[str] = (),
    ended: bool = False,
) -> CleanedUp:
    """Drop, concurrently and on a connection of its own named `application`, what a failed statement left;
    or what an earlier one had left, if it was `prepare` that failed, and nothing is `prepared`.

    Waits no longer than `job.lock_patience_s`, and no longer than `job.grace_s` where the attempt was `ended`
    rather than failed, or is to end meanwhile; for whom, `job.lock_wait` hears. What cannot be dropped now is
    named, and dropped by the next attempt's `prepare`. Raises nothing; to be shielded from a cancellation by
    the caller."""
    patience_s = job.grace_s if ended else job.lock_patience_s
    limits = _Limits(job, anyio.current_time() + patience_s)
    cleaned = CleanedUp(clean=False, said="what it left could not be looked for: the server does not answer")
    async with anyio.create_task_group() as beside:
        beside.start_soon(_leave_in_time, limits, beside.cancel_scope)
        try:
            async with _site(database, application, settings) as site:
                await site.connection.execute(_UNLIMITED)
                beside.start_soon(waits.watch, database, await _pid(site), job)
                cleaned = await _cleaned_up(site, subject_of(statement), prepared, limits)
        except psycopg.Error as error:
            said = f"what it left could not be looked for: {told(error)}"
            cleaned = CleanedUp(clean=False, said=said)
        beside.cancel_scope.cancel()
    return cleaned


async def evidence(database: "Database", statement: "Statement", settings: Sequence[str] = ()) -> Evidence:
    """Whether the statement has taken effect: `done` is None while its builder is alive. Changes nothing.
    Raises psycopg.Error."""
    async with _site(database, own_application(database.run, "evidence"), settings) as site:
        return await subject_of(statement).evidence(site)


async def probe(
    database: "Database", statement: "Statement", settings: Sequence[str] = ()
) -> tuple[bool, str]:
    """Whether nobody works any more on an index that the statement needs out of its way. Raises
    psycopg.Error."""
    async with _site(database, own_application(database.run, "probe"), settings) as site:
        for left in await subject_of(statement).left(site):
            if at_work := await site.at_work(left):
                return False, f"{at_work} still works on index {left.name}"
    return True, "nobody works on the index any more"


@asynccontextmanager
async def _site(database: "Database", application: str, settings: Sequence[str]) -> AsyncIterator[Site]:
    async with await database.connect(application) as connection:
        for setting in settings:
            await connection.execute(setting.encode())
        yield Site(connection, database)


async def _pid(site: Site) -> int:
    cursor = await site.connection.execute("SELECT pg_backend_pid()")
    return int((await cursor.fetchone() or (0,))[0])


@dataclass(frozen=True, slots=True)
class _Limits:
    """How long cleaning up may take."""

    job: Job
    ends_at: float

    async def reached(self) -> None:
        with anyio.move_on_after(self.ends_at - anyio.current_time()):
            await _either(self.job.stop, self.job.give_up)
            with anyio.move_on_after(self.job.grace_s):
                await self.job.hurry.wait()


async def _leave_in_time(limits: _Limits, everything: anyio.CancelScope) -> None:
    await limits.reached()
    await anyio.sleep(_ANSWER_S)
    everything.cancel()


async def _either(*events: anyio.Event) -> None:
    async with anyio.create_task_group() as waiting:

        async def wait(event: anyio.Event) -> None:
            await event.wait()
            waiting.cancel_scope.cancel()

        for event in events:
            waiting.start_soon(wait, event)


async def _cleaned_up(site: Site, subject: Subject, prepared: Prepared | None, limits: _Limits) -> CleanedUp:
    said: list[str] = []
    try:
        for index in await subject.left(site) if subject.sweeps else []:
            said.append(await _swept(site, index, limits))
        if prepared is None:
            still = subject.sweeps and await subject.left(site)
            return CleanedUp(clean=not still, said="; ".join(said))
        after = await subject.state(site)
    except psycopg.Error as error:
        said.append(f"what it left could not be looked for: {told(error)}")
        return CleanedUp(clean=False, said="; ".join(said))
    clean = after == prepared.before
    if not clean and (meaning := subject.changed(after)):
        said.append(meaning)
    return CleanedUp(clean=clean, said="; ".join(said))


async def _swept(site: Site, index: Found, limits: _Limits) -> str:
    """Drop what a statement has left half done, and say how that went."""
    if at_work := await site.at_work(index):
        return f"index {index.name} is invalid, and {at_work} still works on it"
    blockers: list[Backend] = []
    problem: psycopg.Error | None = None
    pid = await _pid(site)
    async with anyio.create_task_group() as beside:
        beside.start_soon(_end_in_time, site, pid, limits, blockers)
        try:
            await site.drop(index)
        except psycopg.Error as error:
            problem = error
        beside.cancel_scope.cancel()
    if problem is None:
        return f"the invalid index {index.name} was dropped"
    if site.connection.closed:
        raise problem
    who = catalog.who(site.database, blockers)
    why = f"others had not let go of its table in time ({who})" if who else told(problem)
    return (
        f"the invalid index {index.name} is still there: {why}. {COST}; "
        f"the next attempt drops it, or do it yourself: DROP INDEX CONCURRENTLY {index.name}"
    )


async def _end_in_time(site: Site, pid: int, limits: _Limits, blockers: list[Backend]) -> None:
    """End what runs on the connection once the limits are reached, and tell whom it waited for. A request
    that comes before the server has begun with the statement is lost, so that one is not enough."""
    await limits.reached()
    while True:
        with suppress(psycopg.Error):
            found = await catalog.blockers(site.database, pid)
            blockers[:] = found or blockers
        with anyio.CancelScope(shield=True), suppress(psycopg.Error):
            await site.connection.cancel_safe(timeout=_CANCEL_S)
        await anyio.sleep(_ASK_AGAIN_S)
