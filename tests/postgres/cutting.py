"""Cutting the line between an attempt and its server, at a chosen request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import anyio
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from engine.tasks.postgres.database import Database

SOCKET = ".s.PGSQL.5432"
Where = Literal["before", "after"]
_READY = b"Z\x00\x00\x00\x05"
"""How the server says that it has answered; the byte behind it tells of the transaction."""


@dataclass(slots=True)
class Line:
    """Cuts at the request that holds `at`, or at the request with the number `at`, from 1: before the server
    has seen it, or after it has answered and before the client has seen that. With `silent` nobody is told
    that the line is cut. `requests` counts those of attempts, or of whose application_name ends with one of
    `of`; others are let through."""

    at: bytes | int | None = None
    where: Where = "before"
    silent: bool = False
    of: tuple[bytes, ...] = (b"-run\0", b"-rollback\0")
    requests: int = 0
    cut: anyio.Event = field(default_factory=anyio.Event)

    def due(self, request: bytes) -> bool:
        self.requests += 1
        here = self.at in request if isinstance(self.at, bytes) else self.at == self.requests
        if not here or self.cut.is_set():
            return False
        self.cut.set()
        return True


@asynccontextmanager
async def through(line: Line, database: Database, folder: Path) -> AsyncIterator[Database]:
    """The database as it is reached through `line`, which listens in `folder`."""
    path = f"{conninfo_to_dict(database.conninfo)['host']}/{SOCKET}"
    talking: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        talking.add(task)
        try:
            await _talk(line, reader, writer, *await asyncio.open_unix_connection(path))
        except (OSError, asyncio.CancelledError):
            pass  # the server is not there, or the test is over
        finally:
            writer.transport.abort()

    server = await asyncio.start_unix_server(serve, folder / SOCKET)
    reached = Database(
        name=database.name,
        run=database.run,
        conninfo=make_conninfo(database.conninfo, host=str(folder)),
        version=database.version,
        tasks=database.tasks,
    )
    try:
        yield reached
    finally:
        await reached.close()
        server.close()
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking)


async def _talk(
    line: Line,
    client: asyncio.StreamReader,
    to_client: asyncio.StreamWriter,
    server: asyncio.StreamReader,
    to_server: asyncio.StreamWriter,
) -> None:
    due = False
    severed = asyncio.Event()

    async def up() -> None:
        nonlocal due
        first = await client.read(1 << 20)
        counts = any(ending in first for ending in line.of)
        to_server.write(first)
        while data := await client.read(1 << 20):
            if counts and line.due(data):
                due = True
                if line.where == "before":
                    severed.set()
                    return
            to_server.write(data)
        if not due:
            severed.set()

    async def down() -> None:
        with suppress(ConnectionError):  # a backend that is ended leaves what it has not read
            while data := await server.read(1 << 20):
                if not due:
                    to_client.write(data)
                elif data[-6:-1] == _READY:
                    break
        severed.set()

    pumps = [asyncio.create_task(up()), asyncio.create_task(down())]
    try:
        await severed.wait()
        if due and line.silent:
            await asyncio.Event().wait()
    finally:
        for pump in pumps:
            pump.cancel()
        to_client.transport.abort()
        to_server.transport.abort()
