"""The lock radar: what a statement locks, whom that blocks, and whether it rewrites or scans the table.

A table of our own, from PostgreSQL's documentation of its commands and of table-level locks; the tests hold
it against what a real server takes. Where only the database could tell, it says "may".
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from engine.plan.sql.tree import dotted, enum, inner, name_of, names, nested, options, quoted, relation

Extent = Literal["", "may", "yes"]


class Mode(StrEnum):
    """The eight table lock modes, weakest first."""

    ACCESS_SHARE = "ACCESS SHARE"
    ROW_SHARE = "ROW SHARE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"

    @property
    def rank(self) -> int:
        """From 0 to 7, as the server numbers them."""
        return _RANKS[self]

    @property
    def blocks_reads(self) -> bool:
        return self is Mode.ACCESS_EXCLUSIVE

    @property
    def blocks_writes(self) -> bool:
        return self.rank >= Mode.SHARE.rank

    @property
    def strong(self) -> bool:
        """Whether two statements that take it, or what is above it, may stand in each other's way."""
        return self.rank >= Mode.SHARE_UPDATE_EXCLUSIVE.rank


_RANKS = {mode: rank for rank, mode in enumerate(Mode)}


@dataclass(frozen=True, slots=True)
class TableLock:
    """A lock that a statement takes on a table, and what it does to the table meanwhile.

    `table` is written as SQL takes it. Where the statement names an index only, `index` does, and `table` is
    empty. `rewrites` and `scans`: the whole table is written anew, or read, while the lock is held. `note`
    says what else an operator should know, `safer` which other way blocks less, where there is one.
    """

    table: str
    mode: Mode
    rewrites: Extent = ""
    scans: Extent = ""
    note: str = ""
    index: str = ""
    safer: str = ""

    @property
    def blocks_reads(self) -> bool:
        return self.mode.blocks_reads

    @property
    def blocks_writes(self) -> bool:
        return self.mode.blocks_writes

    @property
    def on(self) -> str:
        """What is locked, for people."""
        return self.table or f"the table of {self.index}"


def locks(node: Any) -> tuple[TableLock, ...]:
    """The table locks of a statement, one for each table, in the order in which it names them."""
    from engine.plan.sql.alter import altered

    name = name_of(node)
    if name == "AlterTableStmt":
        return merged(altered(node))
    return merged(_RULES.get(name, _reads_and_writes)(node))


def created(node: Any) -> str:
    """The table or materialized view that a statement creates; empty where it creates none."""
    name = name_of(node)
    if name == "CreateStmt":
        return relation(node.relation)
    if name == "CreateTableAsStmt":
        return relation(node.into.rel)
    if name == "SelectStmt" and node.HasField("into_clause"):
        return relation(node.into_clause.rel)
    return ""


def references(constraints: Iterable[Any], scans: Extent = "") -> Iterator[TableLock]:
    """The locks on the tables that foreign keys among `constraints` refer to."""
    for constraint in map(inner, constraints):
        if name_of(constraint) == "Constraint" and enum(constraint, "contype") == "CONSTR_FOREIGN":
            yield TableLock(relation(constraint.pktable), Mode.SHARE_ROW_EXCLUSIVE, scans=scans)


def merged(found: Iterable[TableLock]) -> tuple[TableLock, ...]:
    """`found` with the locks on one table as one: the strongest, and everything that happens meanwhile."""
    merged: dict[tuple[str, str], TableLock] = {}
    for lock in found:
        first = merged.setdefault((lock.table, lock.index), lock)
        if first is not lock:
            merged[lock.table, lock.index] = replace(
                max(first, lock, key=lambda each: each.mode.rank),
                rewrites=_more(first.rewrites, lock.rewrites),
                scans=_more(first.scans, lock.scans),
                note="; ".join(dict.fromkeys(note for note in (first.note, lock.note) if note)),
                safer="; ".join(dict.fromkeys(way for way in (first.safer, lock.safer) if way)),
            )
    return tuple(merged.values())


def _more(one: Extent, other: Extent) -> Extent:
    return max(one, other, key=("", "may", "yes").index)


_CHANGES = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}


def _reads_and_writes(node: Any) -> Iterator[TableLock]:
    """The tables that queries and changes anywhere below `node` name; what they call is not seen."""
    below = list(nested(node))
    own = {cte.ctename for cte in below if name_of(cte) == "CommonTableExpr"}
    targets = {id(part.relation) for part in below if name_of(part) in _CHANGES}
    other = {id(part.rel) for part in below if name_of(part) == "IntoClause"}
    other |= {
        id(inner(rel)) for part in below if name_of(part) == "LockingClause" for rel in part.locked_rels
    }
    for part in below:
        if name_of(part) in _CHANGES:
            yield _changed(part)
        elif name_of(part) == "SelectStmt" and part.locking_clause:
            yield from _locked_rows(part)
        elif name_of(part) != "RangeVar" or id(part) in targets | other:
            continue
        elif part.schemaname or part.relname not in own:
            yield TableLock(relation(part), Mode.ACCESS_SHARE)


