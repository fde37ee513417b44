"""What holds a backfill back, and what it says of it: on a real server, with a real standby."""

import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree
from typing import Any

import anyio
import psycopg
import pytest
from psycopg import AsyncConnection

from engine.plan.models import Throttle
from engine.tasks.base import Job, Succeeded
from engine.tasks.postgres import programs
from engine.tasks.postgres.backfill import BackfillExecutor
from engine.tasks.postgres.embedded import Server, start_server, stop_server
from engine.tasks.postgres.throttle import Gauge
from tests.postgres.conftest import FAST, MakeJob
from tests.postgres.waiting import eventually

pytestmark = pytest.mark.anyio

Connection = AsyncConnection[Any]


@pytest.fixture
async def connections(conninfo: str) -> AsyncIterator[Callable[[], Any]]:
    opened: list[Connection] = []

    async def connect(**more: str) -> Connection:
        connection = await AsyncConnection.connect(conninfo, autocommit=True, **more)  # type: ignore[arg-type]
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        await connection.close()


def gauge(connection: Connection, every: float = 0.0, **throttle: Any) -> Gauge:
    return Gauge(Throttle(every=every, **throttle), connection, lambda text: text)


async def test_no_throttle_holds_nothing_back(connections: Any) -> None:
    assert await Gauge(None, await connections(), str).held() == ""


@pytest.mark.parametrize(
    ("sql", "held"),
    [
        ("SELECT false", ""),
        ("SELECT 0", ""),
        ("SELECT NULL", ""),
        ("SELECT 1 WHERE false", ""),
        ("SELECT true", "the throttle's SQL says so"),
        ("SELECT 31.5, 'load'", "the throttle's SQL says so: 31.5"),
        ("SELECT 1 / 0", "the throttle's SQL cannot be looked at: division by zero"),
        ("SELECT pg_sleep(60)", "the throttle's SQL cannot be looked at: canceling statement due to st"),
        (
            "CREATE TABLE t (a int)",
            "the throttle's SQL cannot be looked at: cannot execute CREATE TABLE in a",
        ),
        ("SELECT false; SELECT 1", "the throttle's SQL cannot be looked at: cannot insert multiple commands"),
        ("SELECT 'x' LIKE '%s'", ""),
    ],
)
async def test_what_the_plan_asks(sql: str, held: str, connections: Any) -> None:
    connection = await connections()
    found = await gauge(connection, sql=sql).held()
    assert found == held or (held and found.startswith(held))
    assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE


async def test_it_is_looked_at_no_more_than_once_in_every(connections: Any) -> None:
    connection = await connections()
    await connection.execute("CREATE SEQUENCE looks")
    asked = gauge(connection, every=3600.0, sql="SELECT set_config('looks.n', 'x', false) = 'y'")
    counting = gauge(connection, every=3600.0, sql="SELECT count(*) > 0 FROM pg_stat_activity")
    assert await counting.held() and await counting.held()
    begun: list[str] = []
    connection.add_notice_handler(lambda notice: begun.append(notice.message_primary or ""))
    await connection.execute("SET client_min_messages = 'log'; SET log_statement = 'all'")
    for _ in range(3):
        assert await asked.held() == ""
    assert sum("set_config('looks.n'" in each for each in begun) == 1


async def test_sessions_that_wait_for_locks_are_counted(connections: Any) -> None:
    holder, own = await connections(), await connections()
    await holder.execute("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1)")
    await holder.execute("BEGIN; UPDATE t SET a = a")
    waiting = gauge(own, lock_waits=2)
    assert await waiting.held() == ""
    async with anyio.create_task_group() as group:
        for query in ("UPDATE t SET a = a", "ALTER TABLE t ADD b int"):
            other = await connections()
            group.start_soon(other.execute, query)
        assert await eventually(waiting.held) == "2 sessions wait for a lock in this database (limit 2)"
        assert await gauge(own, lock_waits=3).held() == ""
        await holder.execute("ROLLBACK")
    assert await waiting.held() == ""


