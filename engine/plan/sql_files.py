"""`sql_file` becomes `sql` while a plan is loaded, so that the pinned plan holds everything it runs."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.plan.errors import PlanErrors, quote
from engine.plan.notes import Notes
from engine.plan.paths import PathRefused, resolve_path
from engine.plan.source import MAX_BYTES, Loc, read_text

_OTHER_KINDS = {"sql", "backfill", "shell", "python", "simulate"}


def inline_sql_files(notes: Notes, base: Path, *, allow_outside: bool = False) -> dict[Loc, Path]:
    """Put the text of every `sql_file` in the document in its place; note those that cannot be read.

    Answers which file the `sql` of an action came from, by the place of the action, for messages."""
    files: dict[Loc, Path] = {}

    @lru_cache(None)
    def read(name: str) -> str:
        text = read_text(resolve_path(base, name, allow_outside=allow_outside))
        if not text.strip():
            raise PathRefused("there is nothing in it")
        if "\0" in text:
            raise PathRefused("the character U+0000 stands in it")
        return text

    size = 0
    for loc, action in _actions(notes.document.data):
        name = action["sql_file"]
        try:
            text = read(name)
        except PathRefused as error:
            notes.add(loc, f"{quote(name)}: {error}", error.hint)
            continue
        except PlanErrors as error:
            notes.add(loc, f"{quote(name)}: {error.findings[0].message}")
            continue
        size += len(text)
        if size > MAX_BYTES:
            notes.add(loc, f"{quote(name)}: with it, the SQL files together pass {MAX_BYTES // 1_000_000} MB")
            break
        del action["sql_file"]
        action["sql"] = text
        files[loc[:-1]] = Path(notes.document.file).parent / name
    return files


def _actions(data: Any) -> Iterator[tuple[Loc, dict[str, Any]]]:
    """The actions with a `sql_file`, and the place of that. An action of two kinds is left for the models."""
    tasks = data.get("tasks") if isinstance(data, dict) else None
    for position, task in enumerate(tasks if isinstance(tasks, list) else ()):
        for role in ("run", "rollback", "verify"):
            action = task.get(role) if isinstance(task, dict) else None
            if not isinstance(action, dict) or _OTHER_KINDS & action.keys():
                continue
            if isinstance(action.get("sql_file"), str):
                yield ("tasks", position, role, "sql_file"), action
