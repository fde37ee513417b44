"""The crash campaign: engines killed at every call by which they change a file, and taken up again.

    python -m tests.crash.campaign               every point of every story, and pairs of points
    python -m tests.crash.campaign --short       a sample of them
    python -m tests.crash.campaign --only NAME   stories whose name holds NAME

For each story a run without a kill counts the points. Then, for each of them, a new run is killed there
(before the call, and where it writes also in its middle), and taken up again until it has come to its
end: by `resume --headless` as long as nobody is asked, otherwise by an operator who looks at what is
really there. Then a sample of pairs: the same with a second kill, during the resume. Exits with 1 if any
promise was broken, and says which, and where.
"""

import gc
import json
import os
import random
import shutil
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from engine.journal.integrity import has_begun
from engine.machine.transitions import RunStatus
from tests.crash.judgement import Broken, head, journaled, judge_end, judge_standing
from tests.crash.lives import KILLED, Life, Stage
from tests.crash.points import Kill, Point
from tests.crash.stories import STORIES, Story

_MEMORY = Path("/dev/shm")
"""Where runs are kept, if it is there: what a kill leaves behind does not hang on the disk; the time does."""
_SEED = 20261122
_LIVES = 12
"""More lives than these nobody needs to come to an end."""


class Case(NamedTuple):
    """A kill in life `life` of a run (from 0), at `first`; and one at `second` in the life after it."""

    story: int
    life: int
    first: Kill
    second: Kill | None = None


@dataclass
class Tally:
    """What was tried. `points`: in runs that nobody kills. `reached`: kills that happened; the rest came
    after the end of their life."""

    points: int = 0
    cases: int = 0
    reached: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.points += other.points
        self.cases += other.cases
        self.reached += other.reached
        self.kinds += other.kinds
        self.failures += other.failures


# -- living through a case -------------------------------------------------------------------------------


def next_life(stage: Stage, before: Life | None, kill: Kill | None) -> Life:
    """Go on with the run as a person would who does what the program says."""
    if not has_begun(stage.rundir):
        return stage.run(kill)
    if before is None or before.code != 6:
        return stage.resume(kill)
    if stage.story.saved_by_hand and not stage.was_saved:
        return stage.save(kill)
    return stage.resume(kill) if stage.takes_turn() else stage.operate(kill)


def live_on(stage: Stage, kills: dict[int, Kill], tally: Tally | None = None) -> list[Life]:
    """Live until the run has come to its end, with a kill in some lives; all lives. Judges after each."""
    lives: list[Life] = []
    for number in range(_LIVES):
        life = next_life(stage, lives[-1] if lives else None, kills.get(number))
        lives.append(life)
        if life.died_at and tally:
            tally.reached += 1
            tally.kinds[life.died_at.name] += 1
        if life.code not in (0, 3, 4, 5, 6, KILLED):
            raise Broken(f"an engine ended with exit code {life.code}")
        if stage.is_lost:
            continue
        state = judge_standing(stage.folder, stage.rundir, stage.before_the_loss)
        if state and state.status == stage.story.ends and life.code != KILLED:
            return lives
    raise Broken(f"no end after {_LIVES} lives")


def try_case(folder: Path, case: Case, tally: Tally) -> None:
    stage = Stage(folder, STORIES[case.story])
    kills = {case.life: case.first} | ({case.life + 1: case.second} if case.second else {})
    tally.cases += 1
    try:
        stage.begin()
        live_on(stage, kills, tally)
        judge_end(stage.folder, stage.rundir, stage.story, stage.before_the_loss)
        _judge_another_resume(stage)
    except Exception as broken:  # whatever it is: the campaign goes on, and tells of it at its end
        why = f"{type(broken).__name__}: {broken}"
        tally.failures.append(f"{stage.story.name}, {case}\n{why}\n{stage.said()}\n{_events(stage)}")
    shutil.rmtree(folder)


def _judge_another_resume(stage: Stage) -> None:
    if stage.story.ends != RunStatus.COMPLETED:
        return  # what was rolled back is run again by a resume: that is what it is for
    before = head(stage.rundir)
    if stage.resume().code not in (0, 3) or head(stage.rundir) != before:
        raise Broken("a second resume changed something")


def _events(stage: Stage) -> str:
    return "\n".join(repr(record.event) for record in journaled(stage.rundir).records)


# -- which cases there are ---------------------------------------------------------------------------------


def count_points(folder: Path, story: Story) -> list[list[Point]]:
    """The points of each life of a run that nobody kills."""
    stage = Stage(folder, story)
    stage.begin()
    lives = live_on(stage, {})
    judge_end(folder, stage.rundir, story, stage.before_the_loss)
    shutil.rmtree(folder)
    return [life.points for life in lives]


