"""`resume --from`: a damaged run gone on with in a new one. What was done is not done again, what may have
been is looked into or asked about, and the damaged run stays as it is."""

import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine.journal.ownership import own
from engine.journal.rundir import RunDir
from tests.cli.program import Gate, Program, await_event, live, write_plan
from tests.journal.samples import files_of

TASKS = """
  - {id: make, run: {sql: "CREATE TABLE t (x)", on: app}, rollback: {sql: "DROP TABLE t", on: app}}
  - {id: note, run: {shell: "echo note >> log"}, needs: [make]}
  - {id: fill, run: {sql: "INSERT INTO t VALUES (1)", on: app}, needs: [note]}
  - {id: check, run: {shell: "echo check >> log"}, verify: {shell: "grep -q check log"}, needs: [fill]}
  - {id: tell, run: {shell: "echo tell >> log"}, needs: [check]}
  - {id: stop, run: {shell: "test -e ready"}, needs: [tell]}
"""
SETTINGS = {"targets": "{app: {sqlite: app.db}}", "checkpoints": "{progress: 1}"}


class Run:
    """A run that stands at a question about its last task, with a checkpoint after each task before."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.plan = write_plan(program.folder, TASKS, **SETTINGS)
        program("run", self.plan, "--headless", "--run-id", "r").wants(6)
        self.rundir = RunDir(program.state / "runs" / "r")
        self.events = program.events("r")
        self.before: dict[str, bytes] = {}

    def seq(self, kind: str, task: str) -> int:
        found: int = next(e["seq"] for e in self.events if e["kind"] == kind and e.get("task") == task)
        return found

    def after(self, task: str) -> str:
        """The checkpoint taken when `task` had succeeded, and not the one after it."""
        done = self.seq("task_succeeded", task)
        saved = [e for e in self.events if e["kind"] == "checkpoint_saved" and e["position"] >= done]
        return str(saved[0]["checkpoint"])

    def sql(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.rundir.journal, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)
        self.before = files_of(self.rundir)

    def flip(self, seq: int) -> None:
        changed = "CAST(replace(CAST(body AS TEXT), '\"t\":', '\"t\":1') AS BLOB)"
        self.sql(f"UPDATE events SET body = {changed} WHERE seq = {seq}")

    def cut(self, seq: int) -> None:
        """Lose everything from event `seq` on."""
        self.sql(f"DELETE FROM events WHERE seq >= {seq}")

    def assert_untouched(self) -> None:
        after = {name: data for name, data in files_of(self.rundir).items() if name != "owner.lock"}
        assert after == {name: data for name, data in self.before.items() if name != "owner.lock"}

    @property
    def log(self) -> list[str]:
        return (self.program.folder / "log").read_text().split()

    def ledger(self) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(self.program.folder / "app.db")) as connection:
            return connection.execute("SELECT run, task FROM _wesley_ledger ORDER BY at").fetchall()


@pytest.fixture
def run(program: Program) -> Run:
    return Run(program)


def test_what_the_journal_still_proves_is_taken_on(run: Run) -> None:
    """One event is damaged, and all others are proven: nothing is in doubt but what that one was about."""
    run.flip(run.seq("task_started", "tell"))
    checkpoint = run.after("note")
    refused = run.program("resume", "r", "--headless").wants(7)
    newest = run.after("check")
    assert f"wesley-console resume r --from {newest}" in refused.err
    assert f"resume r --from {newest}" in run.program("verify", "r").wants(7).err

    (run.program.folder / "ready").touch()
    new = f"r-from-{checkpoint}"
    resumed = run.program("resume", "r", "--from", checkpoint, "--headless", "--on-unknown", "retry").wants(0)
    assert f"r is damaged, and stays as it is; {new} goes on from its checkpoint {checkpoint}" in resumed.err
    assert run.log == ["note", "check", "tell"]
    assert [task for _, task in run.ledger()] == ["make", "fill"]
    run.assert_untouched()
    run.program("verify", new).wants(0)
    by = {e["task"]: e["by"] for e in run.program.events(new) if e["kind"] == "doubt_settled"}
    assert by == dict.fromkeys(("fill", "check", "tell"), "journal")


def test_what_is_lost_is_looked_into_and_asked_about(run: Run) -> None:
    """Everything behind the checkpoint is gone: the ledger and `verify` know some of it, a person the rest.
    What was done before might have been undone behind it; the ledger knows that, too."""
    checkpoint = run.after("make")
    run.cut(run.seq("task_succeeded", "note"))
    new = f"r-from-{checkpoint}"
    asked = run.program("resume", "r", "--from", checkpoint, "--headless").wants(6)
    assert "6 in doubt" in asked.err
    assert run.log == ["note", "check", "tell"]
    assert run.program.statuses(new) == {
        "make": "succeeded",
        "note": "in_doubt",
        "fill": "succeeded",
        "check": "succeeded",
        "tell": "in_doubt",
        "stop": "in_doubt",
    }
    by = {e["task"]: e["by"] for e in run.program.events(new) if e["kind"] == "doubt_settled"}
    assert by == {"make": "ledger", "fill": "ledger", "check": "verify"}
    questions = run.program.inspect(new)["questions"]
    assert {each["task"] for each in questions} == {"note", "tell", "stop"}
    assert all(each["about"] == "doubt" for each in questions)
    # Again: nothing runs by itself, and the questions are still there.
    run.program("resume", new, "--headless").wants(6)
    assert run.log == ["note", "check", "tell"]
    run.assert_untouched()


def test_the_fork_is_a_run_of_its_own(run: Run) -> None:
    checkpoint = run.after("note")
    position = next(e["position"] for e in run.events if e.get("checkpoint") == checkpoint)
    run.cut(run.seq("task_succeeded", "fill"))
    new = f"r-from-{checkpoint}"
    run.program("resume", "r", "--from", checkpoint, "--headless", "--json").wants(6)
    events = run.program.events(new)
    theirs = {key: value for key, value in run.events[position - 1].items() if key != "run"}
    assert {key: value for key, value in events[position - 1].items() if key != "run"} == theirs
    assert {event["run"] for event in events} == {new}
    forked = next(event for event in events if event["kind"] == "run_forked")
    assert (forked["seq"], forked["origin"], forked["position"]) == (position + 1, "r", position)
    assert forked["past"] == [{"run": "r", "path": str(run.rundir.path)}]
    assert forked["position_hash"] == run.events[position - 1]["hash"]
    found = run.program.inspect(new)
    assert found["run"] == new
    assert checkpoint in [each["checkpoint"] for each in found["checkpoints"]]
    assert {each["run"] for each in run.program("runs", "--json").wants(0).json} == {"r", new}
    run.program("checkpoint", new).wants(0)
    run.program("verify", new).wants(0)
    for each in (checkpoint, "cp-0001"):
        refused = run.program("resume", "r", "--from", each, "--headless").wants(2)
        assert f"go on with that one: wesley-console resume {new}" in refused.err


def test_what_runs_in_the_fork_is_in_the_ledger_under_its_own_name(program: Program) -> None:
    tasks = """
  - {id: make, run: {sql: "CREATE TABLE t (x)", on: app}}
  - {id: wait, run: {shell: "test -e ready"}, needs: [make], idempotent: true}
  - {id: fill, run: {sql: "INSERT INTO t VALUES (1)", on: app}, needs: [wait]}
