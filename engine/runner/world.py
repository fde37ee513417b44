"""The real world: attempts through the executors, each with its output, its timeout and its evidence."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from engine.forecast.faults import Faults
from engine.journal.room import no_room
from engine.journal.rundir import RunDir
from engine.machine import commands as cmd
from engine.machine import reports as rep
from engine.machine.events import Purpose
from engine.plan.models import Action, FailureClass, Plan, Task, lock_timeout
from engine.runner.kept import output_path
from engine.runner.link import Link, intent_in
from engine.runner.processes import Processes
from engine.runner.starting import CannotStart
from engine.tasks.base import (
    Cancelled,
    Evidence,
    Failed,
    InDoubt,
    Intent,
    Job,
    JobPurpose,
    Location,
    Notify,
    Outcome,
    Succeeded,
    cancelled,
    verdict,
)
from engine.tasks.output import OutputSink
from engine.tasks.registry import executor_for
from engine.tasks.sanitise import Redactor, neutralise

if TYPE_CHECKING:
    from engine.tasks.postgres.database import Database

SERVERS = "postgres"
"""The folder in a run's directory for the data of embedded servers."""
OnLines = Callable[[str, int, list[str]], None]
"""Hears of new output: (task, attempt, lines), the lines safe for screens."""

_REPORTS: dict[type[Outcome], type[rep.Outcome]] = {
    Succeeded: rep.Succeeded,
    Failed: rep.Failed,
    Cancelled: rep.Cancelled,
    InDoubt: rep.InDoubt,
}


