"""One connection to a PostgreSQL target, for one attempt.

A session begins and ends transactions, keeps to the limits of the job, and makes sure that nothing of the
attempt is left running on the server, however it ends. What is done in it, its user says."""

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import anyio
import psycopg
from anyio.abc import TaskGroup
from msgspec.structs import replace
from psycopg.pq import TransactionStatus

from engine.machine.events import Effect
from engine.plan.durations import format_duration
from engine.tasks.base import Intent, Job, Outcome
from engine.tasks.postgres import guard as guarding
from engine.tasks.postgres import progress, results, waits
from engine.tasks.postgres.database import Database, application_name
from engine.tasks.postgres.outcomes import EndedError as EndedError
from engine.tasks.postgres.outcomes import Problem, outcome_of
from engine.tasks.postgres.outcomes import RefusedError as RefusedError
from engine.tasks.postgres.sqlstates import LOCK_WAITS, Phase, told

if TYPE_CHECKING:
    from psycopg import AsyncConnection, AsyncCursor

    from engine.plan.sql.parse import Statement

EndedBy = Literal["", "stop", "give_up", "timeout", "cancelled"]
"""What ended an attempt before it was through; "cancelled" stands for the scope around it."""
Work = Callable[[], Awaitable[None]]

STALLED_S = 10.0
"""Longest time in seconds that a transaction of ours may do nothing. Should the journal or the engine itself
stall, the server ends it: no lock on production waits for a disk here."""
NOTICES_SHOWN = 500
"""Notices of one statement that go to the output."""
_MARGIN_S = 1.0
"""Seconds after the end of a job's time at which the server ends a statement by itself: the engine, if it is
alive, comes first."""
_ANSWER_S = 10.0
"""Seconds within which a server has to answer that a statement is cancelled; then the connection is given
up."""
_HURRIED_ANSWER_S = 1.0
_ASK_AGAIN_S = 0.25
_LONGEST_REST_S = 10.0
_COLLISION_REST_S = 0.1
_BATCH_AGAIN = LOCK_WAITS | {"40001"}
_RECORD_TRIES = 10

_YIELDING_S = 0.02
# Anybody may see these, which pg_stat_activity does not let everybody.
_YIELDS_AFTER = """
SELECT extract(epoch FROM current_setting('deadlock_timeout')::interval)::float8
WHERE EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE datname = current_database())
OR EXISTS (SELECT FROM pg_stat_progress_analyze WHERE datname = current_database())"""
"""An autovacuum or autoanalyze is ended for whoever waits for its lock, but only after deadlock_timeout: a
wait has to outlast that by a hair. It is a second, as lock_timeout is, where nobody says otherwise."""

_SETTINGS = f"""
SET client_encoding = 'UTF8'; SET standard_conforming_strings = on;
SET idle_in_transaction_session_timeout = '{STALLED_S:.0f}s';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"""
"""Text is read as PostgreSQL's parser here has read it; and what was committed is not lost if the server
dies."""


