"""The gate: the whole difference between the two models of execution.

The frontier rule is one (dependencies satisfied, resources free, lane free, gate open). Rolling has a
gate that is always open; waves have one that opens wave by wave, with a barrier in between.
"""

from collections.abc import Sequence
from typing import Protocol

from engine.graph import Graph
from engine.machine.state import State
from engine.machine.transitions import SETTLED
from engine.plan.models import Plan
from engine.plan.waves import wave_plan


class Gate(Protocol):
    def is_open(self, task_id: str) -> bool:
        """Whether the task may be on the frontier."""

    def settled_wave(self) -> str | None:
        """The wave that is open, if all of its tasks are settled."""

    def next_wave(self) -> tuple[str, Sequence[str]] | None:
        """The wave to open next and its tasks; None where every wave has been opened."""


class OpenGate:
    """Rolling frontier: always open, and no waves to wait for."""

    def is_open(self, task_id: str) -> bool:  # noqa: ARG002
        return True

    def settled_wave(self) -> str | None:
        return None

    def next_wave(self) -> tuple[str, Sequence[str]] | None:
        return None


class WaveGate:
    """Waves: open for the tasks of every wave that has been started. All of it is read off State."""

    def __init__(self, state: State, plan: Plan, graph: Graph) -> None:
        self._state = state
        self._waves = {wave.id: wave.tasks for wave in wave_plan(plan, graph)}
        self._wave_of = {task: wave for wave, tasks in self._waves.items() for task in tasks}
        self._first_unsettled = dict.fromkeys(self._waves, 0)
        """Per wave, how many of its first tasks are known to be settled: they stay so under one machine."""

    def is_open(self, task_id: str) -> bool:
        return self._wave_of[task_id] in self._state.waves_started

    def settled_wave(self) -> str | None:
        wave = next(reversed(self._state.waves_started), None)
        if wave is None:
            return None
        tasks = self._waves[wave]
        at = self._first_unsettled[wave]
        while at < len(tasks) and self._state.tasks[tasks[at]].status in SETTLED:
            at += 1
        self._first_unsettled[wave] = at
        return wave if at == len(tasks) else None

    def next_wave(self) -> tuple[str, Sequence[str]] | None:
        wave = next((wave for wave in self._waves if wave not in self._state.waves_started), None)
        return (wave, self._waves[wave]) if wave else None


def gate_for(state: State, plan: Plan, graph: Graph) -> Gate:
    return WaveGate(state, plan, graph) if plan.model == "wave" else OpenGate()
