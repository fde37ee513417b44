"""Why a database could not be connected to, in plain words, with what to do about it.

The driver gives no SQLSTATE for a connection that never came about, so its message is all there is to go by.
"""

import re

import psycopg

from engine.plan.targets import UNREADABLE

_CAUSES: tuple[tuple[str, str], ...] = (
    (
        "password authentication failed",
        "the server does not accept the password; check the one that is given",
    ),
    (
        "no password supplied",
        "the server wants a password, and none is given; give it by a variable in the conninfo, or ~/.pgpass",
    ),
    (r"database .* does not exist", "the server has no such database; create it first, or name another"),
    (r"role .* does not exist", "the server has no such user; create it first, or name another"),
    ("no pg_hba.conf entry", "the server lets nobody in this way; its pg_hba.conf has to allow it"),
    (
        "Connection refused|No such file or directory",
        "nothing listens there; start the server, or mend host and port",
    ),
    (
        "timeout expired|timed out",
        "no answer came in time; see whether a network or a firewall is in between",
    ),
    ("failed to resolve host", "the host's name is unknown; mend it, or see to the name service"),
    ("No route to host|Network is unreachable", "no way leads to that host from here"),
    (
        "too many (connections|clients)|connection slots|no more connections allowed",
        "the server has no connection left to give; free one first",
    ),
    ("starting up|shutting down|recovery mode", "the server is just starting or stopping; try again soon"),
    ("SSL", "server and client do not agree on encryption; mend sslmode"),
    ("not in hot standby|read-only|session is not read", "no server of that kind is among the hosts"),
    ("is not permitted|permission denied", "the user may not connect to that database; it has to be granted"),
)
"""What the driver or the server says (a pattern), and what that means."""


def in_plain_words(error: Exception) -> str:
    """A sentence about an error of connecting or of a first look, with what was said: foreign text."""
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        return UNREADABLE
    said = " ".join(str(error).splitlines()[:1]).removeprefix("connection failed: ").strip()
    meaning = next((words for pattern, words in _CAUSES if re.search(pattern, said)), "")
    return f"{meaning}: {said}" if meaning else f"it cannot be used: {said or type(error).__name__}"
