"""The standard streams as the shell left them: closed, full, without a reader, or of few characters.

None of that may end a run, or keep one from ending. Standard output and standard error become streams that
outlive whoever reads them, and what was lost on the first is told once on the second.
"""

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, TextIO

from console.exits import say

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_LOOK_S = 0.2
_HURRIED_S = 3.0
"""How long a program that is to end waits for a reader who takes nothing at all."""
_TERMINAL_PIECE = 128
"""Bytes. A terminal may have room for no more than 256 when it says that it has some, and a line's end takes
two."""


class Outlet(io.FileIO):
    """A file descriptor that is written to. Once that fails, what follows goes nowhere, and `lost` says why.

    It waits for as long as its reader likes, as is usual between programs; but once it is `hurried`, it takes
    one who has read nothing for three seconds for gone. It writes in pieces that fit wherever there is any
    room at all: so it only ever waits where it can be hurried."""

    lost: OSError | None = None
    hurried = False

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self._piece = _TERMINAL_PIECE if self.isatty() else select.PIPE_BUF
        self._told = False

    def write(self, data: "ReadableBuffer", /) -> int:
        whole = memoryview(data)
        if self.lost is None:
            try:
                self._await_reader()
                return super().write(whole[: self._piece]) or 0
            except OSError as error:
                self.lost = error
        return len(whole)

    def tell_lost(self) -> OSError | None:
        """`lost`, the first time that this is asked for. Who went away, or did not read, has lost nothing."""
        told, self._told = self._told, True
        return None if told or isinstance(self.lost, BrokenPipeError | TimeoutError) else self.lost

    def _await_reader(self) -> None:
        waited_s = 0.0
        while not select.select([], [self], [], _LOOK_S)[1]:
            waited_s = waited_s + _LOOK_S if self.hurried else 0.0
            if waited_s >= _HURRIED_S:
                raise TimeoutError(errno.ETIMEDOUT, "nobody reads it")


_standard: list[Outlet] = []
"""Standard output and standard error, also while something else stands in `sys` for them."""


def text_outlet(outlet: Outlet, encoding: str = "utf-8", *, by_line: bool = True) -> io.TextIOWrapper:
    """A text stream to `outlet`; what `encoding` has no character for is replaced, never an error."""
    return io.TextIOWrapper(io.BufferedWriter(outlet), encoding, "replace", line_buffering=by_line)


def ready_streams() -> None:
    """Make the standard streams such that anything can be printed, whatever they are."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Else a file of ours would get this number, and be taken for the stream by some child process.
            _put_null_in_place(number)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    if sys.stdout is sys.__stdout__:
        _standard[:] = [Outlet(1), Outlet(2)]
        out, err = _standard
        sys.stdout = text_outlet(out, _encoding(sys.stdout), by_line=out.isatty())
        sys.stderr = text_outlet(err, _encoding(sys.stderr))


def _encoding(stream: TextIO | None) -> str:
    return stream.encoding if stream else "utf-8"


def _put_null_in_place(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)


def hurry_readers() -> None:
    """The program is to end: wait no longer for readers who take nothing of what it prints."""
    for outlet in _standard:
        outlet.hurried = True


def say_what_was_lost() -> bool:
    """Whether something printed was lost, other than for want of a reader; and if so, say it, this once."""
    sys.stdout.flush()
    if not _standard or (lost := _standard[0].tell_lost()) is None:
        return False
    say(f"standard output cannot be written, and not all is on it: {lost.strerror}")
    return True
