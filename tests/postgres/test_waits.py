"""Who blocks an attempt: the tree, told on change, until it is over."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import psycopg
import pytest

from engine.tasks.base import LockWait
from engine.tasks.postgres import waits
from engine.tasks.postgres.database import Database, application_name
from tests.postgres.building import Connect, Connection, connections
from tests.postgres.conftest import MakeJob
from tests.postgres.waiting import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture
async def connect(database: Database) -> AsyncIterator[Connect]:
    """Sessions on a database with two rows in `orders`."""
    async with connections(database) as make:
        await (await make("setup")).execute(
            "CREATE TABLE orders (id int PRIMARY KEY, note text);INSERT INTO orders VALUES (1, 'a'), (2, 'b')"
        )
        yield make


@asynccontextmanager
async def watching(database: Database, ours: Connection, job: MakeJob) -> AsyncIterator[list[LockWait]]:
    async with anyio.create_task_group() as group:
        group.start_soon(waits.watch, database, ours.info.backend_pid, job("SELECT 1"))
        yield job.heard.lock_waits
        group.cancel_scope.cancel()


async def told(heard: list[LockWait], wanted: Callable[[LockWait], bool]) -> LockWait:
    async def look() -> LockWait | None:
        return heard[-1] if heard and wanted(heard[-1]) else None

    return await eventually(look)


def edges(wait: LockWait) -> dict[int, tuple[int, ...]]:
    return {each.pid: each.waits_for for each in wait.blockers}


async def waiting_for(database: Database, waiter: Connection, blocker: Connection) -> None:
    async def look() -> bool:
        [(found,)] = await database.look("SELECT pg_blocking_pids(%s)", (waiter.info.backend_pid,))
        return blocker.info.backend_pid in found

    await eventually(look)


async def test_a_chain_of_sessions_is_told_as_a_tree_until_it_is_over(
    database: Database, connect: Connect, job: MakeJob
) -> None:
    holder, queued, ours = await connect("batch"), await connect("web"), await connect("ours")
    a, b = holder.info.backend_pid, queued.info.backend_pid
    await holder.execute("BEGIN; UPDATE orders SET note = 'hush' WHERE id = 1")
    await queued.execute("BEGIN; UPDATE orders SET note = 'x' WHERE id = 2")
    async with watching(database, ours, job) as heard, anyio.create_task_group() as group:
        group.start_soon(queued.execute, "UPDATE orders SET note = 'psst' WHERE id = 1")
        await waiting_for(database, queued, holder)
        group.start_soon(ours.execute, "ALTER TABLE orders ADD COLUMN total int")

        first = await told(heard, lambda wait: bool(wait.blockers))
        assert (first.pid, first.relation, first.tries) == (ours.info.backend_pid, "orders", 0)
        assert edges(first) == {a: (), b: (a,)}
        by_pid = {each.pid: each for each in first.blockers}
        assert by_pid[a].state == "idle in transaction"
        assert (by_pid[a].user, by_pid[a].application) == ("postgres", "batch")
        assert by_pid[b].state == "active"
        assert by_pid[b].query == "UPDATE orders SET note = $1 WHERE id = $2"
        assert "hush" not in by_pid[a].query
        assert by_pid[a].age_s >= by_pid[b].state_s >= 0.0

        await holder.commit()
        second = await told(heard, lambda wait: a not in edges(wait))
        assert edges(second) == {b: ()}
        await eventually(lambda: _state_is(database, queued, "idle in transaction"))
        await queued.commit()
    # What was waited for was had, and the statement is over: nothing more was to be told of it.
    assert all(wait.blockers for wait in heard)


async def _state_is(database: Database, connection: Connection, state: str) -> bool:
    found = await database.look(
        "SELECT state FROM pg_stat_activity WHERE pid = %s", (connection.info.backend_pid,)
    )
    return found == [(state,)]


async def test_a_lock_that_was_had_ends_the_wait(database: Database, connect: Connect, job: MakeJob) -> None:
    holder, ours = await connect("batch"), await connect("ours")
    await holder.execute("BEGIN; LOCK TABLE orders")
    async with watching(database, ours, job) as heard, anyio.create_task_group() as group:
        await ours.execute("BEGIN")
        group.start_soon(ours.execute, "UPDATE orders SET note = 'x'")
        await told(heard, lambda wait: wait.relation == "orders")
        await holder.commit()
        assert await told(heard, lambda wait: not wait.blockers) == LockWait(pid=ours.info.backend_pid)


async def test_everybody_stands_in_it_once_and_first_those_who_block_us_themselves(
    database: Database, connect: Connect, job: MakeJob
) -> None:
    """Two that wait for one and the same: a diamond, whose foot is told once."""
    foot, left, right, ours = [await connect(name) for name in ("foot", "left", "right", "ours")]
    await foot.execute("BEGIN; SELECT pg_advisory_xact_lock(7)")
    for each, number in ((left, 1), (right, 2)):
        await each.execute(f"BEGIN; UPDATE orders SET note = 'x' WHERE id = {number}".encode())
    async with watching(database, ours, job) as heard, anyio.create_task_group() as group:
        for each in (left, right):
            group.start_soon(each.execute, "SELECT pg_advisory_xact_lock_shared(7)")
            await waiting_for(database, each, foot)
        group.start_soon(ours.execute, "DROP TABLE orders")
        wait = await told(heard, lambda wait: len(wait.blockers) == 3)
        pid = foot.info.backend_pid
        assert [each.pid for each in wait.blockers][2] == pid
        assert edges(wait) == {left.info.backend_pid: (pid,), right.info.backend_pid: (pid,), pid: ()}
        group.cancel_scope.cancel()


async def test_who_waits_for_us_in_turn_makes_no_circle(
    database: Database, connect: Connect, job: MakeJob
) -> None:
    other, ours = await connect("other"), await connect("ours")
    await other.execute("SET deadlock_timeout = '1min'; BEGIN; UPDATE orders SET note = 'x' WHERE id = 1")
    await ours.execute("SET deadlock_timeout = '1min'; BEGIN; UPDATE orders SET note = 'x' WHERE id = 2")
    async with watching(database, ours, job) as heard, anyio.create_task_group() as group:
        group.start_soon(other.execute, "UPDATE orders SET note = 'x' WHERE id = 2")
        await waiting_for(database, other, ours)
        group.start_soon(ours.execute, "UPDATE orders SET note = 'x' WHERE id = 1")
        wait = await told(heard, lambda wait: bool(wait.blockers))
        assert wait.relation == "a row of orders"
        assert edges(wait) == {other.info.backend_pid: (ours.info.backend_pid,)}
        group.cancel_scope.cancel()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries of all looks so far."""
    seen: list[str] = []
    look = Database.look

    async def counted(self: Database, query: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        found = await look(self, query, params)
        seen.append(query)
        return found

    monkeypatch.setattr(Database, "look", counted)
    return seen


async def test_a_wait_goes_on_between_two_tries_until_its_blocker_goes_on(
    database: Database, connect: Connect, job: MakeJob, looks: list[str]
) -> None:
    holder, ours = await connect("batch"), await connect("ours")
    await holder.execute("BEGIN; LOCK TABLE orders")

    async def try_it() -> None:
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await ours.execute(
                "BEGIN; SET LOCAL lock_timeout = '600ms'; ALTER TABLE orders ADD COLUMN total int"
            )
        await ours.rollback()

    async def between_tries() -> None:
        since = len(looks)

        async def often() -> bool:
            return looks[since:].count(looks[0]) > 2

        await eventually(often)

    async with watching(database, ours, job) as heard:
        await try_it()
        assert [wait.tries for wait in heard] == [0]
        await between_tries()
        await try_it()
        await between_tries()
        await told(heard, lambda wait: wait.tries == 1)
        await holder.commit()
        await told(heard, lambda wait: not wait.blockers)
    assert [(wait.tries, bool(wait.blockers)) for wait in heard] == [(0, True), (1, True), (0, False)]


async def test_a_backend_of_this_run_is_known_by_its_task(
    database: Database, connect: Connect, job: MakeJob
) -> None:
    sibling, ours = await connect(application_name("r1", "t", 1, "run")), await connect("ours")
    await sibling.execute("BEGIN; LOCK TABLE orders")
    async with watching(database, ours, job) as heard, anyio.create_task_group() as group:
        group.start_soon(ours.execute, "SELECT * FROM orders")
        wait = await told(heard, lambda wait: bool(wait.blockers))
        assert [each.own_task for each in wait.blockers] == ["t"]
        group.cancel_scope.cancel()


async def test_what_the_role_may_not_see_is_left_out(
    database: Database, connect: Connect, job: MakeJob
) -> None:
    holder = await connect("batch")
    await holder.execute(
        "CREATE ROLE humble LOGIN; GRANT ALL ON orders TO humble; GRANT ALL ON SCHEMA public TO humble"
    )
    await holder.execute("BEGIN; LOCK TABLE orders")
    humble = Database(
        name="app", run="r1", conninfo=f"{database.conninfo} user=humble", version=database.version
    )
    ours = await humble.connect("ours")
    async with watching(humble, ours, job) as heard, anyio.create_task_group() as group:
        group.start_soon(ours.execute, "SELECT * FROM orders")
        wait = await told(heard, lambda wait: bool(wait.blockers))
        [blocker] = wait.blockers
        assert (blocker.pid, blocker.user, blocker.started) == (holder.info.backend_pid, "postgres", "")
        assert blocker.state == ""
        await holder.rollback()
    await ours.close()
    await humble.close()
    await holder.execute("DROP OWNED BY humble; DROP ROLE humble")


async def test_a_prepared_transaction_blocks_without_a_backend(
    database: Database, connect: Connect, job: MakeJob
) -> None:
    preparer, ours = await connect("batch"), await connect("ours")
    await preparer.execute("BEGIN; LOCK TABLE orders")
    await preparer.execute("PREPARE TRANSACTION 'two-phase 17'")
    try:
        async with watching(database, ours, job) as heard, anyio.create_task_group() as group:
            group.start_soon(ours.execute, "SELECT * FROM orders")
            wait = await told(heard, lambda wait: bool(wait.blockers))
            [blocker] = wait.blockers
            assert (blocker.pid, blocker.state, blocker.application) == (0, waits.PREPARED, "two-phase 17")
            group.cancel_scope.cancel()
    finally:
        await preparer.execute("ROLLBACK PREPARED 'two-phase 17'")


async def test_a_concurrent_build_waits_for_the_end_of_older_transactions(
    database: Database, connect: Connect, job: MakeJob
) -> None:
    old, ours = await connect("report"), await connect("ours")
    await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM orders")
    async with watching(database, ours, job) as heard, anyio.create_task_group() as group:
        group.start_soon(ours.execute, "CREATE INDEX CONCURRENTLY notes ON orders (note)")
        wait = await told(heard, lambda wait: bool(wait.blockers))
        assert (wait.relation, [*edges(wait)]) == ("", [old.info.backend_pid])
        await old.commit()
    assert not (await (await ours.execute("SELECT 1 FROM pg_index WHERE NOT indisvalid")).fetchall())


async def test_a_look_that_fails_is_left_out(
    database: Database, connect: Connect, job: MakeJob, looks: list[str]
) -> None:
    holder, ours = await connect("batch"), await connect("ours")
    await holder.execute("BEGIN; LOCK TABLE orders")
    async with watching(database, ours, job) as heard, anyio.create_task_group() as group:

        async def looked() -> bool:
            return bool(looks)

        await eventually(looked)
        await holder.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%observer%'"
            " AND datname = current_database()"
        )
        group.start_soon(ours.execute, "SELECT * FROM orders")
        await told(heard, lambda wait: bool(wait.blockers))
        await holder.rollback()


async def test_a_name_that_would_steer_a_terminal_is_made_visible(
    database: Database, connect: Connect, job: MakeJob
) -> None:
    blocker, ours = await connect("blocker"), await connect("ours")
    table = '"or\x1b]0;pwned\x07ders"'
    await blocker.execute(f"CREATE TABLE {table} (id int)".encode())
    await blocker.execute(f"BEGIN; LOCK TABLE {table}".encode())
    async with watching(database, ours, job) as heard, anyio.create_task_group() as group:
        group.start_soon(ours.execute, f"TABLE {table}".encode())
        wait = await told(heard, lambda wait: bool(wait.blockers))
        assert wait.relation == '"or␛]0;pwned␇ders"'
        await blocker.rollback()
