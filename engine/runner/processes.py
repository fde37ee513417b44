"""The child processes of a run, written down before they start and once they exist: so another engine finds
what is left of them. A power failure ends them along with what was not written yet, so nothing is fsynced."""

from contextlib import suppress

import msgspec
import psutil

from engine.journal.rundir import RunDir
from engine.machine.events import Purpose
from engine.tasks.base import ProcessMark
from engine.tasks.sanitise import sanitise
from engine.tasks.tree import end_survivors, survivors


class Processes:
    def __init__(self, rundir: RunDir) -> None:
        self._path = rundir.path / "processes.jsonl"

    def remember(self, mark: ProcessMark) -> None:
        """Raises OSError."""
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(mark) + b"\n")

    def survivors(
        self, task: str, attempt: int | None = None, purpose: Purpose | None = None
    ) -> tuple[str, ...]:
        """The processes of an attempt (or of any) that still run, each in words."""
        marks = self._marks(task, attempt, purpose)
        found = {process.pid: process for mark in marks for process in survivors(mark)}
        return tuple(_described(found[pid]) for pid in sorted(found))

    async def end(self, task: str, attempt: int | None = None, purpose: Purpose | None = None) -> None:
        """End what still runs of an attempt, or of any. What could not be ended is found by `survivors`."""
        for mark in self._marks(task, attempt, purpose):
            await end_survivors(mark)

    def _marks(self, task: str, attempt: int | None, purpose: Purpose | None) -> list[ProcessMark]:
        marks: dict[str, ProcessMark] = {}
        with suppress(FileNotFoundError):
            for line in self._path.read_bytes().splitlines():
                with suppress(msgspec.DecodeError):  # the last line of an engine that was killed
                    mark = msgspec.json.decode(line, type=ProcessMark)
                    fits = attempt in (None, mark.attempt) and purpose in (None, mark.purpose)
                    if mark.task == task and fits:
                        marks[mark.token] = mark
        return list(marks.values())


def _described(process: psutil.Process) -> str:
    try:
        return f"process {process.pid} ({sanitise(process.name())})"
    except psutil.Error:
        return f"process {process.pid}"
