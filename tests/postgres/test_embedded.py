"""Embedded servers: private, safe, found again, and refused in plain words where they cannot be had."""

import os
import signal
import stat
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import psutil
import psycopg
import pytest

from engine.plan.targets import EMBEDDED_PACKAGE
from engine.tasks.postgres import embedded, programs
from engine.tasks.postgres.embedded import Server, start_server, stop_server
from engine.tasks.postgres.programs import CannotEmbed, server_account, server_programs


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of a server that has been stopped."""
    data = tmp_path_factory.mktemp("embedded") / "postgres" / "lab"
    stop_server(start_server(data))
    return data


def setting(server: Server, name: str) -> str:
    with psycopg.connect(server.conninfo) as connection:
        row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert row
    return str(row[0])


def test_it_is_durable_and_nobody_else_reaches_it(cluster: Path) -> None:
    server = start_server(cluster)
    try:
        assert setting(server, "fsync") == setting(server, "synchronous_commit") == "on"
        assert setting(server, "full_page_writes") == "on"
        assert setting(server, "listen_addresses") == ""
        assert server.process.net_connections("inet") == []
        assert stat.S_IMODE(cluster.stat().st_mode) == 0o700
        assert server.process.uids().effective != 0
    finally:
        stop_server(server)
    assert not server.process.is_running()


def test_what_it_holds_outlives_it_and_a_second_start_finds_the_one_that_runs(cluster: Path) -> None:
    first = start_server(cluster)
    with psycopg.connect(first.conninfo) as connection:
        connection.execute("CREATE TABLE kept (a int)")
    taken_over = start_server(cluster)
    assert taken_over.process == first.process
    assert taken_over.child is None
    stop_server(taken_over)
    assert first.child and first.child.wait() == 0
    again = start_server(cluster)
    with psycopg.connect(again.conninfo) as connection:
        assert connection.execute("SELECT * FROM kept").fetchall() == []
    stop_server(again)


def test_one_that_was_killed_is_started_again_once_the_last_of_it_has_gone(cluster: Path) -> None:
    killed = start_server(cluster)
    with psycopg.connect(killed.conninfo, autocommit=True) as connection:
        connection.pgconn.send_query(b"DO 'BEGIN FOR i IN 1..30000000 LOOP NULL; END LOOP; END'")
        busy = psutil.Process(connection.info.backend_pid)
        killed.process.kill()
        assert killed.child
        killed.child.wait()
        assert not gone(busy)
        again = start_server(cluster)
        assert gone(busy)
        assert again.process != killed.process
        stop_server(again)
        connection.pgconn.finish()


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_the_mark_of_a_server_whose_pid_somebody_else_has_by_now_is_no_hindrance(cluster: Path) -> None:
    started = int(psutil.Process().create_time())
    (cluster / "postmaster.pid").write_text(f"{os.getpid()}\n{cluster}\n{started}\n5432\n")
    stop_server(start_server(cluster))


def test_neither_a_path_too_long_for_a_socket_nor_what_was_cut_off_while_it_was_set_up_is_a_hindrance(
    tmp_path: Path,
) -> None:
    data = tmp_path / ("x" * 100) / "lab"
    half = data.with_name("lab.new")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = start_server(data)
    try:
        assert setting(server, "server_version_num") >= "180000"
        assert not half.exists()
        sockets = Path(str(psycopg.conninfo.conninfo_to_dict(server.conninfo)["host"]))
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    finally:
        stop_server(server)
    assert not sockets.exists()


def test_a_server_that_ends_at_once_is_quoted(cluster: Path) -> None:
    with pytest.raises(CannotEmbed, match=r"ended at once.*FATAL.*no_such_setting"):
        start_server(cluster, {"no_such_setting": "1"})


def test_a_server_that_cannot_be_had_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "find_spec", lambda name: None)
    with pytest.raises(CannotEmbed, match=r"pip install 'wesley-console\[embedded\]'"):
        start_server(tmp_path / "lab")
    assert not (tmp_path / "lab").exists()


def test_signals_of_the_terminal_do_not_reach_it(cluster: Path) -> None:
    server = start_server(cluster)
    try:
        assert os.getsid(server.process.pid) != os.getsid(0)
        assert os.getpgid(server.process.pid) != os.getpgid(0)
    finally:
        stop_server(server)
    assert not server.process.is_running()


def test_one_that_hangs_is_ended_all_the_same(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_STOP_S", 0.3)
    server = start_server(cluster)
    server.process.send_signal(signal.SIGSTOP)
    children = server.process.children()
    stop_server(server)
    assert not server.process.is_running()
    psutil.wait_procs(children, timeout=10)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_what_root_alone_can_reach_is_copied_once_for_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_spec(EMBEDDED_PACKAGE)
    assert found and found.origin
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    for name in (EMBEDDED_PACKAGE, f"{EMBEDDED_PACKAGE}.libs"):
        (hidden / name).symlink_to(Path(found.origin).parents[1] / name)
    there = SimpleNamespace(origin=str(hidden / EMBEDDED_PACKAGE / "__init__.py"))
    monkeypatch.setattr(programs, "find_spec", lambda name: there)
    with tempfile.TemporaryDirectory() as places:
        Path(places).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", places)
        copied = server_programs(server_account())
        assert copied.is_relative_to(places)
        assert server_programs(server_account()) == copied
        stop_server(start_server(tmp_path / "lab"))

        (place,) = Path(places).iterdir()
        os.chown(place, 1, 1)
        with pytest.raises(CannotEmbed, match="not root's own"):
            server_programs(server_account())
