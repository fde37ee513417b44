"""Microseconds a no-op task: the machine alone, and the live engine with its journal on the disk.

The graph is layered: 50 tasks wide, each with 3 random dependencies in the layer before; 4 lanes. Beside them,
in the same run and on the same graph: a bare asyncio loop with a heap (the least that any scheduler in Python
has to do, without failures, pools, events or a disk), doit, and dask's two schedulers.

    python -m tests.bench.no_op_tasks [--tasks 1000 10000] [--rounds 3]
"""

import argparse
import asyncio
import gc
import heapq
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import anyio

from engine.forecast.simulation import Simulation
from engine.graph import Graph
from engine.journal.journal import Journal
from engine.journal.ownership import own
from engine.journal.rundir import create_run_dir
from engine.machine import reports as rep
from engine.machine.core import Machine
from engine.machine.events import Purpose
from engine.machine.transitions import RunStatus
from engine.plan.models import Plan, Task, parse_plan_data
from engine.plan.pinned import pin, plan_hash
from engine.runner.clock import RunClock
from engine.runner.core import Runner

WIDTH = 50
NEEDS = 3
LANES = 4
Needs = dict[str, list[str]]


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


def plan_of(needs: Needs) -> Plan:
    tasks = [{"id": name, "run": {"simulate": {}}, "needs": of} for name, of in needs.items()]
    checkpoints = {"progress": 100, "before_risk": 1}
    return parse_plan_data(
        {"wesley": 1, "name": "no-op", "workers": LANES, "tasks": tasks, "checkpoints": checkpoints}
    )


def bare_loop(needs: Needs) -> float:
    """A heap of what is ready, four coroutines that take from it, and nothing else."""
    children: dict[str, list[str]] = {name: [] for name in needs}
    for name, of in needs.items():
        for each in of:
            children[each].append(name)

    async def main() -> int:
        unmet = {name: len(of) for name, of in needs.items()}
        heap = [(number, name) for number, name in enumerate(needs) if not unmet[name]]
        heapq.heapify(heap)
        number = {name: at for at, name in enumerate(needs)}
        news = asyncio.Condition()
        done = 0

        async def lane() -> None:
            nonlocal done
            while done < len(needs):
                if not heap:
                    async with news:
                        await news.wait_for(lambda: heap or done >= len(needs))
                    continue
                _, name = heapq.heappop(heap)
                await asyncio.sleep(0)  # the no-op task: a lane gives way to the others once
                done += 1
                for child in children[name]:
                    unmet[child] -= 1
                    if not unmet[child]:
                        heapq.heappush(heap, (number[child], child))
                if done >= len(needs):
                    async with news:
                        news.notify_all()

        await asyncio.gather(*(lane() for _ in range(LANES)))
        return done

    started = time.perf_counter()
    assert asyncio.run(main()) == len(needs)
    return time.perf_counter() - started


def machine_alone(needs: Needs) -> float:
    """The machine and its events, driven in virtual time by reports that everything succeeded."""
    plan = plan_of(needs)
    graph = Graph(plan)

    def at_once(task: Task, attempt: int, purpose: Purpose) -> tuple[float, rep.Report]:
        return 0.0, rep.Succeeded(task=task.id, attempt=attempt, purpose=purpose)

    simulation = Simulation(plan, graph, outcomes=at_once)
    started = time.perf_counter()
    state = simulation.run()
    took = time.perf_counter() - started
    assert state.status is RunStatus.COMPLETED
    return took


class NoOp:
    """A world in which every attempt succeeds at once."""

    async def attempt(self, task: str, attempt: int, purpose: Purpose, stop: anyio.Event) -> rep.Report:
        return rep.Succeeded(task=task, attempt=attempt, purpose=purpose)

    async def evidence(self, task: str, attempt: int, purpose: Purpose) -> rep.Report:
        raise AssertionError("nothing is ever in doubt here")

    async def check(self, task: str, question: int) -> rep.Report:
        raise AssertionError("nothing is ever asked here")

    async def probe(self, task: str, attempt: int, resource: str, waited_s: float) -> rep.Report:
        raise AssertionError("nothing is ever lacking here")


def live_engine(needs: Needs) -> float:
    """The runner with anyio tasks and the durable journal: what a real run pays, but for its work."""
    plan = plan_of(needs)
    graph = Graph(plan)
    with tempfile.TemporaryDirectory() as folder:
        rundir = create_run_dir(Path(folder), "bench")
        with own(rundir), Journal.create(rundir, "bench", pin(plan), plan_hash(plan)) as journal:
            machine = Machine(plan, graph)
            begin = rep.Begin(run="bench", plan_hash=plan_hash(plan), actor="bench")
            runner = Runner(machine, journal, RunClock(), NoOp(), first=begin)
            started = time.perf_counter()
            state = anyio.run(runner.run)
            took = time.perf_counter() - started
    assert state.status is RunStatus.COMPLETED
    return took


def doit_run(needs: Needs) -> float:
    from doit.cmd_base import ModuleTaskLoader
    from doit.doit_cmd import DoitMain

    def task_no_op():  # type: ignore[no-untyped-def]
        for name, of in needs.items():
            yield {"name": name, "actions": [_nothing], "task_dep": [f"no_op:{each}" for each in of]}

    with tempfile.TemporaryDirectory() as folder:
        config = {"dep_file": f"{folder}/doit.db", "verbosity": 0, "reporter": "zero"}
        loader = ModuleTaskLoader({"task_no_op": task_no_op, "DOIT_CONFIG": config})
        started = time.perf_counter()
        assert DoitMain(loader).run(["-n", str(LANES), "-P", "thread"]) == 0
        return time.perf_counter() - started


def _nothing() -> bool:
    return True


def _after(*_: object) -> None:
    return None


def dask_threaded(needs: Needs) -> float:
    from dask.threaded import get

    graph = {name: (_after, *of) for name, of in needs.items()}
    started = time.perf_counter()
    get(graph, list(needs)[-WIDTH:], num_workers=LANES)
    return time.perf_counter() - started


def dask_distributed(needs: Needs) -> float:
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=1, threads_per_worker=LANES, processes=False, dashboard_address=None)
    with cluster, Client(cluster) as client:
        graph = {name: (_after, *of) for name, of in needs.items()}
        started = time.perf_counter()
        client.get(graph, list(needs)[-WIDTH:])
        return time.perf_counter() - started


CONTENDERS: dict[str, Callable[[Needs], float]] = {
    "bare asyncio and heap": bare_loop,
    "machine alone": machine_alone,
    "live engine, durable": live_engine,
    "doit, 4 threads": doit_run,
    "dask threaded": dask_threaded,
    "dask.distributed": dask_distributed,
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--tasks", type=int, nargs="+", default=[1000, 10_000])
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    for tasks in given.tasks:
        needs = layered(tasks)
        print(f"\n{tasks:,} no-op tasks, {WIDTH} wide, {NEEDS} needs each, {LANES} lanes; median of {given.rounds}")
        baseline = 0.0
        for name, contender in CONTENDERS.items():
            gc.collect()
            each = median(contender(needs) for _ in range(given.rounds)) / tasks * 1e6
            baseline = baseline or each
            print(f"  {name:<24} {each:>9.1f} µs a task   {each / baseline:>7.1f} × the bare loop")


if __name__ == "__main__":
    main()
