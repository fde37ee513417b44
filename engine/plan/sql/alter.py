"""The lock radar for ALTER TABLE: each of its actions has a lock of its own, and the strongest is taken."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from engine.plan.sql.radar import Extent, Mode, TableLock, references
from engine.plan.sql.tree import enum, inner, name_of, nested, relation

_EXTENT_OF_DEFAULT: dict[str, Extent] = {
    **dict.fromkeys(
        ("random", "random_normal", "gen_random_uuid", "uuidv4", "uuidv7", "uuid_generate_v1",
         "uuid_generate_v4", "clock_timestamp", "timeofday", "nextval"),
        "yes",
    ),
    **dict.fromkeys(
        ("now", "transaction_timestamp", "statement_timestamp", "timezone", "date_trunc", "to_timestamp",
         "make_interval", "to_char", "lower", "upper", "concat", "md5", "current_setting", "to_jsonb",
         "jsonb_build_object", "json_build_object", "jsonb_build_array"),
        "",
    ),
}  # fmt: skip
"""Whether a default with this function rewrites the table: the volatile do. Others than these may."""

_SERIALS = {"serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"}


class _Action(NamedTuple):
    mode: Mode = Mode.ACCESS_EXCLUSIVE
    rewrites: Extent = ""
    scans: Extent = ""
    note: str = ""
    safer: str = ""


def altered(node: Any) -> Iterator[TableLock]:
    """The locks of an ALTER TABLE, or of an ALTER of what is like a table."""
    kind = enum(node, "objtype")
    if kind in ("OBJECT_SEQUENCE", "OBJECT_TYPE"):
        return
    named = relation(node.relation)
    is_index = kind == "OBJECT_INDEX"
    for command in map(inner, node.cmds):
        subtype = enum(command, "subtype")
        found = _ACTIONS.get(subtype, _Action())
        action = found(command) if callable(found) else found
        table, index = ("", named) if is_index else (named, "")
        yield TableLock(table, action.mode, action.rewrites, action.scans, action.note, index, action.safer)
        if not is_index:
            yield from _others(subtype, inner(getattr(command, "def")), named)


def _others(subtype: str, what: Any, own: str) -> Iterator[TableLock]:
    """The tables besides the altered one that an action locks."""
    if subtype == "AT_AddConstraint":
        scans: Extent = "" if what.skip_validation else "may"
        yield from (lock for lock in references([what], scans) if lock.table != own)
    elif subtype == "AT_AddColumn":
        kinds = {enum(each, "contype") for each in map(inner, what.constraints)}
        scans = "may" if "CONSTR_DEFAULT" in kinds else ""
        yield from (lock for lock in references(what.constraints, scans) if lock.table != own)
    elif subtype == "AT_AttachPartition":
        note = "no scan where a valid CHECK proves that its rows fit"
        yield TableLock(relation(what.name), Mode.ACCESS_EXCLUSIVE, scans="may", note=note)
    elif subtype == "AT_DetachPartition":
        yield TableLock(relation(what.name), Mode.ACCESS_EXCLUSIVE)
    elif subtype in ("AT_AddInherit", "AT_DropInherit"):
        yield TableLock(relation(what), Mode.SHARE_UPDATE_EXCLUSIVE)


def _add_column(command: Any) -> _Action:
    column = inner(getattr(command, "def"))
    rewrites: Extent = "yes" if _SERIALS & set(_type_words(column)) else ""
    scans: Extent = ""
    default: Extent | None = None
    for constraint in map(inner, column.constraints):
        kind = enum(constraint, "contype")
        if kind == "CONSTR_DEFAULT":
            default = _extent_of_default(inner(constraint.raw_expr))
        elif kind == "CONSTR_IDENTITY" or (kind == "CONSTR_GENERATED" and constraint.generated_kind != "v"):
            rewrites = "yes"
        elif kind in ("CONSTR_CHECK", "CONSTR_UNIQUE", "CONSTR_PRIMARY"):
            scans = "yes"
    foreign = any(enum(each, "contype") == "CONSTR_FOREIGN" for each in map(inner, column.constraints))
    if foreign and default is not None:
        scans = "yes"
    rewrites = rewrites or default or ""
    safer = _COLUMN_FIRST if rewrites else _CONSTRAINT_LATER if scans else ""
    return _Action(rewrites=rewrites, scans=scans, note=_NOTES_ON_REWRITES.get(rewrites, ""), safer=safer)


_NOTES_ON_REWRITES = {
    "yes": "every row gets a value of its own",
    "may": "rewritten if the default is volatile",
}


def _type_words(column: Any) -> tuple[str, ...]:
    """The words of a column's type."""
    return tuple(inner(word).sval for word in column.type_name.names)


