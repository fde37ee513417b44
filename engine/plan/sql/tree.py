"""Reading the trees of PostgreSQL's parser: what a statement is called, and what the server makes of it.

A node is a protobuf message of libpg_query. Names of nodes and fields are those of PostgreSQL's own source.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

_LONG_LIST = 1000
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")

_KINDS = {
    "IndexStmt": "CREATE INDEX", "CreateStmt": "CREATE TABLE", "ViewStmt": "CREATE VIEW",
    "CreateTrigStmt": "CREATE TRIGGER", "RuleStmt": "CREATE RULE", "CreateSeqStmt": "CREATE SEQUENCE",
    "AlterSeqStmt": "ALTER SEQUENCE", "CreatedbStmt": "CREATE DATABASE", "DropdbStmt": "DROP DATABASE",
    "AlterEnumStmt": "ALTER TYPE", "CreateEnumStmt": "CREATE TYPE", "CompositeTypeStmt": "CREATE TYPE",
    "CreateRangeStmt": "CREATE TYPE", "CreateTableSpaceStmt": "CREATE TABLESPACE",
    "DropTableSpaceStmt": "DROP TABLESPACE", "RefreshMatViewStmt": "REFRESH MATERIALIZED VIEW",
    "CreateStatsStmt": "CREATE STATISTICS", "CheckPointStmt": "CHECKPOINT", "SecLabelStmt": "SECURITY LABEL",
    "CreatePLangStmt": "CREATE LANGUAGE", "CreateFdwStmt": "CREATE FOREIGN DATA WRAPPER",
    "AlterOwnerStmt": "ALTER OWNER", "AlterStatsStmt": "ALTER STATISTICS", "TruncateStmt": "TRUNCATE",
    "ConstraintsSetStmt": "SET CONSTRAINTS", "CreateEventTrigStmt": "CREATE EVENT TRIGGER",
    "AlterEventTrigStmt": "ALTER EVENT TRIGGER", "CreateConversionStmt": "CREATE CONVERSION",
}  # fmt: skip
"""Where the name of the node does not give it away."""

_OBJECTS = {"MATVIEW": "MATERIALIZED VIEW", "TABCONSTRAINT": "CONSTRAINT", "ACCESS_METHOD": "ACCESS METHOD"}


@dataclass(frozen=True, slots=True)
class ConcurrentIndex:
    """A statement that works on indexes concurrently.

    `index` and `table` are written as SQL takes them: quoted where needed, with their schema where the
    statement gives one; the index that a CREATE makes is in its table's schema. `index` is empty where all
    indexes of a table (or, with no `table` either, of a schema or a database) are rebuilt; `table` is empty
    where an index is dropped or rebuilt. `if_exists` is that of a DROP, `if_not_exists` that of a CREATE.
    """

    action: Literal["create", "drop", "reindex"]
    index: str
    table: str = ""
    if_not_exists: bool = False
    if_exists: bool = False
    unique: bool = False


def inner(node: Any) -> Any:
    """The node in a wrapper `Node`; anything else as it is."""
    if type(node).DESCRIPTOR.name == "Node":
        which = node.WhichOneof("node")
        return getattr(node, which) if which else None
    return node


def name_of(node: Any) -> str:
    """What PostgreSQL's source calls the type of `node`; empty where there is none."""
    return "" if node is None else str(type(node).DESCRIPTOR.name)


def enum(node: Any, field: str) -> str:
    """The name of the value of an enumeration in `field`."""
    return str(node.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number[getattr(node, field)].name)


@lru_cache(maxsize=4096)
def quoted(name: str) -> str:
    """`name` as SQL takes it."""
    import postgast
    from postgast.pg_query_pb2 import KeywordKind

    if _PLAIN_NAME.fullmatch(name):
        token = postgast.scan(name).tokens[0]
        if token.keyword_kind in (KeywordKind.NO_KEYWORD, KeywordKind.UNRESERVED_KEYWORD):
            return name
    return '"' + name.replace('"', '""') + '"'


def relation(node: Any) -> str:
    """A RangeVar as SQL takes it."""
    return ".".join(quoted(part) for part in (node.schemaname, node.relname) if part)


def names(node: Any) -> tuple[str, ...]:
    """The texts in a List node, as in a name with its schema."""
    node = inner(node)
    items = node.items if name_of(node) == "List" else [node]
    return tuple(inner(item).sval for item in items if name_of(inner(item)) == "String")


def dotted(node: Any) -> str:
    """A List of names as SQL takes it."""
    return ".".join(quoted(part) for part in names(node))