class RealWorld:
    def __init__(
        self,
        plan: Plan,
        run: str,
        rundir: RunDir,
        folder: Path,
        targets: Mapping[str, Location],
        redactor: Redactor,
        on_lines: OnLines | None = None,
        worked_on: Collection[str] = (),
    ) -> None:
        self._plan = plan
        self._run = run
        self._rundir = rundir
        self._folder = folder
        self._locations = targets
        self._targets: dict[str, Path | Database] = {
            name: location for name, location in targets.items() if isinstance(location, Path)
        }
        self._servers = rundir.path / SERVERS
        """Where the data of embedded servers lie."""
        self._worked_on = worked_on
        self._redactor = redactor
        self._on_lines = on_lines
        self._tasks = {task.id: task for task in plan.tasks}
        self._processes = Processes(rundir)
        self._hurry = anyio.Event()

    def hurry(self) -> None:
        self._hurry.set()

    @asynccontextmanager
    async def opened(self, notify: Notify, given_up: anyio.Event) -> AsyncIterator[None]:
        """Connect to the PostgreSQL targets that the plan uses. Raises CannotStart and LockedElsewhere."""
        tasks = self._plan.tasks
        changed = {action.on for task in tasks for action in (task.run, task.rollback) if action}
        used = changed | {task.verify.on for task in tasks if task.verify}
        conninfos = {name: at for name, at in self._locations.items() if isinstance(at, str) and name in used}
        if not conninfos:
            yield
            return
        # Imported here, since a plan without PostgreSQL should not pay for its driver.
        from engine.tasks.postgres.opening import CannotOpen, opened_databases

        def clean(text: str) -> str:
            return self._redactor.redact(neutralise(text))

        def tell(text: str, *, passing: bool = False) -> None:
            notify(clean(text), passing=passing)

        opening = opened_databases(
            conninfos,
            run=self._run,
            tasks=tuple(self._tasks),
            folder=self._servers,
            worked_on=self._worked_on,
            only_read=conninfos.keys() - changed,
            notify=tell,
            given_up=given_up,
        )
        try:
            async with opening as databases:
                self._targets |= databases
                yield
        except CannotOpen as error:
            raise CannotStart([clean(problem) for problem in error.problems]) from error

    async def attempt(self, task: str, attempt: int, purpose: Purpose, link: Link) -> rep.Report:
        found = self._tasks[task]
        action = found.run if purpose == "run" else found.rollback
        assert action is not None, f"{task} has no {purpose}"
        outcome = await self._carry_out(_linked(self._job(found, attempt, purpose, action), link))
        if isinstance(outcome, Succeeded) and purpose == "run" and found.verify:
            verify = replace(self._job(found, attempt, "verify", found.verify), stop=link.stop)
            outcome = await self._verified(verify, outcome)
        return _REPORTS[type(outcome)](task=task, attempt=attempt, purpose=purpose, **outcome.fields())

    async def _verified(self, verify: Job, outcome: Outcome) -> Outcome:
        """A task that ended well is done only if its own `verify` agrees; if not, nobody knows what it is."""
        verified = await self._carry_out(verify)
        if isinstance(verified, Cancelled):
            return cancelled("unknown", "it had ended well, but its verify had not")
        found = verdict(verified)
        if found.done:
            return outcome
        return Failed(
            failure_class=FailureClass.UNKNOWN,
            reason=f"it ended well, but {found.detail}",
            rule="engine: verify after the run",
        )

    async def evidence(self, asked: cmd.GatherEvidence) -> rep.Report:
        """Settle a doubt: what the target's ledger says, then the task's `verify`. Processes of the attempt
        that still run come before either, since they may yet take effect."""
        task, attempt, purpose = asked.task, asked.attempt, asked.purpose
        if asked.end_processes:
            await self._processes.end(task, attempt, purpose)
        survivors = self._processes.survivors(task, attempt, purpose)
        evidence = still_running(survivors) if survivors else await self._look(asked)
        return rep.EvidenceFound(task=task, attempt=attempt, purpose=purpose, **evidence.fields())

    async def _look(self, asked: cmd.GatherEvidence) -> Evidence:
        task, purpose = self._tasks[asked.task], asked.purpose
        action = task.run if purpose == "run" else task.rollback
        assert action is not None
        job = replace(
            self._job(task, asked.attempt, purpose, action),
            undone=asked.undone,
            intent=_intent(asked),
        )
        executor = executor_for(action, self._targets)
        known = await executor.evidence(job, end_survivors=asked.end_processes)
        if known.done is not None or known.survivors or task.verify is None:
            return known
        verified = verdict(await self._carry_out(self._job(task, asked.attempt, "verify", task.verify)))
        detail = f"{known.detail}; {verified.detail}" if known.detail else verified.detail
        # A rollback took effect exactly if the task's own effect is no longer there.
        done = verified.done if purpose == "run" or verified.done is None else not verified.done
        return Evidence(done=done, by="verify", detail=detail)

    async def intervene(self, asked: cmd.Intervene) -> rep.Report:
        from engine.tasks.postgres import sessions
        from engine.tasks.postgres.database import Database

        task = self._tasks[asked.task]
        action = task.run if asked.purpose == "run" else task.rollback
        assert action is not None, f"{asked.task} has no {asked.purpose}"
        database = self._targets[action.on or ""]
        assert isinstance(database, Database)
        done, told = await sessions.intervene(database, asked.action, asked.pid, asked.backend_started)
        detail = self._redactor.redact(neutralise(told))
        return rep.Intervened(
            task=asked.task,
            attempt=asked.attempt,
            action=asked.action,
            pid=asked.pid,
            done=done,
            detail=detail,
        )

    async def check(self, task: str, question: int) -> rep.Report:
        found = self._tasks[task]
        assert found.verify is not None
        outcome = await self._carry_out(self._job(found, 0, "verify", found.verify))
        evidence = verdict(outcome)
        return rep.AssertionChecked(question=question, passed=evidence.done is True, detail=evidence.detail)

    async def probe(self, task: str, attempt: int, resource: str, waited_s: float) -> rep.Report:  # noqa: ARG002
        found = self._tasks[task]
        if resource == "disk" and await to_thread.run_sync(no_room, self._rundir):
            return rep.ProbeAnswered(task=task, available=False, detail="the state directory has no room")
        job = self._job(found, attempt, "run", found.run)
        available, detail = await executor_for(found.run, self._targets).probe(resource, job)
        return rep.ProbeAnswered(task=task, available=available, detail=detail)

    def _job(self, task: Task, attempt: int, purpose: JobPurpose, action: Action) -> Job:
        def on_lines(lines: list[str]) -> None:
            if self._on_lines:
                self._on_lines(task.id, attempt, lines)

        path = output_path(self._rundir, task.id, attempt, purpose)
        defaults = self._plan.defaults
        return Job(
            run=self._run,
            task=task,
            attempt=attempt,
            purpose=purpose,
            action=action,
            folder=self._folder,
            output=OutputSink(path, self._redactor, on_lines=on_lines),
            targets=self._targets,
            interpreter=self._plan.interpreter,
            timeout_s=task.timeout if task.timeout is not None else defaults.timeout,
            lock_timeout_s=lock_timeout(self._plan, task),
            lock_patience_s=defaults.lock_patience,
            on_process=self._processes.remember,
            hurry=self._hurry,
        )

    async def _carry_out(self, job: Job) -> Outcome:
        try:
            return await executor_for(job.action, self._targets).run(job)
        finally:
            job.output.close()


