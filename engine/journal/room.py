"""Telling a lack of room from a broken disk, by trying: SQLite reports both as a failed write."""

import errno
import os
import tempfile

from engine.journal.rundir import RunDir

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TRIED = bytes(65536)


def is_no_room(error: BaseException | None) -> bool:
    """Whether `error` says that there is no room, rather than that something is broken."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def no_room(rundir: RunDir) -> bool:
    """Whether a file in the run directory cannot grow where the journal's files end now.

    A full disk, a quota and a limit on the size of files all count; any other failure does not.
    """
    try:
        end = max(path.stat().st_size for path in (rundir.journal, rundir.wal))
        with tempfile.TemporaryFile(dir=rundir.path) as scratch:
            written = os.pwrite(scratch.fileno(), _TRIED, end)
            os.fsync(scratch.fileno())
    except OSError as error:
        return is_no_room(error)
    return written < len(_TRIED)
