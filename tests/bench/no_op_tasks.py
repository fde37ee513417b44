"""Microseconds a no-op task: the machine alone, and the live engine with its journal on the disk.

The graph is layered: 50 tasks wide, each with 3 random dependencies in the layer before; 4 lanes. In the same
run and on the same graph stand beside them: a bare asyncio loop with a heap (the least that any scheduler in
Python has to do, without failures, pools, events or a disk), doit, and dask's two schedulers.

Only the run itself is timed: what a contender makes of the graph beforehand (a plan, doit's tasks, dask's
graph, a pool of threads, a cluster) is made outside the clock. Rounds are interleaved, so that a busy machine
slows all alike. The figures are medians, of the wall clock and of processor time (this process, all threads).

    python -m tests.bench.no_op_tasks [--tasks 1000 10000] [--rounds 5] [--skip dask.distributed]
"""

import argparse
import asyncio
import gc
import heapq
import io
import os
import random
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import anyio

from engine.forecast.simulation import Simulation
from engine.graph import Graph
from engine.journal.journal import Journal
from engine.journal.ownership import own
from engine.journal.rundir import create_run_dir
from engine.machine import commands as cmd
from engine.machine import reports as rep
from engine.machine.core import Machine
from engine.machine.events import Purpose
from engine.machine.state import State
from engine.machine.transitions import RunStatus
from engine.plan.models import Plan, Task, parse_plan_data
from engine.plan.pinned import pin, plan_hash
from engine.runner.clock import RunClock
from engine.runner.core import Runner
from engine.runner.link import Link
from engine.tasks.base import Notify

WIDTH = 50
NEEDS = 3
LANES = 4
Needs = dict[str, list[str]]
Run = Callable[[], object]


class Cost(NamedTuple):
    """Microseconds a task."""

    wall: float
    cpu: float


def layered(tasks: int, seed: int = 1) -> Needs:
    """`tasks` ids, each with what it needs."""
    draw = random.Random(seed)
    names = [f"t{number}" for number in range(tasks)]
    needs: Needs = {}
    for number, name in enumerate(names):
        layer = number // WIDTH
        before = names[(layer - 1) * WIDTH : layer * WIDTH] if layer else []
        needs[name] = draw.sample(before, NEEDS) if before else []
    return needs


def leaves(needs: Needs) -> list[str]:
    """The tasks that no other needs: to ask for these is to ask for all."""
    needed = {each for of in needs.values() for each in of}
    return [name for name in needs if name not in needed]


# -- the floor ---------------------------------------------------------------------------------------


@contextmanager
def bare_loop(needs: Needs) -> Iterator[Run]:
    """A heap of what is ready, four coroutines that take from it, and nothing else."""
    children: dict[str, list[str]] = {name: [] for name in needs}
    for name, of in needs.items():
        for each in of:
            children[each].append(name)
    number = {name: at for at, name in enumerate(needs)}
    unmet = {name: len(of) for name, of in needs.items()}
    ready = [(number[name], name) for name in needs if not unmet[name]]
    left = len(needs)

    async def lane(news: asyncio.Event) -> None:
        nonlocal left
        while left:
            if not ready:
                news.clear()
                await news.wait()
                continue
            _, name = heapq.heappop(ready)
            await asyncio.sleep(0)  # the no-op task: a lane gives way to the others once
            left -= 1
            for child in children[name]:
                unmet[child] -= 1
                if not unmet[child]:
                    heapq.heappush(ready, (number[child], child))
                    news.set()
        news.set()

    async def lanes() -> None:
        news = asyncio.Event()
        await asyncio.gather(*(lane(news) for _ in range(LANES)))

    yield lambda: asyncio.run(lanes())
    assert not left


