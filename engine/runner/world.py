"""The real world: attempts through the executors, each with its output, its timeout and its evidence."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import anyio
from anyio import to_thread

from engine.forecast.faults import Faults
from engine.journal.room import no_room
from engine.journal.rundir import RunDir
from engine.machine import reports as rep
from engine.machine.events import Purpose
from engine.plan.models import Action, FailureClass, Plan, Task
from engine.runner.kept import output_path
from engine.runner.processes import Processes
from engine.tasks.base import (
    Cancelled,
    Evidence,
    Failed,
    InDoubt,
    Job,
    JobPurpose,
    Location,
    Outcome,
    Succeeded,
    cancelled,
    verdict,
)
from engine.tasks.output import OutputSink
from engine.tasks.registry import executor_for
from engine.tasks.sanitise import Redactor

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
    ) -> None:
        self._plan = plan
        self._run = run
        self._rundir = rundir
        self._folder = folder
        self._targets = targets
        self._redactor = redactor
        self._on_lines = on_lines
        self._tasks = {task.id: task for task in plan.tasks}
        self._processes = Processes(rundir)
        self._hurry = anyio.Event()

    def hurry(self) -> None:
        self._hurry.set()

    async def attempt(self, task: str, attempt: int, purpose: Purpose, stop: anyio.Event) -> rep.Report:
        found = self._tasks[task]
        action = found.run if purpose == "run" else found.rollback
        assert action is not None, f"{task} has no {purpose}"
        outcome = await self._carry_out(self._job(found, attempt, purpose, action, stop))
        if isinstance(outcome, Succeeded) and purpose == "run" and found.verify:
            outcome = await self._verified(self._job(found, attempt, "verify", found.verify, stop), outcome)
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

    async def evidence(
        self, task: str, attempt: int, purpose: Purpose, *, end_processes: bool = False
    ) -> rep.Report:
        """Settle a doubt: what the target's ledger says, then the task's `verify`. Processes of the attempt
        that still run come before either, since they may yet take effect."""
        if end_processes:
            await self._processes.end(task, attempt, purpose)
        survivors = self._processes.survivors(task, attempt, purpose)
        if survivors:
            evidence = Evidence(done=None, detail=f"still running: {', '.join(survivors)}")
        else:
            evidence = await self._look(self._tasks[task], attempt, purpose)
        return rep.EvidenceFound(
            task=task, attempt=attempt, purpose=purpose, survivors=survivors, **evidence.fields()
        )

    async def _look(self, task: Task, attempt: int, purpose: Purpose) -> Evidence:
        action = task.run if purpose == "run" else task.rollback
        assert action is not None
        job = self._job(task, attempt, purpose, action)
        known = await executor_for(action.kind).evidence(job)
        if known.done is not None or task.verify is None:
            return known
        verified = verdict(await self._carry_out(self._job(task, attempt, "verify", task.verify)))
        detail = f"{known.detail}; {verified.detail}" if known.detail else verified.detail
        # A rollback took effect exactly if the task's own effect is no longer there.
        done = verified.done if purpose == "run" or verified.done is None else not verified.done
        return Evidence(done=done, by="verify", detail=detail)

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
        available, detail = await executor_for(found.run.kind).probe(resource, job)
        return rep.ProbeAnswered(task=task, available=available, detail=detail)

    def _job(
        self,
        task: Task,
        attempt: int,
        purpose: JobPurpose,
        action: Action,
        stop: anyio.Event | None = None,
    ) -> Job:
        def on_lines(lines: list[str]) -> None:
            if self._on_lines:
                self._on_lines(task.id, attempt, lines)

        path = output_path(self._rundir, task.id, attempt, purpose)
        defaults = self._plan.defaults
        job = Job(
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
            lock_timeout_s=defaults.lock_timeout,
            on_process=self._processes.remember,
            hurry=self._hurry,
        )
        return replace(job, stop=stop) if stop else job

    async def _carry_out(self, job: Job) -> Outcome:
        try:
            return await executor_for(job.action.kind).run(job)
        finally:
            job.output.close()


class NoWorld:
    """The world of a simulation, where attempts are made up elsewhere: there is nothing to find in it."""

    def __init__(self, faults: Faults | None) -> None:
        self._faults = faults or Faults()

    def hurry(self) -> None:
        """What is simulated ends at once anyway."""

    async def attempt(self, task: str, attempt: int, purpose: Purpose, stop: anyio.Event) -> rep.Report:
        raise AssertionError(f"attempt {attempt} at {task} ({purpose}, {stop}) is simulated")

    async def evidence(
        self,
        task: str,
        attempt: int,
        purpose: Purpose,
        *,
        end_processes: bool = False,  # noqa: ARG002
    ) -> rep.Report:
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
