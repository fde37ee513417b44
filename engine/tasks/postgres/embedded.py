"""Embedded servers: a private PostgreSQL, from the optional extra, whose data lie in a run's directory.

A server is its engine's, but not its child's: it survives a `kill -9` of the engine, and is taken over.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from engine.tasks.postgres.programs import Account, CannotEmbed, server_account, server_programs

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "dynamic_shared_memory_type": "mmap",  # containers have little room in /dev/shm
    "timezone": "UTC",
    "log_timezone": "UTC",
}
"""Beside PostgreSQL's own defaults, which are safe: no network, and nobody but its user reaches it."""

_SUPERUSER = "postgres"
_SOCKET = ".s.PGSQL.5432"
_SOCKET_PATH_BYTES = 103
"""The longest path that a socket may have on every system."""
_LEFTOVERS = "shared memory block"
"""What a server complains of while sessions of a killed one are still busy: they end by themselves."""
_START_S = 60.0
_STOP_S = 10.0
_PAUSE_S = 0.03


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs. `conninfo` reaches it as its superuser; `child` is its process where it was started
    by this engine, and not found running."""

    data: Path
    conninfo: str
    process: psutil.Process
    child: "subprocess.Popen[bytes] | None"


def start_server(data: Path, settings: Mapping[str, str] = SETTINGS) -> Server:
    """The server whose data lie in the folder `data`: the one that still runs there, or else a new one.

    A folder that is not there is created, with an empty cluster. Blocks until the server answers. Raises
    CannotEmbed."""
    account = server_account()
    programs = server_programs(account)
    if not data.exists():
        _create(data, programs, account)
    _forget_another(data)
    sockets = _socket_folder(data, account)
    conninfo = f"host={_quoted(str(sockets))} user={_SUPERUSER} dbname=postgres"
    give_up_at = time.monotonic() + _START_S
    started: subprocess.Popen[bytes] | None = None
    while (answer := _answer(conninfo)) is not None:
        if started is not None and started.poll() is not None:
            said = _last_words(data, started.pid)
            if _LEFTOVERS not in said:
                raise CannotEmbed(f"the embedded server ended at once: {said}")
            answer, started = said, None
        if time.monotonic() > give_up_at:
            raise CannotEmbed(f"the embedded server does not answer: {answer}")
        if started is None and _postmaster(data) is None:
            started = _spawn(programs, data, sockets, settings, account)
        time.sleep(_PAUSE_S)
    process = _postmaster(data)
    if process is None:
        raise CannotEmbed(f"another server answers at {sockets / _SOCKET}; end it, or remove that file")
    return Server(data, conninfo, process, started)


def has_ended(server: Server) -> bool:
    """Whether the server runs no more."""
    if server.child:
        return server.child.poll() is not None
    return _postmaster(server.data) != server.process


def stop_server(server: Server) -> None:
    """End the server: its sessions are cut off, and what they had not committed is rolled back. Blocks until
    it has gone."""
    for order in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with suppress(psutil.NoSuchProcess):
            server.process.send_signal(order)
            try:
                server.process.wait(_STOP_S)
            except psutil.TimeoutExpired:
                continue
        break
    if server.child:
        server.child.wait()
    sockets = _socket_folder_of(server.data)
    if sockets != server.data:
        shutil.rmtree(sockets, ignore_errors=True)


def _create(data: Path, programs: Path, account: Account) -> None:
    """Make an empty cluster. It gets its name when it is complete, so one that was cut off is never used."""
    new = data.with_name(f"{data.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True)
    account.give(new)
    command = [str(programs / "initdb"), "-D", account.where(new), "-U", _SUPERUSER, "--auth=trust"]
    command += ["--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    done = subprocess.run(command, cwd=new, capture_output=True, text=True, check=False, **account.process())
    if done.returncode:
        raise CannotEmbed(f"an embedded server cannot be set up in {data}: {done.stderr.strip()}")
    new.rename(data)


def _spawn(
    programs: Path, data: Path, sockets: Path, settings: Mapping[str, str], account: Account
) -> "subprocess.Popen[bytes]":
    """Start the server in a session of its own: what ends the engine at once does not end it."""
    folder = account.where(data) if sockets == data else str(sockets)
    command = [str(programs / "postgres"), "-D", account.where(data)]
    command += ["-c", f"unix_socket_directories={folder}"]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with _log(data).open("ab") as log:
        return subprocess.Popen(
            command, cwd=data, stdout=log, stderr=log, start_new_session=True, **account.process()
        )


def _postmaster(data: Path) -> psutil.Process | None:
    """The server's own process, if it runs."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        # A pid is used again, after a reboot at the latest; so name and start have to fit, too.
        started = abs(process.create_time() - int(lines[2])) < 5 and process.name() == "postgres"
        return process if started and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def _forget_another(data: Path) -> None:
    """Remove the mark of a server that is gone if its pid has been given to another process: PostgreSQL goes
    by the pid alone, and would refuse to start."""
    mark = data / "postmaster.pid"
    with suppress(OSError, ValueError):
        if psutil.pid_exists(int(mark.read_text().split()[0])) and _postmaster(data) is None:
            mark.unlink()


def _answer(conninfo: str) -> str | None:
    """None if the server takes connections, else why not."""
    import psycopg

    try:
        psycopg.connect(conninfo, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        return str(error).strip()
    return None


def _socket_folder(data: Path, account: Account) -> Path:
    folder = _socket_folder_of(data)
    if folder != data:
        folder.mkdir(mode=0o700, exist_ok=True)
        owners = {os.geteuid(), account.user.pw_uid if account.user else os.geteuid()}
        if folder.is_symlink() or folder.stat().st_uid not in owners:
            raise CannotEmbed(f"{folder} belongs to somebody else; remove it, or set another TMPDIR")
        account.give(folder)
    return folder


def _socket_folder_of(data: Path) -> Path:
    """Where the server's socket is: with the data, unless its path would be longer than a socket's may be."""
    if len(os.fsencode(data / _SOCKET)) <= _SOCKET_PATH_BYTES:
        return data
    return Path(tempfile.gettempdir()) / f"wesley-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"


def _log(data: Path) -> Path:
    return data.with_name(f"{data.name}.log")


def _last_words(data: Path, pid: int) -> str:
    """What the server with this pid ended with."""
    lines = _log(data).read_text(errors="replace").splitlines()
    return next((line for line in reversed(lines) if f"[{pid}] FATAL:" in line), "it said nothing")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
