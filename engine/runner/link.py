"""What goes between the runner and an attempt in flight, in both directions."""

import time
from collections.abc import Callable

import anyio

from engine.machine import reports as rep
from engine.machine.events import Purpose, TaskAdjusted
from engine.tasks.base import Dials, Intent, LockWait, Progress

_PROGRESS_EVERY_S = 1.0
"""Seconds between two reports of progress: each is written to the journal."""


class Link:
    """One attempt's line to the runner. `stop` ends it because the run stops, `give_up` because an operator
    wants just this attempt to end. `dials` are how a backfill is to go, at any moment. `undone` is as in
    `Job`."""

    def __init__(
        self,
        task: str,
        attempt: int,
        purpose: Purpose,
        report: Callable[[rep.Report], None],
        *,
        undone: int = 0,
        adjusted: TaskAdjusted | None = None,
    ) -> None:
        self.stop = anyio.Event()
        self.give_up = anyio.Event()
        self.undone = undone
        self.dials = Dials()
        if adjusted:
            self.adjust(adjusted)
        self._task = task
        self._attempt = attempt
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
        fields = {name: getattr(what, name) for name in what.__struct_fields__}
        self._report(kind(task=self._task, attempt=self._attempt, purpose=self._purpose, **fields))
