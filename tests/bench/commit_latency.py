"""What a commit of the journal takes, beside a bare append of the same bytes to a file, flushed each time.

Both write the events of a task's end and of the next one's start, to files in the same directory, and take
turns commit by commit. The journal's own work is in it: encoding, the hash chain, SQLite's transaction, the
witness, and folding the log back now and then.

    python -m tests.bench.commit_latency [--commits 1000] [--folder DIR]
"""

import argparse
import os
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from engine.journal.journal import Journal
from engine.journal.ownership import own
from engine.journal.rundir import create_run_dir
from engine.machine import events as ev
from tests.bench.measuring import in_turn, verdict

AIM = 2.0
_EVENTS = 3


def batch(seq: int) -> list[ev.Event]:
    """The events from `seq` on that one report makes: a task ends, and another starts."""
    t, at, task = float(seq), datetime.now(UTC), f"task-{seq}"
    return [
        ev.TaskSucceeded(seq=seq, t=t, at=at, task=task, attempt=1, lane=2, outputs={"rows": 1000}),
        ev.TaskReady(seq=seq + 1, t=t, at=at, task=f"{task}-next"),
        ev.TaskStarted(seq=seq + 2, t=t, at=at, task=f"{task}-next", attempt=1, lane=2),
    ]


def seconds(commits: int, folder: str | None) -> dict[str, float]:
    """The median of a commit, and of a bare append."""
    with tempfile.TemporaryDirectory(dir=folder) as place, (Path(place) / "bare").open("ab") as bare:
        rundir = create_run_dir(Path(place), "bench")
        with own(rundir), Journal.create(rundir, "bench", b"{}", "") as journal:
            written = 0

            def commit() -> float:
                nonlocal written
                events = batch(written + 1)
                started = time.perf_counter()
                journal.append(events)
                took = time.perf_counter() - started
                written += len(events)
                return took

            def append(flush: int = 1) -> float:
                data = b"".join(map(ev.encode_event, batch(written + 1)))
                started = time.perf_counter()
                os.write(bare.fileno(), data)
                for _ in range(flush):
                    os.fdatasync(bare.fileno())
                return time.perf_counter() - started

            contenders = {"bare append and fdatasync": append, "the journal": commit}
            contenders["bare append alone"] = partial(append, flush=0)
            return in_turn(commits, contenders)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--commits", type=int, default=1000)
    parser.add_argument("--folder", help="where to write; the directory for temporary files by default")
    told = parser.parse_args()
    took = seconds(told.commits, told.folder)
    bare = took["bare append and fdatasync"]
    print(f"median of {told.commits} commits of {_EVENTS} events")
    for name, each in took.items():
        print(f"  {name:<26} {each * 1e6:>8.0f} µs {each / bare:>6.2f} ×")
    print(f"  {verdict(took['the journal'] / bare, AIM)}")


if __name__ == "__main__":
    main()
