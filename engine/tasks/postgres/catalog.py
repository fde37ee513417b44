"""What the server's catalogs tell: of indexes, of who builds them, of partitions that are half detached."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from engine.plan.durations import format_duration
from engine.plan.sql import tree

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from engine.tasks.postgres.database import Database

_CLONE = "_wesley_like"
_CLONE_INDEX = "_wesley_index"
_LOCK_S = 5

_FOUND = """
SELECT c.oid::int8, quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind::text,
       coalesce(i.indrelid, 0)::int8, coalesce(i.indisvalid AND i.indisready AND i.indislive, true),
       coalesce(pg_get_indexdef(i.indexrelid), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
"""

_OF_TABLE = f"""
{_FOUND} WHERE c.relname = %(name)s::name
AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(%(table)s))"""

_NAMED = f"{_FOUND} WHERE c.oid = to_regclass(%(name)s)"

_SCOPES = {
    "index": """
SELECT to_regclass(%(name)s)::oid UNION SELECT relid FROM pg_partition_tree(to_regclass(%(name)s))""",
    "table": """
SELECT indexrelid FROM pg_index JOIN pg_class t ON indrelid IN (t.oid, t.reltoastrelid)
WHERE t.oid = to_regclass(%(name)s) OR t.oid IN (SELECT relid FROM pg_partition_tree(to_regclass(%(name)s)))
""",
    "schema": """
SELECT indexrelid FROM pg_index JOIN pg_class t ON indrelid IN (t.oid, t.reltoastrelid)
WHERE t.relnamespace = to_regnamespace(%(name)s)""",
    "database": "SELECT indexrelid FROM pg_index",
}
"""The indexes that a REINDEX is about, by what its name is the name of."""

# The server names what it builds after the index that is rebuilt, and cuts that where the name gets too long.
_SUFFIX = "_cc(new|old)[0-9]*$"
_TRANSIENT = f"""
WITH scope(oid) AS ({{scope}})
{_FOUND} WHERE c.relkind = 'i' AND NOT (i.indisvalid AND i.indisready AND i.indislive)
AND c.relname ~ '{_SUFFIX}' AND EXISTS (
    SELECT FROM scope JOIN pg_index b ON b.indexrelid = scope.oid JOIN pg_class bc ON bc.oid = scope.oid,
        regexp_replace(c.relname, '{_SUFFIX}', '') AS stem
    WHERE b.indrelid = i.indrelid AND scope.oid <> c.oid AND
        (bc.relname = stem OR octet_length(c.relname) > 58 AND starts_with(bc.relname, stem)))
ORDER BY 2"""

# Who builds indexes of the table: what others build is hidden from a role that may not read all statistics.
# A build holds its table locked, a rebuild and a drop the index, too.
_AT_WORK = """
WITH locked AS (
    SELECT pid, relation FROM pg_locks
    WHERE locktype = 'relation' AND granted AND mode IN ('ShareUpdateExclusiveLock', 'AccessExclusiveLock')
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), building AS (
    SELECT p.pid, coalesce(p.index_relid, 0) AS index FROM pg_stat_progress_create_index p
    JOIN locked l ON l.pid = p.pid AND l.relation = %(table)s::oid
), at_work AS (
    SELECT pid FROM building WHERE %(index)s = 0 OR index IN (0, %(index)s::oid)
    UNION
    SELECT pid FROM locked WHERE relation = %(index)s::oid
)
SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''),
       extract(epoch FROM clock_timestamp() - a.query_start)::float8
FROM at_work JOIN pg_stat_activity a USING (pid)
WHERE a.pid <> pg_backend_pid() AND a.leader_pid IS NULL ORDER BY 1"""

_BLOCKERS = """
SELECT pid, coalesce(usename, ''), coalesce(application_name, ''),
       extract(epoch FROM clock_timestamp() - xact_start)::float8
FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids(%s)) ORDER BY 1"""

_TABLE = "SELECT to_regclass(%(table)s)::oid::int8"

# What an index is, but for its name and for how it is stored.
_TRAITS = """
SELECT i.indisunique, to_jsonb(i) -> 'indnullsnotdistinct', i.indnkeyatts, c.relam,
       i.indclass::text, i.indcollation::text, i.indoption::text,
       array(SELECT pg_get_indexdef(i.indexrelid, n, false) FROM generate_series(1, i.indnatts) n),
       pg_get_expr(i.indpred, i.indrelid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indexrelid = %(index)s::oid"""

_DETACH = """
SELECT coalesce((to_jsonb(h) ->> 'inhdetachpending')::bool, false) FROM pg_inherits h
WHERE h.inhparent = to_regclass(%(parent)s) AND h.inhrelid = to_regclass(%(child)s)"""


class Found(NamedTuple):
    """A relation: an index, where `table` (an oid) is not 0. `name` is as SQL takes it, with its schema."""

    oid: int
    name: str
    relkind: str
    table: int
    valid: bool
    definition: str

    @property
    def is_index(self) -> bool:
        return self.relkind == "i"


class Backend(NamedTuple):
    pid: int
    user: str
    application: str
    busy_s: float | None
    """How long its statement (of a blocker: its transaction) has lasted; None where that may not be seen."""

    def __str__(self) -> str:
        known = [self.application] if self.application else []
        if self.busy_s is not None:
            known.append(f"for {format_duration(self.busy_s)}")
        more = f" ({', '.join(known)})" if known else ""
        return f"pid {self.pid} of {self.user or 'an unknown user'}{more}"


def who(database: "Database", backends: Sequence[Backend]) -> str:
    """Backends in words, for an operator; empty where there are none."""
    return " and ".join(_who(database, each) for each in backends)


def _who(database: "Database", backend: Backend) -> str:
    task = database.owner_of(backend.application)
    return f"{backend}, which is {task} of this run" if task else str(backend)


async def ask(
    connection: "AsyncConnection[Any]", query: str, params: Mapping[str, object]
) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(query.encode(), params)
    return await cursor.fetchall()


async def table_oid(connection: "AsyncConnection[Any]", table: str) -> int:
    """0 where there is no such table. `table` is as SQL takes it."""
    return (await ask(connection, _TABLE, {"table": table}))[0][0] or 0


async def beside_table(connection: "AsyncConnection[Any]", table: str, name: str) -> Found | None:
    """What bears `name` in the schema of `table`: `table` as SQL takes it, `name` as it is."""
    rows = await ask(connection, _OF_TABLE, {"table": table, "name": name})
    return Found(*rows[0]) if rows else None


async def named(connection: "AsyncConnection[Any]", name: str) -> Found | None:
    """What a name stands for, as SQL takes it."""
    rows = await ask(connection, _NAMED, {"name": name})
    return Found(*rows[0]) if rows else None


async def transient(connection: "AsyncConnection[Any]", what: str, name: str) -> list[Found]:
    """The invalid indexes (_ccnew, _ccold) that a REINDEX CONCURRENTLY of `what` (index, table, schema or
    database) leaves when it is interrupted, and has while it runs."""
    query = _TRANSIENT.format(scope=_SCOPES[what])
    return [Found(*row) for row in await ask(connection, query, {"name": name})]


async def at_work(connection: "AsyncConnection[Any]", *, table: int, index: int = 0) -> list[Backend]:
    """Who builds, rebuilds or drops the index concurrently just now; without `index`, who builds any of the
    table. Other builders of the table may be among them, where the role cannot tell."""
    rows = await ask(connection, _AT_WORK, {"table": table, "index": index})
    return [Backend(*row) for row in rows]


async def blockers(database: "Database", pid: int) -> list[Backend]:
    """Whom backend `pid` waits for just now."""
    return [Backend(*row) for row in await database.look(_BLOCKERS, (pid,))]


async def same_index(connection: "AsyncConnection[Any]", node: Any, found: Found) -> bool | None:
    """Whether `found` is what the CREATE INDEX `node` would build, but for how it is stored. None where that
    could not be found out.

    The server itself tells: the index is built on an empty temporary copy of the table, and all of it is
    rolled back."""
    build = type(node)()
    build.CopyFrom(node)
    build.relation.ClearField("catalogname")
    build.relation.schemaname, build.relation.relname = "pg_temp", _CLONE
    build.idxname, build.concurrent, build.if_not_exists, build.table_space = _CLONE_INDEX, False, False, ""
    try:
        async with connection.transaction(force_rollback=True):
            await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_S}s'".encode())
            table = tree.relation(node.relation)
            await connection.execute(f"CREATE TEMPORARY TABLE {_CLONE} (LIKE {table})".encode())
            await connection.execute(_statement(build).encode())
            clone = await named(connection, f"pg_temp.{_CLONE_INDEX}")
            assert clone is not None
            wanted = await ask(connection, _TRAITS, {"index": clone.oid})
            return wanted == await ask(connection, _TRAITS, {"index": found.oid})
    except psycopg.errors.QueryCanceled:
        raise
    except psycopg.Error:
        if connection.closed:
            raise
        return None


async def detach_pending(connection: "AsyncConnection[Any]", parent: str, child: str) -> bool | None:
    """Whether the partition is half detached; None where it is no partition of `parent` (any more)."""
    rows = await ask(connection, _DETACH, {"parent": parent, "child": child})
    return bool(rows[0][0]) if rows else None


def _statement(node: Any) -> str:
    import postgast
    from postgast.pg_query_pb2 import ParseResult

    parsed = ParseResult()
    parsed.stmts.add().stmt.index_stmt.CopyFrom(node)
    return str(postgast.deparse(parsed))
