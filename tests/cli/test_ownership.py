"""One engine at a time, with real ones: a second is refused, a dead one leaves nothing in the way, and one
that was stopped while another took over writes nothing any more."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from engine.journal.ownership import live_owner
from engine.journal.rundir import RunDir
from tests.cli.program import Gate, Program, await_event, ended, live, write_plan

YEARS_AGO = 1_000_000_000


class Engine:
    """An engine of its own process, in the middle of task `held`, which runs until its gate is opened."""

    def __init__(self, program: Program, gate: Gate) -> None:
        self.program = program
        self.gate = gate
        tasks = f"""
  - {{id: before, run: {{shell: "echo before >> log"}}}}
  - {{id: held, run: {{shell: "{gate.stop}; echo held >> log"}}, needs: [before]}}
  - {{id: after, run: {{shell: "echo after >> log"}}, needs: [held]}}
"""
        self.plan = write_plan(program.folder, tasks, checkpoints="{progress: 1}")
        self.process = program.spawn("run", self.plan, "--headless", "--json", "--run-id", "r")
        self.rundir = RunDir(program.state / "runs" / "r")

    def wait(self) -> None:
        """Until it is in the middle of the task, and writes nothing at this moment."""
        await_event(self.process, "task_started", task="held")
        await_event(self.process, "checkpoint_saved")
        self.gate.reached()

    def pause(self) -> None:
        """Stop the process, and see that it has stopped."""
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    @property
    def log(self) -> list[str]:
        return (self.program.folder / "log").read_text().split()


@pytest.fixture
def engine(program: Program, gate: Gate) -> Iterator[Engine]:
    started = Engine(program, gate)
    with live(started.process):
        started.wait()
        yield started


def files(rundir: RunDir) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(rundir.checkpoints.iterdir())}


def test_a_second_engine_is_refused_with_who_the_first_is(engine: Engine) -> None:
    owner = live_owner(engine.rundir)
    assert owner is not None
    assert owner.pid == engine.process.pid
    # However old the lock looks: what counts is that its holder lives.
    os.utime(engine.rundir.lock, (YEARS_AGO, YEARS_AGO))
    refused = engine.program.process("resume", "r", "--headless").wants(7)
    since = owner.since.strftime("%Y-%m-%d %H:%M:%S UTC")
    assert f"pid {engine.process.pid} on {os.uname().nodename}, since {since}" in refused.err
    assert engine.program("run", engine.plan, "--headless", "--run-id", "r").wants(2)
    engine.gate.open()
    assert ended(engine.process).code == 0
    assert engine.log == ["before", "held", "after"]


def test_an_engine_that_is_stopped_still_owns_its_run(engine: Engine) -> None:
    engine.pause()
    refused = engine.program.process("resume", "r", "--headless").wants(7)
    assert f"pid {engine.process.pid} " in refused.err
    os.kill(engine.process.pid, signal.SIGCONT)
    engine.gate.open()
    assert ended(engine.process).code == 0


def test_a_killed_engine_is_out_of_the_way_at_once_however_young_its_lock(engine: Engine) -> None:
    for each in psutil.Process(engine.process.pid).children(recursive=True):
        each.kill()
    engine.process.kill()
    engine.process.wait()
    assert f'"pid":{engine.process.pid},' in engine.rundir.lock.read_text()
    assert live_owner(engine.rundir) is None
    resumed = engine.program.process("resume", "r", "--headless").wants(6)
    assert "held" in resumed.out
    assert engine.log == ["before"]


def remove(lock: Path) -> None:
    lock.unlink()


def put_another_in_its_place(lock: Path) -> None:
    new = lock.with_name("new.lock")
    new.write_bytes(lock.read_bytes())
    new.replace(lock)


@pytest.mark.parametrize("bypass", [remove, put_another_in_its_place])
def test_an_engine_that_wakes_after_another_took_over_writes_nothing(
    engine: Engine, bypass: Callable[[Path], None]
) -> None:
    engine.pause()
    bypass(engine.rundir.lock)
    resumed = engine.program.process("resume", "r", "--headless", "--json").wants(6)
    assert [each["kind"] for each in resumed.events][:2] == ["run_resumed", "task_in_doubt"]
    program = engine.program
    events, checkpoints = program.events("r"), files(engine.rundir)

    os.kill(engine.process.pid, signal.SIGCONT)
    engine.gate.open()
    fenced = ended(engine.process)
    assert fenced.code == 7
    assert "another engine took this run over" in fenced.err
    assert "holds epoch 1, the journal is at epoch 2" in fenced.err
    assert "Traceback" not in fenced.err
    assert program.events("r") == events
    assert files(engine.rundir) == checkpoints
    assert "after" not in engine.log
    program("verify", "r").wants(0)
    assert program.statuses("r") == {"before": "succeeded", "held": "in_doubt", "after": "pending"}


def test_an_engine_that_wakes_writes_no_checkpoint_either(engine: Engine) -> None:
    """The file would stand where one of the other engine's does, and would be taken for damage."""
    engine.pause()
    engine.rundir.lock.unlink()
    engine.program.process("resume", "r", "--headless").wants(6)
    engine.program("checkpoint", "r").wants(0)
    checkpoints = files(engine.rundir)
    os.kill(engine.process.pid, signal.SIGUSR1)  # waits until it wakes
    os.kill(engine.process.pid, signal.SIGCONT)
    assert ended(engine.process).code == 7
    assert files(engine.rundir) == checkpoints
    engine.program("verify", "r").wants(0)


def test_what_was_decided_over_a_sleeping_engine_stays_decided(engine: Engine) -> None:
    """The other engine brings the run to its end; the one that wakes changes neither journal nor work."""
    engine.pause()
    engine.rundir.lock.unlink()
    skip = engine.program.process("resume", "r", "--headless", "--on-unknown", "skip").wants(3)
    assert "took this run over" not in skip.err
    events = engine.program.events("r")
    os.kill(engine.process.pid, signal.SIGCONT)
    engine.gate.open()
    assert ended(engine.process).code == 7
    assert engine.program.events("r") == events
    engine.program("verify", "r").wants(0)


def test_an_engine_stopped_in_the_middle_of_a_write_cannot_be_passed(program: Program) -> None:
    """It holds the journal's own lock then: who removes the lock file is told to end the process first."""
    plan = write_plan(program.folder, '  - {id: stop, run: {shell: "exit 3"}}\n')
    program("run", plan, "--headless", "--run-id", "r").wants(6)
    journal = program.state / "runs" / "r" / "journal.db"
    with closing(sqlite3.connect(journal, isolation_level=None)) as writing:
        writing.execute("BEGIN IMMEDIATE")
        refused = program.process("resume", "r", "--headless").wants(7)
    assert "end the process that has the file open" in refused.err
    program("resume", "r", "--headless").wants(6)
