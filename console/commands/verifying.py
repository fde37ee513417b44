"""`verify`: is everything there, and is it what was written?"""

from typing import TYPE_CHECKING

from console.commands.options import found_run
from console.exits import Exit, say
from engine.journal.integrity import verify_run

if TYPE_CHECKING:
    from console.cli import Where


def verify_state(wanted: str, where: "Where") -> Exit:
    rundir = found_run(where, wanted)
    report = verify_run(rundir)
    if report.ok:
        noun = "checkpoint" if report.checkpoints == 1 else "checkpoints"
        print(f"{rundir.id}: sound: {report.events} events, {report.checkpoints} {noun}")
        print(f"  hash of the last event: {report.head_hash}")
        return Exit.OK
    say(f"{rundir.id}: damaged; the last good point is {report.last_good}")
    for finding in report.findings:
        say(f"  {finding}")
    return Exit.REFUSED
