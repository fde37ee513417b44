"""Events: everything a run is. What the journal keeps, and what every view is a fold of.

An event says what *happened*, never what should happen next. Each carries three stamps:

- `seq`: its number in the run, from 1, without gaps; what decisions and checkpoints refer to;
- `t`: seconds on the run's clock, which is monotonic and stands still while no engine owns the run
  (in a simulation it is virtual). Every duration shown anywhere is a difference of two `t`;
- `at`: the wall clock, UTC. For people; nothing is ever computed from it.

The class name in snake case is the event's `kind` in the journal and on the outside. Fields may be
added with a default; none is renamed or removed, since old journals must stay readable.
"""

from typing import Any, Literal

import msgspec

from engine.machine.vocabulary import About as About
from engine.machine.vocabulary import Action as Action
from engine.machine.vocabulary import Blocker as Blocker
from engine.machine.vocabulary import DoubtMode as DoubtMode
from engine.machine.vocabulary import Effect as Effect
from engine.machine.vocabulary import Engine as Engine
from engine.machine.vocabulary import Event as Event
from engine.machine.vocabulary import FinalStatus as FinalStatus
from engine.machine.vocabulary import Intervention as Intervention
from engine.machine.vocabulary import Mode as Mode
from engine.machine.vocabulary import Origin as Origin
from engine.machine.vocabulary import Purpose as Purpose
from engine.machine.vocabulary import SkipMode as SkipMode
from engine.machine.vocabulary import Trigger as Trigger
from engine.plan.models import FailureClass


class RunStarted(Event, frozen=True, kw_only=True):
    run: str
    plan: str
    plan_hash: str
    model: Literal["wave", "rolling"]
    policy: str
    lanes: int
    seed: int
    simulated: bool
    actor: str
    engine: Engine | None = None
    folder: str = ""
    """The plan's folder, which its relative paths start from."""
    source: str = ""
    """The plan's file, as it was given."""
    source_digest: str = ""
    """What that file is known again by; empty where it alone does not make the plan."""
    faults: tuple[dict[str, Any], ...] = ()
    """The scripted failures of a simulation."""
    allow_outside: bool = False
    """Whether the plan may name files outside its folder."""


class RunResumed(Event, frozen=True, kw_only=True):
    """Execution goes on: `cause` is a new engine, the operator after a pause, or an answered question."""

    cause: Literal["engine", "operator", "decision", "checkpoint"]
    actor: str = ""
    engine: Engine | None = None


class RunPausing(Event, frozen=True, kw_only=True):
    reason: str


class RunPaused(Event, frozen=True, kw_only=True):
    reason: str


class RunStopping(Event, frozen=True, kw_only=True):
    """An abort has begun: nothing new starts. `drain`: what is in flight may finish; else it is ended.

    `fatal`: a damaged target is the cause, and the run ends as failed."""

    drain: bool
    fatal: bool = False
    actor: str
    reason: str


class RunFinished(Event, frozen=True, kw_only=True):
    status: FinalStatus
    reason: str = ""


class WaveStarted(Event, frozen=True, kw_only=True):
    wave: str


class BarrierReached(Event, frozen=True, kw_only=True):
    wave: str


class TaskReady(Event, frozen=True, kw_only=True):
    task: str


class TaskWaiting(Event, frozen=True, kw_only=True):
    """On the frontier, but held. `lane` is set where the hold keeps a lane: a risky task whose checkpoint
    is being written starts on that lane as soon as the checkpoint is durable."""

    task: str
    reason: str
    due_t: float | None = None
    lane: int | None = None


class TaskStarted(Event, frozen=True, kw_only=True):
    task: str
    attempt: int
    lane: int


class TaskSucceeded(Event, frozen=True, kw_only=True):
    task: str
    attempt: int
    lane: int | None = None
    outputs: dict[str, Any] = msgspec.field(default_factory=dict)
    asserted_by: str = ""


class TaskFailed(Event, frozen=True, kw_only=True):
    """`rule` names the classification rule that chose `failure_class`; `tail` is the end of the output,
    already made safe for screens; `resource` is what a RESOURCE failure lacks."""

    task: str
    attempt: int
    lane: int | None = None
    failure_class: FailureClass
    reason: str
    rule: str
    effect: Effect = "unknown"
    exit_code: int | None = None
    sqlstate: str | None = None
    resource: str = ""
    tail: str = ""


