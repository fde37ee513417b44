"""Whatever becomes of its attempts, a backfill touches every row once.

Each life of a backfill is drawn from a seed: attempts are struck one after the other, until one comes to the
end.
`WESLEY_CAMPAIGN=200` tries so many lives with each kind of key.
"""

import os
import random
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import anyio
import psycopg
import pytest

from engine.tasks.base import Failed, InDoubt, Job, Outcome, Progress, Succeeded
from engine.tasks.postgres.backfill import BackfillExecutor
from engine.tasks.postgres.database import Database
from tests.postgres.conftest import MakeJob
from tests.postgres.cutting import Line, through

pytestmark = pytest.mark.anyio

LIVES = int(os.environ.get("WESLEY_CAMPAIGN", "2"))
ROWS = 120
LATER = 60
BATCH = 7
MOST_ATTEMPTS = 40


class Key(NamedTuple):
    """A type of key, with the key of row n; of those with n above ROWS all are behind the others."""

    type: str
    value: str

    def rows(self, first: int, last: int) -> bytes:
        return f"INSERT INTO orders SELECT {self.value} FROM generate_series({first}, {last}) n".encode()


KEYS = {
    "int": Key("int", "n"),
    "int, several rows a key": Key("int", "n / 3"),
    "text": Key("text", "CASE WHEN n > 120 THEN '♞' ELSE '' END || md5(n::text) || E' \\'\"\\\\%s $1 :last'"),
    "varchar": Key("varchar(80)", "repeat(CASE WHEN n > 120 THEN 'y' ELSE 'x' END, 1 + n % 9) || n"),
    "uuid": Key("uuid", "(CASE WHEN n > 120 THEN 'f' ELSE 'e' END || substr(md5(n::text), 2))::uuid"),
    "timestamptz": Key(
        "timestamptz", "'2026-10-25 00:00:00.000001+00'::timestamptz + n * interval '61.237s'"
    ),
    "date": Key("date", "'2025-12-20'::date + n"),
    "numeric": Key("numeric", "n / 7.0 - 5"),
    "float": Key("float8", "n / 3.0::float8"),
    "domain": Key("number", "n::number"),
}
SETTINGS = (
    "datestyle = 'German, DMY'",
    "datestyle = 'SQL, MDY'",
    "timezone = 'Europe/Berlin'",
    "timezone = 'Asia/Kolkata'",
    "extra_float_digits = -5",
    "default_transaction_isolation = 'serializable'",
    "default_transaction_isolation = 'read committed'",
)
"""What another attempt may find other than it was for the one before."""


@pytest.mark.parametrize("seed", range(LIVES))
@pytest.mark.parametrize("kind", KEYS)
async def test_every_row_is_touched_once(
    kind: str, seed: int, database: Database, conninfo: str, job: MakeJob
) -> None:
    chance = random.Random(f"{kind} {seed}")
    key = KEYS[kind]
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as other:
        await other.execute(b"CREATE DOMAIN number AS int CHECK (VALUE >= 0)")
        await other.execute(f"CREATE TABLE orders (id {key.type} NOT NULL, touched int DEFAULT 0)".encode())
        await other.execute(b"CREATE INDEX ON orders (id)")
        await other.execute(key.rows(1, ROWS))
        story: list[str] = []
        for attempt in range(1, MOST_ATTEMPTS):
            strike = chance.choice(("cut", "cut", "terminate", "cancel", "stop", "give_up", "scope"))
            made = backfill(job, attempt, chance)
            outcome = await struck(made, strike, database, other, chance)
            story.append(f"{strike}: {outcome}")
            found = await BackfillExecutor().evidence(made)
            assert found.done is isinstance(outcome, Succeeded) or found.done, (found, story)
            if found.done:
                break
            assert found.done is False, (found, story)
            if attempt == 1:
                await other.execute(key.rows(ROWS + 1, ROWS + LATER))
            await other.execute(f"ALTER DATABASE {other.info.dbname} SET {chance.choice(SETTINGS)}".encode())
        cursor = await other.execute(b"SELECT touched, count(*) FROM orders GROUP BY 1")
        rows = ROWS if len(story) == 1 else ROWS + LATER
        assert await cursor.fetchall() == [(1, rows)], story


def backfill(job: MakeJob, attempt: int, chance: random.Random) -> Job:
    statement = "UPDATE orders SET touched = touched + 1 WHERE id BETWEEN :first AND :last"
    size = chance.choice((1, BATCH, 3 * BATCH))
    written = {"table": "orders", "key": "id", "sql": statement, "batch": size, "pause": "0s"}
    return job({"backfill": written, "on": "app"}, attempt=attempt)


async def struck(
    made: Job, strike: str, database: Database, other: Any, chance: random.Random
) -> Outcome | None:
    """How the attempt ended that was struck somewhere; None if it was cancelled with the scope around it."""
    outcome: Outcome | None = None
    after = chance.randrange(12)
    told = 0
    scope = anyio.CancelScope()
    now = anyio.Event()

    def progress(_: Progress) -> None:
        nonlocal told
        told += 1
        if told > after:
            now.set()

    async def strike_once() -> None:
        await now.wait()
        if strike == "scope":
            scope.cancel()
        elif strike in ("stop", "give_up"):
            getattr(made, strike).set()
        elif strike in ("terminate", "cancel"):
            with anyio.CancelScope(shield=True):
                await other.execute(
                    f"SELECT pg_{strike}_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name ~ '-run$' AND datname = current_database()".encode()
                )

    line = Line(
        at=chance.randrange(1, 90) if strike == "cut" else None, where=chance.choice(("before", "after"))
    )
    with TemporaryDirectory(prefix="cut-") as folder:  # the path of a socket is short
        async with through(line, database, Path(folder)) as reached, anyio.create_task_group() as group:
            group.start_soon(strike_once)
            with scope:
                outcome = await BackfillExecutor().run(
                    replace(made, targets={"app": reached}, progress=progress)
                )
            group.cancel_scope.cancel()
    assert not isinstance(outcome, Failed) or outcome.failure_class != "permanent", outcome
    assert not isinstance(outcome, InDoubt) or strike in ("cut", "terminate"), outcome
    return outcome
