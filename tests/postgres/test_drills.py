"""Failure drills: whole runs on a real server, each with one thing that goes wrong while it goes on.

The trouble comes, and goes, by what the run itself has told: nothing here waits for time to pass."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from engine.journal.rundir import RunDir
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.state import State, TaskState
from engine.machine.transitions import RunStatus, TaskStatus
from engine.plan.load import load_plan
from engine.runner.feed import Feed
from engine.runner.opening import Options, new_run, resumed_run
from engine.tasks.postgres.embedded import start_server, stop_server
from tests.postgres.conftest import FAST
from tests.postgres.waiting import eventually

pytestmark = pytest.mark.anyio

HEAD = """\
wesley: 1
name: drill
retry: {{attempts: 8, base: 20ms, cap: 200ms}}
defaults: {{lock_timeout: 200ms, lock_patience: 20s}}
targets: {{app: {{postgres: "{conninfo}"}}}}
tasks:
"""
Trouble = Callable[["Drill"], Awaitable[None]]


class Drill:
    """A run under way. `events` are those that are durable so far."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.events: list[ev.Event] = []
        self._news = anyio.Event()

    async def follow(self, feed: Feed) -> None:
        async for events in feed:
            self.events += events
            self._news.set()
            self._news = anyio.Event()

    async def told(self, kind: type[ev.Event], **fields: object) -> Any:
        """The first event of `kind` with these fields, once there is one."""
        with anyio.fail_after(30):
            while True:
                for event in self.of(kind):
                    if all(getattr(event, name) == value for name, value in fields.items()):
                        return event
                await self._news.wait()

    async def next_of(self, *kinds: type[ev.Event]) -> Any:
        """The first event of these kinds that comes from now on."""
        known = len(self.events)
        with anyio.fail_after(30):
            while True:
                for event in self.events[known:]:
                    if isinstance(event, kinds):
                        return event
                await self._news.wait()

    def of(self, kind: type[ev.Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @asynccontextmanager
    async def session(self) -> AsyncIterator["psycopg.AsyncConnection[Any]"]:
        """Somebody else's connection, in autocommit."""
        async with await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True) as connection:
            yield connection

    async def at(self, task: str, words: str) -> int:
        """Wait until the first attempt at `task` is at a statement with these words; its backend's pid."""
        application = f"wesley r1/{task}/1-%"
        which = f"application_name LIKE '{application}' AND query ~ '{words}'"
        pid: int = await eventually(lambda: self.ask(f"SELECT pid FROM pg_stat_activity WHERE {which}"))
        return pid

    async def do(self, sql: str) -> None:
        async with self.session() as connection:
            await connection.execute(sql.encode())

    async def ask(self, query: str) -> Any:
        async with self.session() as connection:
            row = await (await connection.execute(query.encode())).fetchone()
        return row[0] if row else None


@pytest.fixture
def before(conninfo: str) -> Callable[[str], None]:
    """Executes SQL on the database before the run."""

    def execute(sql: str) -> None:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(sql.encode())

    return execute


async def drilled(folder: Path, conninfo: str, tasks: str, trouble: Trouble) -> tuple[State, Drill]:
    """The run of `tasks` with `trouble` beside it: what it came to, by its end or by a question."""
    (folder / "plan.yaml").write_text(HEAD.format(conninfo=conninfo) + tasks)
    loaded = load_plan(folder / "plan.yaml")
    drill, feed = Drill(conninfo), Feed()
    options = Options(actor="ann", stop_at_question=True)
    with new_run(loaded, loaded.plan, folder / "state", "r1", options) as run:
        run.runner.watched_by(feed)
        async with anyio.create_task_group() as beside:
            beside.start_soon(drill.follow, feed)
            beside.start_soon(trouble, drill)
            with anyio.fail_after(50):
                state = await run.runner.run()
    return state, drill


def failures(task: TaskState) -> list[tuple[str, str | None]]:
    """Class and SQLSTATE of each attempt that failed."""
    return [(each.failure_class.value, each.sqlstate) for each in task.attempts if each.failure_class]


def invalid_indexes(conninfo: str) -> list[str]:
    with psycopg.connect(conninfo) as connection:
        query = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
        return [row[0] for row in connection.execute(query)]


async def nothing(_: Drill) -> None:
    """The trouble is in the database already."""


async def test_a_lock_held_by_another_session(
    tmp_path: Path, conninfo: str, before: Callable[[str], None]
) -> None:
    """Its holder is named, the readers behind us get through again and again while it is held, and once it is
    let go the task goes through, in the same attempt."""
    before("CREATE TABLE orders (id int)")
    stalls: list[float] = []

    async def got_through(reads: int) -> bool:
        return len(stalls) >= reads

    async def trouble(drill: Drill) -> None:
        async with anyio.create_task_group() as beside:
            beside.start_soon(read, drill)
            wait: ev.LockWaitChanged = await drill.told(ev.LockWaitChanged, task="alter")
            begun = len(stalls)
            await eventually(lambda: got_through(begun + 3))
            assert [blocker.pid for blocker in wait.blockers] == [holder.info.backend_pid]
            assert wait.blockers[0].state == "idle in transaction"
            assert "orders" in wait.relation
            await holder.execute("COMMIT")
            await drill.told(ev.TaskSucceeded, task="alter")
            beside.cancel_scope.cancel()

    async def read(drill: Drill) -> None:
        async with drill.session() as reader:
            while True:
                began = time.monotonic()
                await reader.execute("SELECT count(*) FROM orders")
                stalls.append(time.monotonic() - began)
                await anyio.sleep(0.005)

    tasks = '  - {id: alter, run: {on: app, sql: "ALTER TABLE orders ADD COLUMN note text"}}\n'
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as holder:
        await holder.execute("BEGIN; SELECT * FROM orders")
        state, _ = await drilled(tmp_path, conninfo, tasks, trouble)
    assert state.status is RunStatus.COMPLETED
    assert failures(state.tasks["alter"]) == [], state.tasks["alter"].attempts[0].reason
    assert state.tasks["alter"].underway.lock_wait is None
    assert max(stalls) < 1.0, f"a reader waited {max(stalls):.3f} s, and a try is given up after 0.2 s"


async def test_a_deadlock(tmp_path: Path, conninfo: str, before: Callable[[str], None]) -> None:
    before("CREATE TABLE a AS SELECT 0 AS n; CREATE TABLE b AS SELECT 0 AS n; CREATE TABLE gate (n int)")

    async def trouble(drill: Drill) -> None:
        async with drill.session() as other:
            await other.execute("SET deadlock_timeout = '1min'")
            await other.execute("BEGIN; UPDATE b SET n = n + 10")
            await drill.at("both", "sleep")
            await other.execute("UPDATE a SET n = n + 10; COMMIT")

    # We look for a deadlock before our lock timeout ends the wait, and so it is us that the server ends.
    tasks = """\
  - id: both
    run:
      on: app
      sql: |
        SET LOCAL deadlock_timeout = '50ms';
        SET LOCAL lock_timeout = '10s';
        UPDATE a SET n = n + 1;
        SELECT pg_sleep(0.3);
        UPDATE b SET n = n + 1;
"""
    state, drill = await drilled(tmp_path, conninfo, tasks, trouble)
    assert state.status is RunStatus.COMPLETED
    assert "deadlock detected" in (tmp_path / "state/runs/r1/output/both/1-run.log").read_text()
    assert await drill.ask("SELECT (SELECT n FROM a)::text || (SELECT n FROM b)::text") == "1111"


async def test_a_unique_violation_in_a_concurrent_build(
    tmp_path: Path, conninfo: str, before: Callable[[str], None]
) -> None:
    before("CREATE TABLE orders AS SELECT 1 AS id FROM generate_series(1, 2)")
    tasks = """\
  - {id: index, run: {on: app, sql: "CREATE UNIQUE INDEX CONCURRENTLY orders_id ON orders (id)"}}
  - {id: after, needs: [index], run: {on: app, sql: "SELECT 1"}}
"""
    state, _ = await drilled(tmp_path, conninfo, tasks, nothing)
    assert state.status is RunStatus.COMPLETED
    assert failures(state.tasks["index"]) == [("permanent", "23505")]
    assert state.tasks["after"].status is TaskStatus.BLOCKED
    assert invalid_indexes(conninfo) == []


async def test_what_somebody_has_applied_already(
    tmp_path: Path, conninfo: str, before: Callable[[str], None]
) -> None:
    before("CREATE TABLE orders (id int)")
    tasks = """\
  - id: make
    critical: true
    run: {on: app, sql: "CREATE TABLE orders (id int)"}
    verify: {on: app, sql: "SELECT count(*) = 0 FROM orders"}
  - {id: after, needs: [make], run: {on: app, sql: "INSERT INTO orders VALUES (1)"}}
"""
    state, _ = await drilled(tmp_path, conninfo, tasks, nothing)
    ((number, question),) = state.questions.items()
    assert failures(state.tasks["make"]) == [("unknown", "42P07")]
    assert "Was it already applied?" in question.reason
    with resumed_run(RunDir(tmp_path / "state/runs/r1"), Options(actor="ann")) as run:
        done = rep.Decide(question=number, action="skip", mode="assert_done", actor="ann")
        run.runner.report(done)
        with anyio.fail_after(50):
            state = await run.runner.run()
    assert state.status is RunStatus.COMPLETED
    assert state.tasks["make"].status is state.tasks["after"].status is TaskStatus.SUCCEEDED
    output = tmp_path / "state/runs/r1/output/make"
    assert any("verify" in each.name for each in output.iterdir())


async def test_a_killed_backend(tmp_path: Path, conninfo: str, before: Callable[[str], None]) -> None:
    before("CREATE TABLE done (n int); CREATE TABLE gate AS SELECT 1 AS shut")

    async def trouble(drill: Drill) -> None:
        pid = await drill.at("slow", "shut")
        await drill.do("UPDATE gate SET shut = 0")
        await drill.ask(f"SELECT pg_terminate_backend({pid}, 5000)")

    tasks = """\
  - id: slow
    run: {on: app, sql: "INSERT INTO done VALUES (1); SELECT pg_sleep(20 * shut) FROM gate"}
"""
    state, drill = await drilled(tmp_path, conninfo, tasks, trouble)
    assert state.status is RunStatus.COMPLETED
    assert failures(state.tasks["slow"]) == [("transient", "57P01")]
    assert await drill.ask("SELECT count(*) FROM done") == 1


async def test_a_server_restart(tmp_path: Path) -> None:
    """In the middle of a task, with the migration lock and every connection lost."""
    server = start_server(tmp_path / "server", FAST)
    try:
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute("CREATE TABLE done (n int)")
            connection.execute("CREATE TABLE gate AS SELECT 1 AS shut")

        async def trouble(drill: Drill) -> None:
            nonlocal server
            await drill.at("slow", "shut")
            await drill.do("UPDATE gate SET shut = 0")
            await anyio.to_thread.run_sync(stop_server, server)
            server = await anyio.to_thread.run_sync(start_server, tmp_path / "server", FAST)

        tasks = """\
  - id: slow
    run: {on: app, sql: "INSERT INTO done VALUES (1); SELECT pg_sleep(20 * shut) FROM gate"}
  - {id: after, needs: [slow], run: {on: app, sql: "INSERT INTO done VALUES (2)"}}
"""
        state, drill = await drilled(tmp_path, server.conninfo, tasks, trouble)
        assert state.status is RunStatus.COMPLETED
        assert failures(state.tasks["slow"])[0] == ("transient", "57P01")
        assert await drill.ask("SELECT count(*) FROM done") == 2
    finally:
        stop_server(server)


async def test_full_connection_slots(tmp_path: Path, conninfo: str, before: Callable[[str], None]) -> None:
    role = "few_" + conninfo.rpartition("=")[2]
    before(f"CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}")

    async def trouble(drill: Drill) -> None:
        drill.conninfo = conninfo  # the owner's, not that of the role that runs the plan
        await drill.told(ev.TaskStarted, task="pause")
        await drill.do(f"ALTER ROLE {role} CONNECTION LIMIT 1")
        (tmp_path / "full").touch()
        await drill.told(ev.TaskFailed, sqlstate="53300")
        await drill.do(f"ALTER ROLE {role} CONNECTION LIMIT 9")

    tasks = """\
  - {id: pause, run: {shell: "until [ -e full ]; do sleep 0.02; done"}}
  - {id: write, needs: [pause], run: {on: app, sql: "SELECT 2"}}
"""
    limited = psycopg.conninfo.make_conninfo(conninfo, user=role)
    state, _ = await drilled(tmp_path, limited, tasks, trouble)
    before(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert state.status is RunStatus.COMPLETED
    assert failures(state.tasks["write"])[0] == ("resource", "53300")


async def test_a_serialization_failure(tmp_path: Path, conninfo: str, before: Callable[[str], None]) -> None:
    before("CREATE TABLE stock AS SELECT 5 AS n")

    async def trouble(drill: Drill) -> None:
        await drill.at("sell", "sleep")
        await drill.do("UPDATE stock SET n = n - 1")

    tasks = """\
  - id: sell
    run:
      on: app
      sql: |
        SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
        SELECT n FROM stock;
        SELECT pg_sleep(0.4);
        UPDATE stock SET n = n - 1;
"""
    state, drill = await drilled(tmp_path, conninfo, tasks, trouble)
    assert state.status is RunStatus.COMPLETED
    assert failures(state.tasks["sell"]) == [("transient", "40001")]
    assert await drill.ask("SELECT n FROM stock") == 3


async def test_a_failover_to_a_server_that_takes_no_writes(
    tmp_path: Path, conninfo: str, before: Callable[[str], None]
) -> None:
    name = conninfo.rpartition("=")[2]
    before(f"CREATE TABLE t (n int); ALTER DATABASE {name} SET default_transaction_read_only = on")

    async def trouble(drill: Drill) -> None:
        await drill.told(ev.RetryScheduled, task="write")
        async with drill.session() as owner:
            await owner.execute("SET default_transaction_read_only = off")
            await owner.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())

    tasks = '  - {id: write, run: {on: app, sql: "INSERT INTO t VALUES (1)"}}\n'
    state, drill = await drilled(tmp_path, conninfo, tasks, trouble)
    assert state.status is RunStatus.COMPLETED
    assert failures(state.tasks["write"])[0] == ("transient", "25006")
    assert await drill.ask("SELECT count(*) FROM t") == 1


async def test_a_disk_that_is_full(tmp_path: Path, conninfo: str, before: Callable[[str], None]) -> None:
    """The server is made to say so by a trigger: a disk of its own to fill, it does not have here."""
    before(
        "CREATE TABLE t (n int); CREATE TABLE disk AS SELECT true AS full_up;"
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF (SELECT full_up FROM disk) THEN RAISE 'could not extend file' USING ERRCODE = '53100'; END IF; "
        "RETURN new; END $$;"
        "CREATE TRIGGER t_no_room BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no_room()"
    )

    async def trouble(drill: Drill) -> None:
        waiting: ev.TaskWaiting = await drill.told(ev.TaskWaiting, task="write")
        assert waiting.reason.startswith("disk")
        await drill.do("UPDATE disk SET full_up = false")

    tasks = '  - {id: write, run: {on: app, sql: "INSERT INTO t VALUES (1)"}}\n'
    state, drill = await drilled(tmp_path, conninfo, tasks, trouble)
    assert state.status is RunStatus.COMPLETED
    assert failures(state.tasks["write"])[0] == ("resource", "53100")
    assert await drill.ask("SELECT count(*) FROM t") == 1


@pytest.mark.parametrize("limit", ["the task's", "the server's"])
async def test_a_statement_timeout(
    tmp_path: Path, conninfo: str, before: Callable[[str], None], limit: str
) -> None:
    before("CREATE TABLE t (n int); CREATE TABLE gate AS SELECT 1 AS shut")

    async def trouble(drill: Drill) -> None:
        await drill.told(ev.TaskFailed, task="slow")
        await drill.do("UPDATE gate SET shut = 0")

    timeout = "timeout: 300ms, " if limit == "the task's" else ""
    own = "SET LOCAL statement_timeout = '200ms'; " if not timeout else ""
    sql = f"{own}INSERT INTO t VALUES (1); SELECT pg_sleep(20 * shut) FROM gate"
    state, drill = await drilled(
        tmp_path, conninfo, f'  - {{id: slow, {timeout}run: {{on: app, sql: "{sql}"}}}}\n', trouble
    )
    assert state.status is RunStatus.COMPLETED
    expected = ("transient", None) if timeout else ("resource", "57014")
    assert failures(state.tasks["slow"])[0] == expected
    assert await drill.ask("SELECT count(*) FROM t") == 1
