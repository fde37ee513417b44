"""Reports: what the world tells the machine. Outcomes, timers that went off, and what the operator chose.

A report is not kept. What the machine makes of it is: the events it answers with.
"""

from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from engine.machine.events import Action, Blocker, Effect, Engine, Intervention, Mode, Purpose, Trigger
from engine.plan.models import FailureClass


class Now(NamedTuple):
    """When a report is handled: `t` in seconds on the run's clock, `at` on the wall clock (UTC)."""

    t: float
    at: datetime


class Report(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


class Begin(Report, frozen=True, kw_only=True):
    run: str
    plan_hash: str
    actor: str
    seed: int = 0
    simulated: bool = False
    engine: Engine | None = None
    folder: str = ""
    source: str = ""
    source_digest: str = ""
    faults: tuple[dict[str, Any], ...] = ()
    allow_outside: bool = False


class EngineResumed(Report, frozen=True, kw_only=True):
    """A new engine owns the run. What was in flight under the old one becomes a doubt."""

    actor: str
    engine: Engine | None = None


class Outcome(Report, frozen=True, kw_only=True):
    """How an attempt at a task, or at its rollback, ended."""

    task: str
    attempt: int
    purpose: Purpose = "run"


class Succeeded(Outcome, frozen=True, kw_only=True):
    outputs: dict[str, Any] = {}


class Failed(Outcome, frozen=True, kw_only=True):
    failure_class: FailureClass
    reason: str
    rule: str
    effect: Effect = "unknown"
    exit_code: int | None = None
    sqlstate: str | None = None
    resource: str = ""
    tail: str = ""
    fatal: bool = False
    """The target itself is damaged: the run stops, whatever the plan says."""


class Cancelled(Outcome, frozen=True, kw_only=True):
    """The attempt was ended because the machine asked for it."""

    effect: Effect
    reason: str


class InDoubt(Outcome, frozen=True, kw_only=True):
    """Whether the attempt took effect cannot be told from its outcome (a connection lost at COMMIT)."""

    reason: str


class EvidenceFound(Report, frozen=True, kw_only=True):
    """`done` is None where nothing could settle it; `detail` is what was looked at, for the operator.

    `survivors` names the processes of the attempt that still run: as long as there are any, nothing settles
    it, since they may yet take effect."""

    task: str
    attempt: int
    purpose: Purpose = "run"
    done: bool | None
    by: Literal["ledger", "verify", "idempotent", "executor"] = "executor"
    detail: str = ""
    survivors: tuple[str, ...] = ()


class AssertionChecked(Report, frozen=True, kw_only=True):
    """What the task's `verify` said to an operator's "it is done"."""

    question: int
    passed: bool
    detail: str = ""


class ProbeAnswered(Report, frozen=True, kw_only=True):
    task: str
    available: bool
    detail: str = ""


class TimerFired(Report, frozen=True, kw_only=True):
    key: str


class CheckpointWritten(Report, frozen=True, kw_only=True):
    checkpoint: str
    trigger: Trigger
    position: int
    position_hash: str
    file: str = ""


class CheckpointNotWritten(Report, frozen=True, kw_only=True):
    checkpoint: str
    trigger: Trigger
    reason: str


class Decide(Report, frozen=True, kw_only=True):
    """The operator's answer to question number `question`; 0 for a rollback nobody had asked about.

    `to` says where a rollback goes: `last`, `start` or a checkpoint."""

    question: int
    action: Action
    mode: Mode | None = None
    to: str = "last"
    actor: str
    reason: str = ""


class Pause(Report, frozen=True, kw_only=True):
    actor: str
    reason: str = ""


class Continue(Report, frozen=True, kw_only=True):
    actor: str


class TakeCheckpoint(Report, frozen=True, kw_only=True):
    actor: str
    reason: str = ""


class Stop(Report, frozen=True, kw_only=True):
    """Abort the run. With `drain` what is in flight finishes first; without, it is ended."""

    actor: str
    reason: str
    drain: bool = True


class CommitIntended(Report, frozen=True, kw_only=True):
    """An attempt wants to make a part of its work permanent, and waits until that is known to the journal."""

    task: str
    attempt: int
    purpose: Purpose = "run"
    part: int
    parts: int
    statement: str
    xid: str = ""


class Progressed(Report, frozen=True, kw_only=True):
    task: str
    attempt: int
    purpose: Purpose = "run"
    done: int
    total: int | None = None
    unit: str
    detail: str = ""
    held: str = ""


class LockWaitSeen(Report, frozen=True, kw_only=True):
    """Who blocks the attempt's backend `pid` just now; nobody any more, where `blockers` is empty."""

    task: str
    attempt: int
    purpose: Purpose = "run"
    pid: int
    relation: str = ""
    tries: int = 0
    blockers: tuple[Blocker, ...] = ()


class Intervene(Report, frozen=True, kw_only=True):
    """An operator ends attempt `attempt` at `task` (`cancel_own`), or interferes with the backend that was
    shown to block it. `on_seq` is the last event that the operator had seen."""

    task: str
    attempt: int
    purpose: Purpose = "run"
    action: Intervention
    pid: int = 0
    backend_started: str = ""
    actor: str
    reason: str = ""
    on_seq: int


class Intervened(Report, frozen=True, kw_only=True):
    task: str
    attempt: int
    action: Intervention
    pid: int = 0
    done: bool
    detail: str = ""


class Adjust(Report, frozen=True, kw_only=True):
    """An operator sets how a backfill goes on; see the event `task_adjusted`."""

    task: str
    batch: int | None = None
    pause_s: float | None = None
    held: bool = False
    actor: str


AnyReport = (
    Begin | EngineResumed | Succeeded | Failed | Cancelled | InDoubt | EvidenceFound | AssertionChecked
    | ProbeAnswered | TimerFired | CheckpointWritten | CheckpointNotWritten
    | Decide | Pause | Continue | TakeCheckpoint | Stop
    | CommitIntended | Progressed | LockWaitSeen | Intervene | Intervened | Adjust
)  # fmt: skip
