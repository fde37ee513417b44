"""What goes between the runner and an attempt in flight, in both directions."""

import time
from collections.abc import Callable

import anyio
from msgspec.structs import asdict

from engine.machine import commands as cmd
from engine.machine import reports as rep
from engine.machine.events import CommitIntended, Purpose, TaskAdjusted
from engine.tasks.base import Dials, Intent, LockWait, Progress

_PROGRESS_EVERY_S = 1.0
"""Seconds between two reports of progress: each is written to the journal."""


class Link:
    """The line between the runner and the attempt that `command` starts. `stop` ends it because the run
    stops, `give_up` because an operator wants just this attempt to end. `dials` are how a backfill is to go,
    at any moment. `undone`, `stranded` and `intent` are as in `Job`."""

    def __init__(
        self,
        command: cmd.StartTask | cmd.StartRollback,
        purpose: Purpose,
        report: Callable[[rep.Report], None],
    ) -> None:
        self.stop = anyio.Event()
        self.give_up = anyio.Event()
        self.undone = command.undone
        self.stranded = command.stranded if isinstance(command, cmd.StartTask) else 0
        self.intent = intent_in(command.intent)
        self.dials = Dials()
        if isinstance(command, cmd.StartTask) and command.adjusted:
            self.adjust(command.adjusted)
        self._task = command.task
        self._attempt = command.attempt
        self._purpose: Purpose = purpose
        self._report = report
        self._durable: dict[int, anyio.Event] = {}
        """Per part: whether the intent to make it permanent is in the journal."""
        self._told = Progress(done=-1, unit="")
        self._told_at = -_PROGRESS_EVERY_S

    async def intend(self, intent: Intent) -> None:
        """Have it known to the journal what is about to be made permanent; returns once it is."""
        durable = self._durable[intent.part] = anyio.Event()
        self._tell(rep.CommitIntended, intent)
        await durable.wait()

    def go_on(self, part: int) -> None:
        """What was intended with `part` is in the journal."""
        self._durable[part].set()

    def progress(self, progress: Progress) -> None:
        """Tell how far the attempt has come; thinned out, but for its end and for what holds it."""
        now = time.monotonic()
        at_once = progress.held != self._told.held or progress.done == progress.total
        if progress == self._told or not (at_once or now - self._told_at >= _PROGRESS_EVERY_S):
            return
        self._told, self._told_at = progress, now
        self._tell(rep.Progressed, progress)

    def lock_wait(self, wait: LockWait) -> None:
        self._tell(rep.LockWaitSeen, wait)

    def adjust(self, adjusted: TaskAdjusted) -> None:
        self.dials.batch, self.dials.pause_s = adjusted.batch, adjusted.pause_s
        self.dials.held = adjusted.held

    def _tell(self, kind: type[rep.Report], what: Intent | Progress | LockWait) -> None:
        self._report(kind(task=self._task, attempt=self._attempt, purpose=self._purpose, **asdict(what)))


def intent_in(said: CommitIntended | None) -> Intent | None:
    """What an event said that an attempt was about to make permanent."""
    if said is None:
        return None
    return Intent(part=said.part, parts=said.parts, statement=said.statement, xid=said.xid)
