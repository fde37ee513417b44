"""How the end of a process is classified: its exit code, or the signal that ended it."""

import functools
import signal
from pathlib import Path

from engine.machine.events import Effect
from engine.plan.models import FailureClass
from engine.tasks.base import Failed, Job
from engine.tasks.classify import Verdict, failed, shell_code

_T, _R, _P = FailureClass.TRANSIENT, FailureClass.RESOURCE, FailureClass.PERMANENT

EXITS: dict[int, tuple[FailureClass, str, str]] = {
    64: (_P, "EX_USAGE", ""),
    65: (_P, "EX_DATAERR", ""),
    66: (_P, "EX_NOINPUT", ""),
    69: (_T, "EX_UNAVAILABLE", ""),
    71: (_R, "EX_OSERR", "processes"),
    73: (_R, "EX_CANTCREAT", "disk"),
    74: (_R, "EX_IOERR", "disk"),
    75: (_T, "EX_TEMPFAIL", ""),
    77: (_P, "EX_NOPERM", ""),
    78: (_P, "EX_CONFIG", ""),
    124: (_T, "timed out", ""),
    126: (_P, "not executable", ""),
    127: (_P, "not found", ""),
    134: (_P, "SIGABRT", ""),
    139: (_P, "SIGSEGV", ""),
    152: (_R, "SIGXCPU", "cpu time"),
    153: (_R, "SIGXFSZ", "file size"),
}
"""Exit codes as a shell shows them, with class, meaning and lacking resource. The rest is UNKNOWN."""

_KILLED = 128 + signal.SIGKILL


def by_exit(exit_code: int, *, out_of_memory: bool = False) -> Verdict:
    """The built-in class of an exit code. `out_of_memory`: the kernel counted such a kill meanwhile."""
    code = shell_code(exit_code)
    if code == _KILLED and out_of_memory:
        return Verdict(_R, f"built-in: exit {exit_code} (SIGKILL, out of memory)", "memory")
    if code in EXITS:
        failure_class, meaning, resource = EXITS[code]
        return Verdict(failure_class, f"built-in: exit {exit_code} ({meaning})", resource)
    return Verdict(FailureClass.UNKNOWN, f"built-in: exit {exit_code} tells nothing")


def exit_failed(
    job: Job, exit_code: int, *, out_of_memory: bool = False, effect: Effect = "unknown"
) -> Failed:
    """The failure of a process that ended by itself with `exit_code` (below 0: the signal that ended it)."""
    verdict = by_exit(exit_code, out_of_memory=out_of_memory)
    last = job.output.last_line()
    reason = describe_exit(exit_code) + (f"; it said: {last}" if last else "")
    return failed(job, verdict, reason, effect=effect, exit_code=exit_code)


def describe_exit(exit_code: int) -> str:
    code = shell_code(exit_code)
    if code > 128:
        try:
            return f"exit {exit_code}: ended by {signal.Signals(code - 128).name}"
        except ValueError:
            pass
    meaning = EXITS.get(code)
    return f"exit {exit_code}: {meaning[1]}" if meaning else f"exit {exit_code}"


def out_of_memory_kills() -> int:
    """How many out-of-memory kills the kernel counts in this process's control group; 0 where unknown."""
    counter = _kill_counter()
    try:
        lines = counter.read_text().splitlines() if counter else []
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


@functools.cache
def _kill_counter() -> Path | None:
    """The file in which the kernel counts such kills for this process's control group, if there is one."""
    try:
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return None
    for _, controllers, path in groups:
        if controllers == "":
            counter = Path("/sys/fs/cgroup") / path.lstrip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            counter = Path("/sys/fs/cgroup/memory") / path.lstrip("/") / "memory.oom_control"
        else:
            continue
        if counter.exists():
            return counter
    return None
