"""Targets are opened before anything is done, and what cannot be opened is refused in plain words."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psutil
import psycopg
import pytest

from engine.tasks.base import unnoticed
from engine.tasks.postgres import guard as guarding
from engine.tasks.postgres import opening
from engine.tasks.postgres.database import Database
from engine.tasks.postgres.embedded import start_server, stop_server
from engine.tasks.postgres.guard import KEY, LockedElsewhere
from engine.tasks.postgres.opening import CannotOpen, opened_databases
from engine.tasks.postgres.refusing import in_plain_words
from tests.postgres.conftest import FAST
from tests.postgres.pooling_proxy import pooled
from tests.postgres.waiting import eventually

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(
    folder: Path, told: list[str], given_up: anyio.Event, **conninfos: str
) -> AsyncIterator[Mapping[str, Database]]:
    def notify(text: str, *, passing: bool = False) -> None:
        told.append(text)

    opening = opened_databases(
        conninfos, run="r1", tasks=("t",), folder=folder, notify=notify, given_up=given_up
    )
    async with opening as databases:
        yield databases


async def refusal(folder: Path, given_up: anyio.Event, **conninfos: str) -> list[str]:
    with pytest.raises(CannotOpen) as refused:
        async with opened(folder, [], given_up, **conninfos):
            pytest.fail("it was opened")
    return refused.value.problems


@pytest.fixture
def never() -> anyio.Event:
    """For an opening that nobody gives up."""
    return anyio.Event()


async def test_what_is_opened_can_be_used_and_is_locked_until_the_end(
    tmp_path: Path, never: anyio.Event, conninfo: str
) -> None:
    async with opened(tmp_path, [], never, shop=conninfo, again=conninfo) as databases:
        shop = databases["shop"]
        assert await shop.look("SELECT current_setting('server_version_num')::int") == [(shop.version,)]
        assert shop.owner_of("wesley r1/t/1-run") == "t"
        assert shop.guard is databases["again"].guard
        assert shop.guard and await shop.guard.is_held()
    with psycopg.connect(conninfo) as connection:
        row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", KEY).fetchone()
    assert row == (True,)


async def test_an_embedded_server_lives_as_long_as_its_run(tmp_path: Path, never: anyio.Event) -> None:
    told: list[str] = []
    async with opened(tmp_path / "postgres", told, never, lab="embedded") as databases:
        assert await databases["lab"].look("SELECT 1") == [(1,)]
        conninfo = databases["lab"].conninfo
        assert (tmp_path / "postgres" / "lab.conninfo").read_text() == f"{conninfo}\n"
        assert any(f'psql "{conninfo}"' in line for line in told)
        (pid, *_) = (tmp_path / "postgres" / "lab" / "postmaster.pid").read_text().split()
        assert psutil.pid_exists(int(pid))
    assert not psutil.pid_exists(int(pid))


async def test_an_embedded_server_that_ends_before_its_time_is_started_again(
    tmp_path: Path, never: anyio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_LOOK_S", 0.05)
    monkeypatch.setattr(guarding, "_KEEP_S", 0.05)
    told: list[str] = []
    async with opened(tmp_path, told, never, lab="embedded") as databases:
        lab = databases["lab"]
        (pid, *_) = (tmp_path / "lab" / "postmaster.pid").read_text().split()
        psutil.Process(int(pid)).kill()

        async def again() -> bool:
            return any("was started again" in line for line in told)

        await eventually(again, 30)

        async def held() -> bool:
            return bool(lab.guard and await lab.guard.is_held())

        await eventually(held)
        assert await lab.look("SELECT 1") == [(1,)]
    assert not (tmp_path / "lab" / "postmaster.pid").exists()


async def test_every_target_that_cannot_be_opened_is_told_of_with_what_to_do(
    tmp_path: Path, never: anyio.Event, conninfo: str
) -> None:
    problems = await refusal(
        tmp_path,
        never,
        fine=conninfo,
        away="host=/nowhere password=hush-hush",
        typo="password=hush-hush hots",
        unknown=f"{conninfo} dbname=atlantis",
        nobody=f"{conninfo} user=nobody_at_all",
        lost="host=no-such-host.invalid password=hush-hush",
    )
    assert [problem.split("; ")[0] for problem in problems] == [
        "target `away`: nothing listens there",
        "target `lost`: the host's name is unknown",
        "target `nobody`: the server has no such user",
        "target `typo`: its conninfo cannot be read",
        "target `unknown`: the server has no such database",
    ]
    assert all("; " in problem for problem in problems)
    assert "hush" not in "".join(problems)


async def test_a_role_that_sees_little_can_open_a_target_all_the_same(
    tmp_path: Path, never: anyio.Event, conninfo: str
) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CREATE ROLE sees_little LOGIN; GRANT CREATE ON SCHEMA public TO sees_little")
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    async with opened(tmp_path, [], never, shop=f"{conninfo} user=sees_little") as databases:
        assert await databases["shop"].look("SELECT current_user") == [("sees_little",)]


async def test_which_database_it_is_the_server_tells(
    tmp_path: Path, never: anyio.Event, conninfo: str
) -> None:
    told: list[str] = []
    async with opened(tmp_path, told, never, shop=f"{conninfo} password=hush-hush"):
        pass
    with psycopg.connect(conninfo) as connection:
        name, version, port = connection.info.dbname, connection.info.server_version, connection.info.port
    (line,) = [each for each in told if "database" in each]
    expected = f"target `shop`: database {name} on a socket, port {port}, as user postgres, PostgreSQL "
    assert line.startswith(f"{expected}{version // 10000}.{version % 10000}")
    assert "hush" not in "".join(told)


async def test_a_role_that_may_not_make_a_ledger_is_refused_before_anything_runs(
    tmp_path: Path, never: anyio.Event, conninfo: str
) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS makes_nothing")
        connection.execute("CREATE ROLE makes_nothing LOGIN")
        bare = f"{conninfo} user=makes_nothing"
        try:
            (problem,) = await refusal(tmp_path, never, shop=bare)
            assert problem == (
                "target `shop`: role makes_nothing cannot create the ledger public._wesley_ledger, and "
                "nothing runs without. Grant the role CREATE on schema public, or give it a search_path that "
                "begins with a schema in which it may create tables"
            )
            nowhere = f"{bare} options='-c search_path=nowhere'"
            (problem,) = await refusal(tmp_path, never, shop=nowhere)
            assert "cannot create the ledger _wesley_ledger" in problem and "CREATE on a schema" in problem
            async with opened_databases(
                {"shop": bare},
                run="r1",
                tasks=("t",),
                folder=tmp_path,
                notify=unnoticed,
                given_up=never,
                only_read={"shop"},
            ) as databases:
                assert await databases["shop"].look("SELECT 1") == [(1,)]
            connection.execute("CREATE TABLE _wesley_ledger (a int)")
            (problem,) = await refusal(tmp_path, never, shop=bare)
            assert "grant it SELECT and INSERT" in problem
            connection.execute("GRANT SELECT, INSERT ON _wesley_ledger TO makes_nothing")
            async with opened(tmp_path, [], never, shop=bare):
                pass
        finally:
            connection.execute("DROP OWNED BY makes_nothing; DROP ROLE makes_nothing")


async def test_passwords_and_standbys(tmp_path: Path, never: anyio.Event) -> None:
    data = tmp_path / "server"
    server = start_server(data, FAST)
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute("CREATE ROLE bob LOGIN PASSWORD 'right'")
    with (data / "pg_hba.conf").open("r+") as rules:  # opened, not replaced: the server has to own it
        rules.truncate()
        rules.write("local all bob scram-sha-256\nlocal postgres postgres trust\n")
    stop_server(server)
    (data / "standby.signal").touch()
    server = start_server(data, FAST)
    bob = server.conninfo.replace("user=postgres", "user=bob")
    problems = await refusal(
        tmp_path,
        never,
        wrong=f"{bob} password=hush-hush",
        none=f"{bob} passfile=/nowhere",
        closed=f"{server.conninfo} dbname=template1",
        standby=server.conninfo,
    )
    stop_server(server)
    assert [problem.split("; ")[0] for problem in problems] == [
        "target `closed`: the server lets nobody in this way",
        "target `none`: the server wants a password, and none is given",
        "target `standby`: its server is a standby, which takes no changes",
        "target `wrong`: the server does not accept the password",
    ]
    assert "hush" not in "".join(problems)


async def test_a_server_that_never_answers_is_refused_in_time(tmp_path: Path, never: anyio.Event) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"host=127.0.0.1 port={silent.getsockname()[1]} connect_timeout=2"
        (problem,) = await refusal(tmp_path, never, slow=where)
    assert problem.startswith("target `slow`: no answer came in time")


async def test_opening_can_be_given_up(tmp_path: Path) -> None:
    given_up = anyio.Event()

    async def give_up(silent: socket.socket) -> None:
        await anyio.wait_readable(silent)
        given_up.set()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with anyio.create_task_group() as both:
            both.start_soon(give_up, silent)
            with anyio.fail_after(5):
                problems = await refusal(
                    tmp_path, given_up, slow=f"host=127.0.0.1 port={silent.getsockname()[1]}"
                )
    assert problems == ["the run was stopped before its targets were open"]


async def test_versions_too_old_are_refused(
    tmp_path: Path, never: anyio.Event, conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "OLDEST", 990000)
    (problem,) = await refusal(tmp_path, never, shop=conninfo)
    assert problem == "target `shop`: its server is PostgreSQL 18; version 99 or later is needed"


async def test_transaction_pooling_is_refused_and_session_pooling_remarked_upon(
    tmp_path: Path, never: anyio.Event, conninfo: str
) -> None:
    async with pooled(conninfo, "transaction") as proxy:
        (problem,) = await refusal(tmp_path, never, shop=proxy)
    assert "transaction-pooling proxy" in problem
    told: list[str] = []
    async with pooled(conninfo, "session") as proxy, opened(tmp_path, told, never, shop=proxy) as databases:
        guard = databases["shop"].guard
        assert guard and await guard.is_held()
    assert any("pools sessions" in line for line in told)


async def test_another_migration_alone_is_a_refusal_of_its_own(
    tmp_path: Path, never: anyio.Event, conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarding, "PATIENCE_S", 0.0)
    with psycopg.connect(conninfo, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s, %s)", KEY)
        with pytest.raises(LockedElsewhere, match="another migration works on target shop"):
            async with opened(tmp_path, [], never, shop=conninfo):
                pytest.fail("it was opened")
        told = "\n".join(await refusal(tmp_path, never, shop=conninfo, away="host=/nowhere"))
    assert "target `away`: nothing listens there" in told
    assert "another migration works on target shop" in told


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ('connection to server at "h" failed: FATAL:  sorry, too many clients already', "no connection left"),
        ("FATAL:  remaining connection slots are reserved for roles with SUPERUSER", "no connection left"),
        ("FATAL:  no more connections allowed (max_client_conn)", "no connection left"),
        ("FATAL:  the database system is starting up", "try again soon"),
        ("server does not support SSL, but SSL was required", "sslmode"),
        ("session is read-only", "no server of that kind"),
        ("No route to host", "no way leads"),
        ('FATAL:  permission denied for database "d"', "has to be granted"),
        ("something new\nwith a second line", "it cannot be used: something new"),
    ],
)
def test_what_a_server_says_has_a_meaning(said: str, meaning: str) -> None:
    words = in_plain_words(psycopg.OperationalError(f"connection failed: {said}"))
    assert meaning in words
    assert said.splitlines()[0] in words
    assert "\n" not in words
