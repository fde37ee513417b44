"""Statements that PostgreSQL carries out in several transactions of its own, and may leave half done.

These are CREATE, DROP and REINDEX INDEX CONCURRENTLY, and DETACH PARTITION CONCURRENTLY. `prepare` comes
before such a statement, on the attempt's own connection; `clean_up` after one that failed, on a connection of
its own; `evidence` tells of one whose end nobody saw.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.tasks.base import Evidence, Job
from engine.tasks.classify import Verdict

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from engine.plan.sql.parse import Statement
    from engine.tasks.postgres.database import Database

BUILDER = "index builder"
"""What a RESOURCE failure lacks while somebody else's build of the same index is under way: to be probed by
`probe`."""


class RefusedError(Exception):
    """The statement must not be sent. The message says why and what to do; nothing was left behind."""

    def __init__(self, verdict: Verdict, message: str) -> None:
        super().__init__(message)
        self.verdict = verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """`needed` is false where there is nothing left to send: what the statement is for is there. `said` is
    for the output; it names what was found, dropped or finished, and is empty where there is nothing."""

    needed: bool = True
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanedUp:
    """`clean` is true if certainly nothing is left of the failed statement: the effect is "none" then. `said`
    is for the output and the reason; empty where nothing was left in the first place."""

    clean: bool
    said: str = ""


def concerns(statement: "Statement") -> bool:
    """Whether the functions of this module are to be called for this statement."""
    raise NotImplementedError


async def prepare(
    connection: "AsyncConnection[Any]", database: "Database", statement: "Statement"
) -> Prepared:
    """Make way for the statement: what an earlier one left half done is dropped, or finished.

    To be called on the attempt's own connection (autocommit, no lock_timeout), while it is watched as any
    statement of the attempt: a cancellation by `connection.cancel_safe` (stop, give_up, timeout) ends it.
    Raises RefusedError, and psycopg.Error."""
    raise NotImplementedError


async def clean_up(database: "Database", statement: "Statement", job: Job, application: str) -> CleanedUp:
    """Drop, concurrently and on a connection of its own named `application`, what a failed statement left.

    Waits no longer than `job.lock_patience_s`, and once `job.stop` or `job.give_up` is set no longer than
    `job.grace_s`. What cannot be dropped now is named, and dropped by the next attempt's `prepare`.
    Raises nothing; to be shielded from a cancellation by the caller."""
    raise NotImplementedError


async def evidence(database: "Database", statement: "Statement") -> Evidence:
    """Whether the statement has taken effect: `done` is None while its builder is alive. Changes nothing.
    Raises psycopg.Error."""
    raise NotImplementedError


async def probe(database: "Database", statement: "Statement") -> tuple[bool, str]:
    """Whether nobody is building what the statement is about any more, and who is. Raises psycopg.Error."""
    raise NotImplementedError
