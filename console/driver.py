"""The way to a terminal that may not read: held up by a stalled connection, say, or by somebody who is
selecting text. Engine and screen share one event loop, so nothing on it may wait for the terminal."""

from textual.drivers.linux_driver import LinuxDriver


class PatientDriver(LinuxDriver):
    """Never waits for the terminal: what it does not take in yet is kept. Whoever draws looks at `behind`,
    and draws less, so that this does not grow without end."""

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if self._writer_thread is not None:
            self._writer_thread._queue.maxsize = 0  # Textual's own limit would hold up the event loop

    @property
    def behind(self) -> int:
        """How many pieces of output the terminal has not taken in yet."""
        return self._writer_thread._queue.qsize() if self._writer_thread is not None else 0