def _linked(job: Job, link: Link) -> Job:
    return replace(
        job,
        undone=link.undone,
        stranded=link.stranded,
        intent=link.intent,
        intend=link.intend,
        progress=link.progress,
        lock_wait=link.lock_wait,
        dials=link.dials,
        give_up=link.give_up,
        stop=link.stop,
    )


def _intent(asked: cmd.GatherEvidence) -> Intent | None:
    """What the attempt in doubt last was about to make permanent."""
    said = asked.intent
    if said is None or (said.attempt, said.purpose) != (asked.attempt, asked.purpose):
        return None
    return intent_in(said)


def still_running(survivors: tuple[str, ...]) -> Evidence:
    """As long as something of an attempt runs, it may yet take effect."""
    return Evidence(done=None, detail=f"still running: {', '.join(survivors)}", survivors=survivors)


class NoWorld:
    """The world of a simulation, where attempts are made up elsewhere: there is nothing to find in it."""

    def __init__(self, faults: Faults | None) -> None:
        self._faults = faults or Faults()

    def hurry(self) -> None:
        """What is simulated ends at once anyway."""

    @asynccontextmanager
    async def opened(self, notify: Notify, given_up: anyio.Event) -> AsyncIterator[None]:  # noqa: ARG002
        yield

    async def attempt(self, task: str, attempt: int, purpose: Purpose, link: Link) -> rep.Report:
        raise AssertionError(f"attempt {attempt} at {task} ({purpose}, {link}) is simulated")

    async def intervene(self, asked: cmd.Intervene) -> rep.Report:
        raise AssertionError(f"nothing blocks a simulated attempt: {asked}")

    async def evidence(self, asked: cmd.GatherEvidence) -> rep.Report:
        task, attempt, purpose = asked.task, asked.attempt, asked.purpose
        uncertain = self._faults.uncertain(task, attempt) if purpose == "run" else ""
        detail = uncertain or "the attempt was simulated: it left nothing behind"
        done = None if uncertain else False
        return rep.EvidenceFound(task=task, attempt=attempt, purpose=purpose, done=done, detail=detail)

    async def check(self, task: str, question: int) -> rep.Report:
        denial = self._faults.denial(task)
        return rep.AssertionChecked(question=question, passed=not denial, detail=denial)

    async def probe(self, task: str, attempt: int, resource: str, waited_s: float) -> rep.Report:
        available = self._faults.is_back(task, attempt, waited_s)
        detail = f"{resource} is {'back' if available else 'still lacking'}"
        return rep.ProbeAnswered(task=task, available=available, detail=detail)
