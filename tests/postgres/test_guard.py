"""One migration at a time: who holds the lock, who waits for it, and what happens when it is lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import psycopg
import pytest

from engine.plan.models import FailureClass
from engine.tasks.base import Evidence, Failed, Intent, Job, Outcome, Succeeded
from engine.tasks.postgres import guard as guarding
from engine.tasks.postgres.database import Database
from engine.tasks.postgres.embedded import start_server, stop_server
from engine.tasks.postgres.executor import PostgresExecutor
from engine.tasks.postgres.guard import KEY, RESOURCE, Guard, Guarded, LockedElsewhere
from tests.postgres.conftest import FAST, MakeJob
from tests.postgres.cutting import Line, through
from tests.postgres.waiting import eventually

pytestmark = pytest.mark.anyio


class Told:
    """What the operator was told; `something` is set with the first of it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.something = anyio.Event()

    def __call__(self, text: str, *, passing: bool = False) -> None:
        self.lines.append(text)
        self.something.set()


class Does:
    """An executor that does nothing, and counts how often."""

    def __init__(self) -> None:
        self.runs = 0

    async def run(self, job: Job) -> Outcome:
        self.runs += 1
        return Succeeded()

    async def evidence(self, job: Job, *, end_survivors: bool = False) -> Evidence:
        return Evidence(done=end_survivors)

    async def probe(self, resource: str, job: Job) -> tuple[bool, str]:
        return True, resource


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "_POLL_S", 0.02)
    monkeypatch.setattr(guarding, "_KEEP_S", 0.02)
    monkeypatch.setattr(guarding, "PATIENCE_S", 0.1)
    monkeypatch.setattr(guarding, "PATIENCE_OWN_S", 20.0)


@asynccontextmanager
async def held(database: Database, told: Told | None = None) -> AsyncIterator[Guard]:
    """A guard that holds the lock, and is watched over."""
    guard = Guard(database, told or Told())
    await guard.acquire()
    async with anyio.create_task_group() as keeping:
        keeping.start_soon(guard.keep)
        yield guard
        keeping.cancel_scope.cancel()
    await guard.close()


def of(database: Database, run: str) -> Database:
    return Database(name="shop", run=run, conninfo=database.conninfo, version=database.version)


async def test_a_second_migration_is_refused_and_told_who_is_at_work(database: Database) -> None:
    async with held(of(database, "first")) as first:
        with pytest.raises(LockedElsewhere) as refused:
            await Guard(of(database, "second"), Told()).acquire()
        said = str(refused.value)
    pid, started = first.identity
    assert started
    for expected in (
        f"backend {pid}",
        "user postgres",
        "`wesley first (migration lock)`",
        f"connected since {started:%Y-%m-%d %H:%M}",
        f"SELECT pg_terminate_backend({pid})",
        "target shop",
    ):
        assert expected in said
    async with held(of(database, "second")) as second:
        assert await second.is_held()


async def test_the_lock_is_the_documented_one(database: Database) -> None:
    async with held(database) as guard:
        rows = await database.look(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 2003137388 AND objid = 25977"
        )
    assert rows == [(guard.identity[0],)]
    assert KEY == (2003137388, 25977)


async def test_what_is_left_of_a_dead_engine_of_the_run_is_waited_for_longer(database: Database) -> None:
    told = Told()
    async with await database.connect("wesley r1 (migration lock)") as left:
        await left.execute("SELECT pg_advisory_lock(%s, %s)", KEY)
        async with anyio.create_task_group() as both:
            guard = Guard(database, told)
            both.start_soon(guard.acquire)
            await told.something.wait()
            await anyio.sleep(2 * guarding.PATIENCE_S)  # a stranger would be refused by now
            assert guard.problem
            await left.close()
    assert await guard.is_held()
    assert "waiting for the lock of a dead engine of this run" in told.lines[0]
    assert len(told.lines) == 1
    await guard.close()


async def test_two_targets_that_are_one_database_share_its_lock(database: Database) -> None:
    async with held(database) as guard:
        assert await Guard(of(database, "r1"), Told()).acquire([guard]) is guard
        ((connections,),) = await database.look(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%(migration lock)'"
        )
        assert connections == 1


async def test_waiting_for_it_holds_no_index_build_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarding, "PATIENCE_S", 20.0)
    first = await Guard(of(database, "first"), Told()).acquire()
    async with await database.connect("builder") as builder:
        told = Told()
        second = Guard(of(database, "second"), told)
        async with anyio.create_task_group() as both:
            both.start_soon(second.acquire)
            await told.something.wait()
            await builder.execute("CREATE TABLE t (a int)")
            with anyio.fail_after(15):
                await builder.execute("CREATE INDEX CONCURRENTLY i ON t (a)")
            await first.close()
        await second.close()


async def test_a_lock_that_is_lost_is_regained(database: Database) -> None:
    told = Told()
    async with held(database, told) as guard:
        before = guard.identity

        async def another() -> bool:
            return guard.identity != before and not guard.problem

        await database.look("SELECT pg_terminate_backend(%s)", (before[0],))
        await eventually(another)
        assert await guard.is_held()


