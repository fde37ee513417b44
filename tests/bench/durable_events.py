"""Durable events a second with 1, 4 and 16 lanes, beside bare appends of as many bytes, flushed as often.

The live engine carries out tasks that do nothing: what is left is the engine itself and its journal, and
every event is on the disk before anything follows from it. Commits are counted; the bare baseline makes as
many appends, each of an even share of the bytes, to a file in the same directory.

    python -m tests.bench.durable_events [--tasks 2000] [--rounds 3] [--folder DIR]
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import anyio

from engine.journal.journal import Journal
from engine.journal.ownership import own
from engine.journal.rundir import create_run_dir
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.core import Machine
from engine.plan.models import parse_plan_data
from engine.plan.pinned import pin, plan_hash
from engine.runner.clock import RunClock
from engine.runner.core import Runner
from tests.runner.stage import StageWorld

LANES = (1, 4, 16)


class Counted(Journal):
    """A journal that counts its commits and their bytes."""

    commits = 0
    size = 0

    def append(self, events: Sequence[ev.Event]) -> str:
        self.commits += 1
        self.size += sum(len(ev.encode_event(event)) for event in events)
        return super().append(events)


class Run(NamedTuple):
    """One run, and the bare appends beside it. Times in seconds."""

    events: int
    commits: int
    took: float
    bare: float


def run(tasks: int, lanes: int, folder: str | None) -> Run:
    ids = [{"id": f"t{number}", "run": {"simulate": {}}} for number in range(tasks)]
    quiet = {"progress": 100, "before_risk": 1}
    plan = parse_plan_data(
        {"wesley": 1, "name": "bench", "workers": lanes, "tasks": ids, "checkpoints": quiet}
    )
    with tempfile.TemporaryDirectory(dir=folder) as place:
        rundir = create_run_dir(Path(place), "bench")
        with own(rundir), Counted.create(rundir, "bench", pin(plan), plan_hash(plan)) as journal:
            begin = rep.Begin(run="bench", plan_hash=plan_hash(plan), actor="bench")
            world = StageWorld()
            runner = Runner(Machine(plan), journal, RunClock(), world, first=begin)  # type: ignore[arg-type]
            started = time.perf_counter()
            state = anyio.run(runner.run)
            took = time.perf_counter() - started
            bare = appends(Path(place) / "bare", journal.commits, journal.size)
            return Run(state.seq, journal.commits, took, bare)


def appends(path: Path, number: int, size: int) -> float:
    data = bytes(size // number)
    with path.open("ab") as file:
        started = time.perf_counter()
        for _ in range(number):
            os.write(file.fileno(), data)
            os.fdatasync(file.fileno())
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where to write; the directory for temporary files by default")
    told = parser.parse_args()
    print(f"{told.tasks} tasks that do nothing; median of {told.rounds} rounds")
    print("  lanes   events/s   commits/s   events a commit   × the time of as many bare appends")
    runs = [{lanes: run(told.tasks, lanes, told.folder) for lanes in LANES} for _ in range(told.rounds)]
    for lanes in LANES:
        found = [each[lanes] for each in runs]
        print(
            f"  {lanes:>5}  {median(r.events / r.took for r in found):>9.0f}"
            f"  {median(r.commits / r.took for r in found):>10.0f}"
            f"  {median(r.events / r.commits for r in found):>16.1f}"
            f"  {median(r.took / r.bare for r in found):>36.2f}"
        )


if __name__ == "__main__":
    main()
