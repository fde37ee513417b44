"""Opening the PostgreSQL targets of a run: servers are started, databases connected to, looked over, and
locked against other migrations. Whatever keeps a target from being used is told before anything is done."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import psycopg
from anyio import to_thread

from engine.plan.targets import is_embedded
from engine.tasks.base import Notify
from engine.tasks.postgres import ledger
from engine.tasks.postgres.database import OLDEST, Database, open_connection, own_application
from engine.tasks.postgres.embedded import Server, has_ended, start_server, stop_server
from engine.tasks.postgres.guard import Guard, LockedElsewhere
from engine.tasks.postgres.pooler import UnfitPooling, check_pooling
from engine.tasks.postgres.programs import CannotEmbed
from engine.tasks.postgres.refusing import in_plain_words

_IDENTITY = """
SELECT system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
FROM pg_control_system()"""
_WHERE = """
SELECT current_database(), host(inet_server_addr()), current_user, current_setting('server_version'),
       coalesce(inet_server_port()::text, current_setting('port'))"""
_LOOK_S = 1.0
_LEAVE_S = 5.0
"""How long a connection that is to be left may hold up the end of a run."""


class CannotOpen(Exception):
    """Targets that cannot be used. `problems` holds a line for each, with what is wrong and what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(slots=True)
class _Opening:
    """`folder` is where embedded servers keep their data, and by what each database is known again. Of those
    targets that were `worked_on` both are there. The others than `only_read` need a ledger."""

    run: str
    tasks: Sequence[str]
    folder: Path
    worked_on: Collection[str]
    only_read: Collection[str]
    notify: Notify
    stack: AsyncExitStack
    databases: dict[str, Database] = field(default_factory=dict)
    guards: list[Guard] = field(default_factory=list)
    servers: "list[_Kept]" = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    locked: list[LockedElsewhere] = field(default_factory=list)
    _locking: anyio.Lock = field(default_factory=anyio.Lock)

    async def open(self, name: str, conninfo: str) -> None:
        try:
            if is_embedded(conninfo):
                conninfo = await self._start(name)
            await self._connect(name, conninfo)
        except LockedElsewhere as error:
            self.locked.append(error)
        except (CannotEmbed, UnfitPooling, _Unfit) as error:
            self.problems[name] = f"target `{name}`: {error}"
        except (psycopg.Error, OSError) as error:
            self.problems[name] = f"target `{name}`: {in_plain_words(error)}"

    async def _start(self, name: str) -> str:
        data = self.folder / name
        if name in self.worked_on and not data.exists():
            raise CannotEmbed(
                f"what this run has done there is not in {data}; put that folder back, or set the variable "
                "that named another database"
            )
        self.notify(f"target `{name}`: starting its embedded server…", passing=True)
        with anyio.CancelScope(shield=True):  # what was started has to be known, so as to be stopped
            server = await to_thread.run_sync(start_server, data)
        kept = _Kept(name, server, self.notify)
        self.servers.append(kept)
        self.stack.push_async_callback(kept.stop)
        (self.folder / f"{name}.conninfo").write_text(f"{server.conninfo}\n")
        self.notify(f'target `{name}`: its embedded server is reached with: psql "{server.conninfo}"')
        return server.conninfo

    async def _connect(self, name: str, conninfo: str) -> None:
        self.notify(f"target `{name}`: connecting…", passing=True)
        application = own_application(self.run, "opening")
        async with await open_connection(conninfo, application) as connection:
            version = connection.info.server_version
            await _look_over(connection, version)
            self._recognise(name, await _identity(connection))
            if name not in self.only_read and (problem := await ledger.problem(connection)):
                raise _Unfit(problem)
            where = await _where(connection)
        self.notify(f"target `{name}`: {where}")
        remark = await check_pooling(partial(open_connection, conninfo, application))
        if remark:
            self.notify(f"target `{name}`: {remark}")
        database = Database(
            name=name, run=self.run, conninfo=conninfo, version=version, tasks=tuple(self.tasks)
        )
        self.stack.push_async_callback(_leave, database.close)
        await self._lock(database)
        self.databases[name] = database

    def _recognise(self, name: str, identity: str) -> None:
        """Refuse another database than the run has worked on, to which a variable can lead by mistake."""
        known = self.folder / f"{name}.database"
        if name not in self.worked_on or not known.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            known.write_text(identity)
        elif identity and identity != known.read_text():
            raise _Unfit(
                "this is not the database that the run has worked on; name that one again (does a variable "
                f"have another value now?), or remove {known} if it has only moved"
            )

    async def _lock(self, database: Database) -> None:
        guard = Guard(database, self.notify)
        self.stack.push_async_callback(_leave, guard.close)
        async with self._locking:  # one after the other, so that each knows whom of us it meets
            database.guard = await guard.acquire(self.guards)
            if database.guard is guard:
                self.guards.append(guard)


