"""Runs that ended before their end, by whatever, taken up again: nothing is lost, nothing is done twice."""

import shlex
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli.program import Gate, Program, await_event, ended, kill_tree, live, write_plan

UNDER_WAY = """
  - {{id: before, run: {{shell: "echo before >> w"}}}}
  - {{id: a, needs: [before]{more}, run: {{shell:
       "echo a$WESLEY_ATTEMPT >> w; test -e go || {{ {stop}; }}; echo end$WESLEY_ATTEMPT >> w"}}}}
  - {{id: after, run: {{shell: "echo after >> w"}}, needs: [a]}}
"""


class UnderWay:
    """A run `r` that is stopped in the middle of a task `a`."""

    def __init__(self, program: Program, gate: Gate) -> None:
        self.program = program
        self.gate = gate

    def interrupt(self, number: signal.Signals, more: str = "", *, with_its_tasks: bool = True) -> None:
        plan = write_plan(self.program.folder, UNDER_WAY.format(stop=self.gate.stop, more=more))
        with live(self.program.spawn("run", plan, "--headless", "--run-id", "r")) as child:
            self.gate.reached()
            if number == signal.SIGKILL and with_its_tasks:
                kill_tree(child.pid)
            else:
                child.send_signal(number)
            child.wait()
        (self.program.folder / "go").touch()

    @property
    def did(self) -> list[str]:
        return (self.program.folder / "w").read_text().split()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.program.events("r") if event["kind"] == kind]


@pytest.fixture
def under_way(program: Program, gate: Gate) -> UnderWay:
    return UnderWay(program, gate)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_a_task_cut_off_in_its_middle_is_asked_about(under_way: UnderWay, number: signal.Signals) -> None:
    under_way.interrupt(number)
    under_way.program("resume", "r", "--headless").wants(6)
    assert under_way.did == ["before", "a1"]
    assert under_way.program.inspect("r")["question"]["about"] == "doubt"
    assert under_way.program.statuses("r") == {"before": "succeeded", "a": "in_doubt", "after": "pending"}
    assert [event["task"] for event in under_way.of("task_in_doubt")] == ["a"]
    under_way.program("resume", "r", "--headless", "--on-unknown", "retry").wants(0)
    assert under_way.did == ["before", "a1", "a2", "end2", "after"]


@pytest.mark.parametrize(
    ("more", "settled_by", "did"),
    [
        (", idempotent: true", "idempotent", ["before", "a1", "a2", "end2", "after"]),
        (', verify: {shell: "grep a1 w"}', "verify", ["before", "a1", "after"]),
        (', verify: {shell: "grep end w"}', "verify", ["before", "a1", "a2", "end2", "after"]),
    ],
    ids=["idempotent", "verify says yes", "verify says no"],
)
def test_doubt_is_settled_by_what_there_is_to_settle_it(
    under_way: UnderWay, more: str, settled_by: str, did: list[str]
) -> None:
    under_way.interrupt(signal.SIGKILL, more)
    under_way.program("resume", "r", "--headless").wants(0)
    assert under_way.did == did
    (settled,) = under_way.of("doubt_settled")
    assert (settled["task"], settled["by"]) == ("a", settled_by)


def test_what_is_left_of_a_killed_engine_is_not_run_beside(under_way: UnderWay) -> None:
    under_way.interrupt(signal.SIGKILL, ", idempotent: true", with_its_tasks=False)
    (under_way.program.folder / "go").unlink()
    under_way.program("resume", "r", "--headless").wants(6)
    assert "still running" in under_way.program.inspect("r")["question"]["evidence"]
    assert under_way.did == ["before", "a1"]
    survivors = [p for p in psutil.process_iter() if _belongs_to(p, under_way.program.folder)]
    under_way.gate.open()
    psutil.wait_procs(survivors, timeout=10)
    (under_way.program.folder / "go").touch()
    under_way.program("resume", "r", "--headless", "--on-unknown", "retry").wants(0)
    assert under_way.did == ["before", "a1", "end1", "a2", "end2", "after"]


