"""What every executor is given, what it hands back, and the Protocol it keeps.

Executors report what happened and decide nothing. How an attempt ended is a value, never an exception: only a
cancellation of the scope around `run` leaves it as one, and then the work has been ended all the same.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import anyio
import msgspec

from engine.machine.events import Blocker, Effect
from engine.plan.models import Action, FailureClass, Task
from engine.tasks.output import OutputSink

if TYPE_CHECKING:
    from engine.tasks.postgres.database import Database

JobPurpose = Literal["run", "rollback", "verify"]
Location = Path | str
"""Where a target is: the file of a SQLite target, or the conninfo of a PostgreSQL one."""

DEFAULT_GRACE_S = 5.0
"""Seconds between asking a process tree to end and killing it."""

NOT_DONE = "verify: not done"
"""The rule of a verify that ran to its end and said no. Any other failure of a verify says nothing."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended. The fields are those of the report of the same name."""

    def fields(self) -> dict[str, Any]:
        """The fields by name: `reports.Failed(task=…, attempt=…, purpose=…, **outcome.fields())`."""
        return msgspec.structs.asdict(self)


class Succeeded(Outcome, frozen=True, kw_only=True):
    outputs: dict[str, Any] = {}


class Failed(Outcome, frozen=True, kw_only=True):
    """`tail` is the end of the output, safe for screens; `fatal` means that the target itself is damaged."""

    failure_class: FailureClass
    reason: str
    rule: str
    effect: Effect = "unknown"
    exit_code: int | None = None
    sqlstate: str | None = None
    resource: str = ""
    tail: str = ""
    fatal: bool = False


class Cancelled(Outcome, frozen=True, kw_only=True):
    """The attempt was ended because `Job.stop` was set."""

    effect: Effect
    reason: str


