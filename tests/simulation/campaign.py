"""The simulation campaign: runs drawn from seeds, in virtual time, with faults where journals meet the disk.

    python -m tests.simulation.campaign --seeds 2000            seeds 0 to 1999
    python -m tests.simulation.campaign --seeds 500 --start 2000
    python -m tests.simulation.campaign --seed-only 17          one seed, with its traceback and its hash

Each seed makes a random plan, random outcomes and a random operator. Its run is carried through by engines
whose commits fail, whose checkpoints cannot be written, and that die in, before and after a commit, by a
kill or by a power cut; then by engines without faults, until it is completed. All of it is the real engine
(opening, runner, machine, journal on files), each run in one thread and without waiting. What is judged
after each life, and at each event, stands in `course.py`, `people.py` and tests/machine/ledger.py.

The same seed makes the same events, byte for byte. Exits with 1 if any promise was broken, and says where.
"""

import os
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.simulation.course import Played, play

_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where runs are kept, if it is there: faults are made up, and do not hang on the disk."""
_AT_A_TIME = 20


class Result(NamedTuple):
    seed: int
    played: Played | None
    broken: str = ""


def tried(folder: str, seed: int) -> Result:
    """Play a seed; what it came to, or how it failed."""
    try:
        return Result(seed, play(seed, Path(folder) / str(seed)))
    except Exception as broken:  # whatever it is: the campaign goes on, and tells of it at its end
        return Result(seed, None, f"{type(broken).__name__}: {broken}")


def results(folder: str, seeds: Iterable[int], workers: int) -> Iterator[Result]:
    if workers == 1:
        yield from map(partial(tried, folder), seeds)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(partial(tried, folder), seeds, chunksize=_AT_A_TIME)


def campaign(seeds: range, workers: int) -> int:
    """Play all seeds, and tell what came of it; how many failed."""
    started = time.monotonic()
    happened: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    lives = 0
    failed: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=_MEMORY) as folder:
        for result in results(folder, seeds, workers):
            if result.played:
                happened += result.played.happened
                kinds += result.played.kinds
                lives += result.played.lives
            else:
                failed.append(result)
                print(f"FAILED seed {result.seed}: {result.broken}", flush=True)
    took = time.monotonic() - started
    for title, counts in (("faults", happened), ("events", kinds)):
        print(f"{title}: " + ", ".join(f"{number} {what}" for what, number in counts.most_common()))
    deaths = sum(number for what, number in happened.items() if what.startswith("died"))
    print(
        f"\n{len(seeds)} seeds, {lives} lives, {deaths} deaths, {happened.total() - deaths} other faults, "
        f"{kinds.total()} events, {len(failed)} failures, {took:.0f} s, "
        f"{len(seeds) / took * 60:.0f} seeds a minute"
    )
    return len(failed)


def main() -> int:
    parser = ArgumentParser(prog="python -m tests.simulation.campaign", description="Runs in virtual time.")
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--start", type=int, default=0, help="the first one")
    parser.add_argument("--seed-only", type=int, metavar="SEED", help="this one, and nothing is caught")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    told = parser.parse_args()
    if told.seed_only is None:
        return bool(campaign(range(told.start, told.start + told.seeds), told.workers))
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
        played = play(told.seed_only, Path(folder) / "run")
    print(f"seed {told.seed_only}: {played.lives} lives, {played.kinds.total()} events, chain {played.chain}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
