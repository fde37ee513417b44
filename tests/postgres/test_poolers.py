"""Pooling proxies are told from servers, and those that pool transactions from those that pool sessions."""

from functools import partial

import pytest

from engine.tasks.postgres import pooler
from engine.tasks.postgres.database import open_connection
from engine.tasks.postgres.embedded import Server
from engine.tasks.postgres.pooler import UnfitPooling, check_pooling
from tests.postgres.pooling_proxy import Mode, pooled

pytestmark = pytest.mark.anyio


async def checked(conninfo: str) -> str:
    return await check_pooling(partial(open_connection, conninfo, "test"))


async def test_a_server_itself_is_no_proxy(server: Server) -> None:
    assert await checked(server.conninfo) == ""


async def test_a_proxy_that_pools_sessions_is_remarked_upon(server: Server) -> None:
    async with pooled(server.conninfo, "session") as proxy:
        assert "pools sessions" in await checked(proxy)


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 20])
@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_proxy_that_pools_less_is_refused(
    server: Server, mode: Mode, size: int, newest_first: bool
) -> None:
    async with pooled(server.conninfo, mode, size, newest_first=newest_first) as proxy:
        with pytest.raises(UnfitPooling, match=r"transaction-pooling proxy.*session mode"):
            await checked(proxy)


@pytest.mark.parametrize("warm", [1, 2, 3, 4])
@pytest.mark.parametrize("newest_first", [True, False])
async def test_whatever_the_pool_holds_already(server: Server, newest_first: bool, warm: int) -> None:
    async with pooled(server.conninfo, "transaction", newest_first=newest_first) as proxy:
        busy = [await open_connection(proxy, "busy") for _ in range(warm)]
        for connection in busy:
            await connection.execute("BEGIN")
        for connection in busy:
            await connection.execute("COMMIT")
        with pytest.raises(UnfitPooling):
            await checked(proxy)
        for connection in busy:
            await connection.close()


async def test_a_pool_with_room_for_one_session_is_too_small(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooler, "_ANSWER_S", 0.3)
    async with pooled(server.conninfo, "session", size=1) as proxy:
        with pytest.raises(UnfitPooling, match="enlarge its pool"):
            await checked(proxy)
