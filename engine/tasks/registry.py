"""Which executor carries out which kind of action, and whether all of a plan can be carried out here."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.plan.models import Action, ActionKind, Plan
from engine.plan.targets import server_problem, written
from engine.tasks.base import Executor, Location
from engine.tasks.python import PythonExecutor, interpreter_path
from engine.tasks.shell import ShellExecutor
from engine.tasks.simulate import SimulatedExecutor
from engine.tasks.sqlite import RefusedError, SqliteExecutor, check_script
from engine.tasks.statements import read_script, split

_SQL = SqliteExecutor()
_EXECUTORS: Mapping[ActionKind, Executor] = {
    "sql": _SQL,
    "sql_file": _SQL,
    "shell": ShellExecutor(),
    "python": PythonExecutor(),
    "simulate": SimulatedExecutor(),
}


def executor_for(action: Action, targets: Mapping[str, object]) -> Executor:
    """Who carries out `action` on the target that it names. It keeps nothing between calls, so one serves all
    lanes."""
    if action.on and not isinstance(targets.get(action.on), Path):
        return _on_postgres(action.kind)
    return _EXECUTORS[action.kind]


def _on_postgres(kind: ActionKind) -> Executor:
    # Imported here, since a plan without PostgreSQL should not pay for its driver.
    from engine.tasks.postgres.guard import Guarded

    if kind == "backfill":
        from engine.tasks.postgres.backfill import BackfillExecutor

        return Guarded(BackfillExecutor())
    from engine.tasks.postgres.executor import PostgresExecutor

    return Guarded(PostgresExecutor())


def prepare(plan: Plan, targets: Mapping[str, Location], folder: Path) -> list[str]:
    """What keeps `plan` from being run from `folder` on `targets`: a sentence each, empty if nothing does.

    Looks only; nothing is created or changed."""
    if not folder.is_dir():
        return [f"the plan's folder {folder} is not there"]
    actions = list(_actions(plan))
    used = {action.on for _, action in actions if action.on}
    problems = [_target_problem(plan, name, targets.get(name)) for name in sorted(used)]
    kinds = {action.kind for _, action in actions}
    if "shell" in kinds and shutil.which("sh") is None:
        problems.append("there is no `sh` on the PATH to run shell tasks with")
    if "python" in kinds and interpreter_path(plan.interpreter, folder) is None:
        problems.append(
            f"interpreter: `{plan.interpreter}` is not there or cannot be executed; "
            "name one that is on the PATH, or a path from the plan's folder"
        )
    problems += [
        _script_problem(where, action, folder)
        for where, action in actions
        if isinstance(targets.get(action.on or ""), Path)
    ]
    return [problem for problem in problems if problem]


def _actions(plan: Plan) -> Iterator[tuple[str, Action]]:
    for task in plan.tasks:
        for part in ("run", "rollback", "verify"):
            if action := getattr(task, part):
                yield f"task `{task.id}`, {part}", action


def _target_problem(plan: Plan, name: str, location: Location | None) -> str:
    if location is None:
        return f"target `{name}`: the plan does not describe it"
    if isinstance(location, str):
        problem = server_problem(location)
        return f"target `{name}`: {problem}" if problem else ""
    # As the plan writes it: what the environment makes of it is not for screens.
    file = written(plan.targets[name])
    if not location.parent.is_dir():
        return f"target `{name}`: the folder of {file} is not there; create it first"
    if not os.access(location.parent, os.W_OK | os.X_OK):
        return f"target `{name}`: the folder of {file} cannot be written to, and SQLite needs to"
    if location.exists() and not location.is_file():
        return f"target `{name}`: {file} is not a file"
    if location.exists() and not os.access(location, os.R_OK | os.W_OK):
        return f"target `{name}`: {file} cannot be read and written"
    return ""


def _script_problem(where: str, action: Action, folder: Path) -> str:
    try:
        check_script(split(read_script(action, folder)))
    except OSError as error:
        return f"{where}: SQL file {action.sql_file} cannot be read: {error.strerror or error}"
    except UnicodeDecodeError as error:
        return f"{where}: SQL file {action.sql_file} is not UTF-8 at byte {error.start}"
    except RefusedError as refused:
        return f"{where}: {refused}"
    return ""
