"""`runs`: what there is in the state directory, read without opening any run."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from console.commands.options import runs_dir
from console.exits import Exit
from engine.journal.errors import JournalError, NeverStarted
from engine.journal.journal import Journal
from engine.journal.ownership import live_owner
from engine.journal.rundir import RunDir, list_runs
from engine.machine import events as ev

if TYPE_CHECKING:
    from console.cli import Where

_STATUS_OF: dict[type[ev.Event], str] = {
    ev.RunStarted: "running",
    ev.RunResumed: "running",
    ev.RunPausing: "pausing",
    ev.RunPaused: "paused",
    ev.RollbackStarted: "rolling_back",
}
"""The run status that an event leaves behind; `run_finished` says it itself."""
_CUT_OFF = "never started"
"""The status of a run whose engine was killed before the first event."""


def list_all(where: "Where", *, as_json: bool) -> Exit:
    found = [_summary(rundir) for rundir in list_runs(runs_dir(where))]
    found.sort(key=lambda run: run.get("started_at", ""), reverse=True)
    if as_json:
        print(json.dumps(found, indent=2))
    elif not found:
        print(f"no runs in {runs_dir(where)}")
    else:
        _print_table(found)
    return Exit.OK


def _summary(rundir: RunDir) -> dict[str, Any]:
    """What a line of the list says. A run that cannot be read is listed with the reason, not left out."""
    summary: dict[str, Any] = {"run": rundir.id, "path": str(rundir.path)}
    try:
        with Journal.open(rundir, readonly=True, check=False) as journal:
            first = next(iter(journal.read(1, 1)), None)
            last = journal.newest(*_STATUS_OF, ev.RunFinished)
        owner = live_owner(rundir)
    except NeverStarted:
        return summary | {"status": _CUT_OFF}
    except JournalError as error:
        return summary | {"status": "unreadable", "problem": str(error)}
    if first is None or last is None or not isinstance(first.event, ev.RunStarted):
        return summary | {"status": _CUT_OFF}
    started, event = first.event, last.event
    finished = event if isinstance(event, ev.RunFinished) else None
    return summary | {
        "plan": started.plan,
        "model": started.model,
        "simulated": started.simulated,
        "status": finished.status if finished else _STATUS_OF[type(event)],
        "started_at": _iso(started.at),
        "finished_at": _iso(finished.at) if finished else None,
        "owner": owner.describe() if owner else None,
    }


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _print_table(found: list[dict[str, Any]]) -> None:
    width = max(len(run["run"]) for run in found)
    for run in found:
        status = run["status"]
        if status in ("running", "pausing", "paused", "rolling_back") and not run["owner"]:
            status += " (no engine: resume it)"
        started = run.get("started_at", "")[:19].replace("T", " ")
        print(f"{run['run']:<{width}}  {started:<19}  {run.get('plan', '')}: {status.replace('_', ' ')}")
