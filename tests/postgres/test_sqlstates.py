"""Every class of the table, met on a real server."""

from dataclasses import replace
from typing import Any

import anyio
import psycopg
import pytest

from engine.plan.models import FailureClass
from engine.tasks.base import Failed, Succeeded
from engine.tasks.postgres.database import Database
from engine.tasks.postgres.executor import PostgresExecutor
from engine.tasks.postgres.sqlstates import Phase, by_sqlstate, in_doubt, named
from tests.postgres.attempts import busy, carry_out, rows, somebody, waits
from tests.postgres.conftest import MakeJob
from tests.postgres.waiting import eventually

pytestmark = pytest.mark.anyio

T, R, P, U = FailureClass.TRANSIENT, FailureClass.RESOURCE, FailureClass.PERMANENT, FailureClass.UNKNOWN

MANY_COLUMNS = ", ".join(f"c{n} int" for n in range(1601))
IN_USE = "DO $$ DECLARE r record; BEGIN FOR r IN SELECT * FROM t LOOP DROP TABLE t; END LOOP; END $$"
REAL = [
    ("SELECT 1 / 0", "22012", P),
    ("CREATE TABLE t (a int NOT NULL); INSERT INTO t VALUES (NULL)", "23502", P),
    (
        "CREATE TABLE t (a int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO t VALUES (1), (1)",
        "23505",
        P,
    ),
    ("SELECT * FROM nowhere", "42P01", P),
    ("CREATE ROLE r_stranger; SET LOCAL ROLE r_stranger; SELECT * FROM pg_authid", "42501", P),
    ("CREATE TABLE nowhere.t (a int)", "3F000", P),
    ("CREATE TABLE t (a int); CREATE VIEW v AS SELECT a FROM t; DROP TABLE t", "2BP01", P),
    ("SELECT * FROM another.public.t", "0A000", P),
    (f"CREATE TABLE t ({MANY_COLUMNS})", "54011", P),
    ("DO $$ BEGIN RAISE 'no'; END $$", "P0001", P),
    ("DO $$ BEGIN EXECUTE 'CREATE DATABASE d'; END $$", "25001", P),
    ("DROP DATABASE no_such_database", "3D000", P),
    (f"CREATE TABLE t AS SELECT 1 AS a; {IN_USE}", "55006", T),
]


@pytest.mark.parametrize(("sql", "sqlstate", "expected"), REAL, ids=[row[1] for row in REAL])
async def test_what_the_text_is_to_blame_for(
    job: MakeJob, database: Database, sql: str, sqlstate: str, expected: FailureClass
) -> None:
    outcome = await carry_out(job(sql))
    assert isinstance(outcome, Failed), outcome
    assert (outcome.sqlstate, outcome.failure_class, outcome.effect) == (sqlstate, expected, "none")
    assert outcome.rule == f"built-in: {named(sqlstate)}"
    assert await rows(database, "SELECT count(*) FROM _wesley_ledger") == [(0,)]


# A disk that is full, damaged data and the like cannot be had without rights to the machine: the server
# raises their SQLSTATEs on demand, and all the rest of the way is real.
RAISED = [
    ("53100", R, "disk"),
    ("53200", R, "memory"),
    ("53400", R, "configuration limit"),
    ("53000", R, "server resources"),
    ("58030", R, "disk"),
    ("08P01", P, ""),
    ("XX000", U, ""),
    ("58P01", U, ""),
    ("YY123", U, ""),
]


@pytest.mark.parametrize(("sqlstate", "expected", "lacking"), RAISED)
async def test_what_a_server_says_of_itself(
    job: MakeJob, sqlstate: str, expected: FailureClass, lacking: str
) -> None:
    outcome = await carry_out(job(f"DO $$ BEGIN RAISE 'oh' USING ERRCODE = '{sqlstate}'; END $$"))
    assert isinstance(outcome, Failed)
    assert (outcome.sqlstate, outcome.failure_class, outcome.resource) == (sqlstate, expected, lacking)
    assert not outcome.fatal


@pytest.mark.parametrize("sqlstate", ["XX001", "XX002"])
async def test_a_damaged_database_stops_the_run_whatever_the_plan_says(job: MakeJob, sqlstate: str) -> None:
    sql = f"DO $$ BEGIN RAISE 'oh' USING ERRCODE = '{sqlstate}'; END $$"
    outcome = await carry_out(job(sql, task={"classify": [{"sqlstate": "XX", "as": "transient"}]}))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.fatal) == (T, True)


async def test_the_rules_of_the_plan_come_first(job: MakeJob) -> None:
    rules = {"classify": [{"sqlstate": "42", "as": "transient"}]}
    outcome = await carry_out(job("SELECT * FROM nowhere", task=rules))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.rule) == (T, "plan: sqlstate 42 as transient")


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        ("CREATE TABLE t (a int)", "42P07"),
        ("ALTER TABLE t ADD COLUMN a int", "42701"),
        ("CREATE TYPE mood AS ENUM ('so')", "42710"),
    ],
)
async def test_what_is_there_already_is_asked_about(
    job: MakeJob, database: Database, sql: str, sqlstate: str
) -> None:
    async with somebody(database) as other:
        await other.execute("CREATE TABLE t (a int)")
        await other.execute("CREATE TYPE mood AS ENUM ('so')")
    outcome = await carry_out(job(sql))
    assert isinstance(outcome, Failed)
    assert (outcome.sqlstate, outcome.failure_class, outcome.effect) == (sqlstate, U, "none")
    assert outcome.rule == f"built-in: {named(sqlstate)}, perhaps applied already"
    assert f"({named(sqlstate)}). Was it already applied?" in outcome.reason


