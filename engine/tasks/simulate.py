"""Simulated tasks: they take their time, print what they were told to, and change nothing."""

import anyio

from engine.plan.models import Simulated, expected_duration
from engine.tasks.base import Evidence, Job, Outcome, Succeeded, cancelled, not_done
from engine.tasks.classify import timed_out
from engine.tasks.exits import describe_exit, exit_failed


class SimulatedExecutor:
    """Passes time on the job's clock. An action of another kind is simulated, too: it takes the time that is
    expected of its task and succeeds."""

    async def run(self, job: Job) -> Outcome:
        simulated = job.action.simulate or Simulated()
        duration_s = _duration(job, simulated)
        limit_s = duration_s if job.timeout_s is None else min(duration_s, job.timeout_s)
        if not await _slept(job, limit_s):
            return cancelled("none")
        if simulated.output:
            job.output.note(simulated.output.removesuffix("\n"))
        if limit_s < duration_s:
            return timed_out(job, "none")
        if simulated.exit == 0:
            return Succeeded()
        if job.purpose == "verify" and simulated.exit == 1:
            return not_done(job, describe_exit(1), exit_code=1)
        return exit_failed(job, simulated.exit, effect="none")

    async def evidence(self, job: Job, *, end_survivors: bool = False) -> Evidence:  # noqa: ARG002
        return Evidence(done=False, detail=f"attempt {job.attempt} was simulated: it changed nothing")

    async def probe(self, resource: str, job: Job) -> tuple[bool, str]:
        return True, f"{resource or 'it'} was lacking in a simulation only (attempt {job.attempt})"


def _duration(job: Job, simulated: Simulated) -> float:
    if simulated.duration is not None:
        return simulated.duration
    return 0.0 if job.purpose == "verify" else expected_duration(job.task)


async def _slept(job: Job, seconds: float) -> bool:
    """Sleep on the job's clock; False where it was stopped before the time was over."""
    slept = False

    async def sleep() -> None:
        nonlocal slept
        await job.sleep(seconds)
        slept = True
        either.cancel_scope.cancel()

    async with anyio.create_task_group() as either:
        either.start_soon(sleep)
        await job.stop.wait()
        either.cancel_scope.cancel()
    return slept
