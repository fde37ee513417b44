"""`verify`: is everything there, and is it what was written?"""

from typing import TYPE_CHECKING

from console.commands.options import found_run
from console.exits import Exit, say
from engine.journal.history import read_history
from engine.journal.integrity import verify_run
from engine.journal.journal import Journal
from engine.journal.naming import typed_name
from engine.journal.salvage import fork_offer

if TYPE_CHECKING:
    from console.cli import Where


def verify_state(wanted: str, where: "Where") -> Exit:
    rundir = found_run(where, wanted)
    report = verify_run(rundir)
    if report.ok:
        with Journal.open(rundir, readonly=True, check=False) as journal:
            read_history(journal)
        noun = "checkpoint" if report.checkpoints == 1 else "checkpoints"
        print(f"{rundir.id}: sound: {report.events} events, {report.checkpoints} {noun}")
        print(f"  hash of the last event: {report.head_hash}")
        return Exit.OK
    say(f"{rundir.id}: damaged; the last good point is {report.last_good}")
    for finding in report.findings:
        say(f"  {finding}")
    if offer := fork_offer(rundir, report):
        say(f"  go on in a new run with: wesley-console resume {typed_name(rundir.path)} --from {offer}")
    return Exit.REFUSED