def _extent_of_default(expression: Any) -> Extent:
    found: Extent = ""
    for node in nested(expression):
        if name_of(node) == "FuncCall":
            extent = _EXTENT_OF_DEFAULT.get(inner(node.funcname[-1]).sval.lower(), "may")
            if extent == "yes":
                return "yes"
            found = found or extent
    return found


def _add_constraint(command: Any) -> _Action:
    constraint = inner(getattr(command, "def"))
    kind = enum(constraint, "contype")
    scans: Extent = "" if constraint.skip_validation else "yes"
    if kind == "CONSTR_FOREIGN":
        return _Action(Mode.SHARE_ROW_EXCLUSIVE, scans=scans, safer=_VALIDATE_LATER if scans else "")
    if constraint.indexname:
        primary = kind == "CONSTR_PRIMARY"
        note = "scans it unless its columns are NOT NULL already" if primary else ""
        return _Action(scans="may" if primary else "", note=note)
    if kind in ("CONSTR_UNIQUE", "CONSTR_PRIMARY"):
        return _Action(scans=scans, safer=_INDEX_FIRST)
    return _Action(scans=scans, safer=_VALIDATE_LATER if scans and kind != "CONSTR_EXCLUSION" else "")


def _detach(command: Any) -> _Action:
    if inner(getattr(command, "def")).concurrent:
        note = "waits for every transaction that uses the partition to end"
        return _Action(Mode.SHARE_UPDATE_EXCLUSIVE, note=note)
    return _Action()


def _set_options(command: Any) -> _Action:
    given = {inner(item).defname for item in inner(getattr(command, "def")).items}
    return _Action() if given & {"user_catalog_table", "security_barrier"} else _LIGHT


_VALIDATE_LATER = "add it NOT VALID, and VALIDATE CONSTRAINT in a later task"
_INDEX_FIRST = "CREATE UNIQUE INDEX CONCURRENTLY first, then add the constraint USING INDEX"
_COLUMN_FIRST = "add the column bare, then set the default, then give the old rows theirs in a backfill"
_CONSTRAINT_LATER = "add the column alone, then its constraint by the way that does not block"
_CHECK_FIRST = "ADD CHECK (… IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT in a later task, then SET NOT NULL"
_COLUMN_ANEW = "add a column of the new type, fill it in a backfill, and switch over"
_LIGHT = _Action(Mode.SHARE_UPDATE_EXCLUSIVE)
_TRIGGERS = _Action(Mode.SHARE_ROW_EXCLUSIVE)
_REWRITE = _Action(rewrites="yes")
_CHECKED = "no scan where a valid CHECK (… IS NOT NULL) proves it"
_WIDENED = "not where a varchar only grows, or becomes text; tables that refer to it are locked, too"

_ACTIONS: dict[str, _Action | Callable[[Any], _Action]] = {
    "AT_AddColumn": _add_column,
    "AT_AddConstraint": _add_constraint,
    "AT_AlterColumnType": _Action(rewrites="may", note=_WIDENED, safer=_COLUMN_ANEW),
    "AT_SetNotNull": _Action(scans="may", note=_CHECKED, safer=_CHECK_FIRST),
    "AT_DropConstraint": _Action(note="of a foreign key the other table, too"),
    "AT_ValidateConstraint": _Action(Mode.SHARE_UPDATE_EXCLUSIVE, scans="yes"),
    "AT_AttachPartition": _LIGHT,
    "AT_DetachPartition": _detach,
    "AT_DetachPartitionFinalize": _LIGHT,
    "AT_SetRelOptions": _set_options,
    "AT_ResetRelOptions": _LIGHT,
    "AT_SetStatistics": _LIGHT,
    "AT_SetOptions": _LIGHT,
    "AT_ResetOptions": _LIGHT,
    "AT_ClusterOn": _LIGHT,
    "AT_DropCluster": _LIGHT,
    **dict.fromkeys(
        ("AT_EnableTrig", "AT_EnableAlwaysTrig", "AT_EnableReplicaTrig", "AT_EnableTrigAll",
         "AT_EnableTrigUser", "AT_DisableTrig", "AT_DisableTrigAll", "AT_DisableTrigUser"),
        _TRIGGERS,
    ),
    "AT_SetLogged": _REWRITE,
    "AT_SetUnLogged": _REWRITE,
    "AT_SetTableSpace": _REWRITE,
    "AT_SetAccessMethod": _REWRITE,
    "AT_SetExpression": _Action(rewrites="may", note="not where the column is virtual"),
}  # fmt: skip
"""What each action does; any other takes ACCESS EXCLUSIVE, for a moment."""