class Session:
    """`run` connects, lets work be done, and tells how the attempt ended if it was not by the end of the
    work.

    `place` is what the session is at, in words: it begins the reason of a failure. `phase` is what is in
    flight, `effect` what the attempt has left behind so far, to be set to "unknown" by whoever makes
    something permanent otherwise than by `transaction` and `alone`. `result` is that of the last statement
    which gave rows, `rows` counts what was changed."""

    def __init__(self, job: Job, database: Database) -> None:
        self.place = f"connecting to target `{database.name}`"
        self.phase: Phase = "connecting"
        self.effect: Effect = "none"
        self.rows = 0
        self.result: results.Result | None = None
        self.ended_by: EndedBy = ""
        self.application = application_name(job.run, job.task.id, job.attempt, job.purpose)
        self.job = job
        self._database = database
        self._connection: AsyncConnection[Any] | None = None
        self._ends_at = None if job.timeout_s is None else time.monotonic() + job.timeout_s
        self.left = ""
        """What a failed statement, or the batches before it, have left behind, in words."""
        self._heeded = anyio.Event()
        """Set once the work is over, or has taken notice that it is to end."""
        self._whole = anyio.CancelScope(shield=True)
        self._waiting: anyio.CancelScope | None = None
        self.lock_waited_s = 0.0
        self.tries = 1
        self._lock_timeout_s = job.lock_timeout_s
        self._notices = 0

    @property
    def connection(self) -> "AsyncConnection[Any]":
        assert self._connection is not None, "the session is not open"
        return self._connection

    async def run(self, work: Work) -> Outcome | None:
        """Connect, and carry `work` out. None if it came to its end; otherwise how the attempt ended.

        Work ends early, with an exception that it lets pass, when `job.stop` or `job.give_up` is set or
        `job.timeout_s` is over: what runs on the server is cancelled there, and its transaction rolled back.
        A cancellation of the scope does the same, and then goes on."""
        problem: Problem | None = psycopg.OperationalError("the server has not answered a cancellation")
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._watch)
            with self._whole:
                problem = await self._carry_out(beside, work)
            self._heeded.set()
            beside.cancel_scope.cancel()
        return outcome_of(self, problem) if problem else None

    async def execute(self, sql: str, params: Sequence[object] = ()) -> "AsyncCursor[Any]":
        """Execute SQL of the engine's own, quietly. Raises psycopg.Error, or EndedError."""
        self.check()
        return await self.connection.execute(sql.encode(), params or None)

    async def carry_out(self, statement: "Statement", of: int) -> None:
        """Execute one of the task's `of` statements, with what it gives noted in the output. Raises as
        `execute` does."""
        summary = statement.summary()
        self.place = f"statement {statement.number} of {of} (line {statement.line}), `{summary}`"
        self.check()
        self._notices = 0
        self.note(f"{statement.number}: {statement.summary(80)}")
        try:
            result = await results.read(self.connection, statement.text)
        except psycopg.Error as error:
            if position := int(error.diag.statement_position or 0):
                line = statement.line + statement.text.count("\n", 0, position - 1)
                self.place += f", at line {line}" if line != statement.line else ""
            raise
        if self._notices > NOTICES_SHOWN:
            self.note(f"({self._notices - NOTICES_SHOWN:,} more notices)")
        self.note(result.text(self.job.output.clean))
        self.rows += result.changed or 0
        if result.columns is not None:
            self.result = result

    async def transaction(self, work: Work, intent: Intent | None = None, *, batch: bool = False) -> None:
        """Carry `work` out in a transaction with the job's limits, and commit it.

        `intent`, with the transaction's id filled in, is durable before the COMMIT is sent. A transaction
        that does not get a lock in time, or that ends in a deadlock, is rolled back, and `work` called again
        after a rest, until the job's patience with locks is used up in all. A `batch` is one of many: it has
        all that patience for itself, and is tried again after a serialization failure, too. Raises
        psycopg.Error, or EndedError."""
        if batch:
            self.lock_waited_s = 0.0
        again = _BATCH_AGAIN if batch else LOCK_WAITS
        await self._patiently(lambda: self._one_transaction(work, intent), again)

    async def alone(self, work: Work, intent: Intent, record: Work, *, limit_locks: bool = True) -> None:
        """Let `work` execute one statement in autocommit, and `record` write down that it has taken effect.

        `intent` is durable before. A lock is waited for as in a transaction; or, without `limit_locks`, once
        and with no limit but the job's time, since what such a statement leaves comes first. If `record`
        fails, the attempt is in doubt. Raises psycopg.Error, or EndedError."""

        async def once() -> None:
            self._begin()
            await self.limit(locks=limit_locks)
            await self.waiting(lambda: self.job.intend(intent))
            self.check()
            self.phase = "autocommit"
            await work()
            self.phase, self.effect = "recording", "unknown"
            await self._recorded(record)
            self.phase = "in_transaction"

        await (self._patiently(once) if limit_locks else once())

    async def limit(self, *, locks: bool) -> None:
        """Set the limits of what runs in autocommit. Raises psycopg.Error, or EndedError."""
        await self.execute(self._limits("", locks))

    async def look(self, work: Work) -> None:
        """Carry `work` out in a transaction that changes nothing, and sees one state of the database."""
        self.place = "BEGIN"
        await self.execute(
            f"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; {self._limits('LOCAL', limit_locks=True)}"
        )
        await work()
        await self.execute("ROLLBACK")

    async def waiting(self, wait: Work) -> None:
        """Wait for something else than the server: until the attempt is to end, at most. Raises
        EndedError."""
        self.check()
        with anyio.CancelScope() as self._waiting:
            await wait()
        self._waiting = None
        self.check()

    def heed(self) -> None:
        """The work knows that it is over, and only tidies up: from here on nothing cuts it short."""
        self._heeded.set()

    def check(self) -> None:
        """Raises EndedError once the attempt is to end."""
        if self.ended_by:
            raise EndedError("ended on request")

    def note(self, text: str) -> None:
        self.job.output.note(text)

    # -- the work ------------------------------------------------------------------------------------------

    async def _carry_out(self, beside: TaskGroup, work: Work) -> Problem | None:
        try:
            await self.waiting(self._connect)
            # A pooling proxy makes up pids of its own.
            cursor = await self.execute("SELECT pg_backend_pid()")
            (pid,) = await cursor.fetchone() or (0,)
            beside.start_soon(waits.watch, self._database, pid, self.job)
            beside.start_soon(progress.watch, self._database, pid, self.job)
            await work()
        except (psycopg.Error, EndedError, RefusedError) as problem:
            self.heed()
            await self._roll_back()
            return problem
        finally:
            if self._connection:
                await self._connection.close()
        return None

    async def _connect(self) -> None:
        self._connection = await self._database.connect(self.application)
        self._connection.add_notice_handler(self._noticed)
        await self._connection.execute(_SETTINGS)
        self.phase = "in_transaction"

    async def _one_transaction(self, work: Work, intent: Intent | None) -> None:
        self.place = "BEGIN"
        self._begin()
        await self.execute(f"BEGIN; {self._limits('LOCAL', limit_locks=True)}")
        await work()
        if intent:
            found = await self.execute("SELECT pg_current_xact_id()::text")
            xid = (await found.fetchone() or ("",))[0]
            await self.waiting(lambda: self.job.intend(replace(intent, xid=xid)))
        self.check()
        of = f" of part {intent.part} of {intent.parts}" if intent and intent.parts > 1 else ""
        self.place, self.phase = f"COMMIT{of}", "committing"
        done = await self.connection.execute("COMMIT")
        if done.statusmessage == "ROLLBACK":  # as of a transaction in which a statement has failed
            raise psycopg.errors.InFailedSqlTransaction("the server has rolled the transaction back")
        self.phase, self.effect = "in_transaction", "unknown"

    def _begin(self) -> None:
        """Raises RefusedError while another migration may be at work: a long attempt, too, goes on only as
        long as the lock is held that keeps others away."""
        guard = self._database.guard
        if guard and guard.problem:
            raise RefusedError(guarding.REFUSED, guard.problem)

    async def _recorded(self, record: Work) -> None:
        """The row of a statement that has taken effect is written even if the attempt is to end: a
        cancellation that was meant for the statement may hit the row instead."""
        for tries_left in reversed(range(_RECORD_TRIES)):
            try:
                return await record()
            except psycopg.errors.QueryCanceled:
                if not (tries_left and self.ended_by):
                    raise
        return None

    def _limits(self, scope: str, limit_locks: bool) -> str:
        lock_timeout = max(round(self._lock_timeout_s * 1000), 1) if limit_locks else 0
        limits = f"SET {scope} lock_timeout = {lock_timeout}"
        if self._ends_at is not None:
            left = max(self._ends_at - time.monotonic(), 0) + _MARGIN_S
            limits += f"; SET {scope} statement_timeout = {round(left * 1000)}"
        return limits

    async def _patiently(self, once: Work, again: frozenset[str] = LOCK_WAITS) -> None:
        for tries in range(1, 1_000_000):
            began, self.tries = time.monotonic(), tries
            rows = self.rows
            try:
                return await once()
            except psycopg.Error as error:
                if error.sqlstate not in again or self.phase == "recording":
                    raise
                await self._roll_back()
                self.rows = rows
                self.lock_waited_s += time.monotonic() - began
                rest = self._rest(tries, error)
                if self.lock_waited_s + rest > self.job.lock_patience_s:
                    raise
                self.note(f"{self.place}: {told(error)}; rolled back, once more in {format_duration(rest)}")
            self.phase = "in_transaction"
            await self._outlast_autovacuum()
            self.lock_waited_s += rest
            await self.waiting(lambda: anyio.sleep(rest))  # noqa: B023
        return None

    async def _outlast_autovacuum(self) -> None:
        """Have the next try wait long enough to end an autovacuum, unless the plan allows no such wait."""
        found = await (await self.execute(_YIELDS_AFTER)).fetchone()
        outlasting_s = found[0] + _YIELDING_S if found else 0.0
        self._lock_timeout_s = self.job.lock_timeout_s
        if self._lock_timeout_s < outlasting_s <= self._lock_timeout_s + _YIELDING_S:
            self._lock_timeout_s = outlasting_s
            self.note("an autovacuum may be in the way: the next try waits until PostgreSQL has ended it")

    def _rest(self, tries: int, error: psycopg.Error) -> float:
        """Seconds to leave the queue to others, who have waited behind us: longer each time, and never the
        same for two tasks at once."""
        base = self.job.lock_timeout_s if error.sqlstate == "55P03" else _COLLISION_REST_S
        return random.uniform(0.5, 1.5) * min(base * 2.0 ** min(tries - 1, 10), _LONGEST_REST_S)

    async def _roll_back(self) -> None:
        """Closing the connection would roll back just as well, but some time after."""
        connection = self._connection
        if connection and connection.info.transaction_status in (
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        ):
            with anyio.move_on_after(_ANSWER_S), suppress(psycopg.Error):
                await connection.execute("ROLLBACK")

    def _noticed(self, notice: psycopg.errors.Diagnostic) -> None:
        self._notices += 1
        if self._notices <= NOTICES_SHOWN:
            hint = f"\nHINT: {notice.message_hint}" if notice.message_hint else ""
            self.note(f"{notice.severity}: {notice.message_primary}{hint}")

    # -- its end -------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        wanted: EndedBy = "cancelled"
        try:
            wanted = await self._wanted()
        finally:
            if not self._heeded.is_set():
                with anyio.CancelScope(shield=True):
                    await self._end(wanted)

    async def _wanted(self) -> EndedBy:
        """Wait until the attempt is to end, and tell why."""
        found: list[EndedBy] = []

        async def wait(event: anyio.Event, name: EndedBy) -> None:
            await event.wait()
            found.append(name)
            waiting.cancel_scope.cancel()

        with anyio.move_on_after(self.job.timeout_s):
            async with anyio.create_task_group() as waiting:
                waiting.start_soon(wait, self.job.stop, "stop")
                waiting.start_soon(wait, self.job.give_up, "give_up")
        return found[0] if found else "timeout"

    async def _end(self, ended_by: EndedBy) -> None:
        """Cancel what runs on the server, until the work has taken notice. A request that comes before the
        server has begun with the statement is lost, so that one is not enough."""
        self.ended_by = ended_by
        if self._waiting:
            self._waiting.cancel()
        hurried_at = time.monotonic() + _HURRIED_ANSWER_S
        with anyio.move_on_after(_ANSWER_S):
            while not self._heeded.is_set():
                if self.job.hurry.is_set() and time.monotonic() > hurried_at:
                    break
                if self._connection and not self._connection.closed:
                    with suppress(psycopg.Error):
                        await self._connection.cancel_safe(timeout=_ASK_AGAIN_S * 8)
                with anyio.move_on_after(_ASK_AGAIN_S):
                    await self._heeded.wait()
        if not self._heeded.is_set():
            self._whole.cancel()
