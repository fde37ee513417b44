"""Real SQLite files: the effect and its ledger row, always both or neither."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from engine.plan.models import FailureClass
from engine.tasks.base import Cancelled, Failed, InDoubt, Job, Succeeded, verdict
from engine.tasks.ledger import TABLE
from engine.tasks.sqlite import SqliteExecutor
from engine.tasks.sqlite_session import Session
from tests.tasks.conftest import MakeJob, carry_out

pytestmark = pytest.mark.anyio

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


def sql(text: str) -> dict[str, Any]:
    return {"sql": text, "on": "app"}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A look at the database from outside."""
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None, timeout=0)) as connection:
        yield connection


def rows(app: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
    return app.execute(query).fetchall()


def tables(app: sqlite3.Connection) -> list[str]:
    return [
        name for (name,) in rows(app, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    ]


async def evidence(job: Job) -> bool | None:
    return (await SqliteExecutor().evidence(job)).done


async def test_effect_and_ledger_row_are_committed_together(
    make_job: MakeJob, app: sqlite3.Connection
) -> None:
    job = make_job(
        sql("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2); SELECT a, 'x' AS b FROM t;"), attempt=2
    )
    assert await carry_out(job) == Succeeded(outputs={"rows": 2})
    assert rows(app, "SELECT a FROM t") == [(1,), (2,)]
    assert rows(app, f"SELECT run, task, attempt, purpose FROM {TABLE}") == [("r1", "t", 2, "run")]
    assert job.output.path.read_text().splitlines() == [
        "1: CREATE TABLE t (a);", "done",
        "2: INSERT INTO t VALUES (1), (2);", "2 rows changed",
        "3: SELECT a, 'x' AS b FROM t;", "a | b", "1 | x", "2 | x", "(2 rows)",
    ]  # fmt: skip


async def test_a_failure_in_the_middle_leaves_neither(make_job: MakeJob, app: sqlite3.Connection) -> None:
    job = make_job(
        sql("CREATE TABLE t (a);\nINSERT INTO t VALUES (1);\nINSERT INTO nowhere VALUES (2);\nSELECT 1")
    )
    outcome = await carry_out(job)
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.effect) == (FailureClass.PERMANENT, "none")
    assert outcome.rule == "built-in: SQLITE_ERROR"
    assert outcome.reason == (
        "statement 3 of 4 (line 3), `INSERT INTO nowhere VALUES (2);`: no such table: nowhere (SQLITE_ERROR)"
    )
    assert "error: statement 3 of 4" in outcome.tail
    assert tables(app) == []


async def test_evidence_follows_the_effect(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(sql("CREATE TABLE t (a)"))
    assert await evidence(job) is False
    assert not (tmp_path / "app.db").exists()
    await carry_out(job)
    assert await evidence(job) is True
    again = make_job(sql("CREATE TABLE t (a)"), attempt=2)
    assert await evidence(again) is False
    await carry_out(again)
    assert await evidence(again) is False
    assert await evidence(make_job(sql("CREATE TABLE t (a)"), purpose="rollback")) is False


async def test_evidence_names_a_text_that_has_changed(make_job: MakeJob) -> None:
    await carry_out(make_job(sql("CREATE TABLE t (a)")))
    found = await SqliteExecutor().evidence(make_job(sql("CREATE TABLE t (a, b)")))
    assert (found.done, found.by) == (True, "ledger")
    assert "by a different text" in found.detail


async def test_a_ledger_that_cannot_be_read_settles_nothing(make_job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "app.db").write_bytes(b"no database, but long enough to be one" * 100)
    found = await SqliteExecutor().evidence(make_job(sql("CREATE TABLE t (a)")))
    assert found.done is None
    assert "cannot be read" in found.detail


async def test_an_attempt_is_never_committed_twice(make_job: MakeJob, app: sqlite3.Connection) -> None:
    await carry_out(make_job(sql("CREATE TABLE t (a)")))
    outcome = await carry_out(make_job(sql("INSERT INTO t VALUES (1)")))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.rule) == (
        FailureClass.UNKNOWN,
        "engine: attempt in the ledger already",
    )
    assert rows(app, "SELECT * FROM t") == []


async def test_triggers_run_as_they_were_written(make_job: MakeJob, app: sqlite3.Connection) -> None:
    script = """
        CREATE TABLE t (a); CREATE TABLE log (a);
        CREATE TRIGGER keep AFTER INSERT ON t BEGIN
          INSERT INTO log VALUES (new.a); INSERT INTO log VALUES (-new.a);
        END;
        INSERT INTO t VALUES (7);
    """
    assert await carry_out(make_job(sql(script))) == Succeeded(outputs={"rows": 1})
    assert rows(app, "SELECT a FROM log") == [(7,), (-7,)]


async def test_transactions_of_its_own_are_refused(make_job: MakeJob, tmp_path: Path) -> None:
    outcome = await carry_out(make_job(sql("CREATE TABLE t (a);\nCOMMIT")))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.rule) == (FailureClass.PERMANENT, "engine: own transaction")
    assert "statement 2 (line 2), `COMMIT`" in outcome.reason
    assert not (tmp_path / "app.db").exists()


