"""Checkpoint files: what a run stood at, with the journal's position and hash there as a witness.

A file is written whole or not at all, and carries the digest of its own bytes.
"""

import os
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from engine.journal.errors import CheckpointUnwritable
from engine.journal.rundir import RunDir, fsync_dir
from engine.journal.store import digest
from engine.journal.witness import HeadUnreadable, read_head
from engine.machine.events import Trigger

CHECKPOINT_FORMAT = 1

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint file holds. `position` is the event it stands at, `hash` (hex) the journal's there.

    `content` is the published one: timestamp, version, completed, running, frontier, outputs, resources and
    metrics.
    """

    format: int
    id: str
    run: str
    trigger: Trigger
    position: int
    hash: str
    at: datetime
    content: dict[str, Any]


class CheckpointUnreadable(ValueError):
    """The file is not a sound checkpoint; the message says why."""


class CheckpointTooNew(CheckpointUnreadable):
    pass


class _Sealed(msgspec.Struct, frozen=True, kw_only=True):
    digest: str
    checkpoint: msgspec.Raw


class _Version(msgspec.Struct):
    format: int


def write_checkpoint(
    rundir: RunDir,
    checkpoint_id: str,
    trigger: Trigger,
    position: int,
    position_hash: str,
    content: dict[str, Any],
    at: datetime,
) -> str:
    """Write a checkpoint durably; the name of its file. Event `position` is durable already.

    Raises CheckpointUnwritable, and then none was saved.
    """
    if not _SAFE_ID.fullmatch(checkpoint_id):
        raise ValueError(f"{checkpoint_id!r} cannot be the name of a checkpoint")
    path = rundir.checkpoints / f"{checkpoint_id}.json"
    try:
        checkpoint = Checkpoint(
            format=CHECKPOINT_FORMAT,
            id=checkpoint_id,
            run=read_head(rundir.head).run,
            trigger=trigger,
            position=position,
            hash=position_hash,
            at=at,
            content=content,
        )
        body = msgspec.json.format(msgspec.json.encode(checkpoint), indent=2)
        _replace(path, b'{"digest": "%s",\n"checkpoint": %s}\n' % (digest(body).encode(), body))
    except (OSError, HeadUnreadable) as error:
        raise CheckpointUnwritable(path, error) from error
    return path.name


def read_checkpoint(rundir: RunDir, name: str) -> Checkpoint:
    """The checkpoint in file `name`. Raises FileNotFoundError, CheckpointTooNew or CheckpointUnreadable."""
    return _opened((rundir.checkpoints / name).read_bytes())


def list_checkpoints(rundir: RunDir) -> list[str]:
    """The names of the checkpoint files, sorted; unfinished ones are none."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(rundir.checkpoints) as entries:
        return sorted(e.name for e in entries if e.name.endswith(".json") and not e.name.startswith("."))
    return []


def kept(checkpoints: Iterable[tuple[str, str]], keep: int) -> set[str]:
    """Of (id, trigger) pairs, oldest first, the ids to keep: the newest `keep`, and all at barriers."""
    pairs = list(checkpoints)
    return {id for id, _ in pairs[max(len(pairs) - keep, 0) :]} | {
        id for id, trigger in pairs if trigger == "barrier"
    }


def prune(rundir: RunDir, keep: Collection[str]) -> list[str]:
    """Remove the checkpoint files whose id is not in `keep`, and what unfinished writes left; their names.

    Call it once the `checkpoint_saved` event that makes others superfluous is durable. Raises OSError.
    """
    names = {f"{checkpoint_id}.json" for checkpoint_id in keep}
    removed = [name for name in list_checkpoints(rundir) if name not in names]
    leftovers = [path.name for path in rundir.checkpoints.glob(".*.tmp")]
    for name in (*removed, *leftovers):
        (rundir.checkpoints / name).unlink(missing_ok=True)
    if removed:
        fsync_dir(rundir.checkpoints)
    return removed


def _replace(path: Path, data: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        unfinished.replace(path)
        fsync_dir(path.parent)
    except OSError:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def _opened(data: bytes) -> Checkpoint:
    try:
        sealed = msgspec.json.decode(data, type=_Sealed)
        body = bytes(sealed.checkpoint)
        if digest(body) != sealed.digest:
            raise CheckpointUnreadable("its bytes do not match the digest it carries")
        version = msgspec.json.decode(body, type=_Version).format
        if version > CHECKPOINT_FORMAT:
            raise CheckpointTooNew(f"its format is {version}, this program reads up to {CHECKPOINT_FORMAT}")
        return msgspec.json.decode(body, type=Checkpoint)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointUnreadable(f"it is not a checkpoint: {error}") from error
