"""What in the SQL of a plan would be felt by everybody else on the database, and the way that would not."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from engine.plan.models import Plan
from engine.plan.sql.parse import Statement
from engine.plan.sql.radar import Extent, TableLock
from engine.plan.sql.scripts import Script, scripts
from engine.plan.sql.tree import enum, inner, name_of, nested


class Danger(NamedTuple):
    """A warning about one statement of a script, with what to do instead."""

    script: Script
    statement: Statement
    message: str
    hint: str


def dangers(plan: Plan) -> list[Danger]:
    """The warnings about the SQL of `plan` on PostgreSQL, in its order. Tables that are the plan's own are
    left alone, and what it has made safe beforehand."""
    found = [script for script in scripts(plan) if script.role != "verify"]
    return [danger for script in found for danger in _of_script(script)]


def _of_script(script: Script) -> Iterator[Danger]:
    if script.mixed and script.role == "run":
        first = next(each for each in script.statements if each.why_alone)
        message = f"{script.task} commits in {len(script.parts)} steps: {first.why_alone}"
        hint = "one task for each step is easier to retry, and to roll back"
        yield Danger(script, first, message, hint)
    for part in script.parts:
        held: dict[str, TableLock] = {}
        for statement in part.statements:
            yield from _of_statement(script, statement)
            yield from _of_setting(script, statement)
            if part.transactional:
                yield from _held(script, statement, held)


def _of_statement(script: Script, statement: Statement) -> Iterator[Danger]:
    for lock in script.felt(statement):
        if lock.safer:
            yield Danger(script, statement, f"{statement.kind}: {effect(lock)}", lock.safer)


_LIMITS = {"lock_timeout": "lock_timeout", "statement_timeout": "timeout"}
"""Settings that the engine makes for every attempt, and the keys of a task that they come from."""


def _of_setting(script: Script, statement: Statement) -> Iterator[Danger]:
    node = statement.node
    if name_of(node) != "VariableSetStmt":
        return
    if enum(node, "kind") == "VAR_RESET_ALL":
        message = "RESET ALL: the engine's own limits no longer hold for what follows"
        yield Danger(script, statement, message, "reset by its name what the task has set")
    elif node.name.lower() in _LIMITS:
        message = f"SET {node.name}: the engine's own limit no longer holds for what follows"
        yield Danger(script, statement, message, f"give the task a `{_LIMITS[node.name.lower()]}` instead")


def effect(lock: TableLock) -> str:
    """What is done to the table of `lock`, and who waits meanwhile: "scans orders, with writes blocked …"."""
    does = _does(lock) or f"locks {lock.on}"
    if lock.blocks_writes:
        who = "reads and writes" if lock.blocks_reads else "writes"
        return f"{does}, with {who} blocked meanwhile"
    return f"{does} ({lock.note})" if lock.note else does


def _does(lock: TableLock) -> str:
    for extent, verb in ((lock.rewrites, "rewrite"), (lock.scans, "scan")):
        if extent:
            return f"{_VERBS[extent].format(verb)} {lock.on}"
    return ""


_VERBS: dict[Extent, str] = {"yes": "{}s", "may": "may {}"}


def _held(script: Script, statement: Statement, held: dict[str, TableLock]) -> Iterator[Danger]:
    """A lock that shuts others out, taken before, and held on through a statement that takes its time."""
    if held and takes_long(statement):
        lock = max(held.values(), key=lambda each: each.mode.rank)
        who = "reads and writes" if lock.blocks_reads else "writes"
        message = f"{statement.kind}: {who} of {lock.on} stay blocked through it, by a lock taken before"
        hint = "put it into a task of its own: locks are held until the transaction ends"
        yield Danger(script, statement, message, hint)
        held.clear()
    for lock in script.felt(statement):
        if lock.blocks_writes:
            held.setdefault(lock.on, lock)


def takes_long(statement: Statement) -> bool:
    """Whether a statement may take as long as a table is large."""
    if any("yes" in (lock.scans, lock.rewrites) for lock in statement.locks):
        return True
    node = statement.node
    name = name_of(node)
    if name == "InsertStmt":
        return bool(node.HasField("select_stmt")) and not inner(node.select_stmt).values_lists
    if name in ("UpdateStmt", "DeleteStmt"):
        return not _picks_a_row(node)
    return name in ("MergeStmt", "CopyStmt", "CreateTableAsStmt")


def _picks_a_row(node: Any) -> bool:
    """Whether a condition holds a column against a constant, as `id = 5` does: most likely a few rows."""
    return any(
        name_of(part) == "A_Expr"
        and _is_equation(part)
        and {"ColumnRef", "A_Const"} == {name_of(inner(part.lexpr)), name_of(inner(part.rexpr))}
        for part in nested(inner(node.where_clause))
    )


def _is_equation(expression: Any) -> bool:
    return enum(expression, "kind") == "AEXPR_OP" and bool(inner(expression.name[0]).sval == "=")