"""
    plan = write_plan(program.folder, tasks, **SETTINGS)
    program("run", plan, "--headless", "--run-id", "r").wants(6)
    rundir = RunDir(program.state / "runs" / "r")
    rundir.head.unlink()
    (program.folder / "ready").touch()
    program("resume", "r", "--from", "cp-0001", "--headless").wants(0)
    with closing(sqlite3.connect(program.folder / "app.db")) as connection:
        rows = connection.execute("SELECT run, task, attempt FROM _wesley_ledger").fetchall()
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)
    assert rows == [("r", "make", 1), ("r-from-cp-0001", "fill", 1)]


def test_a_rollback_that_nobody_saw_is_found_in_the_ledger(program: Program) -> None:
    tasks = """
  - {id: make, run: {sql: "CREATE TABLE t (x)", on: app}, rollback: {sql: "DROP TABLE t", on: app}}
  - {id: stop, run: {shell: "test -e ready"}, needs: [make], idempotent: true}
"""
    plan = write_plan(program.folder, tasks, **SETTINGS)
    program("run", plan, "--headless", "--run-id", "r").wants(6)
    run = program("resume", "r", "--headless", "--on-unknown", "rollback", "--rollback-to", "start").wants(5)
    assert "make rolled back" in run.out
    with closing(sqlite3.connect(program.state / "runs/r/journal.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM events WHERE kind LIKE 'rollback%' OR seq > 12")
    (program.folder / "ready").touch()
    program("resume", "r", "--from", "cp-0001", "--headless").wants(0)
    told = program.events("r-from-cp-0001")
    settled = next(e for e in told if e["kind"] == "doubt_settled" and e["task"] == "make")
    assert (settled["done"], settled["by"]) == (False, "ledger")
    with closing(sqlite3.connect(program.folder / "app.db")) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_task_of_the_damaged_run_that_still_runs_is_found(program: Program, gate: Gate) -> None:
    tasks = f"""
  - {{id: first, run: {{shell: "echo first >> log"}}}}
  - {{id: held, run: {{shell: "{gate.stop}; echo held >> log"}}, needs: [first], idempotent: true}}