def options(items: Any) -> dict[str, Any]:
    """The options of a statement by name: true where one stands without a value."""
    found: dict[str, Any] = {}
    for item in items:
        option = inner(item)
        value = inner(option.arg) if option.HasField("arg") else None
        found[option.defname] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if value is None:
        return True
    plain = {"String": "sval", "Integer": "ival", "Float": "fval", "Boolean": "boolval"}.get(name_of(value))
    given = getattr(value, plain) if plain else value
    return {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}.get(
        str(given).lower(), given
    )


def nested(node: Any) -> Iterator[Any]:
    """`node` and all nodes below it, whatever their depth; of very long lists only the beginning."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if found is None:
            continue
        yield found
        for description, value in found.ListFields():
            if description.message_type is None:
                continue
            children = [value] if hasattr(value, "DESCRIPTOR") else list(value[:_LONG_LIST])
            waiting.extend(inner(child) for child in reversed(children))


def kind(node: Any) -> str:
    """What the server calls a statement, as in "CREATE INDEX"."""
    name = name_of(node)
    if name in _KINDS:
        return _KINDS[name]
    if name == "TransactionStmt":
        words = enum(node, "kind").removeprefix("TRANS_STMT_").replace("_", " ")
        return "PREPARE TRANSACTION" if words == "PREPARE" else words
    if name == "VacuumStmt":
        return "VACUUM" if node.is_vacuumcmd else "ANALYZE"
    if name == "VariableSetStmt":
        return "RESET" if "RESET" in enum(node, "kind") else "SET"
    if name in ("DropStmt", "RenameStmt", "AlterTableStmt", "CreateTableAsStmt", "AlterObjectSchemaStmt"):
        return _with_object(node, name)
    return " ".join(re.findall(r"[A-Z][a-z]*", name.removesuffix("Stmt"))).upper()


def _with_object(node: Any, name: str) -> str:
    verb = "DROP" if name == "DropStmt" else "CREATE" if name == "CreateTableAsStmt" else "ALTER"
    which = next(
        field
        for field in ("remove_type", "relation_type", "rename_type", "objtype", "object_type")
        if field in node.DESCRIPTOR.fields_by_name
    )
    if name == "RenameStmt":
        which = "relation_type" if enum(node, "rename_type") in _PARTS_OF_RELATIONS else "rename_type"
        if enum(node, "rename_type") == "OBJECT_TABCONSTRAINT":
            return "ALTER TABLE"
    object_type = enum(node, which).removeprefix("OBJECT_")
    return f"{verb} {_OBJECTS.get(object_type, object_type.replace('_', ' '))}"


_PARTS_OF_RELATIONS = {"OBJECT_COLUMN", "OBJECT_ATTRIBUTE"}


def controls_transaction(node: Any) -> bool:
    """Whether a statement begins, ends or marks a transaction."""
    return name_of(node) == "TransactionStmt"


def sets_connection(node: Any) -> bool:
    """Whether a statement sets something that outlasts its transaction."""
    return name_of(node) == "VariableSetStmt" and not node.is_local and node.name.upper() != "TRANSACTION"


def why_alone(node: Any) -> str:
    """Why the server refuses a statement in a transaction; empty where it does not.

    Where only the database knows (a REINDEX or a CLUSTER of a partitioned table), it is taken to run in one.
    """
    rule = _ALONE.get(name_of(node), "")
    what = rule if isinstance(rule, str) else rule(node)
    return f"{what} cannot run in a transaction" if what else ""


def _index_alone(node: Any) -> str:
    return "CREATE INDEX CONCURRENTLY" if node.concurrent else ""


def _drop_alone(node: Any) -> str:
    return "DROP INDEX CONCURRENTLY" if node.concurrent else ""


def _reindex_alone(node: Any) -> str:
    if options(node.params).get("concurrently"):
        return "REINDEX CONCURRENTLY"
    what = enum(node, "kind").removeprefix("REINDEX_OBJECT_")
    return f"REINDEX {what}" if what in ("SCHEMA", "SYSTEM", "DATABASE") else ""


def _vacuum_alone(node: Any) -> str:
    return "VACUUM" if node.is_vacuumcmd else ""


def _cluster_alone(node: Any) -> str:
    return "" if node.HasField("relation") else "CLUSTER of all tables"


def _alter_table_alone(node: Any) -> str:
    for command in map(inner, node.cmds):
        if enum(command, "subtype") == "AT_DetachPartition" and inner(getattr(command, "def")).concurrent:
            return "DETACH PARTITION CONCURRENTLY"
    return ""


def _alter_database_alone(node: Any) -> str:
    return "ALTER DATABASE SET TABLESPACE" if "tablespace" in options(node.options) else ""


def _create_subscription_alone(node: Any) -> str:
    given = options(node.options)
    slot = given.get("connect", True) and given.get("create_slot", True)
    return "CREATE SUBSCRIPTION with a slot" if slot else ""


def _alter_subscription_alone(node: Any) -> str:
    refreshes = enum(node, "kind") not in ("ALTER_SUBSCRIPTION_ENABLED", "ALTER_SUBSCRIPTION_CONNECTION")
    refreshes = refreshes and bool(options(node.options).get("refresh", True))
    return "ALTER SUBSCRIPTION that reaches the publisher" if refreshes else ""


_ALONE: dict[str, str | Callable[[Any], str]] = {
    "IndexStmt": _index_alone,
    "DropStmt": _drop_alone,
    "ReindexStmt": _reindex_alone,
    "VacuumStmt": _vacuum_alone,
    "ClusterStmt": _cluster_alone,
    "AlterTableStmt": _alter_table_alone,
    "AlterDatabaseStmt": _alter_database_alone,
    "CreateSubscriptionStmt": _create_subscription_alone,
    "AlterSubscriptionStmt": _alter_subscription_alone,
    "DropSubscriptionStmt": "DROP SUBSCRIPTION",
    "CreatedbStmt": "CREATE DATABASE",
    "DropdbStmt": "DROP DATABASE",
    "CreateTableSpaceStmt": "CREATE TABLESPACE",
    "DropTableSpaceStmt": "DROP TABLESPACE",
    "AlterSystemStmt": "ALTER SYSTEM",
}


def index_of(node: Any) -> tuple[str, str]:
    """The index that a statement creates, and its table, as SQL takes them; the first is empty where it has
    no name, both are where it creates none."""
    if name_of(node) != "IndexStmt":
        return "", ""
    schema = f"{quoted(node.relation.schemaname)}." if node.relation.schemaname else ""
    return schema + quoted(node.idxname) if node.idxname else "", relation(node.relation)


def concurrent(node: Any) -> ConcurrentIndex | None:
    """What a statement does to indexes concurrently, if it does."""
    name = name_of(node)
    if name == "IndexStmt" and node.concurrent:
        return ConcurrentIndex(
            "create",
            *index_of(node),
            if_not_exists=node.if_not_exists,
            unique=node.unique,
        )
    if name == "DropStmt" and node.concurrent:
        return ConcurrentIndex("drop", dotted(node.objects[0]), if_exists=node.missing_ok)
    if name == "ReindexStmt" and options(node.params).get("concurrently"):
        what = enum(node, "kind")
        which = relation(node.relation)
        is_index = what == "REINDEX_OBJECT_INDEX"
        is_table = what == "REINDEX_OBJECT_TABLE"
        return ConcurrentIndex("reindex", which if is_index else "", which if is_table else "")
    return None


def refused(node: Any) -> Iterator[tuple[str, str]]:
    """Why no task may run a statement, and what to do instead."""
    name = name_of(node)
    if name == "TransactionStmt":
        what = f"{kind(node)} in a task: the engine begins and commits the transaction itself"
        yield what, "leave it out; statements that allow it run in one transaction anyway"
    elif name == "CopyStmt" and not node.filename:
        way, where = ("from STDIN", "FROM") if node.is_from else ("to STDOUT", "TO")
        yield f"COPY {way} needs a client that streams", f"COPY … {where} a file of the server, or INSERT"
    elif name == "IndexStmt" and node.concurrent and not node.idxname:
        hint = "name it: should the build fail, the invalid index could not be found again without"
        yield "an index that is built concurrently needs a name", hint
    elif name == "DropStmt" and node.concurrent and len(node.objects) > 1:
        yield "DROP INDEX CONCURRENTLY drops one index at a time", "write one statement for each index"
    elif name == "DiscardStmt" and enum(node, "target") == "DISCARD_ALL":
        what = "DISCARD ALL in a task: it lets go of the lock that keeps a second attempt away"
        yield what, "name what is to go: DISCARD PLANS, SEQUENCES or TEMP, RESET, DEALLOCATE"
    elif name == "VariableSetStmt" and _reads_otherwise(node):
        what = f"SET {node.name}: what follows would be read otherwise than it was checked, and stored wrong"
        yield what, "leave it out: SQL is sent as UTF-8, with standard_conforming_strings on"


_READ_AS = {
    "client_encoding": {"utf8", "utf-8", "unicode"},
    "standard_conforming_strings": {"on", "true", "1"},
}
"""Settings by which a server understands SQL, and how it is written here."""


def _reads_otherwise(node: Any) -> bool:
    read_as = _READ_AS.get(node.name.lower())
    if read_as is None or enum(node, "kind") != "VAR_SET_VALUE":
        return False
    value = inner(node.args[0])
    return value.sval.sval.lower() not in read_as and value.ival.ival != 1