async def test_a_lost_connection_is_no_reason_to_hold_back(connections: Any) -> None:
    connection, other = await connections(), await connections()
    asked = gauge(connection, lock_waits=1)
    await other.execute("SELECT pg_terminate_backend(%s, 10000)", (connection.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        await asked.held()


async def test_a_backfill_is_held_back_and_goes_on(job: MakeJob, connections: Any) -> None:
    other = await connections()
    await other.execute("CREATE TABLE busy AS SELECT true AS yes")
    await other.execute("CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1), (2)")
    written = {
        "table": "orders",
        "key": "id",
        "sql": "UPDATE orders SET id = id WHERE id BETWEEN :first AND :last",
        "throttle": {"sql": "SELECT yes FROM busy", "every": "0s"},
    }
    made: Job = job({"backfill": written, "on": "app"})
    outcomes: list[Any] = []

    async def attempt() -> None:
        outcomes.append(await BackfillExecutor().run(made))

    async with anyio.create_task_group() as group:
        group.start_soon(attempt)
        await eventually(lambda: _told(job))
        assert job.heard.progress[-1].held == "the throttle's SQL says so"
        assert job.heard.progress[-1].done == 0
        await other.execute("UPDATE busy SET yes = false")
    assert outcomes == [Succeeded(outputs={"rows": 2, "batches": 1})]
    assert job.heard.progress[-1].held == ""
    assert "held back: the throttle's SQL says so\ngoes on" in made.output.tail()


async def _told(job: MakeJob) -> bool:
    return bool(job.heard.progress)


# -- replication ---------------------------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    """A server and its standby, where its own user may reach it."""
    folder = Path(tempfile.mkdtemp(prefix="wesley-pair-"))
    folder.chmod(0o711)
    with ExitStack() as ending:
        ending.callback(rmtree, folder)
        yield _pair(folder, ending)


def _pair(folder: Path, ending: ExitStack) -> tuple[Server, Server]:
    first = start_server(folder / "first", FAST)
    ending.callback(stop_server, first)
    account = programs.server_account()
    (folder / "second").mkdir(mode=0o700)
    account.give(folder / "second")
    copy = [str(programs.server_programs(account) / "pg_basebackup"), "-D", account.where(folder / "second")]
    source = f"host={psycopg.conninfo.conninfo_to_dict(first.conninfo)['host']} user=postgres"
    copy += ["-R", "-X", "stream", "-c", "fast", "-d", f"{source} application_name=replica1"]
    subprocess.run(copy, cwd=folder / "second", check=True, capture_output=True, **account.process())
    for left in (folder / "second").glob(".s.PGSQL*"):
        left.unlink()
    second = start_server(folder / "second", FAST)
    ending.callback(stop_server, second)
    return first, second


async def test_a_standby_that_lags_behind_holds_back_and_one_that_is_gone_does_not(
    pair: tuple[Server, Server],
) -> None:
    first, second = pair
    async with (
        await AsyncConnection.connect(first.conninfo, autocommit=True) as primary,
        await AsyncConnection.connect(second.conninfo, autocommit=True) as standby,
    ):
        await primary.execute("CREATE TABLE t (a text)")
        lag = gauge(primary, lag=0.3)
        await eventually(lambda: _is_streaming(primary))
        assert await lag.held() == ""
        await standby.execute("SELECT pg_wal_replay_pause()")

        async def behind() -> str:
            await primary.execute("INSERT INTO t VALUES ('more')")
            return await lag.held()

        held = await eventually(behind)
        assert held.startswith("standby replica1 is ") and held.endswith(" behind (limit 300ms)")
        await standby.execute("SELECT pg_wal_replay_resume()")
        await eventually(lambda: _passes(lag))

        await primary.execute("CREATE ROLE clerk LOGIN")
        clerk = psycopg.conninfo.make_conninfo(first.conninfo, user="clerk", dbname="postgres")
        async with await AsyncConnection.connect(clerk, autocommit=True) as poor:
            blind = await gauge(poor, lag=0.3).held()
        assert blind == "the lag of standby replica1 cannot be seen: GRANT pg_read_all_stats TO clerk"

        await standby.close()
        stop_server(second)
        await primary.execute("INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
        await eventually(lambda: _passes(lag))


class Told(Gauge):
    """What a standby tells cannot be had on cue."""

    standbys: tuple[tuple[Any, ...], ...] = ()

    async def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return list(self.standbys)


@pytest.mark.parametrize(
    ("lag_s", "behind", "held"),
    [
        (None, 20 << 20, "the standby of pid 7 is 20 MB behind (limit 16 MB where no time is known)"),
        (None, 15 << 20, ""),
        (75.0, 1, "the standby of pid 7 is 1m15s behind (limit 1m)"),
        (59.0, 1 << 40, ""),
        (75.0, 0, ""),
    ],
)
async def test_time_counts_and_bytes_where_no_time_is_known(
    lag_s: float | None, behind: int, held: str, connections: Any
) -> None:
    told = Told(Throttle(lag=60.0), await connections(), str)
    told.standbys = ((6, "near", False, 0.1, 10), (7, "", False, lag_s, behind))
    assert await told.held() == held


async def _passes(gauge: Gauge) -> bool:
    return await gauge.held() == ""


async def _is_streaming(primary: Connection) -> bool:
    cursor = await primary.execute("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
    found = await cursor.fetchone()
    return found == (1,)
