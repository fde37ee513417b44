"""The child processes of a run, written down as they start, so that another engine can find what is left of
them. A power failure ends the processes along with what was not yet on the disk, so nothing is fsynced."""

from contextlib import suppress

import msgspec
import psutil

from engine.journal.ownership import this_engine
from engine.journal.rundir import RunDir
from engine.machine.events import Purpose
from engine.tasks.base import ProcessMark

_SAME_START_S = 0.05
"""A process whose start differs by more is another one that got the same pid."""


class Processes:
    def __init__(self, rundir: RunDir) -> None:
        self._path = rundir.path / "processes.jsonl"
        self._boot_id = this_engine().boot_id

    def remember(self, mark: ProcessMark) -> None:
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(mark) + b"\n")

    def alive(self, task: str, attempt: int, purpose: Purpose) -> str:
        """The processes of an attempt that still run, in words; empty where there are none."""
        found = [
            _describe(mark.pid)
            for mark in self._marks()
            if (mark.task, mark.attempt, mark.purpose) == (task, attempt, purpose) and self._runs(mark)
        ]
        return f"still running: {', '.join(found)}" if found else ""

    def _marks(self) -> list[ProcessMark]:
        marks = []
        with suppress(FileNotFoundError):
            for line in self._path.read_bytes().splitlines():
                with suppress(msgspec.DecodeError):  # the last line of an engine that was killed
                    marks.append(msgspec.json.decode(line, type=ProcessMark))
        return marks

    def _runs(self, mark: ProcessMark) -> bool:
        if mark.boot_id != self._boot_id:
            return False
        try:
            process = psutil.Process(mark.pid)
            same = abs(process.create_time() - mark.started) < _SAME_START_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def _describe(pid: int) -> str:
    try:
        return f"process {pid} ({psutil.Process(pid).name()})"
    except psutil.NoSuchProcess:
        return f"process {pid}"
