"""All the processes of one attempt: found, ended, and found again by a later engine.

An attempt's processes are those of its own process group, whatever descends from its first process, and
whatever carries its mark in the environment. The mark finds those that started a session of their own and
lost their parents, too; only a process that does all of that *and* clears its environment gets away.
"""

import contextlib
import ctypes
import functools
import os
import signal
import sys
from collections.abc import Callable, Container, Iterable
from pathlib import Path

import anyio
import psutil

from engine.tasks.base import DEFAULT_GRACE_S, Job, ProcessMark

TOKEN = "WESLEY_TOKEN"
"""The variable that carries the mark of an attempt."""
_PR_SET_CHILD_SUBREAPER = 36
_KILL_ROUNDS = 5
_KILL_WAIT_S = 1.0


def mark_process(job: Job, token: str, pid: int = 0) -> ProcessMark:
    """The mark of an attempt whose first process is `pid`, or will be one with `token` as TOKEN in its
    environment."""
    return ProcessMark(
        run=job.run,
        task=job.task.id,
        attempt=job.attempt,
        purpose=job.purpose,
        token=token,
        pid=pid,
        started=psutil.Process(pid).create_time() if pid else 0.0,
        boot_id=boot_id(),
    )


@functools.cache
def boot_id() -> str:
    """Which start of this machine it is; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@functools.cache
def adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs, where Linux offers it: so they stay in sight."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Tree:
    """The processes of the attempt that `mark` tells of. Its first process leads the process group."""

    def __init__(self, mark: ProcessMark) -> None:
        self._mark = mark

    def group(self) -> list[psutil.Process]:
        """The living members of the process group; none where no process was written down.

        Without that, group 0 would be asked for: on many systems that is where the first process of all is,
        with everything that descends from it."""
        found: list[psutil.Process] = []
        if not self._mark.pid:
            return found
        for pid in psutil.pids():
            if _group_of(pid) == self._mark.pid and not self._is_ended_leader(pid):
                with contextlib.suppress(psutil.Error):
                    found.append(psutil.Process(pid))
        return self._living(found)

    def everyone(self, adopted_by: Container[int] | None = None) -> list[psutil.Process]:
        """Every living process of the attempt, in whatever group or session it is.

        `adopted_by` says whose children orphans are by now; without it they are looked for everywhere."""
        members = {process.pid: process for process in self.group()}
        others: dict[int, psutil.Process] = {}
        parents: dict[int, int] = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                parent = parents[process.pid] = process.ppid()
                mine = process.pid == self._mark.pid or (
                    (adopted_by is None or parent in adopted_by) and self.is_marked(process)
                )
                (members if mine else others)[process.pid] = process
        while found := [pid for pid in others if parents[pid] in members]:
            members.update((pid, others.pop(pid)) for pid in found)
        return self._living(members.values())

    async def end(self, *, everywhere: bool, grace_s: float, hurry: anyio.Event) -> list[psutil.Process]:
        """End the process group, or `everywhere` all of the attempt; what could not be ended.

        The grace is over as soon as `hurry` is set."""

        asked: list[psutil.Process] = []

        def send(number: signal.Signals, processes: list[psutil.Process]) -> None:
            asked.extend(processes)
            # At once to the whole group: a process that forks just now cannot get away.
            with contextlib.suppress(OSError):
                os.killpg(self._mark.pid, number)
            _send([process for process in processes if _group_of(process.pid) != self._mark.pid], number)

        adopters = {os.getpid(), 1}
        find = (lambda: self.everyone(adopters)) if everywhere else self.group
        left = await _end(find, send, grace_s, hurry)
        self._living(asked)  # buries those that had no environment left to be found by
        return left

    def is_marked(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(TOKEN) == self._mark.token
        except (psutil.Error, OSError):
            return False

    def _is_ended_leader(self, pid: int) -> bool:
        """Whether `pid` is known to be the first process, a child of ours that has ended. So it is after
        nearly every attempt, and reading it up in /proc takes as long as all the rest of the search."""
        try:
            return sys.platform == "linux" and pid == self._mark.pid and has_exited(pid)
        except ChildProcessError:
            return False

    def _living(self, processes: Iterable[psutil.Process]) -> list[psutil.Process]:
        living = []
        for process in processes:
            try:
                if not process.is_running():
                    continue
                if process.status() != psutil.STATUS_ZOMBIE:
                    living.append(process)
                elif process.pid != self._mark.pid:
                    _bury(process)
            except psutil.Error:
                continue
        return living


async def _end(
    find: Callable[[], list[psutil.Process]],
    send: Callable[[signal.Signals, list[psutil.Process]], None],
    grace_s: float,
    hurry: anyio.Event,
) -> list[psutil.Process]:
    processes = find()
    if processes and not hurry.is_set():
        send(signal.SIGTERM, processes)
        processes = await none_left(find, grace_s, hurry)
    for _ in range(_KILL_ROUNDS):
        if processes:
            send(signal.SIGKILL, processes)
            processes = await none_left(find, _KILL_WAIT_S)
    return processes


async def none_left(
    find: Callable[[], list[psutil.Process]], within_s: float, hurry: anyio.Event | None = None
) -> list[psutil.Process]:
    """Wait until `find` finds nothing, for `within_s` seconds at most, or until `hurry` is set; what it found
    last."""
    give_up_at = anyio.current_time() + within_s
    pause_s = 0.005
    while (found := find()) and anyio.current_time() < give_up_at and not (hurry and hurry.is_set()):
        await anyio.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.1)
    return found


def has_exited(child: int) -> bool:
    """Whether the child process has ended, without reaping it. Raises ChildProcessError where it has been
    reaped, or is no child of ours."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):  # it may have ended meanwhile
            process.send_signal(number)


def _bury(orphan: psutil.Process) -> None:
    """Take the exit status of a dead orphan that was adopted: else it stays in the process table."""
    with contextlib.suppress(OSError):  # where it is not ours, its parent does that
        os.waitpid(orphan.pid, os.WNOHANG)


def survivors(mark: ProcessMark) -> list[psutil.Process]:
    """The processes of an earlier engine's attempt that live on: none, once the machine has started anew."""
    if mark.boot_id != boot_id():
        return []
    tree = Tree(mark)
    # Where the first process is gone, its number may be somebody else's by now: then only the mark counts.
    found = tree.everyone()
    return found if _still_there(mark) else [process for process in found if tree.is_marked(process)]


async def end_survivors(mark: ProcessMark, grace_s: float = DEFAULT_GRACE_S) -> list[psutil.Process]:
    """End what an earlier engine left running of an attempt; what could not be ended."""
    return await _end(
        lambda: survivors(mark), lambda number, found: _send(found, number), grace_s, anyio.Event()
    )


def _still_there(mark: ProcessMark) -> bool:
    try:
        return abs(psutil.Process(mark.pid).create_time() - mark.started) < 1.0
    except psutil.Error:
        return False