def _changed(node: Any) -> TableLock:
    every = name_of(node) in ("UpdateStmt", "DeleteStmt") and not node.HasField("where_clause")
    table = relation(node.relation)
    if not every:
        return TableLock(table, Mode.ROW_EXCLUSIVE)
    note, safer = "changes every row in one transaction", "a backfill does it in batches"
    return TableLock(table, Mode.ROW_EXCLUSIVE, scans="yes", note=note, safer=safer)


def _locked_rows(node: Any) -> Iterator[TableLock]:
    named = {rel.relname for clause in node.locking_clause for rel in map(inner, inner(clause).locked_rels)}
    for part in (found for item in node.from_clause for found in nested(inner(item))):
        if name_of(part) == "RangeVar" and (not named or (part.alias.aliasname or part.relname) in named):
            yield TableLock(relation(part), Mode.ROW_SHARE)


def _create_table(node: Any) -> Iterator[TableLock]:
    if node.HasField("partbound"):
        note = "a default partition is locked, and scanned, too"
        yield from (
            TableLock(relation(inner(each)), Mode.ACCESS_EXCLUSIVE, note=note) for each in node.inh_relations
        )
    else:
        for each in node.inh_relations:
            yield TableLock(relation(inner(each)), Mode.SHARE_UPDATE_EXCLUSIVE)
    own = relation(node.relation)
    for element in map(inner, (*node.table_elts, *node.constraints)):
        if name_of(element) == "TableLikeClause":
            yield TableLock(relation(element.relation), Mode.ACCESS_SHARE)
        constraints = element.constraints if name_of(element) == "ColumnDef" else [element]
        yield from (lock for lock in references(constraints) if lock.table != own)


def _create_index(node: Any) -> Iterator[TableLock]:
    table = relation(node.relation)
    scans: Extent = "yes" if node.relation.inh else "may"
    if node.concurrent:
        note = "twice, and waits for every older transaction to end"
        yield TableLock(table, Mode.SHARE_UPDATE_EXCLUSIVE, scans="yes", note=note)
    else:
        safer = "build it with CREATE INDEX CONCURRENTLY, in a task of its own" if scans == "yes" else ""
        yield TableLock(table, Mode.SHARE, scans=scans, safer=safer)


def _create_trigger(node: Any) -> Iterator[TableLock]:
    yield TableLock(relation(node.relation), Mode.SHARE_ROW_EXCLUSIVE)
    if node.HasField("constrrel"):
        yield TableLock(relation(node.constrrel), Mode.ACCESS_SHARE)


def _create_view(node: Any) -> Iterator[TableLock]:
    if node.replace:
        yield TableLock(relation(node.view), Mode.ACCESS_EXCLUSIVE, note="once it is there")
    yield from _reads_and_writes(inner(node.query))


def _whole_relation(field: str, mode: Mode) -> Callable[[Any], Iterator[TableLock]]:
    def rule(node: Any) -> Iterator[TableLock]:
        yield TableLock(relation(getattr(node, field)), mode)

    return rule


_RELATIONS = {"OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_FOREIGN_TABLE"}
ON_TABLES = {"OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY", "OBJECT_TABCONSTRAINT"}


def _drop(node: Any) -> Iterator[TableLock]:
    what = enum(node, "remove_type")
    for dropped in node.objects:
        if what in _RELATIONS:
            note = (
                "the tables that its foreign keys refer to are locked, too" if what == "OBJECT_TABLE" else ""
            )
            yield TableLock(dotted(dropped), Mode.ACCESS_EXCLUSIVE, note=note)
        elif what in ON_TABLES:
            table = ".".join(map(quoted, names(dropped)[:-1]))
            yield TableLock(table, Mode.ACCESS_EXCLUSIVE)
        elif what == "OBJECT_INDEX":
            mode = Mode.SHARE_UPDATE_EXCLUSIVE if node.concurrent else Mode.ACCESS_EXCLUSIVE
            note = "waits for every transaction that uses it to end" if node.concurrent else ""
            yield TableLock("", mode, note=note, index=dotted(dropped))


def _rename(node: Any) -> Iterator[TableLock]:
    if enum(node, "rename_type") == "OBJECT_INDEX":
        # No read and no write of the table waits for it: only the index is locked.
        return
    if node.HasField("relation"):
        yield TableLock(relation(node.relation), Mode.ACCESS_EXCLUSIVE)


def _move(node: Any) -> Iterator[TableLock]:
    if enum(node, "object_type") in _RELATIONS:
        yield TableLock(relation(node.relation), Mode.ACCESS_EXCLUSIVE)


def _truncate(node: Any) -> Iterator[TableLock]:
    note = "and every table that refers to it" if enum(node, "behavior") == "DROP_CASCADE" else ""
    for table in map(inner, node.relations):
        yield TableLock(relation(table), Mode.ACCESS_EXCLUSIVE, note=note)


