"""One migration at a time: a lock on the database, held for as long as an engine works on it.

It is a session advisory lock on a connection of its own, asked for again and again and never waited for: what
waits in `pg_advisory_lock` holds a snapshot, and so deadlocks with a concurrent index build.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio

from engine.journal.errors import StateRefused
from engine.plan.errors import visible
from engine.plan.models import FailureClass
from engine.tasks.base import Evidence, Executor, Failed, Job, Notify, Outcome
from engine.tasks.classify import Verdict
from engine.tasks.postgres.database import Database, own_application

if TYPE_CHECKING:
    from psycopg import AsyncConnection

KEY = (int.from_bytes(b"wesl", "big"), int.from_bytes(b"ey", "big"))
"""The lock: 2003137388, 25977, the two numbers that pg_locks shows as classid and objid."""
RESOURCE = "migration lock"
"""What an attempt lacks while another migration holds the lock, or its holder cannot be reached."""
REFUSED = Verdict(FailureClass.RESOURCE, "engine: one migration at a time", RESOURCE)

PATIENCE_S = 5.0
"""How long another's lock is waited for at the start: a backend needs a moment to see that its client has
gone."""
PATIENCE_OWN_S = 60.0
"""The same for what an engine of this very run has left: that is dead, and its backend will notice."""

_POLL_S = 0.2
_KEEP_S = 1.0
"""Seconds from one look at the held lock to the next."""
_ANSWER_S = 10.0

_TRY = f"""
SELECT pg_try_advisory_lock({KEY[0]}, {KEY[1]}), pg_backend_pid(),
  (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())"""
_RELEASE = f"SELECT pg_advisory_unlock({KEY[0]}, {KEY[1]})"
_HOLDER = f"""
SELECT pid, usename, application_name, coalesce(host(client_addr), ''), backend_start
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND classid = {KEY[0]} AND objid = {KEY[1]} AND objsubid = 2 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


class LockedElsewhere(StateRefused):
    """Another migration works on the database."""

    def __init__(self, database: Database, holder: "Holder") -> None:
        super().__init__(
            f"another migration works on target {database.name}",
            where=f"the migration lock in that database: {holder}",
            why="two migrations at once would undo each other's work",
            do="wait until it has ended. If nobody stands behind it any more, "
            f"`SELECT pg_terminate_backend({holder.pid})` in that database frees the lock",
        )


class Holder:
    """The backend that has the lock. What the role may not see is None or empty."""

    def __init__(
        self, pid: int, user: str | None, application: str | None, address: str, started: datetime | None
    ) -> None:
        self.pid = pid
        self.application = visible(application or "")
        self.identity = pid, started
        self._user = visible(user or "")
        self._address = address
        self._started = started

    def __str__(self) -> str:
        since = (
            f", connected since {self._started.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
            if self._started
            else ""
        )
        where = f" from {self._address}" if self._address else ""
        called = f" as `{self.application}`" if self.application else ""
        return f"held by backend {self.pid} of user {self._user or 'unknown'}{called}{where}{since}"


