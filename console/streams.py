"""The standard streams as the shell left them: closed, full, without a reader, or of few characters.

None of that may end a run. Standard output becomes one that outlives whoever reads it, and what was lost on
it is told once on standard error.
"""

import io
import os
import sys

from console.exits import say


class Output(io.TextIOWrapper):
    """Standard output. When it cannot be written any more, what follows goes nowhere, and `lost` says why."""

    lost: OSError | None = None

    def __init__(self, encoding: str) -> None:
        raw = io.FileIO(1, "w", closefd=False)
        super().__init__(io.BufferedWriter(raw), encoding, "replace", line_buffering=raw.isatty())

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        self.lost = error
        _put_in_place(1)


def ready_streams() -> None:
    """Make the standard streams such that anything can be printed, whatever they are."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Else a file of ours would get this number, and be taken for the stream by some child process.
            _put_in_place(number)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if sys.stdout is sys.__stdout__:
        sys.stdout = Output(sys.stdout.encoding if sys.stdout else "utf-8")


def _put_in_place(number: int) -> None:
    """Make the null device stream `number`."""
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)


def say_what_was_lost() -> bool:
    """Whether something printed was lost, other than for want of a reader; and if so, say it, this once."""
    output = sys.stdout
    output.flush()
    if not isinstance(output, Output) or output.lost is None:
        return False
    lost, output.lost = output.lost, None
    if isinstance(lost, BrokenPipeError):
        return False
    say(f"standard output cannot be written, and not all is on it: {lost.strerror}")
    return True
