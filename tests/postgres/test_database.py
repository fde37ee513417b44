"""Targets: how their backends are called, connected to and looked at."""

from pathlib import Path

import anyio
import psycopg
import pytest

from engine.tasks.postgres import database as database_module
from engine.tasks.postgres.database import (
    APPLICATION_BYTES,
    Database,
    application_name,
    owner_of,
    within,
)
from tests.postgres.cutting import Line, through

pytestmark = pytest.mark.anyio

RUN = "20261122-064413-tenant-isolation-x7k2"


@pytest.mark.parametrize("task", ["t", "add-organisation-ids-to-orders", "x" * 100])
@pytest.mark.parametrize("run", ["r1", RUN, "y" * 100])
def test_every_attempt_has_a_name_of_its_own_that_leads_back_to_its_task(run: str, task: str) -> None:
    tasks = [f"{task[:-1]}z", task, f"{task}-2"]
    names = {
        application_name(run, each, attempt, purpose)
        for each in tasks
        for attempt in (1, 2, 11)
        for purpose in ("run", "rollback", "verify")
    }
    assert len(names) == 27
    assert all(len(name.encode()) <= APPLICATION_BYTES for name in names)
    assert {owner_of(name, run, tasks) for name in names} == set(tasks)
    assert {owner_of(name, f"{run[:-1]}z", tasks) for name in names} == {None}


def test_strangers_have_no_task() -> None:
    assert [
        owner_of(name, "r1", ["t"]) for name in ("", "psql", "wesley r1/t", "a/b/c", "wesley r1/u/1-run")
    ] == [None] * 5


async def test_the_server_sees_the_name_and_checks_whether_its_client_lives(database: Database) -> None:
    name = application_name(RUN, "add-organisation-ids-to-orders", 12, "rollback")
    connection = await database.connect(name)
    async with connection:
        cursor = await connection.execute(
            "SELECT application_name, current_setting('client_connection_check_interval')"
            " FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        )
        assert await cursor.fetchone() == (name, "1s")
        assert connection.autocommit


async def test_a_conninfo_has_the_last_word_about_its_time_outs(database: Database) -> None:
    connection = await psycopg.AsyncConnection.connect(database.conninfo)
    await connection.close()
    patient = Database(
        name="app", run="r1", conninfo=f"{database.conninfo} connect_timeout=3", version=database.version
    )
    async with await patient.connect("x") as connection:
        assert connection.info.get_parameters()["connect_timeout"] == "3"


async def test_looks_share_one_connection_and_make_it_anew_when_it_is_lost(database: Database) -> None:
    ((first,),) = await database.look("SELECT pg_backend_pid()")
    assert await database.look("SELECT pg_backend_pid()") == [(first,)]
    assert await database.look("SELECT %s::int + 1", (41,)) == [(42,)]
    async with await database.connect("killer") as killer:
        await killer.execute("SELECT pg_terminate_backend(%s, 5000)", (first,))
    ((second,),) = await database.look("SELECT pg_backend_pid()")
    assert second != first


async def test_a_look_that_fails_says_so_and_leaves_the_connection_whole(database: Database) -> None:
    ((before,),) = await database.look("SELECT pg_backend_pid()")
    with pytest.raises(psycopg.errors.UndefinedTable):
        await database.look("SELECT * FROM nowhere")
    assert await database.look("SELECT pg_backend_pid()") == [(before,)]


async def test_a_conninfo_is_never_shown(database: Database) -> None:
    secret = Database(name="app", run="r1", conninfo="host=h password=hunter2", version=180000)
    assert "hunter2" not in repr(secret) + str(secret)


async def test_a_look_at_a_server_that_is_frozen_is_left_at_once_and_the_next_one_looks_anew(
    database: Database, tmp_path: Path
) -> None:
    line = Line(at=b"SELECT 1", silent=True, of=(b"(observer)\0",))
    async with through(line, database, tmp_path) as frozen:
        with anyio.fail_after(database_module._LOOK_S / 2):
            async with anyio.create_task_group() as looking:
                looking.start_soon(frozen.look, "SELECT 1")
                await line.cut.wait()
                looking.cancel_scope.cancel()
            assert await frozen.look("SELECT 2") == [(2,)]


async def test_a_server_that_is_frozen_is_left_in_time() -> None:
    with pytest.raises(psycopg.OperationalError, match="has not answered in time"), within(0.01):
        await anyio.sleep_forever()
