"""The witness beside the journal: which event was acknowledged last, in a small file of fixed size.

SQLite forgets silently: with its write-ahead log lost, cut, or one bit of it flipped, it opens as it was
some commits ago and calls itself sound. Checkpoints testify against that, but only up to the last of them.
So after each commit the new head is also written here, in place and without an fsync: a killed engine
loses nothing by that, and after a power cut the witness is at worst older than the journal, never newer.
A journal that ends before its witness has lost acknowledged events.
"""

import os
from pathlib import Path

import msgspec

from engine.journal.rundir import fsync_dir

_SIZE = 400  # within one disk sector, so that no power cut leaves half of it
_READS = 100


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """`seq` and `hash` (hex) of the last acknowledged event of run `run`; 0 and the genesis hash before any.

    `closed`: the journal was closed in good order, with its write-ahead log folded back and removed.
    """

    run: str
    epoch: int
    seq: int
    hash: str
    closed: bool = False


class HeadUnreadable(ValueError):
    pass


def create_head(path: Path, head: Head) -> None:
    """Write a new witness, whole or not at all, and durably. Raises OSError."""
    new = path.with_name(f"{path.name}.new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_head(fd, head)
        os.fsync(fd)
    finally:
        os.close(fd)
    new.rename(path)
    fsync_dir(path.parent)


def write_head(fd: int, head: Head) -> None:
    """Put `head` in place of the old witness. Raises OSError, and then the old one may still stand."""
    os.pwrite(fd, msgspec.json.encode(head).ljust(_SIZE - 1) + b"\n", 0)


def read_head(path: Path) -> Head:
    """The witness. Raises FileNotFoundError, other OSErrors, or HeadUnreadable.

    Two equal readings in a row are asked for, since an engine may be writing it at this moment.
    """
    before = path.read_bytes()
    for _ in range(_READS):
        now = path.read_bytes()
        if now == before:
            break
        before = now
    try:
        return msgspec.json.decode(before, type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HeadUnreadable(str(error)) from error
