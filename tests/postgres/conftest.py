"""A real server, shared by all tests of a worker; a database of its own for each test; jobs to try on it."""

import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest

from engine.plan.models import Task
from engine.tasks.base import Intent, Job, JobPurpose, LockWait, Progress
from engine.tasks.output import OutputSink
from engine.tasks.postgres.database import Database
from engine.tasks.postgres.embedded import SETTINGS, Server, start_server, stop_server
from engine.tasks.sanitise import Redactor
from tests.postgres.building import Connect, Connection, shop

FAST = {**SETTINGS, "fsync": "off", "full_page_writes": "off", "max_prepared_transactions": "2"}
"""Nothing of these servers is to outlive the machine; killing their processes loses nothing all the same."""

_numbers = count(1)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One embedded server a worker. It ends with the worker, whatever ends that."""
    running = start_server(tmp_path_factory.mktemp("postgres") / "shared", FAST)
    outlived = ["sh", "-c", f"read line; kill -INT {running.process.pid}"]
    with subprocess.Popen(outlived, stdin=subprocess.PIPE, start_new_session=True):
        yield running
    stop_server(running)


@pytest.fixture
def conninfo(server: Server) -> Iterator[str]:
    """Where a new, empty database is."""
    name = f"t{next(_numbers)}"
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield f"{server.conninfo} dbname={name}"
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


@pytest.fixture
async def database(conninfo: str) -> AsyncIterator[Database]:
    """A new, empty database as the target `app` of the run `r1`."""
    opened = Database(name="app", run="r1", conninfo=conninfo, version=180000, tasks=("t",))
    yield opened
    await opened.close()


@pytest.fixture
async def connect(database: Database) -> AsyncIterator[Connect]:
    """Makes sessions of others, by the application they are called, on a database with a shop."""
    async with shop(database) as make:
        yield make


@pytest.fixture
async def ours(connect: Connect) -> Connection:
    """The connection of an attempt."""
    return await connect("ours")


@dataclass(slots=True)
class Heard:
    """What an attempt has told while it was under way."""

    intents: list[Intent] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    lock_waits: list[LockWait] = field(default_factory=list)

    async def intend(self, intent: Intent) -> None:
        self.intents.append(intent)


class MakeJob(Protocol):
    """`heard` is what all jobs of a test told. More keywords are fields of the Job."""

    heard: Heard

    def __call__(
        self,
        action: dict[str, Any] | str,
        *,
        purpose: JobPurpose = "run",
        attempt: int = 1,
        task: dict[str, Any] | None = None,
        **more: Any,
    ) -> Job: ...


@pytest.fixture
def job(database: Database, tmp_path: Path) -> Iterator[MakeJob]:
    """Makes jobs on the target `app`, from an action or from SQL text: of task `t` of run `r1`."""
    maker = _Maker(database, tmp_path)
    yield maker
    for made in maker.made:
        made.output.close()


class _Maker:
    def __init__(self, database: Database, folder: Path) -> None:
        self.heard = Heard()
        self.made: list[Job] = []
        self._database = database
        self._folder = folder

    def __call__(
        self,
        action: dict[str, Any] | str,
        *,
        purpose: JobPurpose = "run",
        attempt: int = 1,
        task: dict[str, Any] | None = None,
        secrets: dict[str, str] | None = None,
        on_lines: Callable[[list[str]], None] | None = None,
        **more: Any,
    ) -> Job:
        written = {"sql": action, "on": "app"} if isinstance(action, str) else action
        described = Task.model_validate({"id": "t", "run": written, **(task or {})})
        path = self._folder / "output" / described.id / f"{attempt}-{purpose}.log"
        fields = {
            "run": "r1",
            "folder": self._folder,
            "targets": {"app": self._database},
            "intend": self.heard.intend,
            "progress": self.heard.progress.append,
            "lock_wait": self.heard.lock_waits.append,
        }
        job = Job(
            **{
                **fields,
                "task": described,
                "attempt": attempt,
                "purpose": purpose,
                "action": described.run,
                "output": OutputSink(path, Redactor(secrets), on_lines=on_lines),
                **more,
            }
        )
        self.made.append(job)
        return job
