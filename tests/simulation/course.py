"""The course of one run, from its seed: engines live and die until it is completed; each is judged."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal
from unittest.mock import patch

import anyio

from console.exits import exit_code
from engine.journal.errors import EventRefused, JournalError, StateDirUnusable, StateRefused, WriteError
from engine.journal.integrity import has_begun, verify_run
from engine.journal.journal import Journal, Record
from engine.journal.rundir import RunDir
from engine.journal.witness import read_head
from engine.machine import events as ev
from engine.machine.state import State
from engine.machine.transitions import RunStatus, TaskStatus
from engine.plan.load import LoadedPlan
from engine.runner.opening import NothingToResume, OpenRun, Options, new_run, resumed_run
from tests.crash.judgement import judge_doubts
from tests.machine.ledger import snapshot
from tests.machine.plans import random_plan
from tests.simulation.people import Operator, Witness
from tests.simulation.reality import Reality, RealTasks
from tests.simulation.seam import Broken, Died, Fate, Seam, Seams, faulty_journals
from tests.simulation.virtual import Stuck, live, virtual_engine

RUN = "r1"
Manner = Literal["fair", "meddling", "none"]
"""How an operator acts, if there is one."""
_NOWHERE = Path("/simulation/plan.yaml")
"""The plan's file, as the run knows it; there is none."""
_LONGEST_S = 100_000
"""Virtual seconds in which every life comes to its end."""
_TROUBLED = 6
"""Lives with faults, at most."""
_FAIR = 12
"""Lives without: in as many every run comes to its end."""


@dataclass(frozen=True)
class Played:
    """What a seed came to: `chain` is the hash at the last event, in which all events are; `happened` are the
    faults, `kinds` the events."""

    chain: str
    lives: int
    happened: Counter[str]
    kinds: Counter[str]


