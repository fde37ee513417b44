"""What a PostgreSQL target knows of an attempt whose end nobody saw.

First of all, nothing of the attempt may still be at work there. Then the ledger tells which parts took
effect; whether the next one did, where its row is missing, the server's own record of transactions tells, or
its catalog."""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import anyio
import psycopg
from msgspec.structs import replace

from engine.plan.models import FailureClass
from engine.plan.sql import parse
from engine.plan.sql.parse import Part
from engine.tasks.base import Evidence, Intent, Job
from engine.tasks.postgres import indexes, ledger
from engine.tasks.postgres.database import ANSWER_S, Database, application_name, own_application, within
from engine.tasks.postgres.sqlstates import Phase, by_sqlstate, told

if TYPE_CHECKING:
    from psycopg import AsyncConnection

Settle = Callable[["AsyncConnection[Any]"], Awaitable[Evidence]]

PATIENCE_S = 30.0
"""Seconds for which a server that cannot be reached is asked again: it may be starting."""
_ASK_AGAIN_S = 0.5
_SURVIVORS_PATIENCE_S = 5.0
"""Seconds for which a statement that still runs is waited for: a server notices within a second that its
client has gone, and what is nearly through needs nobody's decision."""
_TERMINATED_PATIENCE_S = 10.0
_POLL_S = 0.1

_REPEATABLE = frozenset({"VACUUM", "CLUSTER", "REINDEX", "ALTER SYSTEM"})
"""Statements in autocommit that do no harm when they run again, whether they were carried out or not."""

_SURVIVORS = """
SELECT a.pid, a.backend_start, a.state,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.state_change, now()))::int, a.query
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND (a.application_name = %s OR a.pid IN (
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) | objid::bigint = ANY(%s)))
ORDER BY a.pid"""

# Found and ended in one statement: whoever gets its pid next is not hit.
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"


class Survivor(NamedTuple):
    """A backend that an attempt has left. It is at work unless it only waits for a client to say
    something."""

    pid: int
    started: datetime | None
    state: str
    age_s: int
    query: str

    @property
    def at_work(self) -> bool:
        return not self.state.startswith("idle")

    def __str__(self) -> str:
        line = " ".join(self.query.split())
        cut = line if len(line) <= 120 else f"{line[:119]}…"
        return f"PostgreSQL backend {self.pid}, {self.state or 'at work'} for {self.age_s} s: {cut}"


class Standing(NamedTuple):
    """How many `parts` there are, and how many of them, from the first, took effect. `why` is how that is
    known of the next part; `known` is false where it is not."""

    done: int
    parts: int
    why: str = ""
    known: bool = True
    by_ledger: bool = True
    at: str = ""


async def look(job: Job, database: Database, parts: Sequence[Part], *, end_survivors: bool) -> Evidence:
    """What is known of the attempt, as `settled` tells it."""

    async def settle(connection: "AsyncConnection[Any]") -> Evidence:
        return await _settled(connection, job, database, parts)

    return await settled(job, database, settle, end_survivors=end_survivors)


async def settled(job: Job, database: Database, settle: Settle, *, end_survivors: bool) -> Evidence:
    """What `settle` finds out on a connection, once nothing of the attempt is at work any more.

    Changes nothing in the database, but ends backends of the attempt: those that only wait for their client,
    and with `end_survivors` all."""

    async def once(connection: "AsyncConnection[Any]") -> Evidence:
        survivors = await _survivors(connection, job, end_survivors)
        if survivors:
            named = tuple(job.output.clean(str(survivor)) for survivor in survivors)
            return Evidence(done=None, detail=f"still running: {', '.join(named)}", survivors=named)
        return await settle(connection)

    try:
        found = await patiently(database, once)
    except psycopg.Error as error:
        found = Evidence(done=None, detail=f"target {database.name} cannot be asked: {told(error)}")
    return replace(found, detail=job.output.clean(found.detail))