@contextmanager
def bare_appends(needs: Needs) -> Iterator[Run]:
    """A file made longer and flushed once for every four tasks: the least that durable outcomes cost."""
    block = bytes(1024)
    with tempfile.TemporaryFile() as file:

        def run() -> None:
            for _ in range(len(needs) // LANES):
                os.write(file.fileno(), block)
                os.fsync(file.fileno())

        yield run


# -- the engine --------------------------------------------------------------------------------------


def plan_of(needs: Needs) -> Plan:
    tasks = [{"id": name, "run": {"simulate": {}}, "needs": of} for name, of in needs.items()]
    checkpoints = {"progress": 100, "before_risk": 1}
    return parse_plan_data(
        {"wesley": 1, "name": "no-op", "workers": LANES, "tasks": tasks, "checkpoints": checkpoints}
    )


def drive(machine: Machine) -> None:
    """Answer each command at once: every task succeeds, every checkpoint is written."""
    now = rep.Now(0.0, datetime.now(UTC))
    inbox: deque[rep.Report] = deque([rep.Begin(run="bench", plan_hash="", actor="bench")])
    while inbox:
        for command in machine.handle(inbox.popleft(), now).commands:
            if isinstance(command, cmd.StartTask):
                inbox.append(rep.Succeeded(task=command.task, attempt=command.attempt))
            elif isinstance(command, cmd.SaveCheckpoint):
                written = rep.CheckpointWritten(
                    checkpoint=command.checkpoint,
                    trigger=command.trigger,
                    position=command.position,
                    position_hash="",
                )
                inbox.append(written)


def require_completed(state: State) -> None:
    assert state.status is RunStatus.COMPLETED, state.status


@contextmanager
def machine_alone(needs: Needs) -> Iterator[Run]:
    """The machine: reports in, events and commands out."""
    machine = Machine(plan_of(needs))
    yield partial(drive, machine)
    require_completed(machine.state)


@contextmanager
def simulated(needs: Needs) -> Iterator[Run]:
    """The machine in virtual time, as a forecast runs it; every event is kept."""

    def at_once(task: Task, attempt: int, purpose: Purpose) -> tuple[float, rep.Report]:
        return 0.0, rep.Succeeded(task=task.id, attempt=attempt, purpose=purpose)

    simulation = Simulation(plan_of(needs), outcomes=at_once)
    yield simulation.run
    require_completed(simulation.state)


class NoOp:
    """A world in which every attempt succeeds at once, and nothing else ever happens."""

    def hurry(self) -> None:
        raise AssertionError("nobody stops it")

    @asynccontextmanager
    async def opened(self, notify: Notify, given_up: anyio.Event) -> AsyncIterator[None]:
        yield

    async def attempt(self, task: str, attempt: int, purpose: Purpose, link: Link) -> rep.Report:
        assert not link.stop.is_set()
        return rep.Succeeded(task=task, attempt=attempt, purpose=purpose)

    async def evidence(self, asked: cmd.GatherEvidence) -> rep.Report:
        raise AssertionError(f"something is in doubt: {asked}")

    async def intervene(self, asked: cmd.Intervene) -> rep.Report:
        raise AssertionError(f"nothing is to be interfered with: {asked}")

    async def check(self, task: str, question: int) -> rep.Report:
        raise AssertionError(f"{task} was asked about in question {question}")

    async def probe(self, task: str, attempt: int, resource: str, waited_s: float) -> rep.Report:
        raise AssertionError(f"{task} ({attempt}) lacks {resource} for {waited_s} s")


@contextmanager
def live_engine(needs: Needs, disk: str | None = None) -> Iterator[Run]:
    """The runner with anyio tasks and the durable journal: what a real run pays, but for its work."""
    plan = plan_of(needs)
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        rundir = create_run_dir(Path(folder), "bench")
        with own(rundir), Journal.create(rundir, "bench", pin(plan), plan_hash(plan)) as journal:
            begin = rep.Begin(run="bench", plan_hash=plan_hash(plan), actor="bench")
            runner = Runner(Machine(plan, Graph(plan)), journal, RunClock(), NoOp(), first=begin)
            yield lambda: anyio.run(runner.run)
            require_completed(runner.state)


# -- others ------------------------------------------------------------------------------------------


def no_op(*_: object) -> None:
    return None


@contextmanager
def doit(needs: Needs, lanes: int) -> Iterator[Run]:
    """doit's own runner (1 lane: no threads at all) with its fastest store, which is written at the end."""
    from doit import runner as runners
    from doit.control import TaskControl
    from doit.dependency import Dependency, JsonDB
    from doit.reporter import ZeroReporter
    from doit.task import Stream
    from doit.task import Task as DoitTask

    control = TaskControl([DoitTask(name, [no_op], task_dep=of) for name, of in needs.items()])
    control.process(None)
    with tempfile.TemporaryDirectory() as folder:
        runner_of = runners.Runner if lanes == 1 else partial(runners.MThreadRunner, num_process=lanes)
        store = Dependency(JsonDB, f"{folder}/doit.json")
        runner = runner_of(store, ZeroReporter(io.StringIO(), {}), stream=Stream(0))

        def run() -> None:
            assert runner.run_all(control.task_dispatcher()) == 0

        yield run


def dask_graph(needs: Needs) -> dict[str, object]:
    from dask._task_spec import convert_legacy_graph

    return dict(convert_legacy_graph({name: (no_op, *of) for name, of in needs.items()}))


@contextmanager
def dask_threaded(needs: Needs) -> Iterator[Run]:
    from dask.threaded import get

    with ThreadPoolExecutor(LANES) as pool:
        yield partial(get, dask_graph(needs), leaves(needs), pool=pool)


@contextmanager
def dask_distributed(needs: Needs) -> Iterator[Run]:
    """Everything in one process, which is its fastest way here: no task has to be sent anywhere."""
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=1, threads_per_worker=LANES, processes=False, dashboard_address=None)
    with cluster, Client(cluster) as client:
        client.submit(no_op).result()
        yield partial(client.get, dask_graph(needs), leaves(needs))


