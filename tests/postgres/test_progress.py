"""How far a statement is, as the server tells it: seen on statements that are held up at a known place."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import psycopg
import pytest

from engine.tasks.base import Job, Progress
from engine.tasks.postgres import progress
from engine.tasks.postgres.database import Database, application_name
from tests.postgres.building import Connect, Connection, connections, held_up
from tests.postgres.conftest import MakeJob
from tests.postgres.waiting import eventually

pytestmark = pytest.mark.anyio

GATE = 4711
SETUP = f"""
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT n, repeat('x', 400) FROM generate_series(1, 2000) n;
CREATE FUNCTION gate(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
  IF n = 1000 THEN PERFORM pg_advisory_xact_lock({GATE}); END IF;
  RETURN n;
END $$"""
"""Whatever calls `gate` for the middle row waits there for whoever holds the key."""


@pytest.fixture(autouse=True)
def without_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(progress, "_REST_S", 0.02)


@pytest.fixture
async def connect(database: Database) -> AsyncIterator[Connect]:
    async with connections(database) as make:
        await (await make("setup")).execute(SETUP)
        yield make


@pytest.fixture
async def holder(connect: Connect) -> Connection:
    return await connect("holder")


@pytest.fixture
async def ours(connect: Connect) -> Connection:
    return await connect("ours")


@asynccontextmanager
async def watching(database: Database, ours: Connection, job: Job) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(progress.watch, database, ours.info.backend_pid, job)
        yield
        group.cancel_scope.cancel()


async def told(job: MakeJob, wanted: Callable[[Progress], bool]) -> Progress:
    async def look() -> Progress | None:
        return next(filter(wanted, job.heard.progress), None)

    return await eventually(look)


async def test_a_concurrent_build_tells_whom_it_waits_for(
    database: Database, connect: Connect, holder: Connection, ours: Connection, job: MakeJob
) -> None:
    old = await connect("report")
    await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    await holder.execute("BEGIN; UPDATE orders SET note = '' WHERE id = 1")
    async with (
        watching(database, ours, job("SELECT 1")),
        held_up(database, ours, "CREATE INDEX CONCURRENTLY orders_note ON orders (note)"),
    ):
        writers = await told(job, lambda each: "writers" in each.detail)
        assert writers == Progress(
            done=0,
            unit="",
            detail="not begun: waiting for writers of orders: "
            f"pid {holder.info.backend_pid} of postgres (holder)",
        )
        await holder.commit()
        snapshots = await told(job, lambda each: "snapshots" in each.detail)
        assert snapshots == Progress(
            done=0,
            unit="",
            detail=f"built, waiting for old snapshots: pid {old.info.backend_pid} of postgres (report)",
        )
        await old.commit()


async def test_a_build_that_waits_for_a_task_of_this_run_says_so(
    database: Database, connect: Connect, ours: Connection, job: MakeJob
) -> None:
    sibling = await connect(application_name("r1", "t", 3, "run"))
    await sibling.execute("BEGIN; UPDATE orders SET note = '' WHERE id = 1")
    async with (
        watching(database, ours, job("SELECT 1")),
        held_up(database, ours, "CREATE INDEX CONCURRENTLY orders_note ON orders (note)"),
    ):
        assert (await told(job, lambda each: True)).detail.endswith(", which is t of this run")
        await sibling.commit()


@pytest.mark.parametrize(
    ("sql", "detail", "unit", "counted"),
    [
        ("CREATE INDEX CONCURRENTLY i ON orders (gate(id))", "building: scanning orders", "blocks", True),
        ("CREATE INDEX i ON orders (gate(id))", "building: scanning orders", "blocks", True),
        ("VACUUM FULL orders", "rewriting orders: its indexes", "indexes", False),
        ("CLUSTER orders USING orders_pkey", "rewriting orders: its indexes", "indexes", False),
        ("COPY orders (id) FROM PROGRAM 'seq 5001 6000; echo 1000'", "COPY FROM orders", "bytes", False),
    ],
)
async def test_what_is_under_way_is_counted(
    database: Database,
    holder: Connection,
    ours: Connection,
    job: MakeJob,
    sql: str,
    detail: str,
    unit: str,
    counted: bool,
) -> None:
    await ours.execute("SET max_parallel_maintenance_workers = 0")
    if "INDEX" not in sql:
        await ours.execute("CREATE INDEX by_gate ON orders (gate(id))")
    if "COPY" in sql:
        await ours.execute("TRUNCATE orders")
    await holder.execute(f"BEGIN; SELECT pg_advisory_xact_lock({GATE})".encode())
    async with watching(database, ours, job("SELECT 1")), held_up(database, ours, sql):
        found = await told(job, lambda each: each.detail == detail and (each.done > 0 or not counted))
        assert found.unit == unit
        if counted:
            assert found.total
            assert 0 < found.done < found.total
        await holder.commit()


@pytest.mark.parametrize(
    ("sql", "detail"),
    [
        ("VACUUM (FREEZE) orders", "vacuuming orders: scanning it"),
        ("ANALYZE orders", "analyzing orders: reading a sample"),
    ],
)
async def test_a_vacuum_is_counted_in_blocks(
    database: Database, ours: Connection, job: MakeJob, sql: str, detail: str
) -> None:
    await ours.execute("UPDATE orders SET note = repeat('y', 400)")
    await ours.execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1")
    async with watching(database, ours, job("SELECT 1")), anyio.create_task_group() as group:

        async def execute() -> None:
            with pytest.raises(psycopg.errors.QueryCanceled):
                await ours.execute(sql.encode())

        group.start_soon(execute)
        found = await told(job, lambda each: each.detail == detail and each.done > 0)
        assert found.unit == "blocks"
        assert found.total
        assert found.done < found.total
        await ours.cancel_safe()


async def test_a_rebuild_names_the_index_that_it_is_at(
    database: Database, holder: Connection, ours: Connection, job: MakeJob
) -> None:
    await holder.execute("BEGIN; SELECT 1 FROM orders")
    async with (
        watching(database, ours, job("SELECT 1")),
        held_up(database, ours, "REINDEX INDEX CONCURRENTLY orders_pkey"),
    ):
        found = await told(job, lambda each: "readers" in each.detail)
        assert found.detail.startswith("orders_pkey")
        assert ": waiting for readers of the old index: pid " in found.detail
        await holder.commit()


async def test_partitions_are_counted(
    database: Database, holder: Connection, ours: Connection, job: MakeJob
) -> None:
    await ours.execute(
        "CREATE TABLE p (id int) PARTITION BY RANGE (id);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);"
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (2000); INSERT INTO p VALUES (1), (1000)"
    )
    await holder.execute(f"BEGIN; SELECT pg_advisory_xact_lock({GATE})".encode())
    async with (
        watching(database, ours, job("SELECT 1")),
        held_up(database, ours, "CREATE INDEX ON p (gate(id))"),
    ):
        found = await told(job, lambda each: "(partition 2 of 2)" in each.detail)
        assert found.detail.startswith("building")
        await holder.commit()


async def test_a_lost_observer_disturbs_nothing(
    database: Database, holder: Connection, ours: Connection, job: MakeJob
) -> None:
    await holder.execute("BEGIN; UPDATE orders SET note = '' WHERE id = 1")
    async with (
        watching(database, ours, job("SELECT 1")),
        held_up(database, ours, "CREATE INDEX CONCURRENTLY orders_note ON orders (note)"),
    ):
        await told(job, lambda each: True)
        await holder.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%(observer)'"
        )
        job.heard.progress.clear()
        await told(job, lambda each: True)
        await holder.commit()


@dataclass(slots=True)
class Answers:
    """A database that answers looks with what it is given, in this order; with the last one from then on."""

    answers: list[list[tuple[Any, ...]] | psycopg.Error]
    version: int = 180000
    asked: list[Sequence[object]] = field(default_factory=list)

    async def look(self, query: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        self.asked.append(params)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, psycopg.Error):
            raise answer
        return answer

    def owner_of(self, application: str) -> None:
        return None


async def heard_from(answers: Answers, job: MakeJob) -> Progress:
    async with anyio.create_task_group() as group:
        group.start_soon(progress.watch, cast(Database, answers), 1, job("SELECT 1"))
        found = await told(job, lambda each: True)
        group.cancel_scope.cancel()
    return found


BUILDING: list[tuple[Any, ...]] = [("CREATE INDEX",)]


def build(phase: str, **more: object) -> list[tuple[Any, ...]]:
    row = {"command": "CREATE INDEX CONCURRENTLY", "phase": phase, **more}
    return [("orders", "orders_note", row)]


async def test_silence_where_there_is_nothing_to_tell(job: MakeJob) -> None:
    answers = Answers([BUILDING, build("building index", blocks_done=3), []])
    async with anyio.create_task_group() as group:
        group.start_soon(progress.watch, cast(Database, answers), 1, job("SELECT 1"))

        async def asked() -> bool:
            return len(answers.asked) > 4

        await eventually(asked)
        group.cancel_scope.cancel()
    assert len(job.heard.progress) == 1


async def test_a_server_that_cannot_be_asked_is_asked_again_later(job: MakeJob) -> None:
    away = psycopg.OperationalError("no connection to the server")
    found = await heard_from(Answers([away, away, BUILDING, build("building index", blocks_done=3), []]), job)
    assert found == Progress(done=3, unit="blocks", detail="building")


@pytest.mark.parametrize(
    ("age_s", "shown"),
    [(None, ""), (59.9, ""), (60.1, ", for 1m"), (779.0, ", for 12m"), (3725.0, ", for 1h2m")],
)
async def test_an_age_grows_by_minutes_only(job: MakeJob, age_s: float | None, shown: str) -> None:
    waiting = build("waiting for old snapshots", lockers_total=3, lockers_done=2, current_locker_pid=4711)
    found = await heard_from(Answers([BUILDING, waiting, [(4711, "alice", "psql", age_s)], []]), job)
    assert found == Progress(
        done=0,
        unit="",
        detail=f"built, waiting for old snapshots (2 of 3 have ended): pid 4711 of alice (psql{shown})",
    )


async def test_a_phase_that_is_not_known_is_told_as_the_server_calls_it(job: MakeJob) -> None:
    found = await heard_from(Answers([BUILDING, build("polishing the index"), []]), job)
    assert found == Progress(done=0, unit="", detail="polishing the index")


async def test_a_server_is_asked_only_for_what_it_has(job: MakeJob) -> None:
    answers = Answers([BUILDING, build("building index"), []], version=130000)
    await heard_from(answers, job)
    assert answers.asked[0] == (["CREATE INDEX", "VACUUM", "ANALYZE", "CLUSTER"], 1)