async def test_what_refuses_a_transaction_runs_statement_by_statement(
    make_job: MakeJob, app: sqlite3.Connection
) -> None:
    job = make_job(sql("PRAGMA journal_mode = WAL; CREATE TABLE t (a); VACUUM"))
    assert await carry_out(job) == Succeeded(outputs={"rows": 0})
    assert rows(app, "PRAGMA journal_mode") == [("wal",)]
    assert tables(app) == ["t"]
    assert await evidence(job) is None


@pytest.mark.parametrize(
    ("script", "effect"), [("VACUUM nowhere; SELECT 1", "none"), ("VACUUM; CREATE TABLE t (", "unknown")]
)
async def test_statement_by_statement_only_the_first_fails_without_effect(
    make_job: MakeJob, script: str, effect: str
) -> None:
    outcome = await carry_out(make_job(sql(script)))
    assert isinstance(outcome, Failed)
    assert outcome.effect == effect


async def test_a_constraint_is_permanent(make_job: MakeJob) -> None:
    outcome = await carry_out(make_job(sql("CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1), (1)")))
    assert isinstance(outcome, Failed)
    assert outcome.rule == "built-in: SQLITE_CONSTRAINT_UNIQUE"
    assert outcome.failure_class is FailureClass.PERMANENT


async def test_foreign_keys_are_enforced_up_to_the_commit(make_job: MakeJob, app: sqlite3.Connection) -> None:
    script = """
        CREATE TABLE a (id INTEGER PRIMARY KEY);
        CREATE TABLE b (a REFERENCES a DEFERRABLE INITIALLY DEFERRED);
        INSERT INTO b VALUES (1)
    """
    outcome = await carry_out(make_job(sql(script)))
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("COMMIT: FOREIGN KEY constraint failed")
    assert outcome.effect == "none"
    assert tables(app) == []


async def test_a_full_database_lacks_disk(make_job: MakeJob) -> None:
    script = "PRAGMA max_page_count = 5; CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(100000))"
    outcome = await carry_out(make_job(sql(script)))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.resource, outcome.effect) == (
        FailureClass.RESOURCE,
        "disk",
        "none",
    )


async def test_a_file_that_is_no_database_is_fatal(make_job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "app.db").write_bytes(b"no database, but long enough to be one" * 100)
    outcome = await carry_out(make_job(sql("CREATE TABLE t (a)")))
    assert isinstance(outcome, Failed)
    assert (outcome.rule, outcome.fatal) == ("built-in: SQLITE_NOTADB", True)


async def test_a_lock_is_waited_for_and_then_transient(make_job: MakeJob, app: sqlite3.Connection) -> None:
    app.execute("BEGIN IMMEDIATE")
    outcome = await carry_out(make_job(sql("CREATE TABLE t (a)"), lock_timeout_s=0.3))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.effect) == (FailureClass.TRANSIENT, "none")
    assert outcome.reason.startswith("BEGIN IMMEDIATE: database is locked")


async def test_a_lock_that_goes_away_in_time_is_no_failure(
    make_job: MakeJob, app: sqlite3.Connection
) -> None:
    app.execute("BEGIN IMMEDIATE")

    async def let_go() -> None:
        await anyio.sleep(0.15)  # longer than SQLite's own wait
        app.execute("ROLLBACK")

    async with anyio.create_task_group() as group:
        group.start_soon(let_go)
        outcome = await carry_out(make_job(sql("CREATE TABLE t (a)"), lock_timeout_s=20.0))
    assert isinstance(outcome, Succeeded)