async def test_what_commits_for_itself_is_told_where_that_belongs(job: MakeJob) -> None:
    outcome = await carry_out(job("DO $$ BEGIN COMMIT; END $$"))
    assert isinstance(outcome, Failed)
    assert (outcome.sqlstate, outcome.effect) == ("2D000", "none")
    assert "write what it commits step by step as tasks, or as a backfill" in outcome.reason


async def test_a_serialization_failure(job: MakeJob, database: Database) -> None:
    made = job(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT a FROM t; SELECT pg_advisory_xact_lock(7); "
        "UPDATE t SET a = a + 1",
        lock_timeout_s=20.0,
    )
    outcomes: list[Any] = []
    async with somebody(database) as other, anyio.create_task_group() as tasks:
        await other.execute("CREATE TABLE t AS SELECT 1 AS a")
        await other.execute("SELECT pg_advisory_lock(7)")
        tasks.start_soon(_into, outcomes, made)
        await waits(database, made)
        await other.execute("UPDATE t SET a = a + 10")
        await other.execute("SELECT pg_advisory_unlock(7)")
    (outcome,) = outcomes
    assert isinstance(outcome, Failed)
    assert (outcome.sqlstate, outcome.failure_class, outcome.effect) == ("40001", T, "none")
    assert await carry_out(job(made.action.sql or "", attempt=2)) == Succeeded(outputs={"rows": 1})
    assert await rows(database, "SELECT a FROM t") == [(12,)]


async def test_a_deadlock_is_tried_again_within_the_attempt(job: MakeJob, database: Database) -> None:
    made = job(
        "UPDATE t SET b = b + 1 WHERE a = 1; SELECT pg_advisory_xact_lock(7); "
        "UPDATE t SET b = b + 1 WHERE a = 2",
        lock_timeout_s=0.5,
    )
    outcomes: list[Any] = []
    async with somebody(database) as other, somebody(database) as starter:
        await other.execute("CREATE TABLE t AS SELECT a, 0 AS b FROM generate_series(1, 2) a")
        name = other.info.dbname
        await other.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '10ms'".encode())
        await other.execute("SET deadlock_timeout = '1min'")
        await other.execute("BEGIN; UPDATE t SET b = b + 10 WHERE a = 2")
        await starter.execute("SELECT pg_advisory_lock(7)")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_into, outcomes, replace(made, lock_timeout_s=20.0, lock_patience_s=60.0))
            pid = await waits(database, made)
            tasks.start_soon(other.execute, "UPDATE t SET b = b + 10 WHERE a = 1; COMMIT")
            await eventually(lambda: _blocked_by(database, pid))
            await starter.execute("SELECT pg_advisory_unlock(7)")
    assert outcomes == [Succeeded(outputs={"rows": 2})]
    assert "deadlock detected" in made.output.tail()
    assert await rows(database, "SELECT b FROM t") == [(11,), (11,)]


async def test_a_deadlock_without_patience_is_transient(job: MakeJob) -> None:
    sql = "DO $$ BEGIN RAISE 'oh' USING ERRCODE = 'deadlock_detected'; END $$"
    outcome = await carry_out(job(sql, lock_patience_s=0.0))
    assert isinstance(outcome, Failed)
    assert (outcome.sqlstate, outcome.failure_class, outcome.effect) == ("40P01", T, "none")


async def test_a_server_that_has_become_read_only(job: MakeJob, database: Database) -> None:
    async with somebody(database) as other:
        await other.execute("CREATE TABLE t (a int)")
        assert isinstance(await carry_out(job("INSERT INTO t VALUES (0)")), Succeeded)
        name = other.info.dbname
        await other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        outcome = await carry_out(job("INSERT INTO t VALUES (1)", attempt=2))
        assert isinstance(outcome, Failed)
        assert (outcome.sqlstate, outcome.failure_class, outcome.effect) == ("25006", T, "none")


@pytest.mark.parametrize("by", ["server", "person"])
async def test_a_statement_that_somebody_else_ended(job: MakeJob, database: Database, by: str) -> None:
    made = job("SELECT pg_sleep(30)")
    outcomes: list[Any] = []
    async with somebody(database) as other, anyio.create_task_group() as tasks:
        if by == "server":
            name = other.info.dbname
            await other.execute(f"ALTER DATABASE {name} SET statement_timeout = '300ms'".encode())
        tasks.start_soon(_into, outcomes, made)
        pid = await busy(database, made, "pg_sleep")
        if by == "person":
            await other.execute("SELECT pg_cancel_backend(%s)", (pid,))
    (outcome,) = outcomes
    assert isinstance(outcome, Failed)
    assert (outcome.sqlstate, outcome.failure_class, outcome.resource) == ("57014", R, "statement time")
    available, detail = await PostgresExecutor().probe("statement time", made)
    assert available and "only test" in detail