def single_kills(story: int, lives: list[list[Point]]) -> Iterator[Case]:
    for life, points in enumerate(lives):
        for at, point in enumerate(points, start=1):
            yield Case(story, life, Kill(at))
            if point.tears:
                yield Case(story, life, Kill(at, torn=True))


def pairs(single: list[Case], points: int, chance: random.Random, wanted: int) -> Iterator[Case]:
    """`wanted` cases with a second kill, at any of the first `points` points of the resume."""
    for case in chance.choices(single, k=wanted):
        yield case._replace(second=Kill(chance.randint(1, points), torn=chance.random() < 0.3))


def sampled(cases: list[Case], lives: list[list[Point]], chance: random.Random, size: int) -> list[Case]:
    """`size` cases, of every kind of point one before a second of any."""
    shuffled = chance.sample(cases, len(cases))
    seen: Counter[str] = Counter()
    ranked = []
    for case in shuffled:
        kind = lives[case.life][case.first.at - 1].name + str(case.first.torn)
        seen[kind] += 1
        ranked.append((seen[kind], case))
    return [case for _, case in sorted(ranked, key=lambda rank: rank[0])[:size]]


# -- the campaign ------------------------------------------------------------------------------------------


def share(folder: Path, cases: Iterable[Case]) -> Tally:
    tally = Tally()
    for number, case in enumerate(cases):
        try_case(folder / str(number), case, tally)
    return tally


def in_parallel(folder: Path, cases: list[Case], workers: int) -> Tally:
    """Try `cases` in `workers` processes, each of which forks the engines it kills."""
    pipes = []
    for worker in range(workers):
        reader, writer = os.pipe()
        if not os.fork():
            os.close(reader)
            found = share(folder / str(worker), cases[worker::workers])
            with os.fdopen(writer, "w") as told:
                json.dump({**vars(found)}, told)
            os._exit(0)
        os.close(writer)
        pipes.append(reader)
    total = Tally()
    for reader in pipes:
        with os.fdopen(reader) as told:
            found = json.load(told)
        total.add(Tally(**{**found, "kinds": Counter(found["kinds"])}))
        os.wait()
    return total


def campaign(folder: Path, stories: list[int], size: int | None, most_pairs: int, workers: int) -> Tally:
    """All points of `stories` and up to `most_pairs` pairs of each, or about `size` cases; prints as it
    goes."""
    total = Tally()
    for story in stories:
        started = time.monotonic()
        chance = random.Random(_SEED + story)
        lives = count_points(folder / "count", STORIES[story])
        single = list(single_kills(story, lives))
        cases = single if size is None else sampled(single, lives, chance, size * 2 // 3)
        most = max(len(points) for points in lives)
        wanted = min(len(single) // 2, most_pairs) if size is None else size // 3
        twice = list(pairs(single, most, chance, wanted))
        tally = in_parallel(folder, cases + twice, workers)
        tally.points = sum(len(points) for points in lives)
        print(
            f"{STORIES[story].name}: {tally.points} points in {len(lives)} lives; {len(cases)} of "
            f"{len(single)} single kills, {len(twice)} of {len(single) * most} pairs; {tally.reached} kills, "
            f"{len(tally.failures)} failures, {time.monotonic() - started:.1f} s",
            flush=True,
        )
        total.add(tally)
    return total


def main() -> int:
    parser = ArgumentParser(prog="python -m tests.crash.campaign", description="Kill engines, and judge.")
    parser.add_argument("--short", action="store_true", help="a sample of the points")
    parser.add_argument("--size", type=int, help="about so many cases of each story")
    parser.add_argument("--pairs", type=int, default=100, help="at most so many pairs of each story")
    parser.add_argument("--only", default="", metavar="NAME", help="stories whose name holds NAME")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=_MEMORY if _MEMORY.is_dir() else None)
    told = parser.parse_args()
    stories = [number for number, story in enumerate(STORIES) if told.only in story.name]
    gc.freeze()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crash-", dir=told.folder) as folder:
        size = told.size or (30 if told.short else None)
        total = campaign(Path(folder), stories, size, told.pairs, told.workers)
    print("\nkills by the call they came before or into:")
    for kind, number in total.kinds.most_common():
        print(f"{number:6}  {kind}")
    for failure in total.failures[:10]:
        print(f"\nFAILED {failure}")
    print(
        f"\n{len(stories)} stories, {total.points} points, {total.cases} cases, {total.reached} kills, "
        f"{len(total.failures)} failures, {time.monotonic() - started:.0f} s"
    )
    return bool(total.failures)


if __name__ == "__main__":
    sys.exit(main())
