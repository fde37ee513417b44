"""Signals to the engine: end it cleanly, or take a checkpoint."""

import signal
from collections.abc import Callable

import anyio

from engine.machine import reports as rep
from engine.runner.core import Runner


def outlive_requests() -> None:
    """Let a SIGUSR1 pass that no engine heeds: it is a request, and must not end a process that has only just
    become the owner of a run, or has come to its end."""
    signal.signal(signal.SIGUSR1, lambda _number, _frame: None)


async def heed_signals(runner: Runner, actor: str, on_stop: Callable[[], None] = lambda: None) -> None:
    """Report SIGINT, SIGTERM and SIGHUP as an order to stop now, and let `on_stop` know; SIGUSR1 as one for a
    checkpoint. Runs until it is cancelled. What this process was started to ignore (SIGHUP, by nohup) it goes
    on ignoring."""
    known = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    heeded = [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]
    try:
        with anyio.open_signal_receiver(*heeded) as received:
            async for number in received:
                name = signal.Signals(number).name
                if number == signal.SIGUSR1:
                    runner.report(rep.TakeCheckpoint(actor=actor, reason=name))
                else:
                    runner.report(rep.Stop(actor=actor, reason=f"{name} received", drain=False))
                    on_stop()
    finally:
        outlive_requests()
