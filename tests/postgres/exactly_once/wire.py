"""Between an engine and its server: counts the requests of attempts, and at one of them brings a disaster.

A request is all that a client sends before it waits for an answer. A disaster comes *before* the server has
seen the request, or *after* the server has answered it and before the client has seen that. Runs in a process
of its own, so that the process which forks engines keeps no threads and no sockets.
"""

import asyncio
import json
import os
import re
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import psycopg

SOCKET = ".s.PGSQL.5432"
What = Literal["engine", "backend", "connection"]
Where = Literal["before", "after"]

_CANCEL, _SSL, _GSS = 80877102, 80877103, 80877104
_ATTEMPT = re.compile(r"/\d+-(run|rollback)$")
"""How the application_name of an attempt's connection ends."""


class Disaster(NamedTuple):
    """At the `at`-th request, from 1: the engine is killed, its backend terminated, or the two cut apart."""

    at: int
    where: Where
    what: What


class Seen(NamedTuple):
    """`requests` by their first words; `struck` is the one at which the disaster came, if it did."""

    requests: list[str]
    struck: str


class Wire:
    """A proxy in front of the server at `admin`, listening in `folder`; to be closed."""

    def __init__(self, folder: Path, admin: str, disaster: Disaster | None) -> None:
        told, tell = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(told)
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
            proxy = _Proxy(admin, disaster, tell)
            try:
                asyncio.run(proxy.serve(folder / SOCKET))
            finally:
                os._exit(1)
        os.close(tell)
        self._told = os.fdopen(told, "r")
        assert self._told.readline() == "ready\n"

    def close(self) -> Seen:
        os.kill(self._pid, signal.SIGTERM)
        os.waitpid(self._pid, 0)
        with self._told as told:
            lines = [json.loads(line) for line in told]
        struck = next((line["struck"] for line in lines if "struck" in line), "")
        return Seen([line["request"] for line in lines if "request" in line], struck)


class _Proxy:
    def __init__(self, admin: str, disaster: Disaster | None, tell: int) -> None:
        self._admin = admin
        self._disaster = disaster
        self._tell = tell
        self._count = 0
        host = psycopg.conninfo.conninfo_to_dict(admin)["host"]
        self._server = f"{host}/{SOCKET}"

    async def serve(self, path: Path) -> None:
        server = await asyncio.start_unix_server(self._connected, path)
        os.write(self._tell, b"ready\n")
        await server.serve_forever()

    def tell(self, **news: str) -> None:
        os.write(self._tell, json.dumps(news).encode() + b"\n")

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            upstream = await asyncio.open_unix_connection(self._server)
            client = _Client(self, reader, writer, *upstream)
            await client.run()

    def due(self, request: str) -> Disaster | None:
        """Count a request of an attempt; the disaster that is to come at it, if so."""
        self._count += 1
        self.tell(request=request)
        due = self._disaster and self._disaster.at == self._count
        return self._disaster if due else None

    def strike(self, what: What, request: str, engine: int, backend: int) -> None:
        self.tell(struck=request)
        if what == "engine":
            os.kill(engine, signal.SIGKILL)
        elif what == "backend":
            with psycopg.connect(self._admin, autocommit=True) as connection:
                connection.execute("SELECT pg_terminate_backend(%s, 10000)", (backend,))


class _Client:
    """One connection through the proxy."""

    def __init__(
        self,
        proxy: _Proxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._reader, self._writer = reader, writer
        self._server_reader, self._server_writer = server_reader, server_writer
        peer: socket.socket = writer.get_extra_info("socket")
        self._engine = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        self._backend = 0
        self._is_attempt = False
        self._withheld: tuple[Disaster, str] | None = None
        """The disaster that comes once the server has answered, and the request that it answers."""

    async def run(self) -> None:
        try:
            if not await self._begin():
                return
            pumps = [asyncio.ensure_future(each) for each in (self._requests(), self._answers())]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
                with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                    await pump
        finally:
            self._writer.close()
            self._server_writer.close()

    async def _begin(self) -> bool:
        """Pass the start-up message on; False where the connection was for a cancel request only."""
        while True:
            length = await self._reader.readexactly(4)
            body = await self._reader.readexactly(int.from_bytes(length) - 4)
            code = int.from_bytes(body[:4])
            if code not in (_SSL, _GSS):
                break
            self._writer.write(b"N")
        self._server_writer.write(length + body)
        await self._server_writer.drain()
        if code == _CANCEL:
            await self._server_reader.read()
            return False
        words = body[4:].split(b"\0")
        params = dict(zip(words[::2], words[1::2], strict=False))
        self._is_attempt = bool(_ATTEMPT.search(params.get(b"application_name", b"").decode()))
        return True

    async def _requests(self) -> None:
        request: list[bytes] = []
        while True:
            request.append(await _message(self._reader))
            if request[-1][:1] not in (b"Q", b"S", b"X"):
                continue
            words = _words(request)
            due = self._proxy.due(words) if self._is_attempt and self._backend else None
            if due and due.where == "before":
                self._proxy.strike(due.what, words, self._engine, self._backend)
                if due.what == "backend":
                    request = []  # it is gone: what it says of that is the answer
                    continue
                return
            if due and request[-1][:1] != b"X":
                self._withheld = due, words
            self._server_writer.write(b"".join(request))
            await self._server_writer.drain()
            if due and not self._withheld:  # the end of a connection is not answered
                self._proxy.strike(due.what, words, self._engine, self._backend)
                return
            request = []

    async def _answers(self) -> None:
        while True:
            message = await _message(self._server_reader)
            if message[:1] == b"K":
                self._backend = int.from_bytes(message[5:9])
            if not self._withheld:
                self._writer.write(message)
                await self._writer.drain()
            elif message[:1] == b"Z" and self._strike_withheld() != "backend":
                return

    def _strike_withheld(self) -> What:
        assert self._withheld
        disaster, words = self._withheld
        self._withheld = None
        self._proxy.strike(disaster.what, words, self._engine, self._backend)
        return disaster.what


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(int.from_bytes(head[1:]) - 4)


def _words(request: list[bytes]) -> str:
    """What the request asks for, without what is different each time."""
    return re.sub(r"\d+", "N", " ".join(" ".join(_texts(request)).split()[:6])) or "(end)"


def _texts(request: list[bytes]) -> Iterator[str]:
    for message in request:
        body = message[5:]
        if message[:1] == b"Q":
            yield body.rstrip(b"\0").decode(errors="replace")
        elif message[:1] == b"P":
            yield body.split(b"\0")[1].decode(errors="replace")
        elif message[:1] == b"E" and len(request) == 2:
            yield "(execute)"