async def patiently(database: Database, ask: Settle) -> Evidence:
    """What `ask` finds out on a connection of its own; asked again while the server cannot be reached.

    Raises psycopg.Error once patience is used up, and at once for what waiting does not change."""
    until = time.monotonic() + PATIENCE_S
    while True:
        connection = None
        try:
            with within(ANSWER_S):
                connection = await database.connect(own_application(database.run, "evidence"))
                return await ask(connection)
        except psycopg.Error as error:
            phase: Phase = "in_transaction" if connection else "connecting"
            passing = by_sqlstate(error, phase).failure_class in (
                FailureClass.TRANSIENT,
                FailureClass.RESOURCE,
            )
            if not passing or time.monotonic() > until:
                raise
        finally:
            if connection:
                await connection.close()
        await anyio.sleep(_ASK_AGAIN_S)


async def claimants(connection: "AsyncConnection[Any]", keys: Sequence[int]) -> list[str]:
    """The backends that hold one of the claims `keys`, in words."""
    return [str(each) for each in await _found(connection, None, keys)]


def parts_named(first: int, last: int) -> str:
    """`part 1`, `parts 1 and 2`, `parts 1 to 3`."""
    if first == last:
        return f"part {first}"
    return f"parts {first} {'and' if last == first + 1 else 'to'} {last}"


async def _survivors(connection: "AsyncConnection[Any]", job: Job, end_all: bool) -> list[Survivor]:
    """What of the attempt is still at work after a while. A backend that waits for its client will never hear
    from it, or too late: it is ended at once, which rolls its transaction back."""
    application = application_name(job.run, job.task.id, job.attempt, job.purpose)
    keys = [ledger.claim_key(run, job.task.id) for run in job.past_runs or (job.run,)]
    until = time.monotonic() + (_TERMINATED_PATIENCE_S if end_all else _SURVIVORS_PATIENCE_S)
    while found := await _found(connection, application, keys):
        for survivor in found:
            if end_all or not survivor.at_work:
                await connection.execute(_END.encode(), (survivor.pid, survivor.started))
        if time.monotonic() > until:
            break
        await anyio.sleep(_POLL_S)
    return found


async def _found(
    connection: "AsyncConnection[Any]", application: str | None, keys: Sequence[int]
) -> list[Survivor]:
    cursor = await connection.execute(_SURVIVORS.encode(), (application, list(keys)))
    return [
        Survivor(pid, started, state or "", age or 0, query or "")
        for pid, started, state, age, query in await cursor.fetchall()
    ]


async def _settled(
    connection: "AsyncConnection[Any]", job: Job, database: Database, parts: Sequence[Part]
) -> Evidence:
    kept = await ledger.find(connection)
    where = f"the ledger in {database.name}"
    if job.past_runs:
        return _weighed(await kept.balance(job) if kept else ledger.Balance(0, 0, False), where)
    rows = await kept.rows(job) if kept else []
    rows = [row for row in rows if job.undone < row.attempt <= job.attempt]
    standing = _by_ledger(rows, job.intent, parts)
    if standing.done < standing.parts:
        standing = await _next_part(connection, job, database, parts, standing)
    return _evidence(standing, where)


def _by_ledger(rows: Sequence[ledger.Row], intent: Intent | None, parts: Sequence[Part]) -> Standing:
    there = {row.part: row for row in rows}
    of = rows[-1].parts if rows else intent.parts if intent else len(parts)
    done = 0
    while done + 1 in there:
        done += 1
    if not done:
        return Standing(0, of)
    last = there[done]
    changed = any(
        row.statement_hash != ledger.hash_of(part) for part in parts if (row := there.get(part.number))
    )
    at = f"{last.at:%Y-%m-%d %H:%M:%S} UTC" + (", by a different text" if changed else "")
    return Standing(done, of, at=at)


