"""A terminal with the program on it: the test is its user, and reads its screen."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import pyte
import pytest

from tests.cli.program import PATIENCE_S, Program, kill_tree


class Terminal:
    """The program in a session of its own, of which this is the controlling terminal: so to close it is what
    closing a terminal's window is. `raw` is all that the program has ever sent to it."""

    def __init__(
        self, program: Program, *args: object, size: tuple[int, int] = (100, 30), **options: Any
    ) -> None:
        self.master, self.slave = pty.openpty()
        self.raw = b""
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        self.resize(*size)
        self.modes = termios.tcgetattr(self.slave)
        self.child = program.spawn(
            *args,
            environ={"TERM": "xterm-256color", "COLUMNS": "", "LINES": ""},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            **{"stdin": self.slave, "stdout": self.slave, "stderr": self.slave, **options},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kill_tree(self.child.pid)
        self.child.wait()
        self.hang_up()

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Tell the program of a new size, as a terminal does."""
        self.screen.resize(lines, columns)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def drawn(self) -> None:
        """Wait until something is drawn, and all of it."""
        before = len(self.raw)
        self.until(lambda: len(self.raw) > before, "something new")
        while self.read(0.05):
            pass

    def hang_up(self) -> None:
        for each in (self.slave, self.master):
            if each >= 0:
                os.close(each)
        self.master = self.slave = -1

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def shows(self, *wanted: str) -> str:
        """What is on the screen, as soon as each of `wanted` is there."""
        return self.until(lambda: all(each in self.text() for each in wanted), f"{wanted} on the screen")

    def until(self, reached: Callable[[], object], what: str) -> str:
        """Read on until `reached`; what is on the screen then."""
        give_up_at = time.monotonic() + PATIENCE_S
        while not reached():
            gone = not self.read(0.1) and self.child.poll() is not None
            if (gone and not reached()) or time.monotonic() > give_up_at:
                pytest.fail(f"never: {what}; exit {self.child.poll()}; on the screen:\n{self.text()}")
        return self.text()

    def read(self, within_s: float = 0.0) -> bool:
        """Take what has been sent, if anything is sent `within_s` seconds."""
        if not select.select([self.master], [], [], within_s)[0]:
            return False
        data = os.read(self.master, 65536)
        self.raw += data
        self._stream.feed(data)
        return True

    def ended(self) -> int:
        """The exit code. Fails at a traceback on the way, or if the terminal is not left as it was found."""
        self.until(lambda: self.child.poll() is not None, "the end of the program")
        while self.read():
            pass
        self.assert_given_back()
        told = self.raw[self.raw.rfind(b"\x1b[?1049l") :]
        assert b"Traceback" not in self.raw, told.decode(errors="replace")
        return self.child.wait()

    def assert_given_back(self) -> None:
        """Whether the shell could go on: lines are edited and echoed, and no mode is left switched on."""
        now = termios.tcgetattr(self.slave)
        assert now[3] & (termios.ECHO | termios.ICANON | termios.ISIG) == self.modes[3] & (
            termios.ECHO | termios.ICANON | termios.ISIG
        )
        for mode in (b"1049", b"1000", b"1003", b"2004", b"1004"):
            assert self.raw.rfind(b"\x1b[?%sl" % mode) >= self.raw.rfind(b"\x1b[?%sh" % mode), mode
        assert self.raw.rfind(b"\x1b[?25h") >= self.raw.rfind(b"\x1b[?25l")


def is_stopped(child: "subprocess.Popen[str]") -> bool:
    """Whether the process stands still, by SIGSTOP or the like."""
    with open(f"/proc/{child.pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


def continued(child: "subprocess.Popen[str]") -> None:
    child.send_signal(signal.SIGCONT)
