"""`run`, `resume`, and the console on a plan."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from console.commands.options import actor, found_run, options_of, planned, require_terminal, runs_dir
from console.commands.replanning import LeftAsItIs, ask_about_plan, decision_of
from console.exits import Exit, exit_code, say
from engine.journal.rundir import RunDir, new_run_id
from engine.runner.opening import NothingToResume, OpenRun, new_run, require_startable, resumed_run
from engine.runner.signals import outlive_requests

if TYPE_CHECKING:
    from console.cli import NewRunFlags, PlanFlags, ResumeFlags, RunFlags, Where
    from engine.forecast.faults import Faults
    from engine.plan.load import LoadedPlan


def run_headless(
    path: Path,
    where: "Where",
    plan_flags: "PlanFlags",
    run_flags: "RunFlags",
    new: "NewRunFlags",
    *,
    as_json: bool,
) -> Exit:
    loaded, plan = planned(path, plan_flags)
    options = options_of(
        run_flags,
        new,
        faults=_faults(new, loaded),
        allow_outside=plan_flags.allow_outside,
        headless=True,
    )
    outlive_requests()
    with new_run(loaded, plan, runs_dir(where), new.run_id, options) as run:
        return _headless(run, as_json=as_json)


def _headless(run: OpenRun, *, as_json: bool) -> Exit:
    from console.headless import carry_out, watcher_for
    from console.terminal.streams import say_what_was_lost

    code = exit_code(carry_out(run, actor(), watcher_for(run, as_json=as_json)))
    say_what_was_lost()  # what the run came to does not hang on it
    return code


def _faults(new: "NewRunFlags", loaded: "LoadedPlan") -> "Faults | None":
    if new.faults is None:
        return None
    from engine.forecast.faults import load_faults

    return load_faults(new.faults, loaded.plan)


def resume_run(
    wanted: str,
    where: "Where",
    run_flags: "RunFlags",
    again: "ResumeFlags",
    *,
    headless: bool,
    as_json: bool,
    allow_outside: bool,
) -> Exit:
    options = options_of(run_flags, allow_outside=allow_outside, headless=headless)
    asked = None if headless else ask_about_plan
    on_plan = decision_of(accept=again.accept_plan_changes, keep=again.keep_plan, otherwise=asked)
    rundir = found_run(where, wanted)
    if not headless:
        require_terminal(f"wesley-console resume {wanted} --headless")
    if again.from_checkpoint is not None:
        rundir = _forked(rundir, again.from_checkpoint, runs_dir(where))
    outlive_requests()
    try:
        if headless:
            with resumed_run(rundir, options, on_plan) as run:
                return _headless(run, as_json=as_json)
        from console.live import show_resumed

        return show_resumed(rundir, options, on_plan)
    except NothingToResume as nothing:
        say(str(nothing))
        return exit_code(nothing.state)
    except LeftAsItIs:
        say(f"{rundir.id} stays as it is; nothing was started")
        return Exit.REFUSED


def _forked(origin: RunDir, checkpoint: str, state: Path) -> RunDir:
    """The new run in which a damaged one goes on."""
    from engine.runner.forking import fork_run

    rundir, doubted, done = fork_run(origin, checkpoint.removesuffix(".json"), state, actor())
    say(
        f"{origin.id} is damaged, and stays as it is; {rundir.id} goes on from its checkpoint {checkpoint}:\n"
        f"  {doubted} in doubt, for they may have gone on behind the checkpoint; {done} proven to be done"
    )
    return rundir


def open_console(
    path: Path, where: "Where", plan_flags: "PlanFlags", run_flags: "RunFlags", new: "NewRunFlags"
) -> Exit:
    """The console on a plan that has not been started: nothing of the run exists until it is confirmed."""
    from console.live import show_new

    loaded, plan = planned(path, plan_flags)
    options = options_of(run_flags, new, faults=_faults(new, loaded), allow_outside=plan_flags.allow_outside)
    require_startable(loaded, plan, options)
    require_terminal(f"wesley-console run {path} --headless")
    run_id = new_run_id(plan.name, datetime.now(UTC)) if new.run_id is None else new.run_id
    return show_new(loaded, plan, runs_dir(where), run_id, options)
