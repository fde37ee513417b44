"""Commands: what the machine asks of the world. The shell carries one out only when the events that came
with it are durable, and answers with a report."""

from typing import Any

import msgspec

from engine.machine.events import CommitIntended, FinalStatus, Intervention, Purpose, TaskAdjusted, Trigger


class Command(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


class StartTask(Command, frozen=True, kw_only=True):
    """`undone`: attempts up to this number were undone by a rollback since, and their effect is gone; but for
    the last `stranded` of them, which a rollback left as they were. `intent` is what an earlier attempt, one
    that was not undone, was last about to make permanent. `adjusted` is how an operator last set it to go."""

    task: str
    attempt: int
    lane: int
    undone: int = 0
    stranded: int = 0
    intent: CommitIntended | None = None
    adjusted: TaskAdjusted | None = None


class StartRollback(Command, frozen=True, kw_only=True):
    """`undone`: rollbacks up to this attempt were followed by a further run of the task. `intent` as in
    `StartTask`."""

    task: str
    attempt: int
    undone: int = 0
    intent: CommitIntended | None = None


class CancelTask(Command, frozen=True, kw_only=True):
    """End the attempt that is in flight, with its whole process tree."""

    task: str
    purpose: Purpose = "run"


class GatherEvidence(Command, frozen=True, kw_only=True):
    """Find out whether an attempt that nobody saw the end of took effect. With `end_processes` what still
    runs of it is ended first. `intent` is what it last was about to make permanent; `undone` as at its start.
    """

    task: str
    attempt: int
    purpose: Purpose = "run"
    end_processes: bool = False
    undone: int = 0
    intent: CommitIntended | None = None


class CheckAssertion(Command, frozen=True, kw_only=True):
    """Run the task's `verify` against the operator's word that it is done."""

    task: str
    question: int


class ProbeResource(Command, frozen=True, kw_only=True):
    task: str
    resource: str


class SetTimer(Command, frozen=True, kw_only=True):
    """Report TimerFired(key) at `due_t` on the run's clock. A later timer of the same key replaces it."""

    key: str
    due_t: float


class SaveCheckpoint(Command, frozen=True, kw_only=True):
    """Write `content` (plain JSON values) durably, as the state stood at event `position`."""

    checkpoint: str
    trigger: Trigger
    position: int
    content: dict[str, Any]


class GoOn(Command, frozen=True, kw_only=True):
    """What the attempt intends with part `part` is in the journal: it may go on."""

    task: str
    attempt: int
    purpose: Purpose = "run"
    part: int


class Intervene(Command, frozen=True, kw_only=True):
    task: str
    attempt: int
    purpose: Purpose = "run"
    action: Intervention
    pid: int = 0
    backend_started: str = ""


class Adjust(Command, frozen=True, kw_only=True):
    """Tell the attempt in flight, if there is one, how to go on."""

    adjusted: TaskAdjusted


class Finish(Command, frozen=True, kw_only=True):
    status: FinalStatus


AnyCommand = (
    StartTask | StartRollback | CancelTask | GatherEvidence | CheckAssertion | ProbeResource
    | SetTimer | SaveCheckpoint | Finish | GoOn | Intervene | Adjust
)  # fmt: skip
