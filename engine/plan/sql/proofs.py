"""Columns that a plan itself proves to hold no NULL, so that SET NOT NULL need not scan the table."""

from collections.abc import Iterable, Iterator
from typing import Any

from engine.plan.sql.parse import Statement
from engine.plan.sql.tree import enum, inner, name_of, nested, relation

Column = tuple[str, str]
"""A table as SQL takes it, and a column."""


def proven(statements: Iterable[Statement]) -> frozenset[Column]:
    """The columns for which `statements` add a CHECK (… IS NOT NULL) that is valid, at once or later."""
    added: list[tuple[Any, str]] = []
    validated: set[tuple[str, str]] = set()
    for statement in statements:
        if name_of(statement.node) != "AlterTableStmt":
            continue
        table = relation(statement.node.relation)
        for command in map(inner, statement.node.cmds):
            subtype = enum(command, "subtype")
            if subtype == "AT_ValidateConstraint":
                validated.add((table, command.name))
            elif subtype == "AT_AddConstraint":
                added.append((inner(getattr(command, "def")), table))
    return frozenset(
        (table, column)
        for constraint, table in added
        if enum(constraint, "contype") == "CONSTR_CHECK"
        and (not constraint.skip_validation or (table, constraint.conname) in validated)
        for column in _not_null(constraint)
    )


def only_proven(statement: Statement, known: frozenset[Column]) -> bool:
    """Whether all that a statement does is to SET NOT NULL on columns in `known`."""
    node = statement.node
    return name_of(node) == "AlterTableStmt" and all(
        enum(command, "subtype") == "AT_SetNotNull" and (relation(node.relation), command.name) in known
        for command in map(inner, node.cmds)
    )


def _not_null(constraint: Any) -> Iterator[str]:
    for test in nested(inner(constraint.raw_expr)):
        if name_of(test) == "NullTest" and enum(test, "nulltesttype") == "IS_NOT_NULL":
            column = inner(test.arg)
            if name_of(column) == "ColumnRef":
                yield inner(column.fields[-1]).sval