def _cluster(node: Any) -> Iterator[TableLock]:
    if node.HasField("relation"):
        yield TableLock(relation(node.relation), Mode.ACCESS_EXCLUSIVE, rewrites="yes", safer=_NO_REWRITE)


_NO_REWRITE = "a plain VACUUM gives room back to new rows, and blocks nobody"


def _vacuum(node: Any) -> Iterator[TableLock]:
    full = node.is_vacuumcmd and bool(options(node.options).get("full"))
    for each in map(inner, node.rels):
        if full:
            yield TableLock(relation(each.relation), Mode.ACCESS_EXCLUSIVE, rewrites="yes", safer=_NO_REWRITE)
        else:
            yield TableLock(relation(each.relation), Mode.SHARE_UPDATE_EXCLUSIVE, scans="may")


def _reindex(node: Any) -> Iterator[TableLock]:
    if not node.HasField("relation"):
        return
    concurrently = bool(options(node.params).get("concurrently"))
    mode = Mode.SHARE_UPDATE_EXCLUSIVE if concurrently else Mode.SHARE
    note = "waits for every older transaction to end" if concurrently else "queries wait for its indexes, too"
    safer = "" if concurrently else "rebuild it with REINDEX … CONCURRENTLY, in a task of its own"
    named = relation(node.relation)
    of_index = enum(node, "kind") == "REINDEX_OBJECT_INDEX"
    table, index = ("", named) if of_index else (named, "")
    yield TableLock(table, mode, scans="yes", note=note, index=index, safer=safer)


def _refresh(node: Any) -> Iterator[TableLock]:
    view = relation(node.relation)
    if node.concurrent:
        yield TableLock(view, Mode.EXCLUSIVE)
    else:
        safer = "REFRESH … CONCURRENTLY lets readers go on; it needs a unique index on the view"
        yield TableLock(view, Mode.ACCESS_EXCLUSIVE, rewrites="yes", safer=safer)


def _lock(node: Any) -> Iterator[TableLock]:
    mode = list(Mode)[node.mode - 1]
    for table in map(inner, node.relations):
        yield TableLock(relation(table), mode)


def _copy(node: Any) -> Iterator[TableLock]:
    if node.HasField("relation"):
        mode = Mode.ROW_EXCLUSIVE if node.is_from else Mode.ACCESS_SHARE
        yield TableLock(relation(node.relation), mode)
    elif node.HasField("query"):
        yield from _reads_and_writes(inner(node.query))


def _comment(node: Any) -> Iterator[TableLock]:
    what = enum(node, "objtype")
    if what in _RELATIONS:
        yield TableLock(dotted(node.object), Mode.SHARE_UPDATE_EXCLUSIVE)
    elif what == "OBJECT_COLUMN":
        yield TableLock(".".join(map(quoted, names(node.object)[:-1])), Mode.SHARE_UPDATE_EXCLUSIVE)


def _statistics(node: Any) -> Iterator[TableLock]:
    for table in map(inner, node.relations):
        if name_of(table) == "RangeVar":
            yield TableLock(relation(table), Mode.SHARE_UPDATE_EXCLUSIVE)


def _publication(node: Any) -> Iterator[TableLock]:
    for each in map(inner, node.pubobjects):
        if each.HasField("pubtable"):
            yield TableLock(relation(each.pubtable.relation), Mode.SHARE_UPDATE_EXCLUSIVE)


def _create_schema(node: Any) -> Iterator[TableLock]:
    for element in map(inner, node.schema_elts):
        yield from locks(element)


def _nothing(_node: Any) -> Iterator[TableLock]:
    return iter(())


_RULES: dict[str, Callable[[Any], Iterator[TableLock]]] = {
    "CreateStmt": _create_table,
    "IndexStmt": _create_index,
    "CreateTrigStmt": _create_trigger,
    "ViewStmt": _create_view,
    "RuleStmt": _whole_relation("relation", Mode.ACCESS_EXCLUSIVE),
    "CreatePolicyStmt": _whole_relation("table", Mode.ACCESS_EXCLUSIVE),
    "AlterPolicyStmt": _whole_relation("table", Mode.ACCESS_EXCLUSIVE),
    "CreateStatsStmt": _statistics,
    "CreatePublicationStmt": _publication,
    "AlterPublicationStmt": _publication,
    "CreateSchemaStmt": _create_schema,
    "DropStmt": _drop,
    "RenameStmt": _rename,
    "AlterObjectSchemaStmt": _move,
    "TruncateStmt": _truncate,
    "ClusterStmt": _cluster,
    "VacuumStmt": _vacuum,
    "ReindexStmt": _reindex,
    "RefreshMatViewStmt": _refresh,
    "LockStmt": _lock,
    "CopyStmt": _copy,
    "CommentStmt": _comment,
    "SecLabelStmt": _comment,
    "CreateFunctionStmt": _nothing,
    "CreateSeqStmt": _nothing,
    "AlterSeqStmt": _nothing,
    "CreateForeignTableStmt": _nothing,
}
"""The locks of each statement; of any other those of the queries in it."""
