"""What a review says before anything starts: read off the plan, with nothing opened and nothing expanded."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from console.look import one_line, plural
from engine.graph import Graph
from engine.plan.durations import format_duration
from engine.plan.models import VARIABLE, Plan, Target, Task, expected_duration
from engine.plan.targets import is_embedded

Forecast = Callable[[], float]
"""Works out how long the run is expected to take, in seconds. Called in a thread."""


@dataclass(frozen=True)
class ReviewFacts:
    """What a review says besides the plan. `folder` is where the run will be kept; `forecast` is a length
    in seconds, or how to work it out, or None where nobody knows."""

    run: str
    folder: str
    plan_file: str = ""
    simulated: bool = False
    speed: float = 1.0
    on_unknown: str = "ask"
    forecast: float | Forecast | None = None


class Group(NamedTuple):
    """Tasks of one phase, or of one wave; `work_s` is the sum of their expected durations."""

    name: str
    tasks: int
    work_s: float


def groups(plan: Plan) -> list[Group]:
    """The tasks by phase, or by wave where a plan without phases has waves, in the plan's order."""
    by_phase = any(task.phase for task in plan.tasks)
    waves = [(wave.id, wave.name or wave.id) for wave in plan.waves]
    known = [(phase, phase) for phase in plan.phases] if by_phase else waves
    members: dict[str, list[Task]] = {key: [] for key, _ in known}
    for task in plan.tasks:
        members.setdefault((task.phase if by_phase else task.wave) or "", []).append(task)
    titles = dict(known) | {"": "no phase" if by_phase else "all tasks" if not known else "no wave"}
    return [
        Group(one_line(titles.get(key, key)), len(tasks), sum(map(expected_duration, tasks)))
        for key, tasks in members.items()
        if tasks
    ]


def risky(plan: Plan) -> list[Task]:
    """Tasks that a checkpoint is taken before, the riskiest first."""
    found = [task for task in plan.tasks if task.risk >= plan.checkpoints.before_risk]
    return sorted(found, key=lambda task: -task.risk)


def irreversible(plan: Plan) -> list[Task]:
    return [task for task in plan.tasks if task.rollback is None]


def critical(plan: Plan) -> list[Task]:
    """Tasks whose permanent failure rolls the run back."""
    return [task for task in plan.tasks if task.critical]


def checkpoint_rules(plan: Plan) -> str:
    rules = plan.checkpoints
    parts = [f"every {format_duration(rules.every)}"] if rules.every else []
    parts.append(f"at each {rules.progress} % of the tasks")
    if rules.phases:
        parts.append("after each wave" if plan.model == "wave" else "after each phase")
    parts.append(f"before tasks of risk {rules.before_risk:g} or more")
    return ", ".join(parts)


def retry_rules(plan: Plan) -> str:
    rules = plan.retry
    if not rules.attempts:
        return "no automatic retries"
    waits = [format_duration(min(rules.base * 2**n, rules.cap)) for n in range(1, rules.attempts + 1)]
    shown = ", ".join(waits[:4]) + (" …" if len(waits) > 4 else "")
    return f"{plural(rules.attempts, 'retry', 'retries')} of what may pass, after {shown}"


_PASSWORDS = (
    (re.compile(r"(?<=://)([^/@\s:]*):(?!\$)([^/@\s]+)@"), r"\1:•••@"),
    (re.compile(r"(?i)(password\s*=\s*)(?!\$)('(?:[^'\\]|\\.)*'|[^\s&'\"]+)"), r"\1•••"),
)


def target_text(target: Target, environ: Mapping[str, str]) -> str:
    """Where a target is, as the plan has it. Of a variable that names all of it, whether `environ` sets it is
    said, and never its value; a password written out is hidden."""
    if target.sqlite is not None:
        return f"SQLite {one_line(target.sqlite)}"
    text = one_line(target.postgres or "")
    variable = VARIABLE.fullmatch(text.strip())
    unset = ""
    if variable and (value := environ.get(variable["name"])):
        name = variable["name"]
        return f"PostgreSQL, embedded as {name} says" if is_embedded(value) else f"PostgreSQL named by {name}"
    if variable:
        text, unset = variable["default"] or text, f" ({variable['name']} is not set)"
    if is_embedded(text):
        return f"PostgreSQL, embedded{unset}" if unset else "PostgreSQL, a private server started for the run"
    for pattern, hidden in _PASSWORDS:
        text = pattern.sub(hidden, text)
    return f"PostgreSQL {text}{unset}"


def bounds(graph: Graph, lanes: int) -> float:
    """Seconds that the run takes at the least: the critical path, or all the work spread over the lanes."""
    return max(graph.critical_path_s, graph.work_s / lanes)