async def test_waiting_for_a_lock_can_be_stopped(make_job: MakeJob, app: sqlite3.Connection) -> None:
    app.execute("BEGIN IMMEDIATE")
    job = make_job(sql("CREATE TABLE t (a)"), lock_timeout_s=300.0, timeout_s=0.2)
    with anyio.fail_after(10):
        outcome = await carry_out(job)
    assert isinstance(outcome, Failed)
    assert outcome.rule == "engine: timeout"


async def test_a_timeout_interrupts_and_rolls_back(make_job: MakeJob, app: sqlite3.Connection) -> None:
    with anyio.fail_after(10):
        outcome = await carry_out(make_job(sql(f"CREATE TABLE t (a); {ENDLESS}"), timeout_s=0.2))
    assert isinstance(outcome, Failed)
    assert (outcome.rule, outcome.failure_class, outcome.effect) == (
        "engine: timeout",
        FailureClass.TRANSIENT,
        "none",
    )
    assert "WITH RECURSIVE" in outcome.reason
    assert tables(app) == []


async def test_an_interruption_between_autocommitted_statements_is_of_unknown_effect(
    make_job: MakeJob,
) -> None:
    outcome = await carry_out(make_job(sql(f"VACUUM; {ENDLESS}"), timeout_s=0.3))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.effect) == (FailureClass.UNKNOWN, "unknown")


async def test_stop_interrupts_and_rolls_back(make_job: MakeJob, app: sqlite3.Connection) -> None:
    many = "SELECT 1;" * 101  # so many that what came of them is told before the endless one is over
    job = make_job(sql(f"CREATE TABLE t (a); {many} {ENDLESS}"), on_lines=lambda _: job.stop.set())
    with anyio.fail_after(10):
        assert await carry_out(job) == Cancelled(effect="none", reason="ended on request")
    assert tables(app) == []


async def test_a_cancelled_scope_rolls_back_too(make_job: MakeJob, app: sqlite3.Connection) -> None:
    many = "SELECT 1;" * 101
    async with anyio.create_task_group() as group:
        job = make_job(
            sql(f"CREATE TABLE t (a); {many} {ENDLESS}"), on_lines=lambda _: group.cancel_scope.cancel()
        )
        group.start_soon(carry_out, job)
    assert tables(app) == []
    app.execute("BEGIN EXCLUSIVE")  # nobody holds on to the database


def lose_the_answer(
    monkeypatch: pytest.MonkeyPatch, what_happened: str, afterwards: Callable[[], object]
) -> None:
    """Let each COMMIT end in an I/O error, whatever really happened."""
    execute = Session._execute

    def replaced(session: Session, connection: sqlite3.Connection, statement: str) -> sqlite3.Cursor:
        if statement != "COMMIT":
            return execute(session, connection, statement)
        execute(session, connection, what_happened)
        afterwards()
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR, "SQLITE_IOERR"
        raise error

    monkeypatch.setattr(Session, "_execute", replaced)


