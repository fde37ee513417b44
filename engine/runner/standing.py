"""What can be done to a run that no engine is carrying out."""

from datetime import UTC, datetime

from engine.journal.checkpoints import write_checkpoint
from engine.journal.history import read_history
from engine.journal.journal import Journal
from engine.journal.ownership import own
from engine.journal.rundir import RunDir
from engine.machine.checkpoints import content_of, next_id
from engine.machine.events import CheckpointSaved
from engine.machine.transitions import RunStatus, TaskStatus


class NothingToSave(Exception):
    """The run is complete, or was never started: there is nothing that a checkpoint could hold open."""


def checkpoint_standing(rundir: RunDir, actor: str) -> CheckpointSaved:
    """Take a checkpoint of a run that stands still, without starting anything.

    Raises NothingToSave, and what owning and opening the run raises."""
    with own(rundir), Journal.open(rundir) as journal:
        state = read_history(journal).state
        if not state.started or state.status is RunStatus.COMPLETED:
            how = state.status if state.started else "not started"
            raise NothingToSave(f"run {rundir.id} is {how}: there is nothing to take a checkpoint of")
        now = datetime.now(UTC)
        position_hash = journal.hash_at(state.seq)
        checkpoint = next_id(state)
        file = write_checkpoint(
            rundir, checkpoint, "manual", state.seq, position_hash, content_of(state), now
        )
        saved = CheckpointSaved(
            seq=state.seq + 1,
            t=state.t,
            at=now,
            checkpoint=checkpoint,
            trigger="manual",
            position=state.seq,
            position_hash=position_hash,
            completed=state.counts[TaskStatus.SUCCEEDED],
            stable=state.stable,
            file=file,
            note=f"asked for by {actor}, while no engine ran",
        )
        journal.append([saved])
        return saved
