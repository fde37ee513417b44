"""Pooling proxies: one that lends a server's backend for a transaction only is recognised, and refused.

Behind such a proxy a session lock is held by nobody in particular, settings leak into strangers'
transactions, and the backend of an attempt cannot be found again.
"""

from collections.abc import Awaitable, Callable, Mapping, Set
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    Connection = AsyncConnection[Any]

_ORDER = "abaabbabab"
"""In which order two sessions ask for their backend. Whichever a proxy lends next (what came back last, or
longest ago, or its only one), a session gets another's, or a second one."""
_ANSWER_S = 5.0


class UnfitPooling(Exception):
    """The server is reached through a proxy that gives no session a backend of its own; the message says how
    that is known, and what to do."""


async def check_pooling(connect: "Callable[[], Awaitable[Connection]]") -> str:
    """A remark about the proxy in front of the server; empty if there is none. `connect` makes a connection
    in autocommit.

    Raises UnfitPooling, and psycopg.Error if the server cannot be asked."""
    first: Connection = await connect()
    async with first:
        if await _backend(first) == first.info.backend_pid:
            return ""
        second: Connection = await connect()
        async with second:
            try:
                with anyio.fail_after(_ANSWER_S):
                    moved = await _moves(first, second)
            except TimeoutError:
                raise UnfitPooling(
                    "it is reached through a proxy that gives a second session no backend; enlarge its pool, "
                    "or name the server itself"
                ) from None
    if moved:
        raise UnfitPooling(
            f"it is reached through a transaction-pooling proxy, where no lock lasts: {moved}; name the "
            "server itself, or a pool in session mode"
        )
    return (
        "reached through a proxy that pools sessions; that is fine as long as it does not pool transactions"
    )


async def _moves(first: "Connection", second: "Connection") -> str:
    """What shows that the sessions have no backends of their own; empty if nothing does."""
    import psycopg

    sessions = {"a": first, "b": second}
    seen: dict[str, set[int]] = {"a": set(), "b": set()}
    for name in _ORDER:
        seen[name].add(await _backend(sessions[name]))
    if shown := _shown(seen):
        return shown
    try:
        # While a session keeps its transaction open, the proxy has to lend the other one another backend.
        for holder, other in ("ab", "ba"):
            await sessions[holder].execute("BEGIN")
            seen[holder].add(await _backend(sessions[holder]))
            seen[other].add(await _backend(sessions[other]))
            await sessions[holder].execute("COMMIT")
            seen[holder].add(await _backend(sessions[holder]))
    except psycopg.OperationalError as error:
        return f"it takes no transactions ({error})"
    return _shown(seen)


def _shown(seen: Mapping[str, Set[int]]) -> str:
    """What the backends that two sessions have met show of the proxy."""
    if shared := seen["a"] & seen["b"]:
        return f"two sessions were given the same backend {min(shared)}"
    moved = next((pids for pids in seen.values() if len(pids) > 1), ())
    return f"one session was given the backends {', '.join(map(str, sorted(moved)))}" if moved else ""


async def _backend(connection: "Connection") -> int:
    cursor = await connection.execute("SELECT pg_backend_pid()")
    row = await cursor.fetchone()
    assert row
    return int(row[0])
