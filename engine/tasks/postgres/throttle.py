"""What holds a backfill back: standbys that lag behind, sessions that wait for locks, what the plan asks."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psycopg

from engine.plan.durations import format_duration
from engine.plan.models import Throttle
from engine.tasks.postgres import results, sqlstates

if TYPE_CHECKING:
    from psycopg import AsyncConnection

LAG_BYTES = 16 * 1024 * 1024
"""How far a standby may be behind for which the server knows no time: one segment of the log, as it comes."""

_BEGIN = "BEGIN READ ONLY"
_LIMITS = "SELECT set_config('statement_timeout', '1s', true), set_config('lock_timeout', '1s', true)"

# What keeps no copy (a backup, an archive of the log) has nothing replayed, and is no standby.
_STANDBYS = """
SELECT pid, coalesce(application_name, ''), state IS NULL,
       extract(epoch FROM replay_lag)::float8,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                       ELSE pg_current_wal_lsn() END, replay_lsn)::int8
FROM pg_stat_replication WHERE state IS NULL OR replay_lsn IS NOT NULL"""

# pg_locks alone does not tell the database of those who wait for another transaction to end.
_WAITING = """
SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE NOT l.granted AND a.datname = current_database()"""


class Gauge:
    """Looks at what `throttle` names, over the backfill's own connection, which has nothing else to do then.

    `clean` makes foreign text safe for screens."""

    def __init__(
        self, throttle: Throttle | None, connection: "AsyncConnection[Any]", clean: Callable[[str], str]
    ) -> None:
        self._throttle = throttle
        self._connection = connection
        self._clean = clean
        self._held = ""
        self._looked_at = float("-inf")

    async def held(self) -> str:
        """Why the backfill is to be held back, in words with figures; empty where nothing holds it back.

        Looks no more than once in `every`, and says the same in between. What cannot be looked at holds back,
        too. Raises psycopg.Error where the connection is lost."""
        if self._throttle is None:
            return ""
        if time.monotonic() - self._looked_at >= self._throttle.every:
            self._held = await self._look(self._throttle)
            self._looked_at = time.monotonic()
        return self._held

    async def _look(self, throttle: Throttle) -> str:
        what = "the throttle"
        try:
            await self._connection.execute(_BEGIN)
            await self._connection.execute(_LIMITS)
            if throttle.lag is not None:
                what = "replication lag"
                if held := await self._lag(throttle.lag):
                    return held
            if throttle.lock_waits is not None:
                what = "the number of lock waits"
                if held := await self._lock_waits(throttle.lock_waits):
                    return held
            if throttle.sql is not None:
                what = "the throttle's SQL"
                if held := await self._asked(throttle.sql):
                    return held
        except psycopg.Error as error:
            if self._connection.closed:
                raise
            return self._clean(f"{what} cannot be looked at: {sqlstates.told(error)}")
        finally:
            if not self._connection.closed:
                await self._connection.rollback()
        return ""

    async def _lag(self, limit_s: float) -> str:
        limit = format_duration(limit_s)
        for pid, name, hidden, lag_s, behind in await self._rows(_STANDBYS):
            standby = f"standby {self._clean(name)}" if name else f"the standby of pid {pid}"
            if hidden:
                user = self._clean(self._connection.info.user)
                return f"the lag of {standby} cannot be seen: GRANT pg_read_all_stats TO {user}"
            if behind <= 0:
                continue  # the time is that of its last word, which is some time ago if there was nothing new
            if lag_s is not None and lag_s >= limit_s:
                return f"{standby} is {format_duration(lag_s)} behind (limit {limit})"
            if lag_s is None and behind >= LAG_BYTES:
                most = f"{LAG_BYTES >> 20} MB where no time is known"
                return f"{standby} is {behind >> 20:,} MB behind (limit {most})"
        return ""

    async def _lock_waits(self, limit: int) -> str:
        ((waiting,),) = await self._rows(_WAITING)
        if waiting < limit:
            return ""
        sessions = "1 session waits" if waiting == 1 else f"{waiting} sessions wait"
        return f"{sessions} for a lock in this database (limit {limit})"

    async def _asked(self, sql: str) -> str:
        found = await results.read(self._connection, sql)
        if not found.says_yes:
            return ""
        value = str(found.shown[0][0])
        return "the throttle's SQL says so" + ("" if value == "t" else f": {self._clean(value)[:60]}")

    async def _rows(self, query: str) -> list[tuple[Any, ...]]:
        cursor = await self._connection.execute(query.encode())
        return await cursor.fetchall()
