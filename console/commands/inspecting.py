"""`inspect` and `events`: looking at a run, whether or not an engine owns it."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from console.commands.options import found_run, require_terminal
from console.exits import Exit
from console.interfered import as_dicts
from console.underway import lock_wait, progress
from engine.journal.history import read_history, run_id
from engine.journal.journal import Journal
from engine.journal.public import public_json
from engine.machine.events import Event
from engine.machine.metrics import metrics
from engine.machine.state import Attempt, State, TaskState
from engine.plan.models import Plan

if TYPE_CHECKING:
    from console.cli import Where


def print_events(wanted: str, where: "Where") -> Exit:
    with Journal.open(found_run(where, wanted), readonly=True) as journal:
        run = run_id(journal)
        for record in journal.read():
            print(json.dumps(public_json(record, run)))
    return Exit.OK


def inspect_run(wanted: str, where: "Where", *, as_json: bool) -> Exit:
    rundir = found_run(where, wanted)
    with Journal.open(rundir, readonly=True) as journal:
        plan, events, state = read_history(journal)
    if as_json:
        print(json.dumps(as_dict(state, events), indent=2))
        return Exit.OK
    require_terminal(f"wesley-console inspect {wanted} --json")
    return _on_screen(plan, events, wanted, where)


def _on_screen(plan: Plan, events: list[Event], wanted: str, where: "Where") -> Exit:
    from console.app import ConsoleApp
    from console.run_view import RunView
    from console.settings.preferences import load_preferences
    from console.terminal.leaving import show
    from engine.runner.kept import OutputShelf

    rundir = found_run(where, wanted)
    view = RunView(plan, output=OutputShelf(rundir))
    view.fold(events)
    show(ConsoleApp(view, mode="inspect", folder=str(rundir.path), preferences=load_preferences()))
    return Exit.OK


def as_dict(state: State, events: Sequence[Event]) -> dict[str, Any]:
    """A run's state, which `events` came to, as `inspect --json` gives it. Times are UTC, ISO 8601; lengths
    are seconds."""
    questions = [
        {
            "question": question.number,
            "about": question.about,
            "task": question.task,
            "reason": question.reason,
            "evidence": question.evidence,
        }
        for question in state.questions.values()
    ]
    return {
        "run": state.run,
        "plan": state.plan.name,
        "model": state.plan.model,
        "policy": state.plan.policy,
        "lanes": len(state.lanes),
        "simulated": state.simulated,
        "status": str(state.status),
        "reason": state.status_reason,
        "tasks": {task.id: _task(task) for task in state.tasks.values()},
        "checkpoints": [
            {
                "checkpoint": checkpoint.id,
                "trigger": checkpoint.trigger,
                "position": checkpoint.position,
                "at": checkpoint.at.isoformat().replace("+00:00", "Z"),
                "completed": checkpoint.completed,
                "stable": checkpoint.stable,
                "file": checkpoint.file,
            }
            for checkpoint in state.kept_checkpoints()
        ],
        "question": questions[0] if questions else None,
        "questions": questions,
        "decisions": [
            {
                "question": decision.question,
                "task": decision.task,
                "action": decision.action,
                "mode": decision.mode,
                "actor": decision.actor,
                "reason": decision.reason,
                "at": decision.at.isoformat().replace("+00:00", "Z"),
            }
            for decision in state.decisions
        ],
        **as_dicts(events),
        "metrics": dict(metrics(state)),
    }


def _task(task: TaskState) -> dict[str, Any]:
    first: Attempt | None = task.attempts[0] if task.attempts else None
    last = task.last
    ended = last.ended_at if last else None
    return {
        "status": str(task.status),
        "attempts": len(task.attempts),
        "lane": task.lane,
        "started_at": first.started_at.isoformat().replace("+00:00", "Z") if first else None,
        "finished_at": ended.isoformat().replace("+00:00", "Z") if ended else None,
        "failure_class": last.failure_class.upper() if last and last.failure_class else None,
        **_underway(task),
    }


def _underway(task: TaskState) -> dict[str, Any]:
    """How far the attempt in flight is, and who blocks it, as far as it tells."""
    told, wait = progress(task), lock_wait(task)
    found: dict[str, Any] = {}
    if told:
        found["progress"] = {
            "done": told.done,
            "total": told.total,
            "unit": told.unit,
            "detail": told.detail,
            "held": told.held,
        }
    if wait:
        found["lock_wait"] = {
            "pid": wait.pid,
            "relation": wait.relation,
            "tries": wait.tries,
            "blockers": to_builtins(wait.blockers),
        }
    return found
