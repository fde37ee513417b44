"""Cutting the line between an attempt and its server, at a chosen request."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import anyio
from anyio.abc import ByteStream, SocketAttribute
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
    that the line is cut. `requests` counts those of attempts; others are let through."""

    at: bytes | int | None = None
    where: Where = "before"
    silent: bool = False
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
    given = conninfo_to_dict(database.conninfo)
    path = f"{given['host']}/{SOCKET}"
    listener = await anyio.create_unix_listener(folder / SOCKET)
    async with anyio.create_task_group() as tasks:

        async def serve(client: ByteStream) -> None:
            await _Connection(line, client, path).run()

        tasks.start_soon(listener.serve, serve)
        reached = replace(
            database, conninfo=make_conninfo(database.conninfo, host=str(folder)), _observer=None
        )
        try:
            yield reached
        finally:
            await reached.close()
            tasks.cancel_scope.cancel()


class _Connection:
    def __init__(self, line: Line, client: ByteStream, path: str) -> None:
        self._line = line
        self._client = client
        self._path = path
        self._cut_after = False
        self._counts = False

    async def run(self) -> None:
        server = await anyio.connect_unix(self._path)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._up, server, tasks.cancel_scope)
                await self._down(server)
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await server.aclose()
                await self._client.aclose()

    async def _up(self, server: ByteStream, scope: anyio.CancelScope) -> None:
        begun = False
        while data := await _receive(self._client):
            if not begun:
                begun = True
                self._counts = b"-run\0" in data or b"-rollback\0" in data
            elif self._counts and self._line.due(data):
                if self._line.where == "before":
                    await self._sever(scope)
                self._cut_after = True
            await server.send(data)
        scope.cancel()

    async def _down(self, server: ByteStream) -> None:
        while data := await _receive(server):
            if not self._cut_after:
                await self._client.send(data)
            elif data[-6:-1] == _READY:
                await self._sever(None)
                return

    async def _sever(self, scope: anyio.CancelScope | None) -> None:
        if self._line.silent:
            await anyio.sleep_forever()
        raw = self._client.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if scope:
            scope.cancel()
            await anyio.sleep_forever()


async def _receive(stream: ByteStream) -> bytes:
    try:
        return await stream.receive(1 << 20)
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        return b""
