"""Screens that signals end, and that give the terminal back then."""

import signal
from collections.abc import Callable

import anyio

from console.terminal.driver import TerminalApp
from console.terminal.streams import hurry_readers
from engine.runner.signals import heed_signals


def show(app: TerminalApp) -> None:
    """Show `app` until it ends, or is ended by a signal."""

    async def main() -> None:
        async with anyio.create_task_group() as both:
            both.start_soon(leave_on_signals, app)
            await app.run_async()
            both.cancel_scope.cancel()

    anyio.run(main)


async def leave_on_signals(
    app: TerminalApp, checkpoint: Callable[[signal.Signals], None] = lambda _number: None
) -> None:
    """Leave `app` at a SIGINT, SIGTERM or SIGHUP, and call `checkpoint` at a SIGUSR1. Runs until it is
    cancelled."""

    def stop(number: signal.Signals) -> None:
        hurry_readers()
        if number == signal.SIGHUP:
            app.terminal_gone()
        app.leave(drain=False, reason=f"{number.name} received")

    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # without its terminal a screen is of no use, nohup or not
    await heed_signals(stop, checkpoint)
