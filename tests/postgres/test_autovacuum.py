"""An autovacuum in the way: PostgreSQL ends it for whoever waits, but not before its deadlock_timeout."""

from collections.abc import Iterator

import psycopg
import pytest

from engine.plan.models import FailureClass
from engine.tasks.base import Failed, Succeeded
from engine.tasks.postgres.database import Database
from engine.tasks.postgres.embedded import Server
from tests.postgres.attempts import carry_out, rows, somebody
from tests.postgres.conftest import MakeJob
from tests.postgres.waiting import eventually

pytestmark = pytest.mark.anyio

SLOWLY = """
CREATE TABLE t (a int, b text) WITH (
  autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0, autovacuum_analyze_scale_factor = 1,
  autovacuum_vacuum_insert_threshold = -1,
  autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 2000) n;
DELETE FROM t WHERE a % 2 = 0;
"""


@pytest.fixture
def often(server: Server) -> Iterator[None]:
    """The server looks every second for something to vacuum."""
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        connection.execute("SELECT pg_reload_conf()")
        yield
        connection.execute("ALTER SYSTEM RESET autovacuum_naptime")
        connection.execute("SELECT pg_reload_conf()")


async def under_way(database: Database) -> None:
    """Returns once an autovacuum works on the table, which will take it minutes."""
    async with somebody(database) as other:
        for statement in SLOWLY.strip().split(";\n"):
            await other.execute(statement.encode())

    async def look() -> bool:
        query = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE datname = current_database()"
        return await rows(database, query) == [(1,)]

    await eventually(look, 30.0)


@pytest.mark.usefixtures("often")
async def test_it_is_outwaited_by_a_hair(job: MakeJob, database: Database) -> None:
    await under_way(database)
    made = job("ALTER TABLE t ADD COLUMN c int", lock_timeout_s=1.0, lock_patience_s=20.0)
    assert isinstance(await carry_out(made), Succeeded)
    assert "autovacuum" in made.output.tail()


@pytest.mark.usefixtures("often")
async def test_a_plan_that_allows_no_such_wait_is_not_overruled(job: MakeJob, database: Database) -> None:
    await under_way(database)
    made = job("ALTER TABLE t ADD COLUMN c int", lock_timeout_s=0.1, lock_patience_s=1.0)
    outcome = await carry_out(made)
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.sqlstate) == (FailureClass.TRANSIENT, "55P03")
