"""Crash points: every call by which a process changes a file, found without touching the program.

They are found where the program meets the system: the functions of `os` that write, rename or remove,
the statements that end a transaction, the moments around a child process being written down, and each
single write inside of SQLite, where its library lets system calls be replaced (as it does on most
systems). A process that is armed counts them, and ends itself by SIGKILL just before the one it was
told; or in its middle, with half of the bytes written.
"""

import _sqlite3
import ctypes
import os
import re
import signal
import sqlite3
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from engine.runner.processes import Processes
from engine.tasks.base import ProcessMark

Tear = Callable[[], object]


class Kill(NamedTuple):
    """Where a process is killed: at its `at`-th point, from 1; `torn`: in the middle of it."""

    at: int
    torn: bool = False


class Point(NamedTuple):
    """`name` says what was about to happen to which file; `tears`: whether it can be cut in the middle."""

    name: str
    tears: bool


class Armed:
    """The points that this process has come to. Armed once, and for ever."""

    def __init__(self, kill: Kill | None, dying: Callable[[Point], None]) -> None:
        self.points: list[Point] = []
        self._kill = kill
        self._dying = dying
        self._wrap_os()
        self._wrap_processes()
        self._wrap_transactions()
        self.within_sqlite = self._wrap_sqlite()

    def reach(self, name: str, tear: Tear | None = None) -> None:
        point = Point(re.sub(r"\d+", "N", name), tear is not None)
        self.points.append(point)
        if self._kill and len(self.points) == self._kill.at:
            if self._kill.torn and tear:
                tear()
            self._dying(point)
            os.kill(os.getpid(), signal.SIGKILL)

    def _wrap_os(self) -> None:
        for name in ("mkdir", "rename", "replace", "unlink", "ftruncate", "pwrite"):
            setattr(os, name, self._counted(name, getattr(os, name)))
        real_open, real_fsync = os.open, os.fsync

        def opening(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
            if flags & os.O_CREAT and not os.path.exists(path):
                self.reach(f"create {os.path.basename(path)}")
            return real_open(path, flags, *arguments, **named)

        def syncing(fd: int) -> None:
            # What was written before it may be there in part only.
            half = os.fstat(fd).st_size // 2
            is_file = stat.S_ISREG(os.fstat(fd).st_mode)
            self.reach(f"fsync {_name(fd)}", (lambda: real_truncate(fd, half)) if is_file else None)
            real_fsync(fd)

        real_truncate = os.truncate
        os.open, os.fsync = opening, syncing  # type: ignore[assignment]

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(what: Any, *arguments: Any, **named: Any) -> Any:
            self.reach(f"{name} {_name(what) if isinstance(what, int) else os.path.basename(what)}")
            return call(what, *arguments, **named)

        return counted

    def _wrap_processes(self) -> None:
        remember = Processes.remember

        def remembering(processes: Processes, mark: ProcessMark) -> None:
            what = f"a process that {'runs' if mark.pid else 'will be started'}"
            self.reach(f"before {what} is written down")
            remember(processes, mark)
            self.reach(f"after {what} is written down")

        Processes.remember = remembering  # type: ignore[method-assign, assignment]

    def _wrap_transactions(self) -> None:
        reach = self.reach

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
                if sql not in ("COMMIT", "ROLLBACK"):
                    return super().execute(sql, *arguments)
                reach(f"before {sql}")
                cursor = super().execute(sql, *arguments)
                reach(f"after {sql}")
                return cursor

        connect = sqlite3.connect

        def connecting(*arguments: Any, **named: Any) -> sqlite3.Connection:
            return connect(*arguments, factory=Connection, **named)

        sqlite3.connect = connecting  # type: ignore[assignment]

    # -- inside of SQLite ----------------------------------------------------------------------------

    def _wrap_sqlite(self) -> bool:
        """Have SQLite call us before it writes, truncates or removes; whether it can be made to."""
        try:
            vfs = _default_vfs()
        except (OSError, AttributeError):
            return False
        self._kept = [vfs.replace(name, self._sqlite_call(name)) for name in _Vfs.CALLS]
        return any(self._kept)

    def _sqlite_call(self, name: str) -> Callable[..., Callable[..., int]]:
        def made(real: Callable[..., int]) -> Callable[..., int]:
            def writing(fd: int, data: int, size: int, *offset: int) -> int:
                self.reach(f"SQLite: write {_name(fd)}", lambda: real(fd, data, size // 2, *offset))
                return real(fd, data, size, *offset)

            def truncating(fd: int, size: int) -> int:
                self.reach(f"SQLite: ftruncate {_name(fd)}")
                return real(fd, size)

            def unlinking(path: bytes) -> int:
                self.reach(f"SQLite: unlink {os.path.basename(path.decode())}")
                return real(path)

            return {"ftruncate": truncating, "unlink": unlinking}.get(name, writing)

        return made


def _name(fd: int) -> str:
    with suppress(OSError):
        return os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
    return "?"


_P, _I, _L = ctypes.c_void_p, ctypes.c_int, ctypes.c_ssize_t


class _Vfs(ctypes.Structure):
    """SQLite's `sqlite3_vfs`, version 3."""

    _fields_ = (
        *((name, _I) for name in ("iVersion", "szOsFile", "mxPathname")),
        *(
            (name, _P)
            for name in ("pNext", "zName", "pAppData", "xOpen", "xDelete", "xAccess", "xFullPathname")
        ),
        *((name, _P) for name in ("xDlOpen", "xDlError", "xDlSym", "xDlClose", "xRandomness", "xSleep")),
        *((name, _P) for name in ("xCurrentTime", "xGetLastError", "xCurrentTimeInt64")),
        *((name, _P) for name in ("xSetSystemCall", "xGetSystemCall", "xNextSystemCall")),
    )
    CALLS = {  # noqa: RUF012  # a constant beside ctypes' own
        "write": ctypes.CFUNCTYPE(_L, _I, _P, ctypes.c_size_t),
        "pwrite": ctypes.CFUNCTYPE(_L, _I, _P, ctypes.c_size_t, ctypes.c_int64),
        "pwrite64": ctypes.CFUNCTYPE(_L, _I, _P, ctypes.c_size_t, ctypes.c_int64),
        "ftruncate": ctypes.CFUNCTYPE(_I, _I, ctypes.c_int64),
        "unlink": ctypes.CFUNCTYPE(_I, ctypes.c_char_p),
    }

    def replace(self, name: str, make: Callable[[Callable[..., int]], Callable[..., int]]) -> Any:
        """Have system call `name` made by what `make` makes of the real one; must be kept alive."""
        this, called = ctypes.byref(self), name.encode()
        real = ctypes.CFUNCTYPE(_P, _P, ctypes.c_char_p)(self.xGetSystemCall)(this, called)
        if not real:
            return None
        kind = self.CALLS[name]
        ours = kind(make(kind(real)))
        ctypes.CFUNCTYPE(_I, _P, ctypes.c_char_p, _P)(self.xSetSystemCall)(this, called, ours)
        return ours


def _default_vfs() -> _Vfs:
    """Raises OSError or AttributeError where the library's functions cannot be called from outside."""
    find = ctypes.CDLL(_sqlite3.__file__).sqlite3_vfs_find
    find.restype = ctypes.POINTER(_Vfs)
    vfs: _Vfs = find(None).contents
    if vfs.iVersion < 3:
        raise AttributeError("xSetSystemCall")
    return vfs
