"""State: what a list of events amounts to. Nothing in here decides anything; `fold.py` fills it.

Whatever can be derived from these fields is derived, in methods or by the views. The console, the
inspector and the machine all read this same class.
"""

from collections import Counter
from copy import copy
from datetime import datetime
from typing import Any

import msgspec

from engine.machine.events import (
    About,
    CommitIntended,
    DecisionMade,
    Engine,
    InterventionEnded,
    InterventionMade,
    InterventionRefused,
    LockWaitChanged,
    Origin,
    TaskAdjusted,
    TaskProgressed,
    Trigger,
)
from engine.machine.resources import Pools
from engine.machine.transitions import FINAL, FRONTIER, SATISFIED, SETTLED, RunStatus, TaskStatus
from engine.plan.models import FailureClass, Plan


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt of a task. `result` is `running`, or the status that ended it. Times are run clock."""

    number: int
    lane: int
    started_t: float
    started_at: datetime
    ended_t: float | None = None
    ended_at: datetime | None = None
    result: TaskStatus = TaskStatus.RUNNING
    failure_class: FailureClass | None = None
    reason: str = ""
    rule: str = ""
    exit_code: int | None = None
    sqlstate: str | None = None
    tail: str = ""


class Underway(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the attempt in flight (or the last one) at a task, or at its rollback, has told of itself so far:
    the newest event of each kind. A rate is the difference of `progress` and `progress_from`, which lies only
    a little while back; `progress_next` is what takes its place in time."""

    intent: CommitIntended | None = None
    """Kept from attempt to attempt: the next one has to know what an earlier one may have brought about."""
    progress_from: TaskProgressed | None = None
    progress_next: TaskProgressed | None = None
    progress: TaskProgressed | None = None
    lock_wait: LockWaitChanged | None = None
    """None as soon as nothing blocks it any more."""
    intervention: InterventionMade | InterventionEnded | InterventionRefused | None = None


class TaskState(msgspec.Struct, gc=False):
    """`settled_seq`: the event that brought the present status, if that status is a settled one, else 0.
    It is what tells whether a rollback to an earlier event has to undo the task."""

    id: str
    status: TaskStatus = TaskStatus.PENDING
    attempts: tuple[Attempt, ...] = ()
    retries: int = 0
    """Automatic retries since an operator last decided on the task."""
    resource_waits: int = 0
    """Waits for a lacking resource, likewise."""
    ready_seq: int = 0
    """The event that last put the task on the frontier."""
    settled_seq: int = 0
    waiting_for: str = ""
    due_t: float | None = None
    outputs: dict[str, Any] = {}
    asserted_by: str = ""
    blocked_by: str = ""
    doubt: str = ""
    """While in doubt: which purpose the unseen outcome belongs to, `run` or `rollback`."""
    unseen: str = ""
    """While in doubt since a fork: why nobody here knows what became of it."""
    forked_after: int = -1
    """Attempts up to this number, and others that nobody here saw, were the original's; -1 without a fork."""
    done_seq: int = 0
    """Where it was done by the original, which is in doubt since a fork: the event that settled it there."""
    undo_attempts: int = 0
    undone_attempts: int = 0
    """Attempts up to this number were undone: what they left in a ledger counts no more."""
    stranded_attempts: int = 0
    """Attempts up to this number had not succeeded when the run was rolled back: they were not undone, but
    something that they built on was. What they left may be there or not; only an operator can tell."""
    undone_undos: int = 0
    """Attempts at its rollback up to this number belong to rollbacks that are over, likewise."""
    underway: Underway = Underway()
    adjusted: TaskAdjusted | None = None
    """How an operator last set the task to go; it holds for later attempts, too."""

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def lane(self) -> int | None:
        """The lane of the last attempt."""
        return self.attempts[-1].lane if self.attempts else None

    @property
    def timer(self) -> str:
        """The key of the timer that ends a wait with a due time: for a retry, or to probe a resource."""
        lacking = self.last is not None and self.last.failure_class is FailureClass.RESOURCE
        return f"{'probe' if lacking else 'retry'}:{self.id}"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """An open question; `number` is the `seq` of the event that opened it.

    `refused` says why the newest answer that this engine was given to it could not be taken."""

    number: int
    about: About
    task: str
    reason: str
    evidence: str
    survivors: tuple[str, ...] = ()
    refused: str = ""
    t: float
    at: datetime


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """`undone`: a rollback has gone behind it, or was under way: what it holds is not to be had again."""

    id: str
    trigger: Trigger
    seq: int
    position: int
    position_hash: str
    t: float
    at: datetime
    completed: int
    stable: bool
    file: str
    note: str
    undone: bool = False


