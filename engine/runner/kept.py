"""What attempts printed, as it is kept in files: read by lines however long it is, also while it grows."""

from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, overload

from engine.journal.rundir import RunDir
from engine.tasks.base import JobPurpose
from engine.tasks.output import LINE_LIMIT

_PIECE = 1024 * 1024
_LINE_BYTES = 4 * LINE_LIMIT
"""So much of a line is read: enough for as many characters as screens get."""
_REMEMBERED = 8
"""The indexes of so many attempts are kept, eight bytes a line."""


def output_path(rundir: RunDir, task: str, attempt: int, purpose: JobPurpose) -> Path:
    """Where the output of an attempt is kept."""
    return rundir.output / task / f"{attempt}-{purpose}.log"


class KeptOutput(Sequence[str]):
    """The lines that an attempt printed, those of its verify and of its rollback behind them, each cut at
    `LINE_LIMIT` characters. Safe for screens: what the files hold has been neutralised and redacted.

    How many lines there are is known as of the last `refresh`; a file that is not there has none."""

    def __init__(self, rundir: RunDir, task: str, attempt: int) -> None:
        purposes: tuple[JobPurpose, ...] = ("run", "verify", "rollback")
        self._parts = [_Part(purpose, output_path(rundir, task, attempt, purpose)) for purpose in purposes]
        self.refresh()

    def refresh(self) -> None:
        """Take in what has been written since."""
        before = 0
        for part in self._parts:
            part.refresh()
            part.heading = 1 if len(part) and (before or part.purpose != "run") else 0
            before += len(part)

    def __len__(self) -> int:
        return sum(part.heading + len(part) for part in self._parts)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            if step != 1:
                return [self[number] for number in range(start, stop, step)]
            return list(self._read(start, stop))
        at = at + len(self) if at < 0 else at
        if not 0 <= at < len(self):
            raise IndexError(at)
        return next(self._read(at, at + 1))

    def __iter__(self) -> Iterator[str]:
        return self._read(0, len(self))

    def _read(self, start: int, stop: int) -> Iterator[str]:
        for part in self._parts:
            if part.heading and start <= 0 < stop:
                yield f"── {part.purpose} ──"
            yield from part.read(max(start - part.heading, 0), min(stop - part.heading, len(part)))
            start, stop = start - part.heading - len(part), stop - part.heading - len(part)

    def save(self, file: BinaryIO) -> None:
        """Write all of it to `file`, whole lines this time. Raises OSError."""
        for part in self._parts:
            if part.heading:
                file.write(f"── {part.purpose} ──\n".encode())
            part.save(file)


class _Part:
    """One file. `_starts` holds where each line begins, and last where the next one would, so that a line
    that is still being written is the last."""

    def __init__(self, purpose: JobPurpose, path: Path) -> None:
        self.purpose = purpose
        self.heading = 0
        self._path = path
        self._starts = array("Q", [0])
        self._size = 0

    def __len__(self) -> int:
        return len(self._starts) - (self._starts[-1] == self._size)

    def refresh(self) -> None:
        try:
            size = self._path.stat().st_size
            if size < self._size:
                self._starts, self._size = array("Q", [0]), 0
            if size == self._size:
                return
            with self._path.open("rb") as file:
                file.seek(self._size)
                while piece := file.read(_PIECE):
                    lengths = (len(line) + 1 for line in piece.split(b"\n")[:-1])
                    self._starts.extend(self._size + end for end in accumulate(lengths))
                    self._size += len(piece)
        except OSError:
            return  # not there (yet, or any more): what is known of it stays

    def read(self, start: int, stop: int) -> Iterator[str]:
        if start >= stop:
            return
        try:
            with self._path.open("rb") as file:
                for number in range(start, stop):
                    begin = self._starts[number]
                    end = self._starts[number + 1] - 1 if number + 1 < len(self._starts) else self._size
                    file.seek(begin)
                    text = file.read(min(end - begin, _LINE_BYTES)).decode("utf-8", "replace")
                    yield f"{text[:LINE_LIMIT]}…" if len(text) > LINE_LIMIT else text
        except OSError as error:
            yield f"(the kept output cannot be read: {error.strerror})"

    def save(self, file: BinaryIO) -> None:
        if not self._size:
            return
        with self._path.open("rb") as kept:
            left = self._size
            while left and (piece := kept.read(min(_PIECE, left))):
                file.write(piece)
                left -= len(piece)
            if not piece.endswith(b"\n"):
                file.write(b"\n")


class OutputShelf:
    """The kept outputs of a run, those read last with their indexes."""

    def __init__(self, rundir: RunDir) -> None:
        self._open = lru_cache(_REMEMBERED)(lambda task, attempt: KeptOutput(rundir, task, attempt))

    def __call__(self, task: str, attempt: int) -> KeptOutput:
        kept = self._open(task, attempt)
        kept.refresh()
        return kept
