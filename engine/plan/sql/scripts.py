"""The SQL that a plan runs on PostgreSQL, action by action, with what its tasks have made before it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any, Literal

from engine.plan.models import Action, Plan, Task
from engine.plan.passwords import hide_passwords
from engine.plan.sql.foreign_keys import Key, foreign_keys, referred
from engine.plan.sql.parse import Part, SqlError, Statement, parts, placeholders, split
from engine.plan.sql.proofs import Column, only_proven, proven
from engine.plan.sql.radar import TableLock, merged

Role = Literal["run", "rollback", "verify"]
ROLES: tuple[Role, ...] = ("run", "rollback", "verify")


@dataclass(frozen=True)
class Script:
    """The SQL of one action. `new` are the tables that are the plan's own: made by this task, or by one that
    it needs; nobody else is kept waiting by a lock on them. `tables_of` has the table of each index that the
    plan creates, `proven` the columns that it proves to hold no NULL,
    `keys` the tables that its foreign keys refer to."""

    task: str
    role: Role
    target: str
    is_backfill: bool
    statements: tuple[Statement, ...]
    new: frozenset[str] = frozenset()
    tables_of: Mapping[str, str] = field(default_factory=dict, compare=False)
    proven: frozenset[Column] = frozenset()
    keys: dict[Key, str] = field(default_factory=dict, compare=False)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        return tuple(parts(list(self.statements)))

    @property
    def mixed(self) -> bool:
        """Whether it is committed in several parts, so that a failure may leave some of them done."""
        return len(self.parts) > 1

    def locks(self, statement: Statement) -> tuple[TableLock, ...]:
        """The locks of `statement`, with what the rest of the plan tells of them."""
        found = [
            replace(lock, table=lock.table or self.tables_of.get(lock.index, "")) for lock in statement.locks
        ]
        if only_proven(statement, self.proven):
            found = [
                replace(lock, scans="", note="a valid CHECK spares it the scan", safer="") for lock in found
            ]
        return merged((*found, *referred(statement, self.keys)))

    def felt(self, statement: Statement) -> tuple[TableLock, ...]:
        """The locks of `statement` on tables that others may be using."""
        return tuple(lock for lock in self.locks(statement) if lock.table not in self.new)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "task": self.task,
            "role": self.role,
            "target": self.target,
            "backfill": self.is_backfill,
            "parts": [
                {
                    "transactional": part.transactional,
                    "why_alone": part.statements[0].why_alone,
                    "statements": [self._statement(statement) for statement in part.statements],
                }
                for part in self.parts
            ],
        }

    def _statement(self, statement: Statement) -> dict[str, Any]:
        return {
            "number": statement.number,
            "line": statement.line,
            "kind": statement.kind,
            "summary": hide_passwords(statement.summary()),
            "unseen": statement.unseen,
            "locks": [_lock(lock, new=lock.table in self.new) for lock in self.locks(statement)],
        }


def _lock(lock: TableLock, *, new: bool) -> dict[str, Any]:
    return {
        "table": lock.table or None,
        "index": lock.index or None,
        "mode": lock.mode.value,
        "blocks_reads": lock.blocks_reads,
        "blocks_writes": lock.blocks_writes,
        "rewrites": lock.rewrites or "no",
        "scans": lock.scans or "no",
        "note": lock.note,
        "new_table": new,
    }


def has_postgres(plan: Plan) -> bool:
    """Whether any target is a PostgreSQL database."""
    return any(target.postgres is not None for target in plan.targets.values())


def scripts(plan: Plan) -> list[Script]:
    """The SQL of `plan` on PostgreSQL, in the order of its tasks. What the parser refuses is left out."""
    if not has_postgres(plan):
        return []
    found = {
        (task.id, role): statements
        for task, role, action in _actions(plan)
        if (statements := _statements(action)) is not None
    }
    new = _new_tables(plan, found)
    tables_of = _tables_of_indexes(plan, found)
    every = {name: _all_statements(plan, found, name) for name in plan.targets}
    columns = {name: proven(statements) for name, statements in every.items()}
    keys = {name: foreign_keys(statements) for name, statements in every.items()}
    return [
        Script(
            task=task.id,
            role=role,
            target=action.on or "",
            is_backfill=action.backfill is not None,
            statements=found[task.id, role],
            new=frozenset(table for target, table in new[task.id] if target == action.on),
            tables_of=tables_of.get(action.on or "", {}),
            proven=columns[action.on or ""],
            keys=keys[action.on or ""],
        )
        for task, role, action in _actions(plan)
        if (task.id, role) in found
    ]


def _actions(plan: Plan) -> Iterator[tuple[Task, Role, Action]]:
    for task in plan.tasks:
        for role in ROLES:
            action: Action | None = getattr(task, role)
            if action and action.on and plan.targets[action.on].postgres is not None:
                yield task, role, action


def _statements(action: Action) -> tuple[Statement, ...] | None:
    if action.backfill:
        sql = placeholders(action.backfill.sql)
    elif action.sql is not None:
        sql = action.sql
    else:
        return None
    try:
        return tuple(split(sql))
    except SqlError:
        return None


def _all_statements(
    plan: Plan, found: Mapping[tuple[str, Role], tuple[Statement, ...]], target: str
) -> list[Statement]:
    return [
        statement
        for task, role, action in _actions(plan)
        if action.on == target
        for statement in found.get((task.id, role), ())
    ]


def _tables_of_indexes(
    plan: Plan, found: Mapping[tuple[str, Role], tuple[Statement, ...]]
) -> dict[str, dict[str, str]]:
    """For each target the table of every index that the plan creates there."""
    tables: dict[str, dict[str, str]] = {}
    for task, role, action in _actions(plan):
        for statement in found.get((task.id, role), ()):
            index, table = statement.index
            if index:
                tables.setdefault(action.on or "", {}).setdefault(index, table)
    return tables


def _new_tables(
    plan: Plan, found: Mapping[tuple[str, Role], tuple[Statement, ...]]
) -> dict[str, frozenset[tuple[str, str]]]:
    """For each task the tables that it makes, or one that it needs, directly or not, each with its target."""
    tasks = {task.id: task for task in plan.tasks}
    new: dict[str, frozenset[tuple[str, str]]] = {}
    for task_id in TopologicalSorter({task.id: task.needs for task in plan.tasks}).static_order():
        target = tasks[task_id].run.on or ""
        made = {(target, each.creates) for each in found.get((task_id, "run"), ()) if each.creates}
        new[task_id] = frozenset(made).union(*(new[need] for need in tasks[task_id].needs))
    return new
