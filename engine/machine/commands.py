"""Commands: what the machine asks of the world. The shell carries one out only when the events that came
with it are durable, and answers with a report."""

from typing import Any

import msgspec

from engine.machine.events import FinalStatus, Purpose, Trigger


class Command(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


class StartTask(Command, frozen=True, kw_only=True):
    task: str
    attempt: int
    lane: int


class StartRollback(Command, frozen=True, kw_only=True):
    task: str
    attempt: int


class CancelTask(Command, frozen=True, kw_only=True):
    """End the attempt that is in flight, with its whole process tree."""

    task: str
    purpose: Purpose = "run"


class GatherEvidence(Command, frozen=True, kw_only=True):
    """Find out whether an attempt that nobody saw the end of took effect. With `end_processes` what still
    runs of it is ended first."""

    task: str
    attempt: int
    purpose: Purpose = "run"
    end_processes: bool = False


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


class Finish(Command, frozen=True, kw_only=True):
    status: FinalStatus


AnyCommand = (
    StartTask | StartRollback | CancelTask | GatherEvidence | CheckAssertion | ProbeResource
    | SetTimer | SaveCheckpoint | Finish
)  # fmt: skip