class Course:
    def __init__(self, seed: int, folder: Path, seams: Seams) -> None:
        self._rng = Random(seed)
        self._seams = seams
        self.plan = random_plan(self._rng, most_tasks=12)
        self._reality = Reality(self.plan, seed, failing=self._rng.choice((0, 2, 5)))
        self.witness = Witness(self.plan)
        self._witnesses: list[bytes] = []
        self._state_dir = folder
        self._rundir = RunDir(folder / "runs" / RUN)
        self._loaded = LoadedPlan(
            plan=self.plan,
            path=_NOWHERE,
            base=_NOWHERE.parent,
            text="",
            warnings=(),
            secrets={},
            target_places={},
        )
        self.happened: Counter[str] = Counter()
        self.lives = 0

    def play(self) -> Played:
        for _ in range(self._rng.randint(1, _TROUBLED)):
            self._live(Fate.draw(self._rng), "meddling")
        self._judge_resuming_twice()
        self._reality.failing = 0
        for _ in range(_FAIR):
            if self._live(Fate(), "fair") is RunStatus.COMPLETED:
                break
        self._judge_end()
        records = self._records()
        kinds = Counter(record.event.kind for record in records)
        return Played(records[-1].hash, self.lives, self.happened, kinds)

    # -- a life ------------------------------------------------------------------------------------

    def _live(self, fate: Fate, operator: Manner) -> RunStatus | None:
        """Live a life, and judge what it leaves; what the run has come to, if it has begun."""
        self.lives += 1
        seam = self._seams.now = Seam(self._rundir.path, self._rng, fate, self._witnesses)
        stops = operator == "none" or self._rng.randrange(3) == 0
        options = Options(actor="ann", seed=7, stop_at_question=stops, environ={})
        ended: State | None = None
        try:
            with self._world(seam), self._opened(options) as opened:
                ended = live(lambda: self._run(opened, seam, operator))
        except NothingToResume:
            pass
        except JournalError as refused:
            _bear(refused, seam)
        except (Died, Stuck) as over:
            if not seam.dead:
                raise Broken("the engine waits, and nothing is due") from over
        except BaseExceptionGroup as group:
            _bear(_worst(group), seam)
        finally:
            self._seams.now = None
        if seam.dead:
            self._exhume(seam)
        self.happened += seam.happened
        self._judge(seam, ended)
        return self.witness.state.status if self.witness.state.started else None

    @contextmanager
    def _world(self, seam: Seam) -> Iterator[None]:
        world = RealTasks(self._reality, seam)
        with (
            virtual_engine(seam.delay),
            patch("engine.runner.opening._world_of", lambda *_, **__: lambda _run, _rundir: world),
        ):
            yield

    @contextmanager
    def _opened(self, options: Options) -> Iterator[OpenRun]:
        if has_begun(self._rundir):
            with resumed_run(self._rundir, options) as opened:
                yield opened
        else:
            with new_run(self._loaded, self.plan, self._state_dir, RUN, options) as opened:
                yield opened

    async def _run(self, opened: OpenRun, seam: Seam, manner: Manner) -> State:
        operator = Operator(opened.runner, self.witness, self._reality, self._rng)
        # What an earlier engine made durable and told nobody of is known from now on.
        self.witness.follow(opened.events[len(self.witness.told) :])
        opened.runner.watched_by(self.witness.looks_at(seam))  # type: ignore[arg-type]
        with anyio.fail_after(_LONGEST_S):
            async with anyio.create_task_group() as beside:
                if manner != "none":
                    beside.start_soon(operator.act, manner)
                state = await opened.runner.run()
                beside.cancel_scope.cancel()
        return state

    def _exhume(self, seam: Seam) -> None:
        """Put the run's directory back as it stood when the engine died."""
        shutil.rmtree(self._rundir.path, ignore_errors=True)
        if seam.grave.exists():
            seam.grave.rename(self._rundir.path)

    # -- judgement ---------------------------------------------------------------------------------

    def _records(self) -> list[Record]:
        if not has_begun(self._rundir):
            return []
        with Journal.open(self._rundir, readonly=True) as journal:
            return list(journal.read())

    def _judge(self, seam: Seam, ended: State | None) -> None:
        """What holds whenever no engine runs."""
        if not has_begun(self._rundir):
            _need(not self.witness.told, "the run is gone")
            return
        _need(verify_run(self._rundir).ok, "verify finds damage")
        events = [record.event for record in self._records()]
        told = self.witness.told
        _need(events[: len(told)] == told, f"{len(told)} events were told of, and {len(events)} are there")
        self.witness.follow(events[len(told) :])
        state = self.witness.state
        for task in state.with_status(TaskStatus.SUCCEEDED):
            _need(self._reality.stands[task] == 1, f"{task} has succeeded, and its effect is not there")
        if ended is not None:
            _need(snapshot(ended) == snapshot(state), "what is replayed is not what was live")
            whole = state.with_status(TaskStatus.SUCCEEDED) == list(state.tasks)
            code = (0 if whole else 3) if state.status is RunStatus.COMPLETED else _EXITS.get(state.status, 6)
            _need(exit_code(ended) == code, f"exit code {exit_code(ended)}, not {code}")
            if not ended.finished:
                self.witness.ledger.nobody_forgotten(set())
        self._judge_damage()

    def _judge_damage(self) -> None:
        """A lost witness is noticed, and so is a log that is cut behind what the witness speaks for."""
        damaged = RunDir(self._state_dir / "damaged")
        shutil.copytree(self._rundir.path, damaged.path)
        known = read_head(damaged.head).seq
        if damaged.wal.exists() and self._rng.randrange(2):
            os.truncate(damaged.wal, self._rng.randrange(damaged.wal.stat().st_size + 1))
        else:
            damaged.head.unlink()
        try:
            with Journal.open(damaged, readonly=True) as journal:
                _need(damaged.head.exists(), "nobody notices that the witness is gone")
                _need(journal.head()[0] >= known, "nobody notices that the log was cut")
        except StateRefused:
            pass
        shutil.rmtree(damaged.path)

    def _judge_resuming_twice(self) -> None:
        """A run that waits for an operator still does after another resume, and nothing was done to it."""
        self._live(Fate(), "none")
        state = self.witness.state
        before = (_standing(state), dict(self._reality.stands), state.seq)
        if not state.questions or self._reality.orphans:
            return
        self._live(Fate(), "none")
        _need((_standing(state), self._reality.stands) == before[:2], "to resume again has changed something")
        started = [e for e in self.witness.told[before[2] :] if isinstance(e, ev.TaskStarted)]
        _need(not started, f"to resume again has started {started}")

    def _judge_end(self) -> None:
        state = self.witness.state
        _need(state.status is RunStatus.COMPLETED, f"no end after {_FAIR} fair lives: {state.status}")
        for task in state.tasks.values():
            wanted = int(task.status is TaskStatus.SUCCEEDED)
            if not wanted and task.id in self._reality.idempotent:
                continue  # an attempt that was run again may have left what the last one did not bring about
            stands = self._reality.stands[task.id]
            _need(stands == wanted, f"{task.id} is {task.status}, and its effect is there {stands} times")
        judge_doubts(self._records(), State(self.plan))
        before = self._records()
        self._live(Fate(), "fair")
        _need(self._records() == before, "to resume a completed run has changed it")


_EXITS = {RunStatus.ABORTED: 4, RunStatus.FAILED: 4, RunStatus.ROLLED_BACK: 5}
_MAY_END_A_LIFE = (Died, StateDirUnusable, WriteError)


def _standing(state: State) -> tuple[object, object]:
    """The statuses of all tasks, and what is asked about which."""
    asked = sorted((question.task, question.about) for question in state.questions.values())
    return {task.id: task.status for task in state.tasks.values()}, asked


def _bear(error: BaseException, seam: Seam) -> None:
    """Take it that a life ended by `error`, if that is how one may end. Nothing is ever damaged."""
    excused = seam.dead or seam.happened.total() > 0
    if isinstance(error, EventRefused) or not (excused and isinstance(error, _MAY_END_A_LIFE)):
        raise error


def _worst(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error of many that says most: a broken promise before a death before anything else."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found.append(_worst(error) if isinstance(error, BaseExceptionGroup) else error)
    return min(found, key=lambda error: (not isinstance(error, AssertionError), not isinstance(error, Died)))


def _need(held: bool, otherwise: str) -> None:
    if not held:
        raise Broken(otherwise)


def play(seed: int, folder: Path) -> Played:
    """Play `seed` in `folder`, which must not exist yet. Raises AssertionError where a promise is broken."""
    folder.mkdir(parents=True)
    seams = Seams()
    with faulty_journals(seams):
        try:
            return Course(seed, folder, seams).play()
        finally:
            shutil.rmtree(folder)