async def test_no_connection_slot_left(job: MakeJob, database: Database) -> None:
    async with somebody(database) as other:
        await other.execute("CREATE ROLE r_few LOGIN CONNECTION LIMIT 0")
        few = Database(
            name="app", run="r1", conninfo=f"{database.conninfo} user=r_few", version=180000, tasks=("t",)
        )
        try:
            made = job("SELECT 1", targets={"app": few})
            outcome = await carry_out(made)
            assert isinstance(outcome, Failed)
            assert (outcome.sqlstate, outcome.failure_class) == ("53300", R)
            assert (outcome.resource, outcome.effect) == ("connection slots", "none")
            available, detail = await PostgresExecutor().probe("connection slots", made)
            assert not available and "too many connections" in detail
            await other.execute("ALTER ROLE r_few CONNECTION LIMIT 5")
            assert await PostgresExecutor().probe("connection slots", made) == (
                True,
                "the server takes connections",
            )
        finally:
            await other.execute("DROP ROLE r_few")


@pytest.mark.parametrize(
    ("where", "sqlstate", "expected"),
    [
        ("dbname=no_such_database", "3D000", P),
        ("user=no_such_role", "28000", P),
        ("host=/nonexistent", None, T),
    ],
)
async def test_a_connection_that_is_refused(
    job: MakeJob, database: Database, where: str, sqlstate: str | None, expected: FailureClass
) -> None:
    there = Database(name="app", run="r1", conninfo=f"{database.conninfo} {where}", version=180000)
    outcome = await carry_out(job("SELECT 1", targets={"app": there}))
    assert isinstance(outcome, Failed)
    assert (outcome.sqlstate, outcome.failure_class, outcome.effect) == (sqlstate, expected, "none")
    assert outcome.reason.startswith("connecting to target `app`: ")


async def test_a_backend_that_is_ended_in_a_transaction(job: MakeJob, database: Database) -> None:
    made = job("CREATE TABLE t (a int); SELECT pg_sleep(30)")
    outcomes: list[Any] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_into, outcomes, made)
        pid = await busy(database, made, "pg_sleep")
        await rows(database, f"SELECT pg_terminate_backend({pid})")
    (outcome,) = outcomes
    assert isinstance(outcome, Failed)
    assert (outcome.sqlstate, outcome.failure_class, outcome.effect) == ("57P01", T, "none")
    assert await rows(database, "SELECT to_regclass('t')") == [(None,)]


CERTAIN: list[Phase] = ["connecting", "in_transaction"]
IN_FLIGHT: list[Phase] = ["committing", "autocommit"]


@pytest.mark.parametrize("sqlstate", [None, "57P01", "57P02", "57P03", "25P03", "08006", "08003"])
def test_a_lost_connection_leaves_in_doubt_only_what_was_in_flight(sqlstate: str | None) -> None:
    error = _error(sqlstate)
    for phase in CERTAIN:
        assert not in_doubt(error, phase)
        assert by_sqlstate(error, phase).failure_class is T
    for phase in IN_FLIGHT:
        assert in_doubt(error, phase)


@pytest.mark.parametrize("kind", [psycopg.DatabaseError, psycopg.OperationalError, psycopg.InterfaceError])
def test_what_the_client_library_says_of_a_lost_line_is_taken_for_that(kind: type[psycopg.Error]) -> None:
    assert in_doubt(kind("lost synchronization with server"), "committing")
    assert by_sqlstate(kind("lost synchronization with server"), "in_transaction").failure_class is T


@pytest.mark.parametrize("kind", [psycopg.ProgrammingError, psycopg.NotSupportedError])
def test_what_the_client_library_refuses_itself_was_never_sent(kind: type[psycopg.Error]) -> None:
    assert not in_doubt(kind("no"), "autocommit")
    assert by_sqlstate(kind("no"), "autocommit").failure_class is U


@pytest.mark.parametrize("sqlstate", ["08007", "40003"])
def test_an_end_that_the_server_does_not_know_itself_is_in_doubt(sqlstate: str) -> None:
    assert in_doubt(_error(sqlstate), "in_transaction")


@pytest.mark.parametrize("sqlstate", ["40001", "23505", "57014", "53100", "08P01", "XX000"])
def test_an_error_at_commit_is_a_certain_no(sqlstate: str) -> None:
    assert not in_doubt(_error(sqlstate), "committing")


def _error(sqlstate: str | None) -> psycopg.Error:
    if sqlstate is None:
        return psycopg.OperationalError("server closed the connection unexpectedly")
    return psycopg.errors.lookup(sqlstate)("so the server says")


async def _blocked_by(database: Database, pid: int) -> bool:
    return bool(
        await rows(database, f"SELECT 1 FROM pg_stat_activity WHERE {pid} = ANY(pg_blocking_pids(pid))")
    )


async def _into(outcomes: list[Any], job: Any) -> None:
    outcomes.append(await carry_out(job))
