"""A pooling proxy that speaks just enough of PostgreSQL's protocol: it lends its few connections to the
server for a session, for a transaction, or for a statement."""

import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream
from psycopg.conninfo import conninfo_to_dict

Mode = Literal["session", "transaction", "statement"]
_SSL, _GSS = 80877103, 80877104
_PROTOCOL = 196608


class Wire:
    """One connection, read message by message."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self.stream = stream
        self._buffered = BufferedByteReceiveStream(stream)

    async def message(self) -> tuple[bytes, bytes]:
        """Kind and body of the next message."""
        kind = await self._buffered.receive_exactly(1)
        return kind, await self.body()

    async def body(self) -> bytes:
        (length,) = struct.unpack("!i", await self._buffered.receive_exactly(4))
        return await self._buffered.receive_exactly(length - 4) if length > 4 else b""


def framed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


@dataclass
class Pool:
    """Connections to the server: `newest_first` tells which of those that are free is lent."""

    conninfo: str
    mode: Mode
    size: int
    newest_first: bool = True
    free: list[Wire] = field(default_factory=list)
    greeting: bytes = b""

    def __post_init__(self) -> None:
        self.room = anyio.Semaphore(self.size)

    async def connect(self) -> Wire:
        where = conninfo_to_dict(self.conninfo)
        wire = Wire(await anyio.connect_unix(f"{where['host']}/.s.PGSQL.5432"))
        fields = f"user\0{where['user']}\0database\0{where['dbname']}\0\0".encode()
        body = struct.pack("!i", _PROTOCOL) + fields
        await wire.stream.send(framed(b"", body))
        greeting = b""
        while True:
            kind, body = await wire.message()
            greeting += framed(kind, body) if kind == b"S" else b""
            if kind == b"Z":
                self.greeting = greeting
                return wire

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Wire]:
        async with self.room:
            wire = self.free.pop(-1 if self.newest_first else 0) if self.free else await self.connect()
            try:
                yield wire
            finally:
                self.free.append(wire)

    async def serve(self, stream: anyio.abc.ByteStream) -> None:
        async with stream:
            client = Wire(stream)
            try:
                await self._greet(client)
                if self.mode == "session":
                    first = await self._batch(client)
                    async with self.lent() as server:
                        await self._relay(client, server, first)
                        while True:
                            await self._relay(client, server, await self._batch(client))
                while True:
                    batch = await self._batch(client)
                    async with self.lent() as server:
                        while await self._relay(client, server, batch) != b"I":
                            batch = await self._batch(client)
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
                pass  # the client has gone

    async def _greet(self, client: Wire) -> None:
        while struct.unpack("!i", (await client.body())[:4])[0] in (_SSL, _GSS):
            await client.stream.send(b"N")
        if not self.greeting:
            async with self.lent():
                pass
        key = struct.pack("!ii", random.randrange(10**8, 2 * 10**8), 1)
        welcome = framed(b"R", struct.pack("!i", 0)) + self.greeting + framed(b"K", key)
        await client.stream.send(welcome + framed(b"Z", b"I"))

    async def _batch(self, client: Wire) -> bytes:
        """What the client sends up to where it waits for an answer."""
        sent = b""
        while True:
            kind, body = await client.message()
            if kind == b"X":
                raise anyio.EndOfStream
            if self.mode == "statement" and kind == b"Q" and body.startswith(b"BEGIN"):
                refused = b"SERROR\0C08P01\0Mtransaction blocks not allowed in statement pooling mode\0\0"
                await client.stream.send(framed(b"E", refused) + framed(b"Z", b"I"))
                continue
            sent += framed(kind, body)
            if kind in (b"Q", b"S"):
                return sent

    async def _relay(self, client: Wire, server: Wire, batch: bytes) -> bytes:
        """Pass a batch on, and its answer back; the state of the transaction then."""
        await server.stream.send(batch)
        while True:
            kind, body = await server.message()
            await client.stream.send(framed(kind, body))
            if kind == b"Z":
                return body


@asynccontextmanager
async def pooled(
    conninfo: str, mode: Mode, size: int = 5, *, newest_first: bool = True
) -> AsyncIterator[str]:
    """The conninfo of a proxy in front of `conninfo`."""
    pool = Pool(conninfo, mode, size, newest_first)
    where = conninfo_to_dict(conninfo)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with anyio.create_task_group() as serving:
            serving.start_soon(_accept, listener, pool, serving)
            reached = f"host=127.0.0.1 port={listener.getsockname()[1]} sslmode=disable gssencmode=disable"
            yield f"{reached} user={where['user']} dbname={where['dbname']}"
            serving.cancel_scope.cancel()
    for wire in pool.free:
        await wire.stream.aclose()


async def _accept(listener: socket.socket, pool: Pool, serving: anyio.abc.TaskGroup) -> None:
    while True:
        await anyio.wait_readable(listener)
        client, _ = listener.accept()
        serving.start_soon(pool.serve, await anyio.abc.SocketStream.from_socket(client))