"""
    plan = write_plan(program.folder, tasks, **SETTINGS)
    with live(program.spawn("run", plan, "--headless", "--json", "--run-id", "r")) as engine:
        await_event(engine, "checkpoint_saved")
        gate.reached()
        os.kill(engine.pid, signal.SIGKILL)
        engine.wait()
        rundir = RunDir(program.state / "runs" / "r")
        rundir.head.write_bytes(b"\xff" * 400)
        asked = program("resume", "r", "--from", "cp-0001", "--headless").wants(6)
        assert "held" in asked.out
        (question,) = program.inspect("r-from-cp-0001")["questions"]
        assert question["evidence"].startswith("still running: process ")
        gate.open()
    # Once it has ended, it may run again: that is what `idempotent` means.
    (program.folder / "gate.here").unlink()
    (program.folder / "gate.go").unlink()
    (program.folder / "gate.go").write_text("go\n")
    program("resume", "r-from-cp-0001", "--headless").wants(0)
    assert program.statuses("r-from-cp-0001") == {"first": "succeeded", "held": "succeeded"}


def test_a_fork_can_be_forked_and_knows_all_that_came_before(run: Run) -> None:
    """From a checkpoint that both have: what the first did is in doubt, and what the second did as well."""
    first = run.after("make")
    run.cut(run.seq("task_succeeded", "note"))
    run.program("resume", "r", "--from", first, "--headless", "--on-unknown", "abort").wants(4)
    fork = RunDir(run.program.state / "runs" / f"r-from-{first}")
    fork.head.unlink()
    new = f"{fork.id}-from-{first}"
    again = run.program("resume", fork.id, "--from", first, "--headless").wants(6)
    assert f"{new} goes on" in again.err
    forks = [e for e in run.program.events(new) if e["kind"] == "run_forked"]
    assert [[each["run"] for each in e["past"]] for e in forks] == [["r", fork.id]]
    statuses = run.program.statuses(new)
    assert statuses["fill"] == statuses["check"] == statuses["make"] == "succeeded"
    assert statuses["note"] == statuses["tell"] == "in_doubt"
    assert run.log == ["note", "check", "tell"]
    run.program("verify", new).wants(0)


def test_a_fork_whose_own_beginning_is_lost_is_not_forked(run: Run) -> None:
    first = run.after("make")
    run.rundir.head.unlink()
    run.program("resume", "r", "--from", first, "--headless").wants(6)
    fork = RunDir(run.program.state / "runs" / f"r-from-{first}")
    with closing(sqlite3.connect(fork.journal, isolation_level=None)) as connection:
        connection.execute("DELETE FROM events WHERE kind = 'run_forked'")
    refused = run.program("resume", fork.id, "--from", first, "--headless").wants(7)
    assert "it went on for another run, and for which cannot be read any more" in refused.err


def test_a_plan_that_was_changed_behind_the_checkpoint_is_in_the_way(run: Run) -> None:
    text = run.plan.read_text()
    run.plan.write_text(text + '  - {id: more, run: {shell: "echo more >> log"}}\n')
    run.program("resume", "r", "--headless", "--accept-plan-changes").wants(6)
    run.rundir.head.unlink()
    refused = run.program("resume", "r", "--from", "cp-0001", "--headless").wants(7)
    assert "the plan was changed after it" in refused.err


def test_a_task_that_is_new_to_a_fork_may_have_run_before_it(run: Run) -> None:
    """It was added to the plan of the original; that is lost with the end of its journal."""
    text = run.plan.read_text()
    end = run.events[-1]["seq"]
    run.plan.write_text(text + '  - {id: more, run: {shell: "echo more >> log"}}\n')
    run.program("resume", "r", "--headless", "--accept-plan-changes").wants(6)
    for late in set(os.listdir(run.rundir.checkpoints)) - {f"cp-000{number}.json" for number in range(1, 6)}:
        (run.rundir.checkpoints / late).unlink()
    run.cut(end + 1)
    last = run.after("tell")
    assert "added: more" in run.program("resume", "r", "--from", last, "--headless").wants(7).err
    run.program("resume", f"r-from-{last}", "--headless", "--accept-plan-changes").wants(6)
    questions = {q["task"]: q for q in run.program.inspect(f"r-from-{last}")["questions"]}
    assert "new to this run, and may have run" in questions["more"]["reason"]
    assert "more" not in run.log


def test_a_sound_run_is_not_forked(run: Run) -> None:
    refused = run.program("resume", "r", "--from", "cp-0001", "--headless").wants(2)
    assert "r is sound: resume it without --from" in refused.err
    assert [each["run"] for each in run.program("runs", "--json").wants(0).json] == ["r"]


@pytest.mark.parametrize("checkpoint", ["cp-0099", "../r", "x\x1b[2J"])
def test_a_checkpoint_that_is_none_is_refused_with_those_there_are(run: Run, checkpoint: str) -> None:
    run.rundir.head.unlink()
    refused = run.program("resume", "r", "--from", checkpoint, "--headless").wants(7)
    assert "nothing can go on from checkpoint" in refused.err
    assert "try another of its checkpoints: cp-0001, cp-0002" in refused.err
    assert "\x1b" not in refused.err


def test_a_checkpoint_behind_the_damage_is_refused(run: Run) -> None:
    run.flip(run.seq("task_succeeded", "note"))
    refused = run.program("resume", "r", "--from", run.after("check"), "--headless").wants(7)
    assert "the run is not sound up to it; the last good point is" in refused.err


def edited_plan(run: Run) -> None:
    run.sql("UPDATE plan SET body = CAST(replace(CAST(body AS TEXT), 'note', 'nope') AS BLOB)")


def other_identity(run: Run) -> None:
    run.sql("UPDATE meta SET value = '2001-01-01T00:00:00+00:00' WHERE key = 'created'")


@pytest.mark.parametrize("damage", [edited_plan, other_identity])
def test_nothing_is_offered_where_nothing_is_proven(run: Run, damage: Callable[[Run], None]) -> None:
    damage(run)
    assert "--from" not in run.program("resume", "r", "--headless").wants(7).err
    refused = run.program("resume", "r", "--from", "cp-0001", "--headless").wants(7)
    assert "its pinned plan, is not as it was written" in refused.err


def test_a_damaged_run_that_an_engine_owns_is_not_forked(run: Run) -> None:
    run.rundir.head.unlink()
    with own(run.rundir):
        refused = run.program("resume", "r", "--from", "cp-0001", "--headless").wants(7)
    assert f"pid {os.getpid()}" in refused.err


def test_nothing_is_left_of_a_fork_that_cannot_be_written(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.rundir.head.unlink()

    def full(source: Path, target: Path) -> None:
        raise OSError(28, f"no space to copy {source} to {target}")

    monkeypatch.setattr("engine.runner.forking._copy", full)
    refused = run.program("resume", "r", "--from", "cp-0001", "--headless").wants(2)
    assert "no space" in refused.err
    assert os.listdir(run.program.state / "runs") == ["r"]
