"""The ledger in a PostgreSQL target: a row for each part of a task that took effect, committed together with
it.

It is the first table of its name on the search path of whoever runs the plan; where there is none, one is
made in the schema that new tables go to."""

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from engine.plan.models import FailureClass
from engine.tasks.base import Job
from engine.tasks.classify import Verdict
from engine.tasks.postgres.session import RefusedError

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from engine.plan.sql.parse import Part

TABLE = "_wesley_ledger"

_COLUMNS = """(
  run text NOT NULL, task text NOT NULL, purpose text NOT NULL, attempt integer NOT NULL,
  part integer NOT NULL, parts integer NOT NULL, statement_hash text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (run, task, purpose, attempt, part))"""
_CREATING = int.from_bytes(b"wesleyld", "big", signed=True)
"""The advisory lock of whoever creates the table: CREATE TABLE IF NOT EXISTS fails if two do it at once."""
_LOCATE = f"""
SELECT (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('{TABLE}')),
       current_user, quote_ident(current_schema()), current_setting('role')"""


class Row(NamedTuple):
    attempt: int
    part: int
    parts: int
    statement_hash: str
    at: datetime


class Balance(NamedTuple):
    """How many attempts at a task, and at its rollback, took effect as a whole; and whether one was left half
    done after the last of them."""

    runs: int
    rollbacks: int
    half_done: bool


class Ledger(NamedTuple):
    """`table` is written as SQL takes it, with its schema; `role` is who the connection was made as."""

    connection: "AsyncConnection[Any]"
    table: str
    role: str

    async def record(self, job: Job, part: "Part", parts: int) -> None:
        """Write the row of a part: in the transaction that is open, if one is. Raises psycopg.Error."""
        # The task may have taken another role, which need not have a right to the ledger.
        await self.connection.execute("SELECT set_config('role', %s, true)", (self.role,))
        await self.connection.execute(
            f"INSERT INTO {self.table} (run, task, purpose, attempt, part, parts, statement_hash) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s)".encode(),
            (job.run, job.task.id, job.purpose, job.attempt, part.number, parts, hash_of(part)),
        )

    async def rows(self, job: Job) -> list[Row]:
        """The rows of all attempts at what the job does, in the order they were made in."""
        cursor = await self.connection.execute(
            f"SELECT attempt, part, parts, statement_hash, at FROM {self.table} "
            "WHERE run = %s AND task = %s AND purpose = %s ORDER BY attempt, part".encode(),
            (job.run, job.task.id, job.purpose),
        )
        return [Row(*row) for row in await cursor.fetchall()]

    async def balance(self, job: Job) -> Balance:
        """What took effect in the past runs of the job."""
        cursor = await self.connection.execute(
            f"SELECT purpose, part = parts FROM {self.table} "
            "WHERE task = %s AND run = ANY(%s) ORDER BY at".encode(),
            (job.task.id, list(job.past_runs)),
        )
        rows = await cursor.fetchall()
        whole = [purpose for purpose, last in rows if last]
        return Balance(whole.count("run"), whole.count("rollback"), bool(rows) and not rows[-1][1])


async def find(connection: "AsyncConnection[Any]") -> Ledger | None:
    """The ledger, if there is one. Raises psycopg.Error."""
    table, *_, role = await _located(connection)
    return Ledger(connection, table, role) if table else None


async def find_or_create(connection: "AsyncConnection[Any]", target: str) -> Ledger:
    """The ledger of a target. Raises RefusedError where it may not be made, and psycopg.Error."""
    table, user, schema, role = await _located(connection)
    if table:
        return Ledger(connection, table, role)
    # Without a schema to create it in, the server says what is wrong.
    table = f"{schema}.{TABLE}" if schema else TABLE
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '10s'")
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATING,))
            await connection.execute(f"CREATE TABLE IF NOT EXISTS {table} {_COLUMNS}".encode())
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidSchemaName) as error:
        raise RefusedError(
            Verdict(FailureClass.PERMANENT, "engine: no ledger"),
            f"{_refusal(user, schema)} (target `{target}`: {error.diag.message_primary})",
        ) from error
    return Ledger(connection, table, role)


async def problem(connection: "AsyncConnection[Any]") -> str:
    """Why the ledger can be neither used nor made, with what to do; empty if it can. Changes nothing.
    Raises psycopg.Error."""
    table, user, schema, _ = await _located(connection)
    if table:
        asked = "SELECT has_table_privilege(%s, 'SELECT') AND has_table_privilege(%s, 'INSERT')"
        cursor = await connection.execute(asked, (table, table))
        refused = f"role {user} may not use the ledger {table}: grant it SELECT and INSERT on that table"
    else:
        # There is no first schema to speak of if none of the search path can be used.
        asked = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
        cursor = await connection.execute(asked)
        refused = _refusal(user, schema)
    return "" if await cursor.fetchone() == (True,) else refused


def _refusal(user: str, schema: str | None) -> str:
    table, where = (f"{schema}.{TABLE}", f"schema {schema}") if schema else (TABLE, "a schema")
    return (
        f"role {user} cannot create the ledger {table}, and nothing runs without. Grant the role CREATE on "
        f"{where}, or give it a search_path that begins with a schema in which it may create tables"
    )


def hash_of(part: "Part") -> str:
    """What tells whether the text of a part has changed since."""
    text = ";\n".join(statement.text for statement in part.statements)
    return hashlib.sha256(text.encode()).hexdigest()


def claim_key(run: str, task: str) -> int:
    """The advisory lock that the backend of an attempt at `task` holds from its beginning to its end."""
    digest = hashlib.sha256(f"{run}\0{task}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


async def _located(connection: "AsyncConnection[Any]") -> tuple[str | None, str, str | None, str]:
    cursor = await connection.execute(_LOCATE.encode())
    table, user, schema, role = await cursor.fetchone() or (None, "", None, "none")
    return table, user, schema, role
