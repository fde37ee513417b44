"""What an operator does to a stranger's backend: cancel what it runs, or end its connection."""

from typing import Literal

import anyio
import psycopg

from engine.tasks.postgres.database import Database

Action = Literal["cancel_backend", "terminate_backend"]

_PATIENCE_S = 5.0
"""Seconds that a backend gets to do as it was told, before it is said that it has not."""
_LOOK_EVERY_S = 0.1

_STARTED = "to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US') || '+00:00'"

_FIND = f"SELECT application_name, {_STARTED}, state, query_start FROM pg_stat_activity WHERE pid = %s"

# Found and signalled in one statement: whoever gets its pid next is not hit.
_SIGNALS: dict[Action, str] = {
    "cancel_backend": f"""
SELECT CASE WHEN state = 'active' THEN pg_cancel_backend(pid) END
FROM pg_stat_activity WHERE pid = %s AND {_STARTED} = %s AND application_name = %s""",
    "terminate_backend": f"""
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity WHERE pid = %s AND {_STARTED} = %s AND application_name = %s""",
}
_WORDS: dict[Action, str] = {
    "cancel_backend": "pg_cancel_backend",
    "terminate_backend": "pg_terminate_backend",
}


async def intervene(database: Database, action: str, pid: int, started: str) -> tuple[bool, str]:
    """Do `action` to backend `pid` that began at `started` (as `waits.started_text` has it), and to no other.

    Whether that was done, and what was seen of it, in words; what the server says in them is not sanitised.
    Raises nothing that the server could be the cause of."""
    assert action in _SIGNALS, action
    try:
        return await _intervene(database, action, pid, started)
    except psycopg.errors.InsufficientPrivilege as error:
        why = error.diag.message_detail or error.diag.message_primary or str(error)
        return False, f"not allowed: {why.rstrip('.')}. A superuser may: SELECT {_WORDS[action]}({pid})"
    except psycopg.Error as error:
        return False, f"the server could not be asked: {str(error).strip()}"


async def _intervene(database: Database, action: Action, pid: int, started: str) -> tuple[bool, str]:
    found = await database.look(_FIND, (pid,))
    if not found:
        return False, f"pid {pid} had ended already"
    application, began, state, query_began = found[0]
    if began is None:
        return False, (
            f"not allowed: the role may not see when pid {pid} began, so it could be another one by now."
            " A member of pg_read_all_stats may"
        )
    if began != started:
        return False, f"pid {pid} had ended already: another one has its number now"
    if task := database.owner_of(application):
        return False, f"pid {pid} works for {task} of this run"
    if action == "cancel_backend" and state != "active":
        return False, _nothing_to_cancel(pid, state)
    signalled = await database.look(_SIGNALS[action], (pid, started, application))
    if not signalled or not signalled[0][0]:
        return False, f"pid {pid} had ended already, or had ended what it ran"
    with anyio.move_on_after(_PATIENCE_S):
        while True:
            now = await database.look(_FIND, (pid,))
            if not now or now[0][1] != started:
                return True, f"the connection of pid {pid} is ended, and its transaction rolled back"
            if action == "cancel_backend" and now[0][2:] != (state, query_began):
                return True, f"what pid {pid} ran is cancelled; it is {now[0][2]} now"
            await anyio.sleep(_LOOK_EVERY_S)
    return False, f"pid {pid} was told to end, and is still there after {_PATIENCE_S:g} seconds"


def _nothing_to_cancel(pid: int, state: str) -> str:
    if state.startswith("idle in transaction"):
        return (
            f"pid {pid} is {state}: it runs no statement that could be cancelled, and holds its locks"
            " until its client ends the transaction, or its connection is ended"
        )
    return f"pid {pid} is {state}: it runs nothing that could be cancelled"
