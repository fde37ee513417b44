"""Backfills on PostgreSQL: a statement goes through a table batch by batch, as slowly as it is told to."""

import time
from functools import partial

import anyio
import psycopg

from engine.plan.durations import format_duration
from engine.plan.models import Backfill
from engine.tasks.base import Evidence, Job, Outcome, Progress, Succeeded
from engine.tasks.classify import failed
from engine.tasks.postgres import batches, evidence
from engine.tasks.postgres.batches import Batches, Standing
from engine.tasks.postgres.database import ANSWER_S, own_application, within
from engine.tasks.postgres.executor import claim, target_of
from engine.tasks.postgres.outcomes import RefusedError
from engine.tasks.postgres.session import Session
from engine.tasks.postgres.sqlstates import told
from engine.tasks.postgres.throttle import Gauge

_DIALS_S = 0.25
"""How long it may take, in seconds, until what an operator adjusts is heeded."""


class BackfillExecutor:
    """Runs a backfill, or goes on with one where the last batch that was committed has left it."""

    async def run(self, job: Job) -> Outcome:
        assert job.action.backfill is not None
        try:
            session = Session(job, target_of(job))
        except RefusedError as refused:
            return failed(job, refused.verdict, str(refused), effect="none")
        filling = _Filling(job, session, job.action.backfill)
        ended = await session.run(filling.work)
        standing = filling.standing
        return ended or Succeeded(outputs={"rows": standing.changed, "batches": standing.batches})

    async def evidence(self, job: Job, *, end_survivors: bool = False) -> Evidence:
        """What its own journal knows. An attempt that still works there is no doubt, but has to end first."""
        try:
            database = target_of(job)
        except RefusedError as refused:
            return Evidence(done=None, detail=job.output.clean(str(refused)))
        return await evidence.settled(
            job, database, partial(batches.settle, job), end_survivors=end_survivors
        )

    async def probe(self, resource: str, job: Job) -> tuple[bool, str]:  # noqa: ARG002
        try:
            database = target_of(job)
            with within(ANSWER_S):
                async with await database.connect(own_application(database.run, "probe")):
                    return True, "the server takes connections: trying again is the only test"
        except (psycopg.Error, RefusedError) as error:
            return False, job.output.clean(told(error))


class _Filling:
    """The work of an attempt."""

    def __init__(self, job: Job, session: Session, backfill: Backfill) -> None:
        self._job = job
        self._session = session
        self._backfill = backfill
        self._batches = Batches(job, session, backfill)
        self._held = ""

    @property
    def standing(self) -> Standing:
        return self._batches.standing

    async def work(self) -> None:
        await claim(self._session, self._job)
        await self._batches.open()
        self._stand()
        if self.standing.batches:
            # What is there already is not of this attempt alone, and nobody may take it for nothing.
            self._session.effect = "unknown"
        self._session.note(self._begins())
        gauge = Gauge(self._backfill.throttle, self._session.connection, self._job.output.clean)
        while not self.standing.finished:
            await self._may_go_on(gauge)
            size = self._size
            rows = await self._batches.next(size)
            self._stand()
            self._tell()
            if rows >= size:
                await self._pause()
        self._session.note(f"through: it {batches.told(self.standing)}, {self.standing.changed:,} changed")

    def _stand(self) -> None:
        """Nothing is in flight until the next batch, however long that is held back."""
        self._session.place = "a pause between batches"
        self._session.left = f"it {batches.told(self.standing)}"

    def _begins(self) -> str:
        keys = self._batches.keys
        rows = f"{'about ' if keys.estimated else ''}{keys.total:,}"
        if self.standing.last is None:
            return f"begins at the first key of {keys.name}, {rows} rows"
        return f"goes on along {keys.name}: it {batches.told(self.standing)} of {rows}"

    @property
    def _size(self) -> int:
        return self._job.dials.batch or self._backfill.batch

    @property
    def _pause_s(self) -> float:
        adjusted = self._job.dials.pause_s
        return self._backfill.pause if adjusted is None else adjusted

    async def _may_go_on(self, gauge: Gauge) -> None:
        """Wait for as long as an operator or the throttle holds the backfill back."""
        while held := "by an operator" if self._job.dials.held else await gauge.held():
            self._say_held(held)
            await self._session.waiting(partial(anyio.sleep, _DIALS_S))
        self._say_held("")

    def _say_held(self, held: str) -> None:
        if held != self._held:
            self._session.note(f"held back: {held}" if held else "goes on")
            self._held = held
            self._tell()

    async def _pause(self) -> None:
        """The pause between two batches, which an operator may cut short."""
        began = time.monotonic()
        while (left := began + self._pause_s - time.monotonic()) > 0:
            await self._session.waiting(partial(anyio.sleep, min(left, _DIALS_S)))

    def _tell(self) -> None:
        standing, keys = self.standing, self._batches.keys
        total = standing.rows if standing.finished else max(keys.total, standing.rows)
        detail = [f"batch {self._size:,}", f"pause {format_duration(self._pause_s)}"]
        if standing.last is not None:
            detail.append(self._job.output.clean(f"at key {batches.short(standing.last)}"))
        self._job.progress(
            Progress(done=standing.rows, total=total, unit="rows", detail=", ".join(detail), held=self._held)
        )
