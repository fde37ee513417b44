"""The engine in virtual time, in one thread: nothing waits, and what happens hangs on nothing but the seed.

The engine itself is the real one: opening, runner, machine and journal. Only what it takes from the machine
it runs on is replaced: the clocks, the event loop's waiting, and the thread that writes.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import patch

import anyio

from engine.machine.events import Engine

Answer = TypeVar("Answer")

START = datetime(2026, 3, 14, 2, 0, tzinfo=UTC)
_ENGINE = Engine(pid=1, host="simulation", boot_id="boot", process_started=0.0, version="0")


class Stuck(Exception):
    """Nothing is going on, and nothing is due: whoever waits now waits for ever."""


class _Idle(selectors.SelectSelector):
    """Where the loop would wait, time passes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck
        self.passed += max(timeout, 0.0)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._idle = _Idle()
        super().__init__(self._idle)

    def time(self) -> float:
        return self._idle.passed


def live(main: Callable[[], Awaitable[Answer]]) -> Answer:
    """What `main` comes to in virtual time, which begins at 0. Raises as `main` does, and Stuck."""
    return anyio.run(main, backend="asyncio", backend_options={"loop_factory": _Loop})


def now_s() -> float:
    """Seconds since the loop that runs now has begun; 0 where there is none."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return 0.0


class _Calendar:
    """Stands in for `datetime`, of which the engine only asks what time it is."""

    @staticmethod
    def now(zone: tzinfo) -> datetime:
        return START.astimezone(zone) + timedelta(seconds=now_s())


@contextmanager
def virtual_engine(delay: Callable[[], float]) -> Iterator[None]:
    """Within the block every engine of this process lives in virtual time. `delay` is called before each
    write, which then takes that many seconds: enough for other things to happen first."""

    async def write(work: Callable[[], Any], *, limiter: anyio.CapacityLimiter) -> Any:
        with anyio.CancelScope(shield=True):  # a thread that writes is not stopped in the middle, either
            async with limiter:
                await anyio.sleep(delay())
                return work()

    replaced = {
        "engine.runner.clock.time": SimpleNamespace(monotonic=now_s),
        "engine.runner.core.time": SimpleNamespace(monotonic=now_s),
        "engine.runner.writing.time": SimpleNamespace(monotonic=now_s),
        "engine.runner.writing.to_thread": SimpleNamespace(run_sync=write),
        "engine.runner.clock.datetime": _Calendar,
        "engine.journal.journal.datetime": _Calendar,
        "engine.runner.opening.this_engine": lambda: _ENGINE,
    }
    with ExitStack() as stack:
        for name, instead in replaced.items():
            stack.enter_context(patch(name, instead, create=True))
        yield
