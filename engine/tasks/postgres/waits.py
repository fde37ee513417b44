"""Who blocks an attempt's backend: looked at while it runs, and told whenever that changes.

What is told are facts of one moment. How old they are by now is for whoever shows them: an age grows by
itself, and is no reason to tell anything again.
"""

import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import anyio
import msgspec
import psycopg

from engine.machine.events import Blocker
from engine.plan.sql import parse
from engine.tasks.base import Job, LockWait
from engine.tasks.postgres.database import Database

LOOK_EVERY_S = 0.25
_CALM_S = 2.0
"""Seconds between two tellings of what blockers do. Who they are is told at once."""
_MOST = 50
"""Blockers that are told of: nobody reads more, and each time all of them go into the journal."""
_QUERY_WIDTH = 400
PREPARED = "prepared transaction"
"""The state of a blocker that no backend has. Its application is the name it was prepared under."""

_OURS = """
SELECT state, xact_start, query_start, wait_event_type = 'Lock' FROM pg_stat_get_activity(%s)
"""

_TREE = f"""
WITH RECURSIVE roots(pids) AS (
    SELECT CASE WHEN %s THEN pg_blocking_pids(%s) ELSE %s::int[] END
), tree(pid) AS (
    SELECT unnest(pids) FROM roots
    UNION
    SELECT unnest(pg_blocking_pids(pid)) FROM tree WHERE pid <> 0
)
SELECT t.pid, t.pid = ANY (pids), pg_blocking_pids(t.pid), a.backend_start, a.usename,
       CASE a.backend_type WHEN 'client backend' THEN a.application_name ELSE a.backend_type END,
       a.state, a.query, a.xact_start,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.state_change))::float8,
       extract(epoch FROM clock_timestamp() - a.state_change)::float8
FROM roots, (SELECT pid FROM tree WHERE pid <> %s LIMIT {_MOST}) t LEFT JOIN pg_stat_activity a USING (pid)
WHERE t.pid = 0 OR a.pid IS NOT NULL
"""

# A row is waited for by waiting for the transaction that changed it, with the place in its queue locked.
_WAITED_FOR = """
SELECT l.locktype, l.relation::regclass::text, l.relation, l.transactionid::text,
       CASE WHEN l.locktype = 'object' THEN pg_describe_object(l.classid, l.objid, 0) END,
       (SELECT queue.relation::regclass::text FROM pg_locks queue
        WHERE queue.pid = l.pid AND queue.locktype = 'tuple' AND queue.granted LIMIT 1)
FROM pg_locks l WHERE l.pid = %s AND NOT l.granted
"""

_PREPARED = """
SELECT string_agg(DISTINCT p.gid, ', '), min(p.owner), min(p.prepared),
       extract(epoch FROM clock_timestamp() - min(p.prepared))::float8
FROM pg_prepared_xacts p
JOIN pg_locks itself ON itself.transactionid = p.transaction AND itself.pid IS NULL
JOIN pg_locks held ON held.virtualtransaction = itself.virtualtransaction AND held.pid IS NULL
WHERE held.relation = %s OR held.transactionid::text = %s
"""


async def watch(database: Database, pid: int, job: Job) -> None:
    """Look every quarter of a second at what blocks backend `pid`, and hand it to `job.lock_wait` when it has
    changed; until cancelled.

    To be run for as long as the attempt tries: between two tries, while `pid` is idle, the wait is not over
    before its blockers have ended what they blocked in. A look that fails is left out: how the attempt fares
    shows on its own connection."""
    watcher = _Watcher(database, pid, job)
    while True:
        with suppress(psycopg.Error):
            await watcher.look()
        await anyio.sleep(LOOK_EVERY_S)


