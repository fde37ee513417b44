"""The run's clock: seconds since the run began, not counting the time when no engine owned it.

It is monotonic, so a jump of the wall clock changes no schedule. In a simulation it may run faster than the
world, or (`max`) not wait at all and jump to the next moment at which anything is due.
"""

import math
import time
from datetime import UTC, datetime

from engine.machine.reports import Now


class RunClock:
    """A clock that reads `start_t` when it is started (or made), and runs `speed` times as fast as the world;
    `math.inf` jumps.

    A jumping clock stands still until `jump` moves it. The wall clock is the world's in every case: it says
    when something was really recorded, not when a simulation imagines it."""

    def __init__(self, start_t: float = 0.0, speed: float = 1.0) -> None:
        self._start_t = start_t
        self._speed = speed
        self.jumps = math.isinf(speed)
        self._origin = time.monotonic()
        self._jumped_t = start_t

    def start(self) -> None:
        """Go on from `start_t`: the run begins only now, whatever it took to get here."""
        self._origin = time.monotonic()

    def t(self) -> float:
        """Seconds on the run's clock."""
        if self.jumps:
            return self._jumped_t
        return self._start_t + (time.monotonic() - self._origin) * self._speed

    def now(self) -> Now:
        return Now(self.t(), datetime.now(UTC))

    def world_seconds_until(self, t: float) -> float:
        """How long to wait, in the world's seconds, until the clock reads `t`."""
        return 0.0 if self.jumps else max((t - self.t()) / self._speed, 0.0)

    def jump(self, t: float) -> None:
        """Move a jumping clock to `t`; never back."""
        self._jumped_t = max(self._jumped_t, t)
