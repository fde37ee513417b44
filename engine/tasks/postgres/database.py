"""A PostgreSQL target of a run that is open: how it is connected to, and how it is looked into."""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:  # psycopg takes a quarter of a second to import, which only such targets are to pay
    from psycopg import AsyncConnection

    from engine.tasks.postgres.guard import Guard

logging.getLogger("psycopg").addHandler(logging.NullHandler())  # what it warns of must not get on a screen

ANSWER_S = 45.0
"""Seconds within which a server has to have answered all questions about one thing."""
APPLICATION_BYTES = 63
"""What PostgreSQL keeps of an application_name."""
OLDEST = 130000
"""The oldest version that is worked with, as `server_version_num` gives it."""

_PREFIX = "wesley"
_OBSERVER = "observer"
_DEFAULTS = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""Connection parameters, in seconds, where the conninfo says nothing: a peer that is gone is noticed within
half a minute."""
_SENT_AS = {"client_encoding": "UTF8"}
"""What a RESET in a task goes back to. A proxy may not pass it on, and so sessions set it as well."""
_LOOK_S = 10
"""Longest time in seconds that one look may take; it must never hang behind what it is to look at."""

_VALUES = "SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1"
"""Values are written so that every connection reads them alike, whatever is set for role or database."""
_LIFE = """
SELECT set_config(name, value, false) FROM pg_settings JOIN (VALUES
  ('client_connection_check_interval', '1s'), ('idle_session_timeout', '0'),
  ('tcp_keepalives_idle', '15'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3')
) AS wanted (name, value) USING (name)"""
"""A statement whose client has died ends within a second, where the server knows how (from version 14); one
whose client's machine is gone, within half a minute. A session that pauses, or is held, is none too many."""


def application_name(run: str, task: str, attempt: int, purpose: str) -> str:
    """What the backend of an attempt is called in pg_stat_activity: another name for every attempt.

    Runs and tasks have ASCII names; those too long to be shown whole keep their beginning and a digest."""
    name = f"{_PREFIX} {run}/{task}/{attempt}-{purpose}"
    if len(name) <= APPLICATION_BYTES:
        return name
    ending = f"/{attempt}-{purpose}"
    room = APPLICATION_BYTES - len(_run_prefix(run)) - len(ending)
    return _run_prefix(run) + _cut(task, room) + ending


def own_application(run: str, role: str) -> str:
    """What a connection of the engine itself is called: one that belongs to no attempt."""
    return f"{_PREFIX} {_cut(run, APPLICATION_BYTES - len(_PREFIX) - len(role) - 3)} ({role})"


def owner_of(application: str, run: str, tasks: Iterable[str]) -> str | None:
    """Which of the `tasks` of `run` the backend with this application_name works for; None for a stranger."""
    ending = application.rpartition("/")[2]
    number, _, purpose = ending.partition("-")
    if not number.isdecimal():
        return None
    return next(
        (task for task in tasks if application_name(run, task, int(number), purpose) == application), None
    )


def _run_prefix(run: str) -> str:
    return f"{_PREFIX} {_cut(run, 24)}/"


def _cut(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text[: max(room - 9, 0)]}~{digest}"


@dataclass(slots=True, eq=False, kw_only=True)
class Database:
    """`name` is the target's; `version` as server_version_num gives it (160004 is 16.4). `conninfo` may hold
    a password, and is never shown. `tasks` are the ids of the run's tasks. `guard` keeps other migrations
    away, where that is wanted.

    Behind a session-pooling proxy `connection.info.backend_pid` is made up by the proxy: ask the server
    itself for the pid of a backend."""

    name: str
    run: str
    conninfo: str = field(repr=False)
    version: int
    tasks: Sequence[str] = field(default=(), repr=False)
    guard: "Guard | None" = field(default=None, repr=False)
    _observer: "AsyncConnection[Any] | None" = field(default=None, repr=False)
    _looking: anyio.Lock = field(default_factory=anyio.Lock, repr=False)

    async def connect(self, application: str) -> "AsyncConnection[Any]":
        """A new connection, in autocommit, that the server calls `application`. Raises psycopg.Error."""
        import psycopg

        connection = await open_connection(self.conninfo, application)
        await connection.execute(_VALUES)
        with suppress(psycopg.errors.InvalidParameterValue):  # the server's system has no way to check
            await connection.execute(_LIFE)
        return connection

    async def look(self, query: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The rows of a short query, on a connection that all such looks share.

        A connection that was lost is made anew, once. A look that is cancelled costs it, too. Raises
        psycopg.Error; a look that takes longer than ten seconds is ended by the server."""
        import psycopg

        async with self._looking:
            with within(_LOOK_S + 1):
                try:
                    return await self._ask(query, params)
                except psycopg.OperationalError:
                    if self._observer is not None and not self._observer.closed:
                        raise
                return await self._ask(query, params)

    def owner_of(self, application: str) -> str | None:
        """The task of this run that the backend with this application_name works for."""
        return owner_of(application, self.run, self.tasks)

    async def close(self) -> None:
        """Leave the server; what `connect` gave away is its taker's."""
        observer, self._observer = self._observer, None
        if observer:
            await observer.close()

    async def _ask(self, query: str, params: Sequence[object]) -> list[tuple[Any, ...]]:
        if self._observer is None or self._observer.closed:
            self._observer = await self.connect(own_application(self.run, _OBSERVER))
            await self._observer.execute(f"SET statement_timeout = '{_LOOK_S}s'")
        cursor = await self._observer.execute(query.encode(), params or None)
        return await cursor.fetchall()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Has the block end after that time: a server that is frozen closes no connection, and never says so.
    Raises psycopg.OperationalError then."""
    import psycopg

    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError:
        raise psycopg.OperationalError("the server has not answered in time") from None


async def open_connection(conninfo: str, application: str) -> "AsyncConnection[Any]":
    """A connection in autocommit, in whose session nothing has been set yet. What the conninfo says of
    time-outs and keepalives holds. Raises psycopg.Error."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    params: dict[str, Any] = {**_DEFAULTS, **conninfo_to_dict(conninfo), **_SENT_AS}
    params["application_name"] = application
    # No statement is prepared, since a proxy may know nothing of it.
    return await psycopg.AsyncConnection.connect(
        make_conninfo(**params), autocommit=True, prepare_threshold=None
    )
