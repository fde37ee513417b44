"""The batches of a backfill, and its own journal: a table in the target that says how far it has come.

The row moves on in the transaction of each batch, under a lock on it: so every batch is done exactly once,
whatever became of the engine, of the connection or of an attempt that was taken for dead. That settles every
doubt. So a batch is not announced to the run's journal before its COMMIT, which would cost an fsync each.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import Dumper

from engine.plan.models import Backfill, FailureClass
from engine.plan.sql.parse import placeholders
from engine.tasks.base import Evidence, Job
from engine.tasks.classify import Verdict
from engine.tasks.postgres.outcomes import RefusedError, refuse_stranded
from engine.tasks.postgres.session import Session
from engine.tasks.rows import count_of

if TYPE_CHECKING:
    from psycopg import AsyncConnection, AsyncCursor

TABLE = "_wesley_backfill"

COUNTED = 100_000
"""Rows up to which a table is counted. Of a larger one the server's own estimate has to do."""

_KEY_WIDTH = 60

_CREATE = f"""
CREATE TABLE {TABLE} (
  run text NOT NULL, task text NOT NULL, undone integer NOT NULL, purpose text NOT NULL,
  attempt integer NOT NULL, keys text NOT NULL,
  last_key text, rows bigint NOT NULL DEFAULT 0, changed bigint NOT NULL DEFAULT 0,
  batches bigint NOT NULL DEFAULT 0, finished boolean NOT NULL DEFAULT false,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (run, task, undone, purpose))"""
# Two tasks at once may both find that there is no table yet.
_ALONE = f"SELECT pg_advisory_xact_lock(hashtext('{TABLE}'))"
_IS_THERE = f"SELECT to_regclass('{TABLE}') IS NOT NULL"
_BEGIN = f"""
INSERT INTO {TABLE} (run, task, undone, purpose, attempt, keys) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (run, task, undone, purpose) DO UPDATE SET attempt = greatest({TABLE}.attempt, excluded.attempt)
RETURNING keys"""
_STANDING = f"""
SELECT last_key, rows, changed, batches, finished, attempt FROM {TABLE}
WHERE (run, task, undone, purpose) = (%s, %s, %s, %s)"""
_PAST = f"""
SELECT purpose, last_key, rows, changed, batches, finished, attempt FROM {TABLE}
WHERE task = %s AND run = ANY(%s) ORDER BY at"""
_MOVE = f"""
UPDATE {TABLE} SET last_key = %s, rows = %s, changed = %s, batches = %s, finished = %s, at = clock_timestamp()
WHERE (run, task, undone, purpose) = (%s, %s, %s, %s)"""