def started_text(moment: datetime | None) -> str:
    """When a backend began, to the microsecond: with its pid it is known again by that. Empty where the role
    may not see it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds") if moment else ""


class _Moment(NamedTuple):
    """What our backend was in when it was looked at."""

    transaction: datetime | None = None
    query: datetime | None = None


class _Lock(NamedTuple):
    """What our backend waits for: a row of the answer to `_WAITED_FOR`."""

    kind: str = ""
    table: str | None = None
    table_oid: int | None = None
    transaction: str | None = None
    thing: str | None = None
    table_of_row: str | None = None

    @property
    def words(self) -> str:
        """So that they can stand behind "a lock on"; empty where it is the end of other transactions."""
        if self.kind in ("tuple", "transactionid"):
            table = self.table or self.table_of_row
            return f"a row of {table}" if table else "a row"
        if self.kind == "advisory":
            return "an advisory key"
        return self.table or self.thing or ""


class _Backend(NamedTuple):
    """A row of the answer to `_TREE`: a blocker, `direct` where it blocks us itself."""

    pid: int
    direct: bool
    blocked_by: list[int]
    started: datetime | None
    user: str | None
    application: str | None
    state: str | None
    query: str | None
    transaction: datetime | None
    age_s: float | None
    state_s: float | None


class _Watcher:
    def __init__(self, database: Database, pid: int, job: Job) -> None:
        self._database = database
        self._pid = pid
        self._job = job
        self._told = LockWait(pid=pid)
        """What was told last; without blockers, that nothing is waited for."""
        self._told_at = 0.0
        self._direct: dict[int, datetime | None] = {}
        """Who blocks us itself, and since when the transaction has lasted that it blocks us in."""
        self._waited = self._passed = _Moment()
        """Where our backend last waited, and where it was last seen not to."""
        self._tries = 0

    async def look(self) -> None:
        found = await self._database.look(_OURS, (self._pid,))
        if not found:
            return
        state, transaction, query, waits = found[0]
        moment = _Moment(transaction, query)
        if waits:
            await self._waiting(moment)
        elif not self._told.blockers:
            return
        elif state == "idle":
            await self._between_tries()
        elif self._passed.transaction == transaction:
            self._tell(LockWait(pid=self._pid))
        else:
            self._passed = moment  # the beginning of the next try looks just the same, but not for long

    async def _waiting(self, moment: _Moment) -> None:
        locks = [_Lock(*row) for row in await self._database.look(_WAITED_FOR, (self._pid,))]
        lock = locks[0] if locks else _Lock()
        tree = await self._look_around(waits=True, lock=lock)
        if not tree:
            return  # it has just been let go on
        if not self._told.blockers:
            self._tries = 0
        elif moment.transaction != self._waited.transaction and moment.query != self._waited.query:
            self._tries += 1  # a concurrent index build goes through several transactions in one statement
        self._direct = {each.pid: each.transaction for each in tree if each.direct}
        self._waited, self._passed = moment, _Moment()
        self._tell(self._wait(self._job.output.clean(lock.words), tree))

    async def _between_tries(self) -> None:
        """Nothing of ours waits in the server: whether what blocked it is still there."""
        tree = await self._look_around(waits=False, lock=_Lock())
        still = {e.pid: e.transaction for e in tree if e.direct and self._direct[e.pid] == e.transaction}
        self._direct = still
        self._tell(self._wait(self._told.relation, tree) if still else LockWait(pid=self._pid))

    def _wait(self, relation: str, tree: list[_Backend]) -> LockWait:
        blockers = tuple(self._blocker(each) for each in tree)
        return LockWait(pid=self._pid, relation=relation, tries=self._tries, blockers=blockers)

    async def _look_around(self, *, waits: bool, lock: _Lock) -> list[_Backend]:
        """All that block us, those first that do so themselves; of those who did, where it does not wait."""
        rows = await self._database.look(_TREE, (waits, self._pid, [*self._direct], self._pid))
        found = {row[0]: _Backend(*row) for row in rows}
        if 0 in found:
            found[0] = await self._prepared(found[0], lock)
        order = sorted(pid for pid, each in found.items() if each.direct)
        for pid in order:
            order += sorted({b for b in found[pid].blocked_by if b in found} - {*order})
        return [found[pid] for pid in order]

    async def _prepared(self, nobody: _Backend, lock: _Lock) -> _Backend:
        """What stands for a transaction that was prepared: no backend has it."""
        rows = await self._database.look(_PREPARED, (lock.table_oid, lock.transaction))
        names, owner, since, age = rows[0]
        return nobody._replace(
            user=owner, application=names, state=PREPARED, transaction=since, age_s=age, state_s=age
        )

    def _blocker(self, found: _Backend) -> Blocker:
        clean = self._job.output.clean
        return Blocker(
            pid=found.pid,
            started=started_text(found.started),
            user=clean(found.user or ""),
            application=clean(found.application or ""),
            state=found.state or "",
            age_s=round(found.age_s or 0.0, 1),
            state_s=round(found.state_s or 0.0, 1),
            query=clean(_normalised(found.query or ""))[:_QUERY_WIDTH],
            waits_for=tuple(sorted({*found.blocked_by})),
            own_task=self._database.owner_of(found.application or "") or "",
        )

    def _tell(self, wait: LockWait) -> None:
        now = time.monotonic()
        news = _who(wait) != _who(self._told) or (
            _what(wait) != _what(self._told) and now - self._told_at >= _CALM_S
        )
        if news:
            self._told, self._told_at = wait, now
            self._job.lock_wait(wait)


def _who(wait: LockWait) -> object:
    return wait.relation, [(each.pid, each.started, each.waits_for) for each in wait.blockers]


def _what(wait: LockWait) -> object:
    return wait.tries, [msgspec.structs.replace(each, age_s=0.0, state_s=0.0) for each in wait.blockers]


@lru_cache(maxsize=256)
def _normalised(query: str) -> str:
    return parse.normalise(query)
