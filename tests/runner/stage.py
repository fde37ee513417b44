"""Runs on a real journal in a temporary directory, in a world that the test makes up."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio

from engine.journal.journal import Journal
from engine.journal.ownership import own
from engine.journal.rundir import RunDir, create_run_dir
from engine.machine import commands as cmd
from engine.machine import reports as rep
from engine.machine.core import Machine
from engine.machine.events import Event, Purpose
from engine.plan.models import Plan, parse_plan_data
from engine.plan.pinned import pin, plan_hash
from engine.runner.clock import RunClock
from engine.runner.core import Runner
from engine.runner.link import Link
from engine.tasks.base import Notify

Attempt = Callable[[str, int, Purpose, Link], Awaitable[rep.Report]]


def plan_of(*tasks: dict[str, Any], **settings: Any) -> Plan:
    """A plan of tasks that are shell tasks where they do not say otherwise."""
    given = [{"run": {"shell": "true"}, **task} for task in tasks]
    return parse_plan_data({"wesley": 1, "name": "stage", "tasks": given, **settings})


async def succeed(task: str, attempt: int, purpose: Purpose, link: Link) -> rep.Report:
    return rep.Succeeded(task=task, attempt=attempt, purpose=purpose)


class StageWorld:
    """Attempts end as `attempt` has it; nothing is known of anything else."""

    def __init__(self, attempt: Attempt = succeed) -> None:
        self.attempt = attempt
        self.hurried = False
        self.interventions: list[cmd.Intervene] = []

    def hurry(self) -> None:
        self.hurried = True

    @asynccontextmanager
    async def opened(self, notify: Notify, given_up: anyio.Event) -> AsyncIterator[None]:
        yield

    async def evidence(self, asked: cmd.GatherEvidence) -> rep.Report:
        return rep.EvidenceFound(task=asked.task, attempt=asked.attempt, purpose=asked.purpose, done=None)

    async def intervene(self, asked: cmd.Intervene) -> rep.Report:
        self.interventions.append(asked)
        return rep.Intervened(
            task=asked.task, attempt=asked.attempt, action=asked.action, pid=asked.pid, done=True
        )

    async def check(self, task: str, question: int) -> rep.Report:
        return rep.AssertionChecked(question=question, passed=True, detail=task)

    async def probe(self, task: str, attempt: int, resource: str, waited_s: float) -> rep.Report:
        return rep.ProbeAnswered(task=task, available=True, detail=f"{resource} after {waited_s}, {attempt}")


@contextmanager
def staged(folder: Path, plan: Plan, world: StageWorld, **options: Any) -> Iterator[tuple[Runner, RunDir]]:
    """A runner of a new run, and the run's directory."""
    rundir = create_run_dir(folder, "stage")
    with own(rundir), Journal.create(rundir, "stage", pin(plan), plan_hash(plan)) as journal:
        begin = rep.Begin(run="stage", plan_hash=plan_hash(plan), actor="tester")
        options.setdefault("first", begin)
        clock = options.pop("clock", None) or RunClock()
        yield Runner(Machine(plan), journal, clock, world, **options), rundir


def journaled(rundir: RunDir) -> list[Event]:
    with Journal.open(rundir, readonly=True, check=False) as journal:
        return [record.event for record in journal.read()]
