"""An engine that was stopped between a durable start and its transaction, and wakes after another engine has
made the next attempt: the ledger in the target refuses what comes too late."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.tasks.base import Failed, JobPurpose, Succeeded
from engine.tasks.ledger import TABLE
from tests.tasks.conftest import MakeJob, carry_out

pytestmark = pytest.mark.anyio
ADD = {"sql": "INSERT INTO t VALUES ('once')", "on": "app"}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    return path


def rows(target: Path, table: str) -> int:
    with closing(sqlite3.connect(target)) as connection:
        found: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return found


@pytest.mark.parametrize("purpose", ["run", "rollback"])
async def test_an_attempt_after_a_later_one_leaves_nothing(
    make_job: MakeJob, target: Path, purpose: JobPurpose
) -> None:
    assert isinstance(await carry_out(make_job(ADD, attempt=2, purpose=purpose)), Succeeded)
    late = await carry_out(make_job(ADD, attempt=1, purpose=purpose))
    assert isinstance(late, Failed)
    assert late.effect == "none"
    assert "comes too late" in late.reason
    assert (rows(target, "t"), rows(target, TABLE)) == (1, 1)


async def test_an_attempt_after_an_earlier_one_and_beside_another_purpose_is_made(
    make_job: MakeJob, target: Path
) -> None:
    assert isinstance(await carry_out(make_job(ADD, attempt=1)), Succeeded)
    assert isinstance(await carry_out(make_job(ADD, attempt=3, purpose="rollback")), Succeeded)
    assert isinstance(await carry_out(make_job(ADD, attempt=2)), Succeeded)
    assert rows(target, "t") == 3