class InDoubt(Outcome, frozen=True, kw_only=True):
    reason: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an attempt whose end nobody saw. `done` is None where nothing could settle it."""

    done: bool | None
    by: Literal["ledger", "verify", "executor"] = "executor"
    detail: str = ""
    survivors: tuple[str, ...] = ()
    """What of the attempt still runs in the target, in words: while there is any, nothing settles it."""

    def fields(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt is about to make permanent: part `part` of `parts`, in transaction `xid`, or by a
    `statement` that runs in none (then `xid` is empty)."""

    part: int
    parts: int
    statement: str
    xid: str = ""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an attempt has come: `done` of about `total` units. `held`: why it holds itself back."""

    done: int
    total: int | None = None
    unit: str
    detail: str = ""
    held: str = ""


class LockWait(msgspec.Struct, frozen=True, kw_only=True):
    """Backend `pid` of the attempt waits for `relation`, behind `blockers`; without any, it waits no more.
    `tries` counts how often the attempt has given up waiting and begun again."""

    pid: int
    relation: str = ""
    tries: int = 0
    blockers: tuple[Blocker, ...] = ()


@dataclass(slots=True)
class Dials:
    """How an operator has set a backfill to go, while it goes; None leaves it to the plan. `held`: not at all
    for now."""

    batch: int | None = None
    pause_s: float | None = None
    held: bool = False


class ProcessMark(msgspec.Struct, frozen=True, kw_only=True):
    """Enough to find the processes of an attempt again from another engine, and to tell them from strangers.

    `token` is in the environment of each of them, and nowhere else; `started` is in seconds since the epoch,
    as psutil gives it. Before the first process is started, `pid` is 0."""

    run: str
    task: str
    attempt: int
    purpose: JobPurpose
    token: str
    pid: int = 0
    started: float = 0.0
    boot_id: str


def _nobody(_: ProcessMark) -> None:
    """The default of `Job.on_process`: nobody wants to know."""


async def _at_once(_: Intent) -> None:
    """The default of `Job.intend`: there is no journal to wait for."""


def _unheard(_: object) -> None:
    """The default of what tells of an attempt under way: nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt at one action. All durations are in seconds.

    `folder` is the plan's folder, where processes start and relative files are found. `stop` ends the attempt
    when it is set, and `hurry` then cuts its grace short. `on_process` hears of a child process before it is
    started, and again once it exists. `sleep` is the clock that simulated work passes on. `past_runs` are
    runs that this one goes on for: evidence is then of whether any attempt of theirs has left its effect.

    Attempts up to number `undone` were undone since: what they left in a ledger counts no more. The last
    `stranded` of them were not undone one by one: the run was rolled back when they had not succeeded, and
    what they did in part may be there or not.

    `intend` is awaited before anything is made permanent, and returns once the journal has it; `intent` is
    what an earlier attempt last said there (for evidence: the attempt in question). `progress` (as often as
    one likes) and `lock_wait` (on change) tell of the attempt under way. `give_up` ends it when an operator
    wants just this attempt to end. One wait for a lock lasts `lock_timeout_s` at most, and an attempt keeps
    trying for `lock_patience_s`.
    """

    run: str
    task: Task
    attempt: int
    purpose: JobPurpose = "run"
    action: Action
    folder: Path
    output: OutputSink
    targets: "Mapping[str, Path | Database]" = field(default_factory=dict)
    interpreter: str = "python3"
    timeout_s: float | None = None
    lock_timeout_s: float = 1.0
    lock_patience_s: float = 120.0
    grace_s: float = DEFAULT_GRACE_S
    past_runs: tuple[str, ...] = ()
    undone: int = 0
    stranded: int = 0
    intent: Intent | None = None
    intend: Callable[[Intent], Awaitable[None]] = _at_once
    progress: Callable[[Progress], None] = _unheard
    lock_wait: Callable[[LockWait], None] = _unheard
    dials: Dials = field(default_factory=Dials)
    give_up: anyio.Event = field(default_factory=anyio.Event)
    stop: anyio.Event = field(default_factory=anyio.Event)
    hurry: anyio.Event = field(default_factory=anyio.Event)
    on_process: Callable[[ProcessMark], None] = _nobody
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep


class Notify(Protocol):
    """Takes a line for the operator, who can do nothing about it just now. `passing`: it is soon over."""

    def __call__(self, text: str, *, passing: bool = False) -> None: ...


def unnoticed(text: str, *, passing: bool = False) -> None:
    """Where nobody listens."""


class Executor(Protocol):
    async def run(self, job: Job) -> Outcome:
        """Carry the action out, and tell how it ended.

        Ends early, and takes all it started with it, when `job.stop` is set, when `job.timeout_s` is over, or
        when the scope around the call is cancelled."""
        ...

    async def evidence(self, job: Job, *, end_survivors: bool = False) -> Evidence:
        """What the target itself knows of this attempt. Changes nothing, but ends what still runs of the
        attempt where that is asked for."""
        ...

    async def probe(self, resource: str, job: Job) -> tuple[bool, str]:
        """Whether `resource` is back, and what was seen of it."""
        ...


def cancelled(effect: Effect, detail: str = "") -> Cancelled:
    return Cancelled(effect=effect, reason="ended on request" + (f"; {detail}" if detail else ""))


def not_done(job: Job, found: str, exit_code: int | None = None) -> Failed:
    """The outcome of a verify that ran to its end and says no."""
    return Failed(
        failure_class=FailureClass.PERMANENT,
        reason=f"verify says that the task is not done: {job.output.clean(found)}",
        rule=NOT_DONE,
        effect="none",
        exit_code=exit_code,
        tail=job.output.excerpt(),
    )


def verdict(outcome: Outcome) -> Evidence:
    """What a `verify` that ended with `outcome` tells: only a verify that ran to its end tells anything."""
    match outcome:
        case Succeeded():
            return Evidence(done=True, by="verify", detail="verify says that the task is done")
        case Failed(rule=rule, reason=reason) if rule == NOT_DONE:
            return Evidence(done=False, by="verify", detail=reason)
        case Failed(reason=reason) | Cancelled(reason=reason) | InDoubt(reason=reason):
            return Evidence(done=None, by="verify", detail=f"verify could not tell: {reason}")
    raise TypeError(f"not an outcome: {outcome!r}")
