"""Failure classes of what PostgreSQL reports, and of connections that are refused or lost."""

import re
from typing import Literal

import psycopg

from engine.plan.models import FailureClass
from engine.tasks.classify import Verdict

Phase = Literal["connecting", "in_transaction", "committing", "autocommit", "recording"]
"""What was in flight when something went wrong. `in_transaction` stands for any moment at which nothing can
become permanent: between two parts, too. `recording`: a statement has taken effect in autocommit, and its row
in the ledger has yet to be written."""

_T, _R = FailureClass.TRANSIENT, FailureClass.RESOURCE
_P, _U = FailureClass.PERMANENT, FailureClass.UNKNOWN

STATEMENT_TIME = "statement time"
CONNECTION_SLOTS = "connection slots"

SQLSTATES: dict[str, tuple[FailureClass, str]] = {
    "08": (_T, ""),
    "08P01": (_P, ""),
    "0A": (_P, ""),
    "22": (_P, ""),
    "23": (_P, ""),
    "25001": (_P, ""),
    "25006": (_T, ""),
    "25P03": (_T, ""),
    "28": (_P, ""),
    "2B": (_P, ""),
    "3D": (_P, ""),
    "3F": (_P, ""),
    "40001": (_T, ""),
    "40P01": (_T, ""),
    "42": (_P, ""),
    "42701": (_U, ""),
    "42710": (_U, ""),
    "42P07": (_U, ""),
    "53": (_R, "server resources"),
    "53100": (_R, "disk"),
    "53200": (_R, "memory"),
    "53300": (_R, CONNECTION_SLOTS),
    "53400": (_R, "configuration limit"),
    "54": (_P, ""),
    "55006": (_T, ""),
    "55P03": (_T, ""),
    "57014": (_R, STATEMENT_TIME),
    "57P01": (_T, ""),
    "57P02": (_T, ""),
    "57P03": (_T, ""),
    "58030": (_R, "disk"),
    "P0001": (_P, ""),
    "XX001": (_P, ""),
    "XX002": (_P, ""),
}
"""SQLSTATEs, and classes of them by their first two characters, with class and lacking resource. What is not
here is UNKNOWN. 57014 is here for statements that were not ended by the engine itself."""

FATAL = frozenset({"XX001", "XX002"})
"""The database itself is damaged: the run stops."""
ALREADY_THERE = frozenset({"42P07", "42701", "42710"})
"""A table, a column or another object is there already: the task may have been applied by somebody, and only
a person can say whether it was."""
LOCK_WAITS = frozenset({"55P03", "40P01"})
"""A lock that was not had in time, or a deadlock: the transaction is gone, and may be tried again."""
_ENDS_CONNECTION = frozenset({"25P03", "25P04", "57P01", "57P02", "57P03", "57P05"})
_CLIENTS_OWN = (
    psycopg.ProgrammingError,
    psycopg.NotSupportedError,
    psycopg.DataError,
    psycopg.IntegrityError,
)
"""Errors that without an SQLSTATE are of this side of the connection, and say nothing against it."""
_RESOLUTION_UNKNOWN = frozenset({"08007", "40003"})

_REFUSALS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), sqlstate)
    for pattern, sqlstate in (
        (r"too many (clients|connections)|remaining connection slots are reserved", "53300"),
        (r"database \S+ does not exist", "3D000"),
        (r"password authentication failed|authentication failed for|no password supplied", "28P01"),
        (r"role \S+ does not exist|no pg_hba\.conf entry|is not permitted to log in", "28000"),
        (r"permission denied for database", "42501"),
        (r"the database system is|not accepting connections", "57P03"),
    )
)
"""A server that refuses a connection gives an SQLSTATE, which the client library keeps to itself: only the
text is left, in English unless the whole server speaks another language."""


def sqlstate_of(error: BaseException, phase: Phase = "in_transaction") -> str | None:
    """The SQLSTATE of an error; None where there is none, as for a connection that was lost."""
    if not isinstance(error, psycopg.Error):
        return None
    if error.sqlstate or phase != "connecting":
        return error.sqlstate
    return next((sqlstate for pattern, sqlstate in _REFUSALS if pattern.search(str(error))), None)


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, with or without a word from the server."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return not isinstance(error, _CLIENTS_OWN)
    broken = error.sqlstate.startswith("08") and error.sqlstate != "08P01"
    ends = broken or error.sqlstate in _ENDS_CONNECTION
    return ends or error.diag.severity_nonlocalized in ("FATAL", "PANIC")


def in_doubt(error: BaseException, phase: Phase) -> bool:
    """Whether nobody can tell from here if what was in flight has become permanent."""
    if phase == "recording" or sqlstate_of(error, phase) in _RESOLUTION_UNKNOWN:
        return True
    return phase in ("committing", "autocommit") and is_lost(error)


def by_sqlstate(error: BaseException, phase: Phase) -> Verdict:
    """The built-in class of an error that left nothing in doubt."""
    sqlstate = sqlstate_of(error, phase)
    if sqlstate is None:
        if is_lost(error):
            what = "refused or not to be had" if phase == "connecting" else "lost"
            return Verdict(_T, f"built-in: connection {what}")
        return Verdict(_U, f"built-in: {type(error).__name__} tells nothing")
    known = SQLSTATES.get(sqlstate) or SQLSTATES.get(sqlstate[:2])
    failure_class, resource = known or (_U, "")
    tells = "" if known else " tells nothing"
    if sqlstate in ALREADY_THERE:
        tells = ", perhaps applied already"
    return Verdict(failure_class, f"built-in: {named(sqlstate)}{tells}", resource, fatal=sqlstate in FATAL)


def named(sqlstate: str) -> str:
    """An SQLSTATE with the name of its condition: `40P01 deadlock_detected`."""
    try:
        name = psycopg.errors.lookup(sqlstate).__name__
    except KeyError:
        return sqlstate
    return f"{sqlstate} {re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '_', name).lower()}"


def told(error: BaseException) -> str:
    """What the server said, in one line: message, detail and hint."""
    diag = error.diag if isinstance(error, psycopg.Error) else None
    if diag is None or not diag.message_primary:
        return " ".join(str(error).split()) or type(error).__name__
    parts = [
        diag.message_primary,
        f"DETAIL: {diag.message_detail}" if diag.message_detail else "",
        f"HINT: {diag.message_hint}" if diag.message_hint else "",
    ]
    return "; ".join(" ".join(part.split()) for part in parts if part)


def advice(error: BaseException) -> str:
    """What to look at or to do, where the server's own words do not tell; else empty."""
    sqlstate = error.sqlstate if isinstance(error, psycopg.Error) else None
    if sqlstate in ALREADY_THERE:
        return (
            "Was it already applied? If all that the task does is there, assert that it is done; if not, "
            "move what is in the way and retry"
        )
    if sqlstate == "2D000":
        return (
            "A procedure or a DO block cannot COMMIT here, as it runs in the engine's own transaction: write "
            "what it commits step by step as tasks, or as a backfill"
        )
    return ""
