"""Events, runs and child processes for the journal's tests."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.journal.checkpoints import kept, prune, write_checkpoint
from engine.journal.journal import Journal
from engine.journal.rundir import RunDir, create_run_dir
from engine.machine import events as ev

START = datetime(2026, 11, 22, 6, 44, 13, tzinfo=UTC)
PLAN_HASH = "a" * 64
KEEP = 3
PLAN = b'{"wesley":1,"name":"sample","checkpoints":{"every":1800.0,"keep":%d}}' % KEEP


def at(seq: int) -> datetime:
    return START + timedelta(seconds=seq)


def run_started(run: str) -> ev.RunStarted:
    return ev.RunStarted(
        seq=1,
        t=0.0,
        at=START,
        run=run,
        plan="sample",
        plan_hash=PLAN_HASH,
        model="rolling",
        policy="critical-path",
        lanes=4,
        seed=0,
        simulated=False,
        actor="kim",
    )


def task_events(first: int, count: int) -> list[ev.Event]:
    """`count` events from number `first` on: tasks that start and succeed by turns."""
    made: list[ev.Event] = []
    for seq in range(first, first + count):
        common = {"seq": seq, "t": float(seq), "at": at(seq), "attempt": 1, "lane": seq % 4}
        if seq % 2:
            made.append(ev.TaskSucceeded(task=f"task-{seq - 1}", outputs={"rows": seq}, **common))
        else:
            made.append(ev.TaskStarted(task=f"task-{seq}", **common))
    return made


def new_journal(state: Path, run: str = "r1") -> Journal:
    return Journal.create(create_run_dir(state, run), run, PLAN, PLAN_HASH)


def started_journal(state: Path, run: str = "r1", events: int = 1) -> Journal:
    """A journal with `events` events in it, `run_started` the first."""
    journal = new_journal(state, run)
    journal.append([run_started(run), *task_events(2, events - 1)])
    return journal


def save_checkpoint(journal: Journal, id: str, trigger: ev.Trigger) -> None:
    """Write a checkpoint that stands at the last event, then the event that says so, as an engine does."""
    position, position_hash = journal.head()
    content = {"timestamp": at(position).isoformat(), "version": 1, "completed": [], "metrics": {}}
    file = write_checkpoint(journal.rundir, id, trigger, position, position_hash, content, at(position))
    saved = ev.CheckpointSaved(
        seq=position + 1,
        t=float(position),
        at=at(position),
        checkpoint=id,
        trigger=trigger,
        position=position,
        position_hash=position_hash,
        completed=0,
        stable=True,
        file=file,
    )
    journal.append([saved])


CHECKPOINTS: Sequence[tuple[str, ev.Trigger]] = (
    ("c1", "barrier"),
    ("c2", "time"),
    ("c3", "time"),
    ("c4", "time"),
    ("c5", "manual"),
)


def sample_run(state: Path, run: str = "r1") -> Journal:
    """A run with 58 events and checkpoints at 10, 20, 30, 40 and 50, of which c2 was pruned."""
    journal = started_journal(state, run, events=9)
    for number, (id, trigger) in enumerate(CHECKPOINTS, start=1):
        seq, _ = journal.head()
        journal.append(task_events(seq + 1, 10 * number - seq))
        save_checkpoint(journal, id, trigger)
        prune(journal.rundir, kept(CHECKPOINTS[:number], KEEP))
    journal.append(task_events(52, 7))
    return journal


def python(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A child process that runs `script`, spoken to through its standard streams."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def files_of(rundir: RunDir) -> dict[str, bytes]:
    """Every file of the run that carries state, with its bytes; shared memory is none."""
    return {
        str(path.relative_to(rundir.path)): path.read_bytes()
        for path in sorted(rundir.path.rglob("*"))
        if path.is_file() and not path.name.endswith("-shm")
    }