async def _next_part(
    connection: "AsyncConnection[Any]",
    job: Job,
    database: Database,
    parts: Sequence[Part],
    standing: Standing,
) -> Standing:
    """Whether the first part without a row took effect all the same."""
    intent = job.intent
    if intent is None or intent.part <= standing.done:
        return standing._replace(why="nothing more was about to be committed")
    if intent.xid:
        return await _by_xid(connection, intent, standing)
    if intent.part > standing.done + 1:
        return _rows_gone(intent, standing)
    part = next((each for each in parts if each.number == intent.part and not each.transactional), None)
    if part is None:
        return standing._replace(known=False, why="the plan does not have the statement any more")
    (statement,) = part.statements
    if indexes.concerns(statement):
        settings = parse.settings_before(parts, part.number)
        found = await indexes.evidence(database, statement, settings)
        done = standing.done + (1 if found.done else 0)
        return standing._replace(
            done=done, known=found.done is not None, by_ledger=not found.done, why=found.detail
        )
    if statement.kind in _REPEATABLE:
        return standing._replace(why=f"whether {statement.kind} was carried out makes no difference")
    why = f"`{intent.statement}` runs in no transaction, and nobody saw its end"
    return standing._replace(known=False, why=why)


async def _by_xid(connection: "AsyncConnection[Any]", intent: Intent, standing: Standing) -> Standing:
    try:
        cursor = await connection.execute("SELECT pg_xact_status(%s::xid8)", (intent.xid,))
    except psycopg.errors.InvalidParameterValue as error:
        why = f"transaction {intent.xid} is not of this server: {told(error)}"
        return standing._replace(known=False, why=why)
    (status,) = await cursor.fetchone() or (None,)
    if status == "committed":
        why = f"the server has transaction {intent.xid} as committed, though its ledger row is gone"
        if intent.part == intent.parts:
            return standing._replace(done=intent.parts, parts=intent.parts, by_ledger=False, why=why)
        return standing._replace(known=False, why=f"{why}: another attempt would do part {intent.part} again")
    if status == "in progress":
        return standing._replace(known=False, why=f"transaction {intent.xid} is still in progress")
    if intent.part > standing.done + 1:
        return _rows_gone(intent, standing)
    what = f"the server has transaction {intent.xid} as aborted" if status else "nothing was committed"
    return standing._replace(why=what)


def _rows_gone(intent: Intent, standing: Standing) -> Standing:
    why = f"part {intent.part} was next, but rows of parts before it are gone from the ledger"
    return standing._replace(known=False, why=why)


def _evidence(standing: Standing, where: str) -> Evidence:
    done, of = standing.done, standing.parts
    why = f": {standing.why}" if standing.why else ""
    if not standing.known:
        kept = f"; {parts_named(1, done)} of {of} took effect" if done else ""
        return Evidence(done=None, detail=f"{standing.why}{kept}")
    if done == of:
        found = f"committed at {standing.at}" if standing.by_ledger else standing.why
        ledger_row = f"{'rows' if of > 1 else 'row'} in {where}, " if standing.by_ledger else ""
        by: Literal["ledger", "executor"] = "ledger" if standing.by_ledger else "executor"
        return Evidence(done=True, by=by, detail=f"{ledger_row}{found}")
    if not done:
        return Evidence(done=False, by="ledger", detail=f"no row in {where}{why}")
    stays = f"{parts_named(1, done)} of {of} took effect and {'stay' if done > 1 else 'stays'}"
    rest = f"{parts_named(done + 1, of)} did not{why}; another attempt goes on with part {done + 1}"
    return Evidence(done=False, by="ledger", detail=f"{stays}, {rest}")


def _weighed(balance: ledger.Balance, where: str) -> Evidence:
    """What the ledger tells of runs whose journal is lost: a task and its rollback take effect by turns, so
    the effect is there if it was brought about once more often than it was undone."""
    counted = f"{where} counts {balance.runs} for the task, and {balance.rollbacks} for its rollback"
    if balance.half_done:
        return Evidence(done=None, by="ledger", detail=f"{counted}; and one that was left half done")
    known = {0: False, 1: True}.get(balance.runs - balance.rollbacks)
    return Evidence(done=known, by="ledger", detail=counted)
