"""The terminal under a screen: it may be closed, stand still, be stopped and continued, and is given back.

Engine and screen share one event loop, so nothing that happens to the terminal may hold that up.
"""

import os
import queue
import signal
import termios
from contextlib import suppress
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Resize
from textual.geometry import Size

from console.terminal.streams import Outlet, text_outlet

_CATCH_UP_S = 0.25
"""Seconds between two looks at whether a terminal that stood still takes something again."""


class TerminalDriver(LinuxDriver):
    """Textual's own driver, but

    - what is drawn is left out while the terminal takes nothing, and drawn anew once it does: Textual waits;
    - SIGTSTP and SIGCONT are dealt with by the event loop, not amid whatever is being done, and a SIGCONT
      without a SIGTSTP sets the terminal up afresh: Textual starts a second reader of it beside the first;
    - a terminal that is gone ends the app, without a traceback;
    - what was typed before there was anything to see is thrown away: nobody knew what it would be taken for.
    """

    _outlet: Outlet
    _behind = False
    _ending = False

    def start_application_mode(self) -> None:
        self._outlet = Outlet(2)
        self._file = text_outlet(self._outlet, by_line=False)
        self._ending = False
        for number, act in ((signal.SIGTSTP, self._stopped), (signal.SIGCONT, self._continued)):
            self._loop.add_signal_handler(number, act)
        with suppress(termios.error):  # it is no terminal
            termios.tcflush(self.fileno, termios.TCIFLUSH)
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def write(self, data: str) -> None:
        assert self._writer_thread is not None
        if self._ending:
            self._writer_thread.write(data)
            return
        try:
            self._writer_thread._queue.put_nowait(data)
        except queue.Full:
            if not self._behind:
                self._behind = True
                self._loop.call_later(_CATCH_UP_S, self._catch_up)

    def _catch_up(self) -> None:
        if self._writer_thread is None or self._ending:
            self._behind = False
        elif self._writer_thread._queue.empty():
            self._behind = False
            size = Size(*self._get_terminal_size())
            self._app.post_message(Resize(size, size))
        else:
            self._loop.call_later(_CATCH_UP_S, self._catch_up)

    def stop_application_mode(self) -> None:
        """Give the terminal back. Of what is still to be drawn only that matters; and a terminal that takes
        nothing for some seconds will not get it."""
        assert self._writer_thread is not None
        self._outlet.hurried = True
        self._ending = True
        with suppress(queue.Empty):
            while True:
                self._writer_thread._queue.get_nowait()
        if isinstance(self._app, TerminalApp):
            self._writer_thread.write(self._app.parting)
        super().stop_application_mode()

    def close(self) -> None:
        super().close()
        for number in (signal.SIGTSTP, signal.SIGCONT):
            self._loop.remove_signal_handler(number)

    def _stopped(self) -> None:
        self._must_signal_resume = True
        self.suspend_application_mode()
        self._loop.add_signal_handler(signal.SIGCONT, self._continued)
        os.kill(os.getpid(), signal.SIGSTOP)

    def _continued(self) -> None:
        if not os.isatty(self.fileno):
            return  # its end comes with a SIGCONT, too
        if not self._must_signal_resume:
            self.suspend_application_mode()
        self.start_application_mode()

    def gone(self) -> None:
        """Neither read the terminal any more, nor wait for it."""
        self.exit_event.set()
        self._outlet.hurried = True

    def run_input_thread(self) -> None:
        try:
            super().run_input_thread()
        except OSError:
            self._loop.call_soon_threadsafe(self._lost)

    def _lost(self) -> None:
        if isinstance(self._app, TerminalApp):
            self._app.terminal_gone()
            self._app.leave(drain=False, reason="the terminal is gone")


class TerminalApp(App[None]):
    """An app that gives the terminal back, whatever ends it."""

    parting = ""
    """What takes back what the app itself has told the terminal."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+z", "suspend_process", show=False)]

    def __init__(self) -> None:
        super().__init__(driver_class=TerminalDriver)

    def leave(self, *, drain: bool = True, reason: str = "") -> None:  # noqa: ARG002
        """Leave without a question. `drain` and `reason` are for an engine, where there is one."""
        self.exit()

    def terminal_gone(self) -> None:
        """Have no more to do with the terminal: it was closed."""
        if isinstance(self._driver, TerminalDriver):
            self._driver.gone()
