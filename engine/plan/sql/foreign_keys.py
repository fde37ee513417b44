"""Foreign keys that a plan itself adds: dropping one locks the table that it refers to as strongly as its
own, and only whoever has added it knows which that is."""

from collections.abc import Iterable, Iterator
from typing import Any

from engine.plan.sql.parse import Statement
from engine.plan.sql.radar import Mode, TableLock
from engine.plan.sql.tree import enum, inner, name_of, relation

Key = tuple[str, str]
"""A table as SQL takes it, and the name of a constraint of it."""


def foreign_keys(statements: Iterable[Statement]) -> dict[Key, str]:
    """The table that each foreign key refers to that `statements` add under a name."""
    return {
        (relation(statement.node.relation), constraint.conname): relation(constraint.pktable)
        for statement in statements
        for constraint in _added(statement.node)
        if enum(constraint, "contype") == "CONSTR_FOREIGN" and constraint.conname
    }


def referred(statement: Statement, known: dict[Key, str]) -> Iterator[TableLock]:
    """The locks on tables that foreign keys refer to which a statement drops."""
    node = statement.node
    if name_of(node) == "AlterTableStmt":
        for command in map(inner, node.cmds):
            table = known.get((relation(node.relation), command.name))
            if enum(command, "subtype") == "AT_DropConstraint" and table:
                yield TableLock(table, Mode.ACCESS_EXCLUSIVE)


def _added(node: Any) -> Iterator[Any]:
    elements: Iterable[Any] = ()
    if name_of(node) == "CreateStmt":
        elements = map(inner, (*node.table_elts, *node.constraints))
    elif name_of(node) == "AlterTableStmt":
        elements = (inner(getattr(inner(command), "def")) for command in node.cmds)
    for element in elements:
        if name_of(element) == "Constraint":
            yield element
        elif name_of(element) == "ColumnDef":
            yield from map(inner, element.constraints)