class TaskCancelled(Event, frozen=True, kw_only=True):
    task: str
    attempt: int
    lane: int | None = None
    reason: str
    effect: Effect


class RetryScheduled(Event, frozen=True, kw_only=True):
    """The task runs again at `due_t`; `retry` counts automatic retries of this task from 1."""

    task: str
    retry: int
    delay: float
    due_t: float
    reason: str = ""


class TaskInDoubt(Event, frozen=True, kw_only=True):
    task: str
    attempt: int
    lane: int | None = None
    purpose: Purpose = "run"
    reason: str


class DoubtSettled(Event, frozen=True, kw_only=True):
    """`done`: the effect is there (for a rollback step: the task is undone); otherwise it is not."""

    task: str
    attempt: int
    purpose: Purpose = "run"
    done: bool
    by: Literal["ledger", "verify", "idempotent", "executor", "operator", "journal"]
    detail: str = ""


class TaskSkipped(Event, frozen=True, kw_only=True):
    task: str
    reason: str


class TaskWaived(Event, frozen=True, kw_only=True):
    task: str
    reason: str


class TaskBlocked(Event, frozen=True, kw_only=True):
    """`by` is the ancestor whose skip keeps this task from running."""

    task: str
    by: str


class TaskReset(Event, frozen=True, kw_only=True):
    """Back to pending: a resume runs again what a rollback undid, or what an abort cut short."""

    task: str
    reason: str


class QuestionOpened(Event, frozen=True, kw_only=True):
    """Its `seq` is the question's number. `survivors` names the processes of an attempt in doubt that still
    ran when it was looked into."""

    about: About
    task: str
    reason: str
    evidence: str = ""
    survivors: tuple[str, ...] = ()


class QuestionWithdrawn(Event, frozen=True, kw_only=True):
    question: int
    reason: str


class DecisionMade(Event, frozen=True, kw_only=True):
    """What an operator (or a standing order) chose. `question` is 0 where nobody had asked.

    `on_seq` is the last event that existed when it was taken."""

    question: int
    task: str = ""
    action: Action
    mode: Mode | None = None
    to: str = ""
    actor: str
    reason: str
    on_seq: int


class DecisionRefused(Event, frozen=True, kw_only=True):
    question: int
    action: Action
    actor: str
    why: str


class RollbackStarted(Event, frozen=True, kw_only=True):
    """`to` is `start` or a checkpoint; all that succeeded after event `to_seq` is in scope: `tasks` in the
    order they will be undone, `stay` for those that have no rollback and stay applied."""

    to: str
    to_seq: int
    tasks: tuple[str, ...]
    stay: tuple[str, ...] = ()
    reason: str


class RollbackStepStarted(Event, frozen=True, kw_only=True):
    task: str
    attempt: int


class TaskRolledBack(Event, frozen=True, kw_only=True):
    task: str
    attempt: int


class RollbackFailed(Event, frozen=True, kw_only=True):
    task: str
    attempt: int
    failure_class: FailureClass
    reason: str
    rule: str
    effect: Effect = "unknown"
    exit_code: int | None = None
    sqlstate: str | None = None
    tail: str = ""


class TaskLeftApplied(Event, frozen=True, kw_only=True):
    """A failed rollback step that the operator chose to leave: the task stays applied."""

    task: str
    reason: str


class CheckpointSaved(Event, frozen=True, kw_only=True):
    """`position` is the event the checkpoint stands at and `position_hash` the journal's hash there.

    `stable`: nothing was failed or in doubt then."""

    checkpoint: str
    trigger: Trigger
    position: int
    position_hash: str
    completed: int
    stable: bool
    file: str = ""
    note: str = ""


class CheckpointFailed(Event, frozen=True, kw_only=True):
    trigger: Trigger
    reason: str


class PlanChanged(Event, frozen=True, kw_only=True):
    """From here on the run goes by another plan: `actor` accepted what had been changed in the plan's file.

    `pinned` is the new plan as canonical JSON, `plan_hash` its hash; `waves` are those of the opened waves
    that are still open, in the order of the new plan."""

    actor: str
    pinned: str
    plan_hash: str
    source_digest: str = ""
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    waves: tuple[str, ...] = ()


