"""`checkpoint`: take one now. The run's engine is asked where there is one; otherwise it is taken here."""

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from console.commands.options import actor, found_run
from console.exits import Exit, say
from engine.journal.journal import Journal
from engine.journal.ownership import live_owner, this_engine
from engine.journal.rundir import RunDir
from engine.machine.events import CheckpointFailed, CheckpointSaved

if TYPE_CHECKING:
    from console.cli import Where
    from engine.journal.ownership import Owner

_PATIENCE_S = 30.0
_ASK_AGAIN_S = 5.0
"""An engine that is only just starting does not listen yet."""
_POLL_S = 0.05


def take_checkpoint(wanted: str, where: "Where") -> Exit:
    rundir = found_run(where, wanted)
    owner = live_owner(rundir)
    return _ask(rundir, owner) if owner else _take_here(rundir)


def _ask(rundir: RunDir, owner: "Owner") -> Exit:
    """Ask the engine that owns the run, and wait until its checkpoint is in the journal."""
    if owner.host != this_engine().host:
        say(f"{rundir.id} is run by {owner.describe()}: ask there")
        return Exit.REFUSED
    with Journal.open(rundir, readonly=True, check=False) as journal:
        before, _ = journal.head()
        give_up_at = time.monotonic() + _PATIENCE_S
        ask_at = 0.0
        while (now := time.monotonic()) < give_up_at:
            if now >= ask_at:
                ask_at = now + _ASK_AGAIN_S
                with suppress(ProcessLookupError):
                    os.kill(owner.pid, signal.SIGUSR1)
            ended = live_owner(rundir) is None
            for record in journal.read(before + 1):
                event = record.event
                if isinstance(event, CheckpointSaved) and event.trigger == "manual":
                    return _told(event)
                if isinstance(event, CheckpointFailed) and event.trigger == "manual":
                    say(f"{rundir.id}: the checkpoint could not be written: {event.reason}")
                    return Exit.FAULT
            if ended:
                return _take_here(rundir)
            time.sleep(_POLL_S)
    say(f"{owner.describe()} has not taken a checkpoint within {_PATIENCE_S:.0f}s; look at its console")
    return Exit.FAULT


def _take_here(rundir: RunDir) -> Exit:
    from engine.runner.standing import checkpoint_standing

    return _told(checkpoint_standing(rundir, actor()))


def _told(event: CheckpointSaved) -> Exit:
    print(f"{event.checkpoint} is saved, at event {event.position}")
    return Exit.OK
