"""Jobs to hand to executors, in a plan's folder of their own."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from engine.plan.models import Task
from engine.tasks.base import Job, JobPurpose, Outcome
from engine.tasks.output import OutputSink
from engine.tasks.registry import executor_for
from engine.tasks.sanitise import Redactor

MakeJob = Callable[..., Job]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def make_job(tmp_path: Path) -> Iterator[MakeJob]:
    made: list[Job] = []
    (tmp_path / "output").mkdir()

    def make(
        action: dict[str, Any],
        *,
        purpose: JobPurpose = "run",
        attempt: int = 1,
        task: dict[str, Any] | None = None,
        secrets: dict[str, str] | None = None,
        on_lines: Callable[[list[str]], None] | None = None,
        file_bytes: int = 1 << 26,
        **more: Any,
    ) -> Job:
        described = Task.model_validate({"id": "t", "run": action, **(task or {})})
        path = tmp_path / "output" / described.id / f"{attempt}-{purpose}.log"
        job = Job(
            run="r1",
            task=described,
            attempt=attempt,
            purpose=purpose,
            action=described.run,
            folder=tmp_path,
            output=OutputSink(path, Redactor(secrets), on_lines=on_lines, file_bytes=file_bytes),
            targets={"app": tmp_path / "app.db"},
            interpreter=sys.executable,
            **more,
        )
        made.append(job)
        return job

    yield make
    for job in made:
        job.output.close()


async def carry_out(job: Job) -> Outcome:
    outcome = await executor_for(job.action, job.targets).run(job)
    job.output.close()
    return outcome


class Heard:
    """Listens to a job's output, and tells when a number of lines is there."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._news = anyio.Event()

    def __call__(self, lines: list[str]) -> None:
        self.lines += lines
        self._news.set()

    async def count(self, lines: int) -> None:
        with anyio.fail_after(20):
            while len(self.lines) < lines:
                self._news = anyio.Event()
                await self._news.wait()

    def pids(self) -> dict[str, int]:
        """What the lines `name pid` say."""
        words = [line.split() for line in self.lines]
        return {line[0]: int(line[1]) for line in words if len(line) == 2}


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