class RunForked(Event, frozen=True, kw_only=True):
    """What stands before is the history of run `origin` up to its `checkpoint`: up to event `position`, where
    its hash is `position_hash`. Run `run` goes on from there, in its stead. `past` are all the runs that it
    goes on for, `origin` the last of them.

    `doubted` are the tasks that may have gone on there since, or may have been undone, each with the reason:
    nobody here saw what became of them. `waves` are those of the opened waves that are still open, `lost` the
    checkpoints that were saved there and are not to be had here."""

    run: str
    origin: str
    checkpoint: str
    position: int
    position_hash: str
    actor: str
    past: tuple[Origin, ...] = ()
    doubted: dict[str, str] = msgspec.field(default_factory=dict)
    waves: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class CommitIntended(Event, frozen=True, kw_only=True):
    """An attempt is about to make part `part` of `parts` permanent: the transaction `xid` will be committed
    next, or (without an `xid`) `statement` will be sent, which cannot run in a transaction."""

    task: str
    attempt: int
    purpose: Purpose = "run"
    part: int
    parts: int
    statement: str
    xid: str = ""


class TaskProgressed(Event, frozen=True, kw_only=True):
    """How far an attempt has come: `done` of about `total` units. `held`: why it holds itself back."""

    task: str
    attempt: int
    purpose: Purpose = "run"
    done: int
    total: int | None = None
    unit: str
    detail: str = ""
    held: str = ""


class LockWaitChanged(Event, frozen=True, kw_only=True):
    """Backend `pid` of an attempt waits for `relation`, behind `blockers`; without any, it waits no more.

    `tries` counts how often the attempt has given up waiting and begun again."""

    task: str
    attempt: int
    purpose: Purpose = "run"
    pid: int
    relation: str = ""
    tries: int = 0
    blockers: tuple[Blocker, ...] = ()


class InterventionMade(Event, frozen=True, kw_only=True):
    """An operator interferes with what an attempt waits for, or with the attempt itself (`cancel_own`).

    `on_seq` is the last event that existed when it was decided."""

    task: str
    attempt: int
    purpose: Purpose = "run"
    action: Intervention
    pid: int = 0
    backend_started: str = ""
    actor: str
    reason: str = ""
    on_seq: int


class InterventionEnded(Event, frozen=True, kw_only=True):
    """What came of an intervention: whether it was `done`, and what was seen."""

    task: str
    attempt: int
    action: Intervention
    pid: int = 0
    done: bool
    detail: str = ""


class InterventionRefused(Event, frozen=True, kw_only=True):
    """What an operator wanted to interfere with is no longer what was shown. Nothing was done."""

    task: str
    action: Intervention
    pid: int = 0
    actor: str
    why: str


class TaskAdjusted(Event, frozen=True, kw_only=True):
    """An operator has set how a backfill goes on: rows a batch, seconds between batches, or `held`: not at
    all for now. None leaves it to the plan."""

    task: str
    batch: int | None = None
    pause_s: float | None = None
    held: bool = False
    actor: str


AnyEvent = (
    RunStarted | RunResumed | RunPausing | RunPaused | RunStopping | RunFinished
    | WaveStarted | BarrierReached
    | TaskReady | TaskWaiting | TaskStarted | TaskSucceeded | TaskFailed | TaskCancelled | RetryScheduled
    | TaskInDoubt | DoubtSettled | TaskSkipped | TaskWaived | TaskBlocked | TaskReset
    | QuestionOpened | QuestionWithdrawn | DecisionMade | DecisionRefused
    | RollbackStarted | RollbackStepStarted | TaskRolledBack | RollbackFailed | TaskLeftApplied
    | CheckpointSaved | CheckpointFailed
    | PlanChanged | RunForked
    | CommitIntended | TaskProgressed | LockWaitChanged
    | InterventionMade | InterventionEnded | InterventionRefused | TaskAdjusted
)  # fmt: skip

encode_event = msgspec.json.Encoder().encode
"""The event as JSON bytes: what the journal stores and hashes."""
decode_event = msgspec.json.Decoder(AnyEvent).decode
"""The event in JSON bytes; raises msgspec.DecodeError for anything that is not an event of this version."""
