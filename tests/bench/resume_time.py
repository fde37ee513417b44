"""From the start of the process `resume` to its first task, in a run of 10,000 tasks of which one is left.

The run is made as an engine makes it, and then cut off before its last task. The last task is a shell command
that says when it was started. Beside it stands a Python process that reads the same journal and decodes its
events, and does nothing with them.

    python -m tests.bench.resume_time [--tasks 10000] [--rounds 5]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from engine.journal.journal import Journal
from engine.journal.ownership import own
from engine.journal.rundir import create_run_dir
from engine.machine import commands as cmd
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.core import Machine
from engine.plan.load import load_plan
from engine.plan.pinned import pin, plan_hash, source_digest
from tests.bench.measuring import in_turn, verdict

AIM_S = 1.0
READING, RESUME = "reading the journal", "resume, to its first task"
_WIDE = 50
_READER = """
import sqlite3, sys
from engine.machine.events import decode_event
connection = sqlite3.connect(sys.argv[1])
for (body,) in connection.execute("SELECT body FROM events ORDER BY seq"):
    decode_event(body)
"""
_RESUME = "from console.cli import main; main()"


def layers(tasks: int) -> dict[str, list[str]]:
    """Ids of tasks, each with its needs: layers, and in each task three needs of the layer before."""
    needs: dict[str, list[str]] = {}
    for number in range(tasks):
        before = number // _WIDE * _WIDE - _WIDE
        needs[f"t{number}"] = [f"t{before + (number + i) % _WIDE}" for i in range(3)] if before >= 0 else []
    return needs


def write_plan(folder: Path, tasks: int) -> Path:
    """Layers of tasks, and one that needs all of the last two."""
    lines = ["wesley: 1", "name: bench", "workers: 4", "checkpoints: {progress: 25}", "tasks:"]
    above = layers(tasks - 1)
    for task, needs in above.items():
        lines.append(f"  - {{id: {task}, run: {{shell: 'true'}}, needs: [{', '.join(needs)}]}}")
    final = ", ".join(list(above)[-2 * _WIDE :])
    lines.append(f"  - {{id: last, run: {{shell: 'date +%s.%N > started'}}, needs: [{final}]}}")
    path = folder / "plan.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def make_run(folder: Path, tasks: int) -> None:
    """A run of which all is done but the last task, which was just about to be started."""
    path = write_plan(folder, tasks)
    loaded = load_plan(path)
    plan = loaded.plan
    rundir = create_run_dir(folder / "state", "r1")
    with own(rundir), Journal.create(rundir, "r1", pin(plan), plan_hash(plan)) as journal:
        begin = rep.Begin(
            run="r1",
            plan_hash=plan_hash(plan),
            actor="bench",
            folder=str(folder),
            source=str(path),
            source_digest=source_digest(loaded.text),
        )
        journal.append(history(Machine(plan), begin))


def history(machine: Machine, begin: rep.Begin) -> list[ev.Event]:
    """All events before the start of the last task, without a checkpoint."""
    events: list[ev.Event] = []
    inbox: deque[rep.Report] = deque([begin])
    while True:
        step = machine.handle(inbox.popleft(), rep.Now(0.0, datetime.now(UTC)))
        for event in step.events:
            if isinstance(event, ev.TaskStarted) and event.task == "last":
                return events
            events.append(event)
        for command in step.commands:
            if isinstance(command, cmd.StartTask):
                inbox.append(rep.Succeeded(task=command.task, attempt=command.attempt))
            elif isinstance(command, cmd.SaveCheckpoint):
                why = "none in a benchmark"
                inbox.append(
                    rep.CheckpointNotWritten(
                        checkpoint=command.checkpoint, trigger=command.trigger, reason=why
                    )
                )
                inbox.append(rep.Continue(actor="bench"))


@contextmanager
def copied(folder: Path) -> Iterator[Path]:
    """The run again, as it was made."""
    state = folder / "again"
    shutil.copytree(folder / "state", state)
    try:
        yield state
    finally:
        shutil.rmtree(state)


def resumed(folder: Path) -> float:
    """Seconds from the start of the process until the task was started."""
    with copied(folder) as state:
        command = [sys.executable, "-c", _RESUME, "resume", "r1", "--headless", "--state-dir", str(state)]
        began = time.time()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    started = folder / "started"
    took = float(started.read_text()) - began
    started.unlink()
    return took


def read(folder: Path) -> float:
    began = time.time()
    journal = folder / "state" / "runs" / "r1" / "journal.db"
    subprocess.run([sys.executable, "-c", _READER, str(journal)], check=True, env=os.environ)
    return time.time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_run(folder, told.tasks)
        contenders = {READING: lambda: read(folder), RESUME: lambda: resumed(folder)}
        took = in_turn(told.rounds, contenders)
    print(f"{told.tasks} tasks; median of {told.rounds} rounds")
    for name, each in took.items():
        print(f"  {name:<26} {each:>6.2f} s {each / took[READING]:>6.2f} ×")
    print(f"  {verdict(took[RESUME], AIM_S)} s")


if __name__ == "__main__":
    main()
