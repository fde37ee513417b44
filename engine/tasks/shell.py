"""Shell commands: `sh -c` in the plan's folder."""

from engine.tasks.base import Evidence, Job, Outcome, Succeeded, not_done
from engine.tasks.exits import describe_exit, exit_failed
from engine.tasks.process import Ended, run_process
from engine.tasks.resources import probe_resource


class ShellExecutor:
    """Runs shell commands. Of a verify, exit 0 means done, 1 not done, and the rest that it cannot tell."""

    async def run(self, job: Job) -> Outcome:
        ended = await run_process(job, ["sh", "-c", job.action.shell or ""])
        if not isinstance(ended, Ended):
            return ended
        if ended.code == 0:
            return Succeeded()
        if job.purpose == "verify" and ended.code == 1:
            return not_done(job, describe_exit(1), exit_code=1)
        return exit_failed(job, ended.code, out_of_memory=ended.out_of_memory)

    async def evidence(self, job: Job, *, end_survivors: bool = False) -> Evidence:  # noqa: ARG002
        return Evidence(done=None, detail=f"a shell command leaves no record of attempt {job.attempt}")

    async def probe(self, resource: str, job: Job) -> tuple[bool, str]:
        return probe_resource(resource, job.folder)