@dataclass(slots=True)
class _Kept:
    """An embedded server that is started again should it end before its time."""

    name: str
    server: Server
    notify: Notify

    async def keep(self) -> None:
        told = ""
        while True:
            await anyio.sleep(_LOOK_S)
            if not has_ended(self.server):
                told = ""
                continue
            try:
                with anyio.CancelScope(shield=True):
                    self.server = await to_thread.run_sync(start_server, self.server.data)
                now = "its embedded server had ended, and was started again"
            except CannotEmbed as error:
                now = f"its embedded server has ended, and cannot be started again: {error}"
            if now != told:
                told = now
                self.notify(f"target `{self.name}`: {now}")

    async def stop(self) -> None:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(stop_server, self.server)


class _Unfit(Exception):
    """A server that answers, and yet cannot be worked with."""


async def _look_over(connection: "psycopg.AsyncConnection[Any]", version: int) -> None:
    if version < OLDEST:
        raise _Unfit(
            f"its server is PostgreSQL {version // 10000}; version {OLDEST // 10000} or later is needed"
        )
    cursor = await connection.execute("SELECT pg_is_in_recovery()")
    if await cursor.fetchone() == (True,):
        raise _Unfit(
            "its server is a standby, which takes no changes; name the primary, or several hosts with "
            "target_session_attrs=read-write"
        )


async def _identity(connection: "psycopg.AsyncConnection[Any]") -> str:
    """What the database is known by, wherever it is reached; empty if the role may not see it."""
    try:
        cursor = await connection.execute(_IDENTITY.encode())
    except psycopg.errors.InsufficientPrivilege:
        return ""
    row = await cursor.fetchone()
    return f"{row[0]}\n" if row else ""


async def _where(connection: "psycopg.AsyncConnection[Any]") -> str:
    """Which database this is, as the server itself tells. Of a conninfo nothing is shown."""
    cursor = await connection.execute(_WHERE)
    database, host, user, version, port = await cursor.fetchone() or ("", None, "", "", "")
    at = f"host {host}" if host else "a socket"
    return f"database {database} on {at}, port {port}, as user {user}, PostgreSQL {version}"


@asynccontextmanager
async def opened_databases(
    conninfos: Mapping[str, str],
    *,
    run: str,
    tasks: Sequence[str],
    folder: Path,
    notify: Notify,
    given_up: anyio.Event,
    worked_on: Collection[str] = (),
    only_read: Collection[str] = (),
) -> AsyncIterator[Mapping[str, Database]]:
    """The databases of the targets, for as long as the block lasts.

    Of an `embedded` one the data lie in a folder of its name in `folder`, and have to be there if the run has
    `worked_on` it. Those `only_read` need no ledger. `notify` takes lines for the operator, and `given_up`
    ends the opening.
    Raises CannotOpen, and LockedElsewhere if another migration is all that is in the way."""
    async with AsyncExitStack() as stack:
        opening = _Opening(run, tasks, folder, worked_on, only_read, notify, stack)
        await _open_all(opening, conninfos, given_up)
        if opening.problems or given_up.is_set():
            locked = [f"{error}" for error in opening.locked]
            cut = ["the run was stopped before its targets were open"] if given_up.is_set() else []
            raise CannotOpen([opening.problems[name] for name in sorted(opening.problems)] + locked + cut)
        if opening.locked:
            raise opening.locked[0]
        async with anyio.create_task_group() as keeping:
            for guard in opening.guards:
                keeping.start_soon(guard.keep)
            for server in opening.servers:
                keeping.start_soon(server.keep)
            yield opening.databases
            keeping.cancel_scope.cancel()


async def _open_all(opening: _Opening, conninfos: Mapping[str, str], given_up: anyio.Event) -> None:
    async def heed() -> None:
        await given_up.wait()
        everything.cancel_scope.cancel()

    async with anyio.create_task_group() as everything:
        everything.start_soon(heed)
        async with anyio.create_task_group() as each:
            for name, conninfo in conninfos.items():
                each.start_soon(opening.open, name, conninfo)
        everything.cancel_scope.cancel()


async def _leave(close: Callable[[], Awaitable[None]]) -> None:
    with anyio.CancelScope(shield=True), anyio.move_on_after(_LEAVE_S), suppress(psycopg.Error, OSError):
        await close()