async def test_a_backend_of_ours_that_lingers_is_not_taken_for_another_migration(database: Database) -> None:
    name = "wesley r1 (migration lock)"
    async with held(database) as guard, await database.connect(name) as lingering:
        async with guard._turn:
            await lingering.execute("SELECT pg_terminate_backend(%s, 5000)", (guard.identity[0],))
            await lingering.execute("SELECT pg_advisory_lock(%s, %s)", KEY)
        assert not await guard.is_held()
        assert "our lost backend has not let go of it yet" in guard.problem
        await lingering.close()
        await eventually(guard.is_held)


async def test_nothing_begins_on_a_target_whose_lock_another_migration_has_taken(
    database: Database, job: MakeJob
) -> None:
    does = Does()
    async with held(database) as guard, await database.connect("a thief") as thief:
        database.guard = guard
        await thief.execute("CREATE TABLE queue (a int)")
        # The lock changes hands in one go, before the guard can look.
        async with guard._turn:
            pid = guard.identity[0]
            await thief.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
            await thief.execute("SELECT pg_advisory_lock(%s, %s)", KEY)
        attempt = job("SELECT 1")
        outcome = await Guarded(does).run(attempt)
        assert isinstance(outcome, Failed)
        assert outcome.failure_class is FailureClass.RESOURCE
        assert (outcome.resource, outcome.effect) == (RESOURCE, "none")
        assert "another migration has taken it" in outcome.reason
        assert "`a thief`" in outcome.reason
        assert does.runs == 0
        available, seen = await Guarded(does).probe(RESOURCE, attempt)
        assert not available
        assert "`a thief`" in seen
        # Looking changes nothing, and needs no lock.
        assert isinstance(await Guarded(does).run(job("SELECT 1", purpose="verify")), Succeeded)
        assert (await Guarded(does).evidence(attempt, end_survivors=True)).done

        await thief.execute("SELECT pg_advisory_unlock(%s, %s)", KEY)
        assert await Guarded(does).probe(RESOURCE, attempt) == (True, "the migration lock is held")
        assert isinstance(await Guarded(does).run(attempt), Succeeded)
        assert await Guarded(does).probe("disk", attempt) == (True, "disk")


async def test_an_attempt_goes_on_only_as_long_as_the_lock_is_held(database: Database, job: MakeJob) -> None:
    guard = database.guard = await Guard(database, Told()).acquire()

    async def loses_it(intent: Intent) -> None:
        if intent.part == 2:
            guard.problem = "another migration has taken it"

    made = job("CREATE TABLE a (n int); VACUUM a; CREATE TABLE b (n int)", intend=loses_it)
    outcome = await PostgresExecutor().run(made)
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.resource) == (FailureClass.RESOURCE, RESOURCE)
    assert outcome.reason == "BEGIN: another migration has taken it"
    assert outcome.effect == "unknown"
    assert await database.look("SELECT to_regclass('a') IS NULL, to_regclass('b') IS NULL") == [(False, True)]
    assert await guard.is_held()
    assert isinstance(await PostgresExecutor().run(replace(made, attempt=2)), Succeeded)
    await guard.close()


async def test_a_server_that_is_frozen_is_told_as_one_that_does_not_answer(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(at=b"SELECT pg_backend_pid()", silent=True, of=(b"(migration lock)\0",))
    async with through(line, database, tmp_path) as frozen:
        guard = Guard(frozen, Told())
        await guard.acquire()
        monkeypatch.setattr(guarding, "_ANSWER_S", 0.1)
        assert not await guard.is_held()
        assert guard.problem == "the migration lock is lost: the server does not answer"
        await guard.close()


async def test_attempts_wait_while_the_server_is_away_and_the_lock_is_regained_when_it_is_back(
    tmp_path: Path, job: MakeJob
) -> None:
    data = tmp_path / "server"
    server = start_server(data, FAST)
    told = Told()
    away = Database(name="app", run="r1", conninfo=server.conninfo, version=180000)
    async with held(away, told) as guard:
        away.guard = guard
        stop_server(server)
        attempt = job("SELECT 1", targets={"app": away})
        outcome = await Guarded(Does()).run(attempt)
        assert isinstance(outcome, Failed)
        assert outcome.failure_class is FailureClass.RESOURCE
        assert "the migration lock is lost" in outcome.reason

        async def lost() -> bool:
            return any("is lost" in line for line in told.lines)

        await eventually(lost)
        server = start_server(data, FAST)

        async def back() -> bool:
            return (await Guarded(Does()).probe(RESOURCE, attempt))[0]

        await eventually(back)
        assert isinstance(await Guarded(Does()).run(attempt), Succeeded)

        async def said() -> bool:
            return any("held again" in line for line in told.lines)

        await eventually(said)
    stop_server(server)


async def test_a_lock_given_back_is_free_at_once(database: Database) -> None:
    async with held(database) as guard:
        pass
    assert guard.problem
    with psycopg.connect(database.conninfo) as connection:
        row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", KEY).fetchone()
    assert row == (True,)
