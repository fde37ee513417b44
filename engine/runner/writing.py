"""Writing to the run directory: one write at a time, in a thread, and patient where there is no room."""

import math
import time
from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import to_thread

from engine.journal.errors import CheckpointUnwritable, JournalBusy, JournalFull
from engine.journal.room import is_no_room

_ROOM_POLL_S = 1.0
"""Seconds between two tries to write when the disk is full."""
_STOP_PATIENCE_S = 5.0
"""Seconds that a run which is to stop waits for room; after that it ends as it would by a crash."""

_Written = TypeVar("_Written")


class Writer:
    """`trouble` is what cannot be written right now, in words, empty when all is well; `on_trouble` hears of
    it when it changes."""

    def __init__(self, on_trouble: Callable[[str], None]) -> None:
        self._on_trouble = on_trouble
        self._limiter = anyio.CapacityLimiter(1)
        self._troubles: dict[str, str] = {}
        self._give_up_at = math.inf

    @property
    def trouble(self) -> str:
        return next(iter(self._troubles.values()), "")

    def hurry(self) -> None:
        """The run is to stop: wait for room a few seconds more, but not for ever."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + _STOP_PATIENCE_S)

    async def write(self, what: str, work: Callable[[], _Written], *, wait: bool = True) -> _Written:
        """What `work` returns, which writes `what`. With `wait` it is tried again for as long as there is no
        room. Raises what `work` raises otherwise."""
        while True:
            try:
                written = await to_thread.run_sync(work, limiter=self._limiter)
            except (JournalFull, JournalBusy, CheckpointUnwritable) as error:
                lacking = not isinstance(error, CheckpointUnwritable) or is_no_room(error.__cause__)
                if not (wait and lacking) or time.monotonic() >= self._give_up_at:
                    raise
                self._note(what, str(error))
                await anyio.sleep(_ROOM_POLL_S)
            else:
                self._note(what, "")
                return written

    def _note(self, what: str, trouble: str) -> None:
        before = self.trouble
        if trouble:
            self._troubles[what] = trouble
        else:
            self._troubles.pop(what, None)
        if self.trouble != before:
            self._on_trouble(self.trouble)
