"""The world of a run that goes on with the history of others, some of which nobody here has seen."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from engine.journal.rundir import RunDir
from engine.machine import commands as cmd
from engine.machine import reports as rep
from engine.machine.events import Origin
from engine.machine.state import State
from engine.plan.models import Action
from engine.runner.processes import Processes
from engine.runner.world import SERVERS, RealWorld, still_running
from engine.tasks.base import Evidence, JobPurpose, verdict
from engine.tasks.registry import executor_for
from engine.tasks.statements import is_transactional


class Past(NamedTuple):
    """The runs that a fork goes on for, and how many attempts of a task were seen when it began."""

    origins: tuple[Origin, ...]
    seen: Mapping[str, int]


def past_of(state: State) -> Past | None:
    """The past of a run that is a fork; None for any other."""
    seen = {task.id: task.forked_after for task in state.tasks.values() if task.forked_after >= 0}
    return Past(state.origins, seen) if state.origins else None


class WorldWithPast(RealWorld):
    """The real world, in which a doubt that came with the fork is looked into where the originals worked: at
    any attempt of theirs, since nobody knows how many there were."""

    def __init__(self, past: Past, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._past = past
        # What an embedded server held when the fork was made is with the run that had it first.
        self._servers = Path(past.origins[0].path) / SERVERS
        self._theirs = [Processes(RunDir(Path(origin.path))) for origin in past.origins]

    async def evidence(self, asked: cmd.GatherEvidence) -> rep.Report:
        task, attempt = asked.task, asked.attempt
        if asked.purpose != "run" or attempt > self._past.seen.get(task, -1):
            return await super().evidence(asked)
        if asked.end_processes:
            for processes in self._theirs:
                await processes.end(task)
        survivors = tuple(each for processes in self._theirs for each in processes.survivors(task))
        evidence = still_running(survivors) if survivors else await self._weigh(asked)
        return rep.EvidenceFound(task=task, attempt=attempt, **evidence.fields())

    async def _weigh(self, asked: cmd.GatherEvidence) -> Evidence:
        """What the ledger tells of all attempts together, then what the task's `verify` says."""
        task, attempt = self._tasks[asked.task], asked.attempt
        job = self._job(task, attempt, "run", task.run)
        runs = tuple(origin.run for origin in self._past.origins)
        executor = executor_for(task.run, self._targets)
        known = await executor.evidence(replace(job, past_runs=runs), end_survivors=asked.end_processes)
        if known.done and task.rollback and not _keeps_rows(task.rollback, task.run):
            known = Evidence(done=None, detail=f"{known.detail}; a rollback would have left no row")
        if known.done is not None or known.survivors or task.verify is None:
            return known
        purpose: JobPurpose = "verify"
        verified = verdict(await self._carry_out(self._job(task, attempt, purpose, task.verify)))
        detail = f"{known.detail}; {verified.detail}" if known.detail else verified.detail
        return Evidence(done=verified.done, by="verify", detail=detail)


def _keeps_rows(rollback: Action, run: Action) -> bool:
    """Whether the rollback leaves its rows in the ledger that the task does."""
    if rollback.on != run.on:
        return False
    if run.backfill or rollback.backfill:
        return bool(run.backfill and rollback.backfill)
    return rollback.sql is not None and is_transactional(rollback.sql)
