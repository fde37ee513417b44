"""Who owns a run. One engine at a time, by a lock of the kernel: it is held exactly as long as the process
lives, so a dead owner needs no judging, and a living one cannot be talked away. What the lock file says is
for people only; the epoch in the journal fences an owner whose lock file was removed behind its back.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from engine.journal.errors import Owned, StateDirUnusable
from engine.journal.rundir import RunDir
from engine.machine.events import Engine

_TRIES = 10
_PAUSE_S = 0.02
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Owner(Engine, frozen=True, kw_only=True):
    """An engine, and since when it has owned the run (wall clock, UTC). Pid 0: it has not said yet."""

    since: datetime

    def describe(self) -> str:
        if not self.pid:
            return "an engine that has not said who it is"
        since = self.since.strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"pid {self.pid} on {self.host}, since {since} (version {self.version})"


_EPOCH = datetime.fromtimestamp(0, UTC)
_NAMELESS = Owner(pid=0, host="", boot_id="", process_started=0.0, version="", since=_EPOCH)


class Ownership:
    """Held from `own` until `release`, the end of the `with` block, or the death of the process."""

    def __init__(self, rundir: RunDir, fd: int, owner: Owner) -> None:
        self.rundir = rundir
        self.owner = owner
        self._fd: int | None = fd

    def release(self) -> None:
        """Give the run up. Releasing twice is once."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def own(rundir: RunDir) -> Ownership:
    """Become the owner of the run. Raises Owned with the owner's identity, or StateDirUnusable."""
    try:
        # Not inherited by tasks (PEP 446), so that none of them keeps the run owned after the engine's end.
        fd = os.open(rundir.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            if not _locked(fd):
                raise Owned(_identity(fd), rundir.path)
            owner = Owner(**msgspec.structs.asdict(this_engine()), since=datetime.now(UTC))
            os.ftruncate(fd, 0)
            os.pwrite(fd, msgspec.json.encode(owner) + b"\n", 0)
        except BaseException:
            os.close(fd)
            raise
    except OSError as error:
        raise StateDirUnusable(rundir.lock, error) from error
    return Ownership(rundir, fd, owner)


@contextmanager
def kept_unowned(rundir: RunDir) -> Iterator[None]:
    """Keep every engine from owning the run while the block is run, and change nothing. Raises Owned."""
    try:
        fd = os.open(rundir.lock, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield  # nobody has ever owned it
        return
    except OSError as error:
        raise StateDirUnusable(rundir.lock, error) from error
    try:
        if not _locked(fd, fcntl.LOCK_SH):
            raise Owned(_identity(fd), rundir.path)
        yield
    finally:
        os.close(fd)


def live_owner(rundir: RunDir) -> Owner | None:
    """The engine that owns the run at this moment, or None. Keeps nobody from owning it."""
    try:
        fd = os.open(rundir.lock, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateDirUnusable(rundir.lock, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _identity(fd)
    finally:
        os.close(fd)
    return None


def this_engine() -> Engine:
    """Who this process is: enough to tell it from a later one with the same pid."""
    import psutil  # late: listing runs needs none of it

    return Engine(
        pid=os.getpid(),
        host=socket.gethostname(),
        boot_id=_BOOT_ID.read_text().strip() if _BOOT_ID.exists() else str(int(psutil.boot_time())),
        process_started=psutil.Process().create_time(),
        version=version("wesley-console"),
    )


def _locked(fd: int, how: int = fcntl.LOCK_EX) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            # It may be somebody's `live_owner`, which holds the lock for an instant while it looks.
            time.sleep(_PAUSE_S)
    return False


def _identity(fd: int) -> Owner:
    """What the holder of the lock wrote down; a new owner does so right after it took the lock."""
    for _ in range(_TRIES):
        try:
            return msgspec.json.decode(os.pread(fd, 65536, 0), type=Owner)
        except (msgspec.DecodeError, UnicodeDecodeError):
            time.sleep(_PAUSE_S)
    return _NAMELESS
