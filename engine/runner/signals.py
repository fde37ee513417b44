"""Signals to the engine: end it cleanly, or take a checkpoint."""

import signal
from collections.abc import Callable

import anyio

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def outlive_requests() -> None:
    """Let a SIGUSR1 pass that no engine heeds: it is a request, and must not end a process that has only just
    become the owner of a run, or has come to its end."""
    signal.signal(signal.SIGUSR1, lambda _number, _frame: None)


async def heed_signals(
    stop: Callable[[signal.Signals], None], checkpoint: Callable[[signal.Signals], None]
) -> None:
    """Call `stop` at each SIGINT, SIGTERM and SIGHUP, and `checkpoint` at a SIGUSR1, until cancelled.

    What this process was started to ignore (SIGHUP, by nohup) it goes on ignoring. Once it was told to stop,
    what is repeated later changes nothing any more: it is on its way to its own exit code."""
    heeded = [number for number in _STOPS if signal.getsignal(number) is not signal.SIG_IGN]
    stopping = False
    try:
        with anyio.open_signal_receiver(*heeded, signal.SIGUSR1) as received:
            async for number in received:
                if number == signal.SIGUSR1:
                    checkpoint(number)
                else:
                    stopping = True
                    stop(number)
    finally:
        outlive_requests()
        for number in heeded if stopping else ():
            signal.signal(number, signal.SIG_IGN)  # nothing else holds while the interpreter shuts down
