"""What is wrong with the SQL of a plan for PostgreSQL: errors with their place in the plan, or in a SQL file.

Reads the document rather than the models, like `engine.plan.checks`: SQL is checked even where something else
is wrong with the plan.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from engine.plan.errors import Finding, visible
from engine.plan.inside import place_in_text, place_inside
from engine.plan.models import Action, Plan
from engine.plan.notes import Notes
from engine.plan.source import Loc
from engine.plan.sql.dangers import dangers
from engine.plan.sql.parse import SqlError, Statement, placeholders, refusals, split

_ROLES = ("run", "rollback", "verify")
_BATCHED = ("INSERT", "UPDATE", "DELETE", "MERGE")


class Located(NamedTuple):
    """SQL in the document: where the text is, or which file it came from, and what may stand in it."""

    loc: Loc
    sql: str
    file: Path | None = None
    what: str = "sql"


def check_sql(notes: Notes, files: Mapping[Loc, Path]) -> None:
    """Note what is wrong with the SQL of PostgreSQL targets. `files`: see `inline_sql_files`."""
    for found in _located(notes.document.data, files):
        for error in errors(found.sql, found.what):
            notes.add_finding(finding(notes, found, error))


def warn_of_sql(notes: Notes, plan: Plan, files: Mapping[Loc, Path]) -> tuple[Finding, ...]:
    """Warnings about the SQL of `plan` on PostgreSQL: what others on the database would feel of it."""
    tasks = {task.id: (position, task) for position, task in enumerate(plan.tasks)}
    found = []
    for danger in dangers(plan):
        position, task = tasks[danger.script.task]
        action: Action = getattr(task, danger.script.role)
        at: Loc = ("tasks", position, danger.script.role)
        loc: Loc = (*at, "backfill", "sql") if action.backfill else (*at, "sql")
        sql = action.backfill.sql if action.backfill else action.sql or ""
        error = SqlError(danger.message, sql, danger.statement.offset, danger.hint)
        found.append(replace(finding(notes, Located(loc, sql, files.get(at)), error), severity="warning"))
    return tuple(found)


def errors(sql: str, what: str = "sql") -> list[SqlError]:
    """Everything that is wrong with SQL of a task: `sql` of an action, of a `backfill`, or of a `throttle`.
    Of syntax errors only the first is known."""
    try:
        statements = split(placeholders(sql) if what == "backfill" else sql)
    except SqlError as error:
        return [error]
    if not statements:
        return [SqlError("there is no statement in it", sql, 0, "comments alone do nothing")]
    found = refusals(sql, statements)
    if what == "backfill":
        found += _batch_errors(sql, statements)
    elif what == "throttle":
        found += _single(sql, statements, ("SELECT",), "a throttle looks with a single SELECT")
    return found


def finding(notes: Notes, found: Located, error: SqlError) -> Finding:
    """`error` as a finding with its place, as exact as that can be told."""
    message = visible(error.message)
    if found.file:
        place = place_in_text(str(found.file), found.sql, error.offset)
        return Finding(message, place, error.hint)
    if inside := place_inside(notes.document, found.loc, error.offset):
        return Finding(message, inside, error.hint)
    where = f" (line {error.line} of the SQL, column {error.column})"
    return Finding(message + where, notes.document.place(found.loc), error.hint)


def _batch_errors(sql: str, statements: list[Statement]) -> Iterator[SqlError]:
    kinds = ", ".join(_BATCHED[:-1])
    yield from _single(sql, statements, _BATCHED, f"a backfill is a single {kinds} or {_BATCHED[-1]}")
    replaced = placeholders(sql)
    for name, parameter in ((":first", "$1"), (":last", "$2")):
        if parameter not in replaced:
            hint = "bound the key with both: WHERE id BETWEEN :first AND :last"
            yield SqlError(f"{name} does not stand in it", sql, statements[0].offset, hint)


def _single(
    sql: str, statements: list[Statement], kinds: tuple[str, ...], message: str
) -> Iterator[SqlError]:
    if odd := [each for each in statements if each.kind not in kinds] or statements[1:]:
        yield SqlError(message, sql, odd[0].offset)


def _located(data: Any, files: Mapping[Loc, Path]) -> Iterator[Located]:
    """The SQL of every action on a PostgreSQL target."""
    tasks = _mapping(data).get("tasks")
    targets = _mapping(_mapping(data).get("targets"))
    for position, task in enumerate(tasks if isinstance(tasks, list) else ()):
        for role in _ROLES:
            action = _mapping(_mapping(task).get(role))
            name = action.get("on")
            if isinstance(name, str) and "postgres" in _mapping(targets.get(name)):
                yield from _in_action(("tasks", position, role), action, files)


def _in_action(at: Loc, action: Mapping[str, Any], files: Mapping[Loc, Path]) -> Iterator[Located]:
    if isinstance(action.get("sql"), str):
        yield Located((*at, "sql"), action["sql"], files.get(at))
    backfill = _mapping(action.get("backfill"))
    if isinstance(backfill.get("sql"), str):
        yield Located((*at, "backfill", "sql"), backfill["sql"], what="backfill")
    throttle = _mapping(backfill.get("throttle"))
    if isinstance(throttle.get("sql"), str):
        yield Located((*at, "backfill", "throttle", "sql"), throttle["sql"], what="throttle")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
