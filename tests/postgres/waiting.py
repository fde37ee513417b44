"""Waiting for the server to come to a state, rather than for time to pass."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

Found = TypeVar("Found")


async def eventually(look: Callable[[], Awaitable[Found | None]], within_s: float = 30.0) -> Found:
    """The first answer of `look` that is true. Raises TimeoutError if there is none `within_s` seconds."""
    with anyio.fail_after(within_s):
        while not (found := await look()):  # noqa: ASYNC110  # no event comes out of the server
            await anyio.sleep(0.01)
    return found
