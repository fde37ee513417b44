"""Going on with a damaged run in a new one, from a checkpoint up to which its history is proven."""

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from engine.journal.errors import RunLookupError, StateRefused
from engine.journal.integrity import verify_run
from engine.journal.journal import Journal
from engine.journal.making import install_journal
from engine.journal.naming import typed_name
from engine.journal.ownership import kept_unowned
from engine.journal.rundir import RunDir, assembled_run_dir, list_runs, run_dir
from engine.journal.salvage import Salvage, salvage
from engine.journal.store import Row, link
from engine.machine.events import RunForked, encode_event
from engine.machine.forking import Fork, fork, outlook

_LONGEST_ID = 100
_SHORTEST_ID = 50
"""So much of the original's id is in that of a fork at the least."""


class NothingToFork(Exception):
    """The run is sound: what is done of it can be gone on with as it is, or rolled back."""


class AlreadyForked(RunLookupError):
    def __init__(self, origin: str, fork: str, path: Path) -> None:
        super().__init__(
            f"run {origin} is gone on with already, in {fork}",
            where=path,
            why="two runs in the stead of one would each know nothing of what the other has done",
            do=f"go on with that one: wesley-console resume {typed_name(path)}",
        )


class Forked(NamedTuple):
    """A fork: where it is, how many tasks are in doubt in it, and how many were proven to be done."""

    rundir: RunDir
    doubted: int
    done: int


def fork_run(origin: RunDir, checkpoint: str, state: Path, actor: str) -> Forked:
    """Make a new run in the state directory that goes on with `origin` from its checkpoint.

    The original is not touched. The new run holds the history up to the checkpoint, byte for byte and so with
    the same chain, and then what makes it a run of its own: `run_forked`, with every task in doubt that may
    have gone on behind the checkpoint. It appears under its name whole or not at all.
    Raises NothingToFork, CannotFork, Owned, RunExists, StateDirUnusable, and as `verify_run`."""
    with kept_unowned(origin):
        report = verify_run(origin)
        if report.ok:
            raise NothingToFork(
                f"run {origin.id} is sound: resume it without --from, or roll it back to {checkpoint}"
            )
        found = salvage(origin, checkpoint, report)
        forked = found.past[-1].run
        _refuse_second(forked, state)
        new = run_dir(state, _id(forked, checkpoint))
        carried = _carried(found, report.good_checkpoints)
        made = Fork(
            run=new.id,
            past=found.past,
            actor=actor,
            checkpoint=checkpoint,
            trigger=found.checkpoint.trigger,
            position_hash=found.checkpoint.hash,
            file=f"{checkpoint}.json",
            lost=tuple(each for each in found.state.checkpoints if each not in carried),
        )
        seen = outlook(found.state, found.later, found.hidden)
        rows = list(found.rows)
        for event in fork(found.state, seen, made, datetime.now(UTC)):
            body = encode_event(event)
            rows.append(Row(event.seq, event.kind, body, link(rows[-1].hash, body)))
        with assembled_run_dir(state, new.id) as draft:
            install_journal(draft, structs.replace(found.meta, epoch=0), found.plan, rows)
            for each in carried:
                _copy(origin.checkpoints / f"{each}.json", draft.checkpoints / f"{each}.json")
    return Forked(new, len(seen.doubted) - len(seen.done), len(seen.done))


def _refuse_second(origin: str, state: Path) -> None:
    """Two runs that go on for one would each know nothing of what the other does."""
    for run in list_runs(state):
        if not (run.id.startswith(origin[:_SHORTEST_ID]) and "-from-" in run.id) or run.id == origin:
            continue
        with suppress(StateRefused), Journal.open(run, readonly=True, check=False) as journal:
            forked = journal.newest(RunForked)
            if forked and isinstance(forked.event, RunForked) and forked.event.origin == origin:
                raise AlreadyForked(origin, run.id, run.path)


def _id(origin: str, checkpoint: str) -> str:
    suffix = f"-from-{checkpoint}"
    return origin[: _LONGEST_ID - len(suffix)] + suffix


def _carried(found: Salvage, sound: tuple[str, ...]) -> list[str]:
    """The checkpoints that go over: those saved up to this one whose files are sound, and this one."""
    earlier = [each for each in sound if each in found.state.checkpoints]
    return [*earlier, found.checkpoint.id]


def _copy(source: Path, target: Path) -> None:
    """Copy a file, durably. Raises OSError."""
    with target.open("xb") as file:
        file.write(source.read_bytes())
        file.flush()
        os.fsync(file.fileno())
