"""Running a child process: started, listened to, ended with all it started, and reaped."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from types import TracebackType
from typing import Literal, NamedTuple, Self
from uuid import uuid4

import anyio
import psutil
from anyio import to_thread

from engine.plan.models import FailureClass
from engine.tasks.base import Failed, InDoubt, Job, Outcome, cancelled
from engine.tasks.classify import Verdict, failed, timed_out
from engine.tasks.exits import out_of_memory_kills
from engine.tasks.tree import TOKEN, Tree, adopt_orphans, has_exited, mark_process, none_left

LEFTOVER_GRACE_S = 0.5
"""Seconds that background processes get to finish by themselves once the first process has ended."""
DRAIN_S = 0.5
"""Seconds to read on when all has ended but somebody out of reach still holds the output open."""
RESULT_BYTES = 1024 * 1024
"""How much a child may hand back."""
_READ_BYTES = 64 * 1024

_LACKING = {
    errno.ENOMEM: "memory",
    errno.EAGAIN: "processes",
    errno.EMFILE: "file descriptors",
    errno.ENFILE: "file descriptors",
    errno.ENOSPC: "disk",
    errno.EDQUOT: "disk",
    errno.EFBIG: "disk",
}
_WRONG = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.E2BIG}

_How = Literal["itself", "stop", "timeout"]


class Ended(NamedTuple):
    """How a child ended that ended by itself.

    `code` is its exit code, -n where signal n ended it; `result` is what it handed back, one byte more than
    RESULT_BYTES at most; `out_of_memory` tells that the kernel counted such a kill meanwhile."""

    code: int
    result: bytes
    out_of_memory: bool


async def run_process(job: Job, argv: Sequence[str], *, hands_back: bool = False) -> Ended | Outcome:
    """Run `argv` in the plan's folder, in a session of its own, until all of it is over.

    With `hands_back` the number of a file descriptor to hand a result back on is added to `argv`. An outcome
    is returned where the exit code has no say: the child could not start, was stopped, ran out of time.
    Background processes of the same group end with the first process; one that went into a session of its own
    is let go, unless the attempt is stopped: then all end. So they do before a cancellation goes on."""
    if job.stop.is_set():
        return cancelled("none")
    adopt_orphans()
    kills_before = out_of_memory_kills()
    token = uuid4().hex
    result = bytearray()
    with _Pipe() as output, _Pipe() if hands_back else nullcontext() as back:
        try:
            # First of all, so that a later engine finds what this one was killed over starting.
            job.on_process(mark_process(job, token))
            child = _start(job, argv, token, output, back)
        except OSError as error:
            return _not_started(job, argv[0], error)
        output.close_writer()
        if back:
            back.close_writer()
        how: _How = "stop"
        left: list[psutil.Process] = []
        alone = False
        mark = mark_process(job, token, child.pid)
        tree = Tree(mark)
        try:
            async with anyio.create_task_group() as reading:
                reading.start_soon(_read, output, job.output.write)
                if back:
                    reading.start_soon(_read, back, partial(_collect, result))
                try:
                    with suppress(OSError):
                        job.on_process(mark)
                    how = await _ending(job, child)
                    alone = how == "itself" and not await _leftovers(job, tree)
                finally:
                    if not alone:
                        with anyio.CancelScope(shield=True):
                            left = await tree.end(
                                everywhere=how != "itself", grace_s=job.grace_s, hurry=job.hurry
                            )
                reading.cancel_scope.deadline = anyio.current_time() + DRAIN_S
        finally:
            code = child.poll()
    if left or code is None:
        pids = ", ".join(str(process.pid) for process in left)
        return InDoubt(reason=f"processes of this attempt could not be ended, even by SIGKILL: {pids}")
    if how == "stop":
        return cancelled("unknown")
    if how == "timeout":
        return timed_out(job, "unknown")
    return Ended(code, bytes(result), code != 0 and out_of_memory_kills() > kills_before)


def _start(
    job: Job, argv: Sequence[str], token: str, output: "_Pipe", back: "_Pipe | None"
) -> subprocess.Popen[bytes]:
    told = {
        "WESLEY_RUN": job.run,
        "WESLEY_TASK": job.task.id,
        "WESLEY_ATTEMPT": str(job.attempt),
        TOKEN: token,
    }
    return subprocess.Popen(
        [*argv, str(back.writer)] if back else argv,
        cwd=job.folder,
        env=os.environ | told,
        stdin=subprocess.DEVNULL,
        stdout=output.writer,
        stderr=output.writer,
        pass_fds=(back.writer,) if back else (),
        start_new_session=True,
    )


def _not_started(job: Job, program: str, error: OSError) -> Failed:
    number = error.errno or 0
    if number in _LACKING:
        failure_class = FailureClass.RESOURCE
    else:
        failure_class = FailureClass.PERMANENT if number in _WRONG else FailureClass.UNKNOWN
    name = errno.errorcode.get(number, "no error number")
    verdict = Verdict(failure_class, f"built-in: not started ({name})", _LACKING.get(number, ""))
    where = f": {error.filename}" if error.filename else ""
    return failed(job, verdict, f"`{program}` could not be started: {error.strerror}{where}", effect="none")


async def _ending(job: Job, child: subprocess.Popen[bytes]) -> _How:
    """Wait for the child's end, for `job.stop` or for the end of its time, whatever comes first."""
    how: _How = "timeout"

    async def stopped() -> None:
        nonlocal how
        await job.stop.wait()
        how = "stop"
        race.cancel_scope.cancel()

    with anyio.move_on_after(job.timeout_s):
        async with anyio.create_task_group() as race:
            race.start_soon(stopped)
            await _exited(child)
            how = "itself"
            race.cancel_scope.cancel()
    # It may have ended in the same moment; then that is what happened.
    return "itself" if _has_exited(child) else how


async def _exited(child: subprocess.Popen[bytes]) -> None:
    """Wait for the child's end. Where the system allows it the child is not reaped yet: so long nobody else
    gets its number, and signals to its group cannot go astray."""
    if sys.platform == "linux":
        descriptor = os.pidfd_open(child.pid)
        try:
            await anyio.wait_readable(descriptor)
        finally:
            os.close(descriptor)
    else:
        await to_thread.run_sync(child.wait, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))


def _has_exited(child: subprocess.Popen[bytes]) -> bool:
    if sys.platform == "linux":
        return has_exited(child.pid)
    return child.returncode is not None


async def _leftovers(job: Job, tree: Tree) -> bool:
    """Give what runs on in the background a moment to finish, and say so where it has to be ended; whether
    it has."""
    left = await none_left(tree.group, LEFTOVER_GRACE_S)
    if left:
        job.output.note(f"… still running in the background, and ended now: {len(left)} of its processes")
    return bool(left)


async def _read(pipe: "_Pipe", take: Callable[[bytes], object]) -> None:
    while True:
        await anyio.wait_readable(pipe.reader)
        if not (data := os.read(pipe.reader, _READ_BYTES)):
            return
        take(data)


def _collect(result: bytearray, data: bytes) -> None:
    result += data[: RESULT_BYTES + 1 - len(result)]


class _Pipe:
    """A pipe whose ends are closed at the end of a `with`, and the writer as soon as the child has it."""

    def __enter__(self) -> Self:
        self.reader, self.writer = os.pipe()
        return self

    def close_writer(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_writer()
        os.close(self.reader)
