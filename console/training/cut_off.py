"""A drill that begins where an engine has died: its run is begun, and dropped in the middle of tasks."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio

from console.training.drills import LoadedDrill
from engine.journal.rundir import RunDir
from engine.machine.events import Event, TaskStarted
from engine.runner.feed import Feed
from engine.runner.opening import Options, new_run


class _PowerCut(Exception):
    pass


class _Fuse(Feed):
    """Ends the engine that it watches in the middle of `tasks`: at the first event after their starts."""

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self._to_come = set(tasks)
        self._started_t = 0.0

    def publish(self, events: list[Event]) -> None:
        if not self._to_come and events[0].t > self._started_t:
            raise _PowerCut
        for event in events:
            if isinstance(event, TaskStarted) and event.task in self._to_come:
                self._to_come.remove(event.task)
                self._started_t = event.t


def begin_and_cut_off(drill: LoadedDrill, state_dir: Path, run_id: str, options: Options) -> RunDir:
    """Begin the run of `drill` at top speed, and drop it in the middle of the tasks of `dies_in`."""
    with new_run(drill.plan, drill.plan.plan, state_dir, run_id, replace(options, speed=math.inf)) as run:
        run.runner.watched_by(_Fuse(drill.drill.dies_in))
        try:
            anyio.run(run.runner.run)
        except* _PowerCut:
            pass
        return run.rundir
