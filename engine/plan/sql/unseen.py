"""What the lock radar cannot see in the text of a statement, and owns up to."""

from collections.abc import Callable
from typing import Any

from engine.plan.sql.radar import ON_TABLES
from engine.plan.sql.tree import enum, name_of

_SCANNED_BY_DOMAIN = {"C", "O", "V"}
"""Actions of ALTER DOMAIN: a new constraint, NOT NULL, and validating."""


def _unseen_drop(node: Any) -> str:
    cascades = enum(node, "behavior") == "DROP_CASCADE" and enum(node, "remove_type") not in ON_TABLES
    return "what falls with it, and is locked for that, only the database knows" if cascades else ""


def _every_table(field: str) -> Callable[[Any], str]:
    def rule(node: Any) -> str:
        given = getattr(node, field)
        named = node.HasField(field) if hasattr(given, "DESCRIPTOR") else bool(given)
        return "" if named else "it goes through table after table, and locks each in its turn"

    return rule


_RULES: dict[str, str | Callable[[Any], str]] = {
    "RefreshMatViewStmt": "the tables of its query are read, under ACCESS SHARE",
    "DoStmt": "what the block does inside cannot be seen here",
    "CallStmt": "what the procedure does inside cannot be seen here",
    "ExecuteStmt": "what the prepared statement does cannot be seen here",
    "AlterDomainStmt": lambda node: (
        "tables that use the domain are scanned, with their writes blocked"
        if node.subtype in _SCANNED_BY_DOMAIN
        else ""
    ),
    "DropStmt": _unseen_drop,
    "DropOwnedStmt": "what is dropped, and so locked, only the database knows",
    "AlterTableMoveAllStmt": "which tables are moved, and so locked, only the database knows",
    "VacuumStmt": _every_table("rels"),
    "ClusterStmt": _every_table("relation"),
    "ReindexStmt": _every_table("relation"),
}


def unseen(node: Any) -> str:
    """Why the locks of a statement cannot all be told from its text; empty where they can."""
    told = _RULES.get(name_of(node), "")
    return told if isinstance(told, str) else told(node)