class Rollback(msgspec.Struct, kw_only=True):
    """A rollback under way, or (after the run ended rolled back) the last one.

    `running` is the step in flight. The next step is the first of `tasks` that is neither rolled back nor
    in `left`: the place is never lost, since it is read off the tasks themselves."""

    to: str
    to_seq: int
    tasks: tuple[str, ...]
    stay: tuple[str, ...]
    reason: str
    running: str = ""
    left: frozenset[str] = frozenset()


class Stopping(msgspec.Struct, frozen=True, kw_only=True):
    drain: bool
    fatal: bool
    actor: str
    reason: str


class State:
    """Everything known of a run after event `seq`.

    Invariants, held by the fold and checked by `validate`:
    - a lane holds a task exactly while the task runs, or waits with its lane for a checkpoint;
    - `in_use` is the sum of the demands of the tasks on lanes, and never above a pool's capacity;
    - `counts` counts the statuses of `tasks`;
    - a question's task is failed, in doubt or rolling back for as long as the question is open,
      but for a question about a rollback's scope.
    """

    def __init__(self, plan: Plan, pools: Pools | None = None) -> None:
        self.plan = plan
        self.plan_seq = 0
        """The event that brought this plan; 0 for the one that the run started with."""
        self.pools = pools or Pools(plan)
        self.run = ""
        self.simulated = False
        self.folder = ""
        self.source = ""
        self.source_digest = ""
        self.origins: tuple[Origin, ...] = ()
        """The runs whose history this one goes on with, the first one first."""
        self.faults: tuple[dict[str, Any], ...] = ()
        self.allow_outside = False
        self.seed = 0
        self.engine: Engine | None = None
        self.taken_up_seq = 0
        """The event by which another engine last took the run up; 0 while the first one has it."""
        self.actor = ""
        self.started_at: datetime | None = None
        self.status = RunStatus.RUNNING
        self.status_reason = ""
        self.seq = 0
        self.t = 0.0
        self.at: datetime | None = None
        self.tasks = {task.id: TaskState(task.id) for task in plan.tasks}
        self.counts = dict.fromkeys(TaskStatus, 0) | {TaskStatus.PENDING: len(plan.tasks)}
        self.settled = 0
        """How many tasks are settled: the sum of their counts, kept because every event asks for it."""
        self.settled_changed_seq = 0
        """The last event by which a task became settled, or ceased to be."""
        self.lanes: list[str | None] = [None] * plan.workers
        self.in_use: dict[str, int] = {}
        self.overtaken: dict[str, int] = {}
        """Per task held by a pool: how many tasks have since taken units of its pools when it was too big to
        start itself. Those that merely come first by the policy do not count."""
        self.waves_started: dict[str, int] = {}
        """Waves that were opened, in order, each with its event; a rollback behind that event closes it."""
        self.barriers: dict[str, int] = {}
        """Waves whose barrier was reached, likewise."""
        self.questions: dict[int, Question] = {}
        self.decisions: list[DecisionMade] = []
        self.checkpoints: dict[str, Checkpoint] = {}
        self.operator_pause: str | None = None
        """Why the operator (or a checkpoint that could not be written) holds the run, if so."""
        self.rollback: Rollback | None = None
        self.rollback_wanted: DecisionMade | None = None
        """A rollback that was decided and waits for what is in flight."""
        self.stopping: Stopping | None = None
        self.finished_t: float | None = None
        self.going_since_t = 0.0
        """When the run last began to go on, by a start or a resume; checkpoints by time count from it."""

    # -- derived ---------------------------------------------------------------------------------

    @property
    def started(self) -> bool:
        return self.seq > 0

    @property
    def finished(self) -> bool:
        return self.status in FINAL

    @property
    def in_flight(self) -> list[str]:
        """Tasks that an executor is busy with, a rollback step included."""
        busy = [task for task in self.lanes if task and self.tasks[task].status is TaskStatus.RUNNING]
        if self.rollback and self.rollback.running:
            busy.append(self.rollback.running)
        return busy

    @property
    def frontier(self) -> list[str]:
        return [task.id for task in self.tasks.values() if task.status in FRONTIER]

    def with_status(self, *statuses: TaskStatus) -> list[str]:
        """Ids in plan order."""
        return [task.id for task in self.tasks.values() if task.status in statuses]

    def satisfied(self, task_id: str) -> bool:
        return self.tasks[task_id].status in SATISFIED

    @property
    def stable(self) -> bool:
        """Whether a checkpoint taken now would be one to roll back to without looking twice."""
        return not self.counts[TaskStatus.FAILED] and not self.counts[TaskStatus.IN_DOUBT]

    @property
    def last_checkpoint(self) -> Checkpoint | None:
        return next(reversed(self.checkpoints.values()), None)

    @property
    def last_stable_checkpoint(self) -> Checkpoint | None:
        return next((c for c in reversed(self.rollback_targets()) if c.stable), None)

    def kept_checkpoints(self) -> list[Checkpoint]:
        """Those whose files are kept, oldest first: the newest `keep` of the plan, and all at barriers."""
        newest = set(list(self.checkpoints)[-self.plan.checkpoints.keep :])
        return [c for c in self.checkpoints.values() if c.id in newest or c.trigger == "barrier"]

    def rollback_targets(self) -> list[Checkpoint]:
        """Those that a rollback can go to, oldest first."""
        return [c for c in self.kept_checkpoints() if not c.undone]

    @property
    def status_counts(self) -> dict[str, int]:
        return {status.value: self.counts[status] for status in TaskStatus if self.counts[status]}

    # -- copies and checks -----------------------------------------------------------------------

    def clone(self) -> "State":
        """A copy that can be run forward without touching this one. The plan and its pools are shared."""
        twin = State.__new__(State)
        twin.__dict__.update(self.__dict__)
        twin.tasks = {task_id: copy(task) for task_id, task in self.tasks.items()}
        twin.counts = self.counts.copy()
        twin.lanes = list(self.lanes)
        twin.in_use = dict(self.in_use)
        twin.overtaken = dict(self.overtaken)
        twin.questions = dict(self.questions)
        twin.waves_started = dict(self.waves_started)
        twin.barriers = dict(self.barriers)
        twin.decisions = list(self.decisions)
        twin.checkpoints = dict(self.checkpoints)
        twin.rollback = msgspec.structs.replace(self.rollback) if self.rollback else None
        return twin

    def validate(self) -> None:
        """Raise AssertionError where an invariant does not hold. For tests: costs a walk over all tasks."""
        counted = Counter(task.status for task in self.tasks.values())
        assert counted == Counter(self.counts), (counted, self.counts)
        assert self.settled == sum(counted[status] for status in SETTLED), self.settled
        taken: Counter[str] = Counter()
        for task_id in filter(None, self.lanes):
            status = self.tasks[task_id].status
            assert status in (TaskStatus.RUNNING, TaskStatus.WAITING), (task_id, status)
            taken.update(dict(self.pools.demand[task_id]))
        assert len(set(filter(None, self.lanes))) == len([x for x in self.lanes if x]), self.lanes
        assert +taken == Counter({k: v for k, v in self.in_use.items() if v}), (taken, self.in_use)
        for pool, units in taken.items():
            assert units <= self.pools.capacity[pool], (pool, units)
        for task in self.tasks.values():
            assert (task.status is TaskStatus.RUNNING) <= (task.id in self.lanes), task
            assert bool(task.settled_seq) == (task.status in SETTLED), task
        asked = (TaskStatus.FAILED, TaskStatus.IN_DOUBT, TaskStatus.ROLLING_BACK)
        for question in self.questions.values():
            if question.about != "rollback_scope":
                assert self.tasks[question.task].status in asked, question