_KEYS = """
SELECT c.relkind::text, quote_ident(n.nspname) || '.' || quote_ident(c.relname),
       quote_ident(a.attname), a.atttypid::int8, a.attnotnull,
       EXISTS (
         SELECT FROM pg_index i
         JOIN pg_class x ON x.oid = i.indexrelid
         JOIN pg_am m ON m.oid = x.relam
         JOIN pg_opclass o ON o.oid = i.indclass[0]
         WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree'
         AND i.indkey[0] = a.attnum AND i.indcollation[0] = a.attcollation
         AND o.opcname !~ 'pattern_ops$')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a
  ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname = (parse_ident(%s))[1]
WHERE c.oid = to_regclass(%s)"""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a backfill has come: `last` is the last key, as text, `rows` how many rows of the table it has
    gone through, `changed` how many its statement has changed. Attempt number `attempt` is at it."""

    last: str | None = None
    rows: int = 0
    changed: int = 0
    batches: int = 0
    finished: bool = False
    attempt: int = 0


@dataclass(frozen=True)
class Keys:
    """What a backfill goes along. Names are as SQL takes them; `type` is the key's number in pg_type. `total`
    is how many rows there are, or about how many if `estimated`."""

    table: str
    key: str
    type: int
    total: int
    estimated: bool = False

    @property
    def name(self) -> str:
        return f"{self.table} ({self.key})"

    def page(self, size: int, *, after: bool) -> str:
        """The query for first key, last key and number of rows of a batch. Rows that share a key are in one
        batch, so that none of them is passed over; with `after`, keys begin behind $1."""
        behind = f"WHERE {self.key} > $1 " if after else ""
        return (
            f"WITH page AS MATERIALIZED (SELECT {self.key} AS k FROM {self.table} {behind}"
            f"ORDER BY {self.key} FETCH FIRST {size} ROWS WITH TIES) "
            f"SELECT (SELECT k::text FROM page ORDER BY page.k LIMIT 1), "
            f"(SELECT k::text FROM page ORDER BY page.k DESC LIMIT 1), count(*) FROM page"
        )


class Batches:
    """The batches of one attempt at a backfill. Everything here raises as `Session.execute` does. `keys` are
    known once they are open."""

    keys: Keys

    def __init__(self, job: Job, session: Session, backfill: Backfill) -> None:
        self.standing = Standing()
        """As the last batch has left it that was committed."""
        self._job = job
        self._session = session
        self._backfill = backfill
        self._sql = placeholders(backfill.sql)
        self._row = (job.run, job.task.id, job.undone, job.purpose)

    async def open(self) -> None:
        """Find out where the backfill stands; the first time, that is before the first key. Raises
        RefusedError where it cannot go along its keys, or comes too late."""
        await self._session.transaction(self._open, batch=True)

    async def next(self, size: int) -> int:
        """Do the next batch of about `size` rows, and tell how many there were. None: it is finished."""
        self._session.place = f"batch {self.standing.batches + 1:,}"
        after, rows = self.standing, 0

        async def once() -> None:
            nonlocal after, rows
            after, rows = await self._batch(size)

        await self._session.transaction(once, batch=True)
        self.standing = after
        return rows

    async def _open(self) -> None:
        self._session.place = f"looking at {self._backfill.table}"
        keys = await self._find_keys()
        self.keys = keys
        self._session.place = f"the table {TABLE}"
        await self._session.execute(_ALONE)
        if not (await self._one(_IS_THERE))[0]:
            await self._session.execute(_CREATE)
        await self._refuse_stranded()
        went_along = (await self._one(_BEGIN, (*self._row, self._job.attempt, keys.name)))[0]
        self.standing = await self._stands()
        if went_along != keys.name:
            raise _refused(
                f"it has gone along {went_along} so far, and {told(self.standing)}; the plan now says "
                f"{keys.name}: let it go on as before, or roll the task back first",
            )

    async def _refuse_stranded(self) -> None:
        job = self._job
        earlier = (job.run, job.task.id, job.undone - job.stranded, job.purpose)
        row = await self._one(_STANDING, earlier) if job.stranded else None
        before = Standing(*row) if row else Standing()
        refuse_stranded(job, [before.attempt] if before.batches else [])

    async def _batch(self, size: int) -> tuple[Standing, int]:
        standing = await self._stands(lock=True)
        query = self.keys.page(size, after=standing.last is not None)
        found = await self._raw(query, *([] if standing.last is None else [standing.last]))
        first, last, rows = await found.fetchone() or ("", "", 0)
        if rows:
            self._session.place = f"batch {standing.batches + 1:,}, keys {short(first)} to {short(last)}"
            changed = max((await self._raw(self._sql, first, last)).rowcount, 0)
            standing = replace(
                standing,
                last=last,
                rows=standing.rows + rows,
                changed=standing.changed + changed,
                batches=standing.batches + 1,
            )
        else:
            standing = replace(standing, finished=True)
        moved = (standing.last, standing.rows, standing.changed, standing.batches, standing.finished)
        await self._session.execute(_MOVE, (*moved, *self._row))
        return standing, rows

    async def _stands(self, *, lock: bool = False) -> Standing:
        standing = Standing(*await self._one(_STANDING + (" FOR UPDATE" if lock else ""), self._row))
        if standing.attempt > self._job.attempt:
            raise RefusedError(
                Verdict(FailureClass.UNKNOWN, "engine: attempt comes too late"),
                f"attempt {standing.attempt} has gone on with it already: this one comes too late",
            )
        return standing

    async def _find_keys(self) -> Keys:
        backfill = self._backfill
        row = await self._one(_KEYS, (backfill.key, backfill.table))
        if row is None:
            raise _refused(f"there is no table {backfill.table}")
        kind, table, key, type_, not_null, indexed = row
        if kind not in ("r", "p"):
            raise _refused(f"{backfill.table} is no table: name the one whose keys are to be gone through")
        if key is None:
            raise _refused(f"{backfill.table} has no column {backfill.key}")
        if not not_null:
            raise _refused(
                f"{backfill.key} of {backfill.table} may be NULL, and such rows would be passed over: take "
                "another key, or set the column NOT NULL first"
            )
        if not indexed:
            raise _refused(
                f"no index of {backfill.table} begins with {backfill.key}, and every batch would read the "
                f"whole table: build one first (CREATE INDEX CONCURRENTLY … ON {table} ({key})), or take "
                "another key"
            )
        counted = (
            await self._one(f"SELECT count(*) FROM (SELECT FROM {table} LIMIT {COUNTED + 1}) counted")
        )[0]
        if counted <= COUNTED:
            return Keys(table, key, type_, counted)
        # Of a table that was never analysed the planner judges by its size.
        ((plan,),) = await self._one(f"EXPLAIN (FORMAT JSON) SELECT FROM {table}")
        return Keys(table, key, type_, max(plan["Plan"]["Plan Rows"], counted), True)

    async def _one(self, query: str, params: Any = ()) -> Any:
        return await (await self._session.execute(query, params)).fetchone()

    async def _raw(self, query: str, *keys: str) -> "AsyncCursor[Any]":
        """Execute a query in which $1 and $2 are keys, and nothing else is filled in."""
        self._session.check()
        cursor = psycopg.AsyncRawCursor(self._session.connection)
        cursor.adapters.register_dumper(_Key, _dumper(self.keys.type))
        return await cursor.execute(query.encode(), [_Key(key) for key in keys], prepare=False)


async def settle(job: Job, connection: "AsyncConnection[Any]") -> Evidence:
    """What the own journal of a backfill knows of it: whether it is through, and where it stands if not."""
    there = await (await connection.execute(_IS_THERE.encode())).fetchone()
    if there is None or not there[0]:
        return Evidence(done=False, by="ledger", detail=f"there is no table {TABLE}: no batch was done")
    if job.past_runs:
        cursor = await connection.execute(_PAST.encode(), (job.task.id, list(job.past_runs)))
        return _weighed([(purpose, Standing(*rest)) for purpose, *rest in await cursor.fetchall()])
    cursor = await connection.execute(_STANDING.encode(), (job.run, job.task.id, job.undone, job.purpose))
    row = await cursor.fetchone()
    standing = Standing(*row) if row else Standing()
    if standing.finished:
        return Evidence(done=True, by="ledger", detail=f"it went through, {told(standing)}")
    detail = f"it {told(standing)}, and another attempt goes on from there"
    return Evidence(done=False, by="ledger", detail=detail)


def _weighed(past: list[tuple[str, Standing]]) -> Evidence:
    """What the journals of runs tell whose own journals are lost: a backfill and its rollback take effect by
    turns, so the effect is there if it was brought about once more often than it was undone."""
    if past and not past[-1][1].finished:
        return Evidence(done=None, by="ledger", detail=f"the last {past[-1][0]} {told(past[-1][1])}")
    count = Counter(purpose for purpose, standing in past if standing.finished)
    detail = f"{TABLE} counts {count['run']} for the task, and {count['rollback']} for its rollback"
    known = {0: False, 1: True}.get(count["run"] - count["rollback"])
    return Evidence(done=known, by="ledger", detail=detail)


def told(standing: Standing) -> str:
    """Where a backfill stands, to stand behind "it"."""
    if standing.last is None:
        return "has done no batch"
    batches = "1 batch" if standing.batches == 1 else f"{standing.batches:,} batches"
    return f"stands at key {short(standing.last)}, after {count_of(standing.rows)} in {batches}"


def short(key: str) -> str:
    return key if len(key) <= _KEY_WIDTH else f"{key[: _KEY_WIDTH - 1]}…"


def _refused(message: str) -> RefusedError:
    return RefusedError(Verdict(FailureClass.PERMANENT, "engine: keys of the backfill"), message)


class _Key(str):
    """The text of a key; to the server it has the key's own type, as the plan's author would expect."""


def _dumper(type_: int) -> type[Dumper]:
    class KeyDumper(Dumper):
        oid = type_

        def dump(self, obj: str) -> bytes:
            return obj.encode()

    return KeyDumper
