"""Attempts whose end nobody saw: lines cut in every phase, backends that live on, servers that die."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from engine.plan.models import FailureClass
from engine.tasks.base import Cancelled, Failed, InDoubt, Intent, Job, Succeeded
from engine.tasks.postgres import evidence as evidence_module
from engine.tasks.postgres import executor as executor_module
from engine.tasks.postgres import session as session_module
from engine.tasks.postgres.database import Database, application_name
from engine.tasks.postgres.embedded import start_server, stop_server
from engine.tasks.postgres.executor import PostgresExecutor
from engine.tasks.postgres.sqlstates import CONNECTION_SLOTS
from tests.postgres.attempts import busy, carry_out, evidence, nobody_left, rows, somebody
from tests.postgres.conftest import FAST, MakeJob
from tests.postgres.cutting import SOCKET, Line, Where, through

pytestmark = pytest.mark.anyio

ADD = "INSERT INTO t VALUES (1)"


@pytest.fixture
async def table(job: MakeJob) -> None:
    """The table `t`, and the ledger, since a task has made it."""
    await carry_out(job("CREATE TABLE t (a int)", task={"id": "before"}))
    job.heard.intents.clear()


def known(job: MakeJob, made: Job) -> Job:
    """The job as evidence gets it: with what was last intended."""
    return replace(made, intent=job.heard.intents[-1] if job.heard.intents else None)


async def count(database: Database) -> int:
    return int((await rows(database, "SELECT count(*) FROM t"))[0][0])


# -- lines that are cut --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(("where", "done"), [("before", False), ("after", True)])
async def test_a_line_cut_at_commit(
    job: MakeJob, database: Database, tmp_path: Path, where: Where, done: bool
) -> None:
    async with through(Line(at=b"COMMIT", where=where), database, tmp_path) as cut:
        made = job(ADD, targets={"app": cut})
        outcome = await carry_out(made)
        assert isinstance(outcome, InDoubt)
        assert outcome.reason.startswith("COMMIT: ") and outcome.reason.endswith(
            "nobody saw whether it took effect"
        )
        found = await evidence(known(job, made))
        assert (found.done, found.by) == (done, "ledger")
    assert await count(database) == done


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_line_cut_within_a_transaction_leaves_nothing(
    job: MakeJob, database: Database, tmp_path: Path, where: Where
) -> None:
    async with through(Line(at=b"INSERT INTO t", where=where), database, tmp_path) as cut:
        made = job(ADD, targets={"app": cut})
        outcome = await carry_out(made)
        assert isinstance(outcome, Failed)
        assert (outcome.failure_class, outcome.effect) == (FailureClass.TRANSIENT, "none")
        assert outcome.rule == "built-in: connection lost"
        assert (await evidence(known(job, made))).done is False
    assert await count(database) == 0


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_statement_in_autocommit_that_may_run_again_is_no_question(
    job: MakeJob, database: Database, tmp_path: Path, where: Where
) -> None:
    async with through(Line(at=b"VACUUM", where=where), database, tmp_path) as cut:
        made = job("VACUUM t", targets={"app": cut})
        assert isinstance(await carry_out(made), InDoubt)
        found = await evidence(known(job, made))
        assert found.done is False
        assert "whether VACUUM was carried out makes no difference" in found.detail


@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_statement_in_autocommit_that_nobody_can_tell_of_stays_in_doubt(
    job: MakeJob, database: Database, tmp_path: Path, where: Where
) -> None:
    name = f"d_{where}_{database.conninfo.rpartition('=')[2]}"
    async with through(Line(at=b"CREATE DATABASE", where=where), database, tmp_path) as cut:
        made = job(f"CREATE DATABASE {name}", targets={"app": cut})
        assert isinstance(await carry_out(made), InDoubt)
        found = await evidence(known(job, made))
        assert (found.done, found.survivors) == (None, ())
        assert "runs in no transaction, and nobody saw its end" in found.detail
    async with somebody(database) as other:
        await other.execute(f"DROP DATABASE IF EXISTS {name}".encode())


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(("where", "done"), [("before", False), ("after", True)])
async def test_the_catalog_tells_of_a_concurrent_build(
    job: MakeJob, database: Database, tmp_path: Path, where: Where, done: bool
) -> None:
    async with through(Line(at=b"CREATE INDEX", where=where), database, tmp_path) as cut:
        made = job("CREATE INDEX CONCURRENTLY i ON t (a)", targets={"app": cut})
        assert isinstance(await carry_out(made), InDoubt)
        found = await evidence(known(job, made))
        assert found.done is done, found
    valid = await rows(database, "SELECT indisvalid FROM pg_index WHERE indrelid = 't'::regclass")
    assert valid == ([(True,)] if done else [])


async def test_a_row_that_could_not_be_written_leaves_doubt(
    job: MakeJob, database: Database, tmp_path: Path
) -> None:
    async with through(Line(at=b"_wesley_ledger (run", where="before"), database, tmp_path) as cut:
        made = job("VACUUM", targets={"app": cut})
        outcome = await carry_out(made)
        assert isinstance(outcome, InDoubt)
        assert "writing the ledger after statement 1 of 1" in outcome.reason


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("where", ["before", "after"])
async def test_stop_while_nobody_answers_any_more(
    job: MakeJob, database: Database, tmp_path: Path, where: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "_ANSWER_S", 0.3)
    line = Line(at=b"COMMIT", where=where, silent=True)
    outcomes: list[Any] = []
    async with through(line, database, tmp_path) as cut:
        made = job(ADD, targets={"app": cut})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_into, outcomes, made)
            await line.cut.wait()
            made.stop.set()
        assert isinstance(outcomes[0], InDoubt)
        found = await evidence(known(job, made))
        assert found.done is (where == "after")
    assert await count(database) == (where == "after")
    assert await nobody_left(database, made)


@pytest.mark.usefixtures("table")
async def test_a_stop_in_a_hurry_is_not_held_up_by_a_server_that_is_silent(
    job: MakeJob, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "_HURRIED_ANSWER_S", 0.1)
    monkeypatch.setattr(session_module, "_ANSWER_S", 60.0)
    line = Line(at=b"INSERT INTO t", silent=True)
    outcomes: list[Any] = []
    async with through(line, database, tmp_path) as cut:
        made = job(ADD, targets={"app": cut})
        with anyio.fail_after(session_module._ANSWER_S / 2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_into, outcomes, made)
                await line.cut.wait()
                made.stop.set()
                made.hurry.set()
        assert isinstance(outcomes[0], Cancelled)
        assert outcomes[0].effect == "none"
        assert (await evidence(known(job, made))).done is False
    assert await nobody_left(database, made)


# -- what the server knows besides the ledger ----------------------------------------------------------------


@pytest.mark.usefixtures("table")
async def test_a_ledger_that_is_gone_is_replaced_by_the_record_of_transactions(
    job: MakeJob, database: Database
) -> None:
    made = job(ADD)
    assert isinstance(await carry_out(made), Succeeded)
    async with somebody(database) as other:
        await other.execute("DROP TABLE _wesley_ledger")
    found = await evidence(known(job, made))
    assert (found.done, found.by) == (True, "executor")
    assert "as committed, though its ledger row is gone" in found.detail


@pytest.mark.usefixtures("table")
async def test_a_ledger_that_has_lost_rows_never_lets_a_part_run_again(
    job: MakeJob, database: Database
) -> None:
    made = job(f"{ADD}; VACUUM t; {ADD}")
    assert isinstance(await carry_out(made), Succeeded)
    first, second, third = job.heard.intents
    async with somebody(database) as other:
        await other.execute("DROP TABLE _wesley_ledger")
        await other.execute("BEGIN")
        cursor = await other.execute("SELECT pg_current_xact_id()::text")
        (aborted,) = await cursor.fetchone() or ("",)
        await other.execute("ROLLBACK")
    for last in (first, second, Intent(part=3, parts=3, statement=ADD, xid=aborted)):
        assert (await evidence(replace(made, intent=last))).done is None, last
    assert (await evidence(replace(made, intent=third))).done is True


@pytest.mark.usefixtures("table")
async def test_a_transaction_that_was_rolled_back_is_a_certain_no(job: MakeJob, database: Database) -> None:
    async with somebody(database) as other:
        await other.execute("BEGIN")
        cursor = await other.execute("SELECT pg_current_xact_id()::text")
        (xid,) = await cursor.fetchone() or ("",)
        made = job(ADD, intent=Intent(part=1, parts=1, statement=ADD, xid=xid))
        assert (await evidence(made)).done is None, "still in progress"
        await other.execute("ROLLBACK")
    found = await evidence(made)
    assert found.done is False
    assert f"the server has transaction {xid} as aborted" in found.detail


async def test_a_transaction_of_another_server_settles_nothing(job: MakeJob) -> None:
    made = job(ADD, intent=Intent(part=1, parts=1, statement=ADD, xid="999999999999"))
    found = await evidence(made)
    assert found.done is None
    assert "is not of this server" in found.detail


@pytest.mark.usefixtures("table")
async def test_evidence_is_of_the_purpose_and_of_attempts_that_count(job: MakeJob) -> None:
    await carry_out(job(ADD))
    assert (await evidence(job(ADD))).done is True
    assert (await evidence(job(ADD, purpose="rollback"))).done is False
    assert (await evidence(job(ADD, undone=1))).done is False
    assert (await evidence(job(ADD, attempt=2))).done is True, (
        "what an earlier attempt did is not to be repeated"
    )
    changed = await evidence(job("INSERT INTO t VALUES (2)"))
    assert changed.done is True and "by a different text" in changed.detail


@pytest.mark.usefixtures("table")
async def test_past_runs_are_weighed(job: MakeJob) -> None:
    fork = job(ADD, run="r2", past_runs=("r0", "r1"))
    assert (await evidence(fork)).done is False
    await carry_out(job(ADD))
    assert (await evidence(fork)).done is True
    await carry_out(job("DELETE FROM t", purpose="rollback"))
    found = await evidence(fork)
    assert found.done is False
    assert found.detail == "the ledger in app counts 1 for the task, and 1 for its rollback"
    await carry_out(job(f"{ADD}; VACUUM nowhere", attempt=2, undone=1))
    assert (await evidence(fork)).done is None, "half done"


# -- survivors -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def survivor(database: Database, made: Job, sql: str) -> AsyncIterator[None]:
    """A backend of the attempt that works on, and whose engine is dead."""
    name = application_name(made.run, made.task.id, made.attempt, made.purpose)

    async def work() -> None:
        with pytest.raises(session_module.psycopg.Error):
            async with somebody(database, name) as connection:
                await connection.execute(sql.encode())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await busy(database, made, sql[-10:])
        yield
        tasks.cancel_scope.cancel()


@pytest.mark.usefixtures("table")
async def test_a_survivor_is_named_until_it_is_ended(
    job: MakeJob, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_module, "_SURVIVORS_PATIENCE_S", 0.2)
    made = job(ADD)
    async with survivor(database, made, "BEGIN; INSERT INTO t VALUES (1); SELECT pg_sleep(60)"):
        found = await evidence(made)
        assert found.done is None
        (named,) = found.survivors
        assert named.startswith("PostgreSQL backend ") and "pg_sleep(60)" in named
        assert f"still running: {named}" == found.detail
        ended = await evidence(made, end_survivors=True)
        assert (ended.done, ended.survivors) == (False, ())
    assert await count(database) == 0


@pytest.mark.usefixtures("table")
async def test_a_survivor_that_is_nearly_through_is_waited_for(job: MakeJob, database: Database) -> None:
    made = job(ADD)
    name = application_name("r1", "t", 1, "run")
    found: list[Any] = []

    async def look() -> None:
        found.append(await evidence(made))

    async with (
        somebody(database) as holder,
        somebody(database, name) as left,
        anyio.create_task_group() as tasks,
    ):
        await holder.execute("SELECT pg_advisory_lock(7)")
        sql = "SELECT pg_advisory_lock(7); SELECT pg_terminate_backend(pg_backend_pid())"
        tasks.start_soon(_until_lost, left, sql)
        await busy(database, made, "pg_advisory_lock")
        tasks.start_soon(look)
        await holder.execute("SELECT pg_advisory_unlock(7)")
    assert (found[0].done, found[0].survivors) == (False, ())


@pytest.mark.usefixtures("table")
async def test_a_backend_that_waits_for_its_dead_engine_is_ended_at_once(
    job: MakeJob, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_module, "_SURVIVORS_PATIENCE_S", 60.0)
    made = job(ADD)
    async with somebody(database, application_name("r1", "t", 1, "run")) as left:
        await left.execute("BEGIN; INSERT INTO t VALUES (1)")
        with anyio.fail_after(30):
            found = await evidence(made)
        assert (found.done, found.survivors) == (False, ())
        assert await nobody_left(database, made)
    assert await count(database) == 0


# -- servers that die ----------------------------------------------------------------------------------------


async def test_a_server_that_dies_at_work_is_waited_for(job: MakeJob, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("dying") / "pg"
    server = await anyio.to_thread.run_sync(start_server, folder, FAST)
    target = Database(name="app", run="r1", conninfo=server.conninfo, version=180000, tasks=("t",))
    made = job("CREATE TABLE t (a int); VACUUM; SELECT pg_sleep(60)", targets={"app": target})
    outcomes: list[Any] = []
    found: list[Any] = []

    async def look() -> None:
        found.append(await evidence(known(job, made)))

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_into, outcomes, made)
            await busy(target, made, "pg_sleep")
            server.process.send_signal(signal.SIGQUIT)  # it dies at once, and has to recover
            await anyio.to_thread.run_sync(stop_server, server)
        (outcome,) = outcomes
        assert isinstance(outcome, Failed)
        assert (outcome.failure_class, outcome.effect) == (FailureClass.TRANSIENT, "unknown")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            server = await anyio.to_thread.run_sync(start_server, folder, FAST)
        assert found[0].done is False
        assert found[0].detail.startswith("parts 1 and 2 of 3 took effect and stay, part 3 did not")
        again = job("CREATE TABLE t (a int); VACUUM; SELECT 1", attempt=2, targets={"app": target})
        assert isinstance(await carry_out(again), Succeeded)
    finally:
        await target.close()
        await anyio.to_thread.run_sync(stop_server, server)


async def test_a_server_that_stays_away_settles_nothing(
    job: MakeJob, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_module, "PATIENCE_S", 0.1)
    away = Database(name="app", run="r1", conninfo="host=/nonexistent", version=180000)
    found = await evidence(job(ADD, targets={"app": away}))
    assert found.done is None
    assert found.detail.startswith("target app cannot be asked: ")


async def test_a_server_that_freezes_while_it_is_asked_settles_nothing(
    job: MakeJob, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_module, "PATIENCE_S", 0.0)
    monkeypatch.setattr(evidence_module, "ANSWER_S", 0.2)
    line = Line(at=b"pg_stat_activity", silent=True, of=(b"(evidence)\0",))
    async with through(line, database, tmp_path) as frozen:
        found = await evidence(job(ADD, targets={"app": frozen}))
    assert line.cut.is_set()
    assert found.done is None
    assert found.detail == "target app cannot be asked: the server has not answered in time"


async def test_a_server_that_freezes_while_it_is_probed_is_not_back(
    job: MakeJob, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "ANSWER_S", 0.2)
    line = Line(at=1, silent=True, of=(b"(probe)\0",))
    async with through(line, database, tmp_path) as frozen:
        made = job(ADD, targets={"app": frozen})
        found = await PostgresExecutor().probe(CONNECTION_SLOTS, made)
    assert line.cut.is_set()
    assert found == (False, "the server has not answered in time")


async def test_a_stalled_journal_keeps_no_lock(
    job: MakeJob, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = session_module._SETTINGS.replace(f"'{session_module.STALLED_S:.0f}s'", "'100ms'")
    monkeypatch.setattr(session_module, "_SETTINGS", quick)

    async def stalls(intent: Intent) -> None:
        job.heard.intents.append(intent)
        await nobody_left(database, made)

    made = job("CREATE TABLE t (a int)", intend=stalls)
    assert isinstance(await carry_out(made), InDoubt)
    found = await evidence(known(job, made))
    assert found.done is False
    assert await rows(database, "SELECT to_regclass('t')") == [(None,)]


# -- all of it -----------------------------------------------------------------------------------------------

STORY = "INSERT INTO t VALUES (1); CREATE INDEX CONCURRENTLY i ON t (a); INSERT INTO t VALUES (2)"


@pytest.mark.usefixtures("table")
async def test_whatever_is_cut_wherever_nothing_happens_twice_and_nothing_is_lost(
    job: MakeJob, database: Database, tmp_path: Path
) -> None:
    """At each request of an attempt the line is cut once, before one and after the next; attempts are made
    until one is through, and evidence is asked for what is in doubt, just as the engine does."""
    line = Line()
    async with somebody(database) as other:
        async with through(line, database, tmp_path) as whole:
            assert isinstance(await carry_out(job(STORY, run="whole", targets={"app": whole})), Succeeded)
        assert line.requests > 15
        doubts = 0
        for at in range(1, line.requests + 1):
            where: Where = "before" if at % 2 else "after"
            await other.execute("DROP TABLE t; CREATE TABLE t (a int)")
            (tmp_path / SOCKET).unlink()
            cut = Line(at=at, where=where)
            async with through(cut, database, tmp_path) as target:
                doubts += await _until_through(job, target, f"cut-{at}")
            assert cut.cut.is_set()
            assert await rows(database, "SELECT a FROM t ORDER BY 1") == [(1,), (2,)], at
            valid = await rows(database, "SELECT indisvalid FROM pg_index WHERE indrelid = 't'::regclass")
            assert valid == [(True,)], at
        assert doubts >= 3, "two COMMITs and a build"


async def _until_through(job: MakeJob, target: Database, run: str) -> int:
    """How often it was in doubt whether an attempt had taken effect."""
    doubts = 0
    intent: Intent | None = None
    for attempt in range(1, 6):
        job.heard.intents.clear()
        made = job(STORY, run=run, attempt=attempt, targets={"app": target}, intent=intent)
        outcome = await carry_out(made)
        intent = job.heard.intents[-1] if job.heard.intents else intent
        if isinstance(outcome, Succeeded):
            return doubts
        if isinstance(outcome, InDoubt):
            doubts += 1
            found = await evidence(replace(made, intent=intent))
            assert found.done is not None, found
            if found.done:
                return doubts
        else:
            assert not isinstance(outcome, Cancelled)
            assert outcome.failure_class is FailureClass.TRANSIENT, outcome
    raise AssertionError("no end")


async def _into(outcomes: list[Any], job: Job) -> None:
    outcomes.append(await carry_out(job))


async def _until_lost(connection: Any, sql: str) -> None:
    with pytest.raises(session_module.psycopg.Error):
        await connection.execute(sql)