async def test_a_commit_that_was_carried_out_is_found_in_the_ledger(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_answer(monkeypatch, "COMMIT", bool)
    assert isinstance(await carry_out(make_job(sql("CREATE TABLE t (a)"))), Succeeded)


async def test_a_commit_that_was_undone_is_not_in_the_ledger(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_answer(monkeypatch, "ROLLBACK", bool)
    outcome = await carry_out(make_job(sql("CREATE TABLE t (a)")))
    assert isinstance(outcome, Failed)
    assert (outcome.resource, outcome.effect) == ("disk", "none")


async def test_a_commit_that_nobody_can_look_up_is_in_doubt(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    garbage = b"no database, but long enough to be one" * 100
    lose_the_answer(monkeypatch, "COMMIT", lambda: (tmp_path / "app.db").write_bytes(garbage))
    outcome = await carry_out(make_job(sql("CREATE TABLE t (a)")))
    assert isinstance(outcome, InDoubt)
    assert "disk I/O error" in outcome.reason


@pytest.mark.parametrize(
    ("query", "done"),
    [
        ("SELECT count(*) = 1 FROM t", True),
        ("SELECT 'there' FROM t; ", True),
        ("SELECT count(*) = 2 FROM t", False),
        ("SELECT NULL", False),
        ("SELECT 1 FROM t WHERE a = 2", False),
        ("SELECT 1 FROM nowhere", None),
        ("-- nothing", None),
        ("DELETE FROM t", None),
    ],
)
async def test_verify_tells_by_the_first_value(
    make_job: MakeJob, app: sqlite3.Connection, query: str, done: bool | None
) -> None:
    app.execute("CREATE TABLE t (a)")
    app.execute("INSERT INTO t VALUES (1)")
    found = verdict(await carry_out(make_job(sql(query), purpose="verify")))
    assert found.done is done
    assert rows(app, "SELECT a FROM t") == [(1,)]
    assert tables(app) == ["t"]


async def test_a_verify_creates_no_database(make_job: MakeJob, tmp_path: Path) -> None:
    found = verdict(await carry_out(make_job(sql("SELECT 1"), purpose="verify")))
    assert found.done is None
    assert not (tmp_path / "app.db").exists()


async def test_a_verify_says_what_it_found(make_job: MakeJob) -> None:
    await carry_out(make_job(sql("CREATE TABLE t (a)")))
    outcome = await carry_out(make_job(sql("SELECT count(*) FROM t"), purpose="verify"))
    assert isinstance(outcome, Failed)
    assert outcome.reason == "verify says that the task is not done: it found 0"


async def test_sql_may_come_from_a_file(make_job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "up.sql").write_text("CREATE TABLE t (a);")
    job = make_job({"sql_file": "up.sql", "on": "app"})
    assert isinstance(await carry_out(job), Succeeded)
    assert await evidence(job) is True
    missing = await carry_out(make_job({"sql_file": "down.sql", "on": "app"}))
    assert isinstance(missing, Failed)
    assert (missing.rule, missing.effect) == ("engine: script", "none")
    assert "down.sql" in missing.reason


async def test_rows_are_counted_but_not_all_shown(make_job: MakeJob) -> None:
    series = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000)"
    job = make_job(
        sql(f"CREATE TABLE t (a, b); INSERT INTO t {series} SELECT x, x'00' FROM n; SELECT * FROM t"),
    )
    assert await carry_out(job) == Succeeded(outputs={"rows": 3000})
    assert "20 | 1 bytes" in job.output.tail()
    assert "21 | 1 bytes" not in job.output.tail()
    assert job.output.last_line() == "(3,000 rows, the first 20 shown)"


async def test_values_of_the_database_are_foreign_text(make_job: MakeJob) -> None:
    secret = "hunter2" * 20
    job = make_job(
        sql("SELECT replace(hex(zeroblob(10)), '00', 'hunter2hunter2'), char(27) || '[2J'"),
        secrets={secret: "${PW}"},
    )
    await carry_out(job)
    assert "${PW} | ␛[2J" in job.output.path.read_text()


async def test_many_attempts_at_one_database_all_take_effect(
    make_job: MakeJob, app: sqlite3.Connection
) -> None:
    await carry_out(make_job(sql("CREATE TABLE t (a)")))
    async with anyio.create_task_group() as group:
        for number in range(2, 42):
            own = {"id": f"t{number}"}
            job = make_job(sql(f"INSERT INTO t VALUES ({number})"), task=own, lock_timeout_s=30.0)
            group.start_soon(carry_out, job)
    assert rows(app, "SELECT count(DISTINCT a) FROM t") == [(40,)]
    assert rows(app, f"SELECT count(*) FROM {TABLE}") == [(41,)]


async def test_disk_space_is_looked_for_beside_the_database(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    free = shutil.disk_usage(tmp_path)._replace(free=2**30)

    def usage(folder: Path) -> object:
        asked.append(folder)
        return free

    monkeypatch.setattr("engine.tasks.resources.shutil.disk_usage", usage)
    available, detail = await SqliteExecutor().probe("disk", make_job(sql("SELECT 1")))
    assert available
    assert detail == "1,024 MiB free on the disk; 64 MiB are needed"
    assert asked == [tmp_path]