class Guard:
    """Holds the lock of one database. `problem` is why it is not held just now, in words; empty if it is."""

    def __init__(self, database: Database, notify: Notify) -> None:
        self.problem = "the migration lock has not been asked for yet"
        self.identity: tuple[int, datetime | None] = 0, None
        """The backend that holds the lock for us."""
        self._database = database
        self._notify = notify
        self._connection: AsyncConnection[Any] | None = None
        self._turn = anyio.Lock()

    async def acquire(self, others: Sequence["Guard"] = ()) -> "Guard":
        """Take the lock, and give the guard that holds it: one of the `others` of this engine, if its target
        is the same database under another name.

        Raises LockedElsewhere, and psycopg.Error if the database cannot be asked."""
        began = time.monotonic()
        told = False
        while holder := await self._try():
            if same := next((guard for guard in others if guard.identity == holder.identity), None):
                await self.close()
                return same
            left_behind = holder.application == self._application
            waited = time.monotonic() - began
            if waited > (PATIENCE_OWN_S if left_behind else PATIENCE_S):
                await self.close()
                raise LockedElsewhere(self._database, holder)
            if not told:
                told = True
                whose = "a dead engine of this run" if left_behind else "another migration"
                text = f"target `{self._database.name}`: waiting for the lock of {whose}: {holder}"
                self._notify(text, passing=True)
            await anyio.sleep(_POLL_S)
        return self

    async def keep(self) -> None:
        """Watch over the lock until cancelled; once it is lost, try to get it back."""
        told = ""
        while True:
            await anyio.sleep(_KEEP_S)
            with anyio.CancelScope(shield=True):  # a look that is cut off would cost the connection
                await self.is_held()
            if self.problem != told:
                told = self.problem
                self._notify(f"target `{self._database.name}`: {told or 'the migration lock is held again'}")

    async def is_held(self) -> bool:
        """Whether the lock is held, as the server itself says; tries to get it back if not."""
        import psycopg

        async with self._turn:
            try:
                with anyio.fail_after(_ANSWER_S):
                    if not self.problem and await self._is_ours():
                        return True
                    holder = await self._try()
            except (psycopg.Error, OSError, TimeoutError) as error:
                self.problem = f"the migration lock is lost: {str(error) or 'the server does not answer'}"
                await self._drop()
                return False
            if holder:
                ours = holder.application == self._application
                whose = (
                    "our lost backend has not let go of it yet" if ours else "another migration has taken it"
                )
                self.problem = f"the migration lock was lost, and {whose}: {holder}"
            return holder is None

    async def close(self) -> None:
        """Give the lock back, if it is held. Nobody may be watching over it any more."""
        import psycopg

        held, self.problem = not self.problem, "the migration lock was given back"
        if self._connection:
            if held:  # closing would give it back, too, but only when the server comes to notice
                with suppress(psycopg.Error):
                    await self._connection.execute(_RELEASE.encode())
            await self._connection.close()

    @property
    def _application(self) -> str:
        return own_application(self._database.run, "migration lock")

    async def _try(self) -> Holder | None:
        """Ask for the lock once. Its holder, if that is somebody else."""
        while True:
            if self._connection is None or self._connection.closed:
                self._connection = await self._database.connect(self._application)
            cursor = await self._connection.execute(_TRY.encode())
            row = await cursor.fetchone()
            assert row
            if row[0]:
                self.problem = ""
                self.identity = row[1], row[2]
                return None
            cursor = await self._connection.execute(_HOLDER.encode())
            if found := await cursor.fetchone():
                return Holder(*found)
            await anyio.sleep(_POLL_S)  # it has just been let go; or nobody can be seen who holds it

    async def _is_ours(self) -> bool:
        """Whether the backend that has taken the lock is the one that still answers."""
        import psycopg

        if self._connection is None or self._connection.closed:
            return False
        try:
            cursor = await self._connection.execute("SELECT pg_backend_pid()")
            row = await cursor.fetchone()
        except psycopg.Error:
            await self._drop()
            return False
        return row is not None and row[0] == self.identity[0]

    async def _drop(self) -> None:
        """Leave a connection that has failed. The lock may only be taken on a new one: a backend that is cut
        off, but alive, would hold it as somebody else."""
        if self._connection:
            await self._connection.close()


class Guarded:
    """Executes on PostgreSQL targets, and begins nothing that changes one while its lock is not held."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def run(self, job: Job) -> Outcome:
        guard = _guard(job)
        if guard is None or job.purpose == "verify" or await guard.is_held():
            return await self._executor.run(job)
        job.output.note(guard.problem)
        return Failed(
            failure_class=REFUSED.failure_class,
            reason=job.output.clean(guard.problem),
            rule=REFUSED.rule,
            effect="none",
            resource=REFUSED.resource,
        )

    async def evidence(self, job: Job, *, end_survivors: bool = False) -> Evidence:
        return await self._executor.evidence(job, end_survivors=end_survivors)

    async def probe(self, resource: str, job: Job) -> tuple[bool, str]:
        guard = _guard(job)
        if resource != RESOURCE or guard is None:
            return await self._executor.probe(resource, job)
        return await guard.is_held(), job.output.clean(guard.problem) or "the migration lock is held"


def _guard(job: Job) -> Guard | None:
    target = job.targets.get(job.action.on or "")
    return target.guard if isinstance(target, Database) else None