# -- the comparison ----------------------------------------------------------------------------------

BARE, MACHINE, LIVE = "bare asyncio and heap", "machine alone", "live engine, durable"
MEMORY_DISK = "/dev/shm"
CONTENDERS: dict[str, Callable[[Needs], AbstractContextManager[Run]]] = {
    BARE: bare_loop,
    MACHINE: machine_alone,
    "machine in virtual time": simulated,
    "bare append and fsync / 4": bare_appends,
    LIVE: live_engine,
    "doit, one by one": partial(doit, lanes=1),
    "doit, 4 threads": partial(doit, lanes=LANES),
    "dask threaded": dask_threaded,
    "dask.distributed": dask_distributed,
}
if Path(MEMORY_DISK).is_dir():
    CONTENDERS["live engine, memory disk"] = partial(live_engine, disk=MEMORY_DISK)


def cost(name: str, needs: Needs) -> Cost:
    with CONTENDERS[name](needs) as run:
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        took = time.perf_counter() - wall, time.process_time() - cpu
    return Cost(*(seconds / len(needs) * 1e6 for seconds in took))


def medians(names: list[str], needs: Needs, rounds: int) -> dict[str, Cost]:
    measured: dict[str, list[Cost]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            measured[name].append(cost(name, needs))
    return {name: Cost(*map(median, zip(*costs, strict=True))) for name, costs in measured.items()}


def print_verdicts(costs: dict[str, Cost]) -> None:
    """Whether the engine is where it wants to be. Nothing of this weakens what the journal promises."""

    def say(met: bool, aim: str) -> None:
        print(f"    {'met    ' if met else 'not met'}  {aim}")

    machine, live, bare = costs[MACHINE], costs[LIVE], costs[BARE]
    # Neither of these two ever waits, and processor time is the steadier of the two figures.
    say(machine.cpu <= 5 * bare.cpu, "the machine alone within 5 times the bare loop")
    say(live.wall < 300, "the live engine under 300 µs a task")
    for name in costs:
        if name.startswith(("doit", "dask")):
            say(live.wall < costs[name].wall, f"the live engine ahead of {name}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--tasks", type=int, nargs="+", default=[1000, 10_000])
    arguments.add_argument("--rounds", type=int, default=5)
    optional = [name for name in CONTENDERS if name not in (BARE, MACHINE, LIVE)]
    arguments.add_argument("--skip", nargs="+", default=[], choices=optional, metavar="NAME")
    given = arguments.parse_args()
    names = [name for name in CONTENDERS if name not in given.skip]
    for tasks in given.tasks:
        print(f"\n{tasks:,} no-op tasks, {WIDTH} wide, {NEEDS} needs each, {LANES} lanes")
        print(f"  median of {given.rounds:<16} µs a task   × the bare loop   µs of processor")
        costs = medians(names, layered(tasks), given.rounds)
        for name, (wall, cpu) in costs.items():
            print(f"  {name:<26} {wall:>9.1f} {wall / costs[BARE].wall:>17.1f} {cpu:>17.1f}")
        print_verdicts(costs)


if __name__ == "__main__":
    main()
