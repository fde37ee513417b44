"""What can be proven of a damaged run: its history up to a checkpoint, and of what came after it all that a
witness still speaks for.

A checkpoint holds the hash of the journal where it stands, and the chain starts from all that never changes
in a run. So events that are chained from that start to that hash are what was written, whatever else is
damaged. Behind the checkpoint, an event is proven where the chain leads to it without a break from there (up
to the last good point that the checks found), or from it to a witness: the head, or a later checkpoint.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from typing import NamedTuple

import msgspec

from engine.journal.checkpoints import Checkpoint, CheckpointUnreadable, read_checkpoint
from engine.journal.errors import CannotFork, JournalUnreadable
from engine.journal.report import VerifyReport
from engine.journal.rundir import RunDir
from engine.journal.store import FORMAT, Meta, Row, connect, digest, genesis, has_log, link, read_meta
from engine.journal.witness import Head, HeadUnreadable, read_head
from engine.machine.events import Event, Origin, RunForked, decode_event
from engine.machine.fold import replay
from engine.machine.forking import obstacle
from engine.machine.state import State
from engine.machine.transitions import ImpossibleEvent
from engine.plan.pinned import unpin


class Salvage(NamedTuple):
    """`rows` are the history up to `checkpoint`, and `state` what it amounts to. `later` are the events
    behind it that are proven, and `hidden` is how many there were that are not; None: nobody can tell.
    `past` are the run itself, as the last, and before it all those that it went on for."""

    meta: Meta
    plan: bytes
    checkpoint: Checkpoint
    rows: list[Row]
    state: State
    later: list[Event]
    hidden: int | None
    past: tuple[Origin, ...]


def fork_offer(rundir: RunDir, report: VerifyReport) -> str | None:
    """The newest checkpoint from which the run can be gone on with in another one, if there is any."""
    for checkpoint in reversed(report.good_checkpoints):
        try:
            salvage(rundir, checkpoint, report)
        except (CannotFork, JournalUnreadable):
            continue
        return checkpoint
    return None


def salvage(rundir: RunDir, checkpoint_id: str, report: VerifyReport) -> Salvage:
    """What is proven up to the checkpoint and behind it; `report` is what the checks say of the run.

    Raises CannotFork where the history up to the checkpoint is not proven, or ends where nothing can go on;
    JournalUnreadable where this process may not read the journal."""

    def refuse(why: str) -> CannotFork:
        return CannotFork(rundir.path, checkpoint_id, why, report.good_checkpoints)

    if checkpoint_id not in report.good_checkpoints:
        raise refuse(f"the run is not sound up to it; the last good point is {report.last_good}")
    try:
        checkpoint = read_checkpoint(rundir, f"{checkpoint_id}.json")
        with closing(connect(rundir.journal, "ro" if has_log(rundir) else "immutable")) as connection:
            meta = read_meta(connection)
            plans = [bytes(body) for (body,) in connection.execute("SELECT body FROM plan")]
            found = connection.execute("SELECT seq, kind, body, hash FROM events ORDER BY seq")
            rows = {row.seq: row for row in map(Row._make, found)}
    except (OSError, CheckpointUnreadable, msgspec.ValidationError, ValueError) as error:
        raise refuse(str(error)) from error
    except sqlite3.Error as error:
        raise JournalUnreadable(rundir.journal, error) from error
    identified = meta.format == FORMAT and genesis(meta).hex() == meta.genesis
    if not identified or [digest(plan) for plan in plans] != [meta.plan_digest]:
        raise refuse("the run's own identity, or its pinned plan, is not as it was written")
    history = _chained(rows, genesis(meta), checkpoint)
    if history is None:
        raise refuse("its hash is not that of the events before it")
    try:
        state = replay(State(unpin(plans[0])), (decode_event(row.body) for row in history))
    except (ImpossibleEvent, LookupError, ValueError) as error:
        raise refuse(f"the events before it do not make a run: {error}") from error
    head = _head(rundir, meta)
    witnesses = _witnesses(rundir, head, report)
    proven = _proven(rows, checkpoint.position, report.good_seq, witnesses)
    later = [decode_event(rows[seq].body) for seq in sorted(proven)]
    if why := obstacle(state, later):
        raise refuse(why)
    past = _past(rundir, meta, rows)
    if past is None:
        raise refuse("it went on for another run, and for which cannot be read any more")
    # Before it was forked itself, a run knows nothing of what was in doubt then.
    before_fork = state.run != past[-1].run
    return Salvage(
        meta=meta,
        plan=plans[0],
        checkpoint=checkpoint,
        rows=history,
        state=state,
        later=later,
        hidden=None if before_fork else _hidden(rows, checkpoint.position, head, proven),
        past=past,
    )


def _past(rundir: RunDir, meta: Meta, rows: dict[int, Row]) -> tuple[Origin, ...] | None:
    """All the runs that a fork of this one goes on for; None where that cannot be told."""
    forks = [row for row in rows.values() if row.kind == "run_forked" and _decodes(row)]
    if not forks and meta.run != rundir.id:
        return None
    before: tuple[Origin, ...] = ()
    run = meta.run
    if forks:
        forked: RunForked = decode_event(max(forks).body)
        before, run = forked.past, forked.run
    return (*before, Origin(run=run, path=str(rundir.path.absolute())))


def _chained(rows: dict[int, Row], start: bytes, checkpoint: Checkpoint) -> list[Row] | None:
    """The events up to the checkpoint, if they are chained from `start` to its hash."""
    history = []
    for seq in range(1, checkpoint.position + 1):
        row = rows.get(seq)
        start = link(start, row.body) if row else b""
        if row is None or row.hash != start:
            return None
        history.append(row)
    return history if start.hex() == checkpoint.hash else None


def _head(rundir: RunDir, meta: Meta) -> Head | None:
    try:
        head = read_head(rundir.head)
    except (OSError, HeadUnreadable):
        return None
    return head if head.run == meta.run else None


def _witnesses(rundir: RunDir, head: Head | None, report: VerifyReport) -> Iterable[tuple[int, str]]:
    """(position, hash) of everything that testifies to the history, and was not found to be damaged."""
    if head:
        yield head.seq, head.hash
    for checkpoint_id in report.sound_checkpoints:
        checkpoint = read_checkpoint(rundir, f"{checkpoint_id}.json")
        yield checkpoint.position, checkpoint.hash


def _proven(
    rows: dict[int, Row], position: int, good_seq: int, witnesses: Iterable[tuple[int, str]]
) -> set[int]:
    """Which events behind `position` are what was written: those up to the last good point, and those from
    which the chain leads without a break to a witness."""
    proven = {seq for seq in rows if position < seq <= good_seq}
    for seq, hash in witnesses:
        if seq not in rows or rows[seq].hash.hex() != hash:
            continue
        while seq > position and seq not in proven and _leads_here(rows, seq):
            proven.add(seq)
            seq -= 1
    return {seq for seq in proven if _decodes(rows[seq])}


def _leads_here(rows: dict[int, Row], seq: int) -> bool:
    before = rows.get(seq - 1)
    return before is not None and seq in rows and link(before.hash, rows[seq].body) == rows[seq].hash


def _decodes(row: Row) -> bool:
    try:
        event: Event = decode_event(row.body)
        return event.seq == row.seq
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _hidden(rows: dict[int, Row], position: int, head: Head | None, proven: set[int]) -> int | None:
    """How many events behind `position` are not proven. Only of a journal that was closed in good order is it
    certain where it ended: an engine that was killed may have written more than its witness says."""
    if head is None or not head.closed or head.seq < position:
        return None
    last = rows.get(head.seq)
    if last is None or last.hash.hex() != head.hash or max(rows) > head.seq:
        return None
    return head.seq - position - len(proven)