def _belongs_to(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.name() == "sh" and process.cwd() == str(folder)
    except psutil.Error:
        return False


SQL = """
  - {id: fill, run: {sql: "INSERT INTO t VALUES (1); INSERT INTO t SELECT y FROM v", on: app}}
  - {id: after, run: {sql: "INSERT INTO t VALUES (2)", on: app}, needs: [fill]}
"""
ENDLESS = "WITH RECURSIVE n (y) AS (SELECT 1 UNION ALL SELECT y + 1 FROM n) SELECT y FROM n WHERE y < 0"


class Database:
    """The database that the plan SQL works on; what it reads from the view `v` is the test's to say."""

    def __init__(self, program: Program) -> None:
        self._path = program.folder / "app.db"
        self._do("CREATE TABLE t (x)")

    def read_from(self, query: str) -> None:
        self._do("DROP VIEW IF EXISTS v", f"CREATE VIEW v AS {query}")

    def rows(self) -> list[int]:
        return [x for (x,) in self._do("SELECT x FROM t ORDER BY rowid")]

    def await_writer(self) -> None:
        """Until somebody else is in the middle of writing."""
        while True:
            try:
                self._do("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return

    def _do(self, *statements: str) -> list[Any]:
        with closing(sqlite3.connect(self._path, timeout=0, isolation_level=None)) as connection:
            return [connection.execute(statement).fetchall() for statement in statements][-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_sql_cut_off_in_its_middle_takes_effect_exactly_once(
    program: Program, number: signal.Signals
) -> None:
    plan = write_plan(program.folder, SQL, targets="{app: {sqlite: app.db}}")
    database = Database(program)
    database.read_from(ENDLESS)
    with live(program.spawn("run", plan, "--json", "--run-id", "r")) as child:
        await_event(child, "task_started", task="fill")
        database.await_writer()
        child.send_signal(number)
        child.wait()
    database.read_from("SELECT 3 AS y")
    program("resume", "r", "--headless").wants(0)
    assert database.rows() == [1, 3, 2]
    events = [event for event in program.events("r") if event.get("task") == "fill"]
    assert [event["attempt"] for event in events if event["kind"] == "task_started"] == [1, 2]
    settled = [event["by"] for event in events if event["kind"] == "doubt_settled"]
    assert settled == (["ledger"] if number == signal.SIGKILL else [])


def test_an_aborted_run_goes_on_where_it_stood(under_way: UnderWay) -> None:
    under_way.interrupt(signal.SIGINT, ", idempotent: true")
    assert under_way.program.inspect("r")["status"] == "aborted"
    under_way.program("resume", "r", "--headless").wants(0)
    assert under_way.did == ["before", "a1", "a2", "end2", "after"]
    seqs = [event["seq"] for event in under_way.program.events("r")]
    assert seqs == list(range(1, len(seqs) + 1))
    under_way.program("verify", "r").wants(0)


@pytest.mark.parametrize(("command", "code"), [("true", 0), ("exit 64", 3)])
def test_to_resume_what_is_complete_changes_nothing_and_ends_alike(
    program: Program, command: str, code: int
) -> None:
    plan = write_plan(program.folder, f'  - {{id: a, run: {{shell: "echo x >> w; {command}"}}}}\n')
    program("run", plan, "--headless", "--run-id", "r").wants(code)
    run = program.state / "runs" / "r"
    before = _contents(run)
    for flags in (["--headless"], ["--json"], ["--headless", "--on-unknown", "retry"]):
        result = program("resume", "r", *flags).wants(code)
        assert "nothing left to resume" in result.err
        assert result.out == ""
    assert _contents(run) == before
    assert (program.folder / "w").read_text() == "x\n"


def _contents(run: Path) -> dict[str, bytes]:
    """Every file that a run consists of: not the lock, nor what SQLite keeps beside a database to read it."""
    passing = ("owner.lock", "journal.db-shm", "journal.db-wal")
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in passing
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_a_rollback_cut_off_in_the_middle_of_a_step_is_finished(
    program: Program, gate: Gate, number: signal.Signals
) -> None:
    undo = f"echo -b >> w; test -e go || {{ {gate.stop}; }}"
    plan = write_plan(
        program.folder,
        f"""
  - {{id: a, run: {{shell: "echo +a >> w"}}, rollback: {{shell: "echo -a >> w"}}}}
  - {{id: b, run: {{shell: "echo +b >> w"}}, rollback: {{shell: "{undo}"}}, needs: [a]}}
  - {{id: c, run: {{shell: "exit 64"}}, needs: [b], critical: true}}
""",
        checkpoints="{progress: 100}",
    )
    with live(program.spawn("run", plan, "--headless", "--run-id", "r")) as child:
        gate.reached()
        kill_tree(child.pid) if number == signal.SIGKILL else child.send_signal(number)
        child.wait()
    (program.folder / "go").touch()
    program("resume", "r", "--headless").wants(6)
    question = program.inspect("r")["question"]
    assert (question["about"], question["task"]) == ("rollback_step", "b")
    assert (program.folder / "w").read_text().split() == ["+a", "+b", "-b"]
    program("resume", "r", "--headless", "--on-unknown", "rollback").wants(5)
    assert (program.folder / "w").read_text().split() == ["+a", "+b", "-b", "-b", "-a"]
    assert program.statuses("r") == {"a": "rolled_back", "b": "rolled_back", "c": "failed"}


def test_what_is_said_last_is_how_to_go_on_wherever_the_run_lives(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "test -e ok"}}\n')
    elsewhere = program.folder / "else where"
    for run, where in (("here", []), ("there", ["--state-dir", elsewhere])):
        out = program("run", plan, "--headless", "--run-id", run, *where).wants(6).out
        (program.folder / "ok").touch()
        said = shlex.split(out.splitlines()[-1].partition("go on with: wesley-console ")[2])
        program(*said, "--headless", "--on-unknown", "retry", folder=Path("/")).wants(0)
        assert program("inspect", run, "--json", *where).wants(0).json["status"] == "completed"
        (program.folder / "ok").unlink()


def test_a_run_that_never_started_is_refused_and_its_plan_can_be_run(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "true"}}\n')
    run = program.state / "runs" / "r"
    (run / "checkpoints").mkdir(parents=True)
    (run / "output").mkdir()
    (run / "owner.lock").touch()
    assert "run the plan again" in program("resume", "r", "--headless").wants(7).err
    assert [listed["run"] for listed in program("runs", "--json").wants(0).json] == ["r"]
    program("run", plan, "--headless", "--run-id", "r").wants(0)


def test_a_second_signal_does_not_cut_the_stop_short(program: Program, gate: Gate) -> None:
    """A task that ignores SIGTERM keeps the engine waiting: another Ctrl-C must not leave it behind."""
    tasks = f"  - {{id: a, run: {{shell: \"trap 'echo asked >> w' TERM; {gate.stop}; {gate.stop}\"}}}}\n"
    plan = write_plan(program.folder, tasks)
    with live(program.spawn("run", plan, "--json", "--run-id", "r")) as child:
        gate.reached()
        child.send_signal(signal.SIGINT)
        await_event(child, "run_stopping")
        child.send_signal(signal.SIGINT)
        result = ended(child).wants(4)
    assert result.events[-1]["kind"] == "run_finished"
    assert (program.folder / "w").read_text() == "asked\n"
    assert not [p for p in psutil.process_iter() if _belongs_to(p, program.folder)]
    assert program.statuses("r") == {"a": "cancelled"}
