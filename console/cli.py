"""The command line. Each command's own module is imported only when that command runs: `--help`, `check` and
`runs` do not pay for the screen."""

import gc
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from console.exits import Exit, say, speak_of
from console.terminal.streams import ready_streams, say_what_was_lost


def _version() -> str:
    from importlib.metadata import version

    return version("wesley-console")


app = App(
    name="wesley-console",
    help="Run database migration plans, watch them, and get a run back on its feet.",
    version=_version,
    version_flags=["--version"],
    result_action="return_value",
)

OnUnknown = Literal["ask", "retry", "skip", "rollback", "abort"]


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Where runs live."""

    state_dir: Path | None = None
    """Directory in which runs are kept. Default: $WESLEY_CONSOLE_STATE, or the user's own state directory."""


@Parameter(name="*")
@dataclass(frozen=True)
class PlanFlags:
    """What of the plan the command line may change."""

    model: Literal["wave", "rolling"] | None = None
    """How the plan is executed, instead of as the plan says."""
    workers: int | None = None
    """Number of lanes."""
    policy: Literal["critical-path", "weighted", "fifo"] | None = None
    """The order of the frontier."""
    allow_outside: Annotated[bool, Parameter(negative="")] = False
    """Let the plan name files outside its own folder."""


@Parameter(name="*")
@dataclass(frozen=True)
class RunFlags:
    """How a run is carried out."""

    on_unknown: OnUnknown = "ask"
    """The answer to every question; `ask` leaves it to the operator."""
    rollback_to: str = "last"
    """Where a rollback goes: last (the last stable checkpoint), start, or a checkpoint."""
    speed: str = "1"
    """How many seconds of a simulation pass in one second; `max` does not wait at all."""


@Parameter(name="*")
@dataclass(frozen=True)
class NewRunFlags:
    """What a new run is told at its start."""

    run_id: str | None = None
    """Name of the new run."""
    simulate: Annotated[bool, Parameter(negative="")] = False
    """Every task takes its expected duration and does nothing."""
    seed: int = 0
    """Seed of everything that is drawn by chance."""
    faults: Path | None = None
    """Scripted failures for a simulated run."""


@Parameter(name="*")
@dataclass(frozen=True)
class ResumeFlags:
    """Where a run is gone on with, and by which plan."""

    from_checkpoint: Annotated[str | None, Parameter(name="--from")] = None
    """Of a damaged run: the checkpoint to go on from, in a new run. What may have gone on behind it is in
    doubt there; the damaged run is not touched."""
    accept_plan_changes: Annotated[bool, Parameter(negative="")] = False
    """Go on with the plan as its file says now; refused where a task that may have taken effect is changed
    or gone."""
    keep_plan: Annotated[bool, Parameter(negative="")] = False
    """Go on with the plan that the run was started with, whatever its file says now."""


_WHERE, _PLAN, _RUN, _NEW = Where(), PlanFlags(), RunFlags(), NewRunFlags()
_RESUME = ResumeFlags()


@app.default
def console(
    plan: Path,
    *,
    where: Where = _WHERE,
    plan_flags: PlanFlags = _PLAN,
    run_flags: RunFlags = _RUN,
    new: NewRunFlags = _NEW,
) -> int:
    """Open the console on a plan: review it, run it, and step in where needed.

    Parameters
    ----------
    plan
        The plan, a YAML file.
    """
    from console.commands.running import open_console

    return open_console(plan, where, plan_flags, run_flags, new)


@app.command
def run(
    plan: Path,
    *,
    headless: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    where: Where = _WHERE,
    plan_flags: PlanFlags = _PLAN,
    run_flags: RunFlags = _RUN,
    new: NewRunFlags = _NEW,
) -> int:
    """Run a plan.

    Parameters
    ----------
    plan
        The plan, a YAML file.
    headless
        Without the console: a progress display on a terminal, plain lines elsewhere.
    json
        One JSON object for each event; goes with --headless.
    """
    from console.commands.running import open_console, run_headless

    if headless or json:
        return run_headless(plan, where, plan_flags, run_flags, new, as_json=json)
    return open_console(plan, where, plan_flags, run_flags, new)


@app.command
def resume(
    run: str,
    *,
    headless: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    allow_outside: Annotated[bool, Parameter(negative="")] = False,
    where: Where = _WHERE,
    run_flags: RunFlags = _RUN,
    resume_flags: ResumeFlags = _RESUME,
) -> int:
    """Go on with a run that was aborted, interrupted, rolled back, or left with a question.

    Parameters
    ----------
    run
        The run: its id, the beginning of it, or its directory.
    headless
        Without the console.
    json
        One JSON object for each event; goes with --headless.
    allow_outside
        Let the plan name files outside its own folder.
    """
    from console.commands.running import resume_run

    return resume_run(
        run,
        where,
        run_flags,
        resume_flags,
        headless=headless or json,
        as_json=json,
        allow_outside=allow_outside,
    )


@app.command
def check(
    plan: Path,
    *,
    json: Annotated[bool, Parameter(negative="")] = False,
    allow_outside: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Check a plan, and say everything that is wrong with it. Nothing is started.

    Parameters
    ----------
    plan
        The plan, a YAML file.
    json
        The result as JSON.
    allow_outside
        Let the plan name files outside its own folder.
    """
    from console.commands.check import check_plan

    return check_plan(plan, as_json=json, allow_outside=allow_outside)


@app.command
def forecast(
    plan: Path, *, json: Annotated[bool, Parameter(negative="")] = False, plan_flags: PlanFlags = _PLAN
) -> int:
    """Run both models in virtual time, and compare them. Nothing is started.

    Parameters
    ----------
    plan
        The plan, a YAML file.
    json
        The result as JSON.
    """
    from console.commands.forecast import forecast_plan

    return forecast_plan(plan, plan_flags, as_json=json)


@app.command
def runs(*, json: Annotated[bool, Parameter(negative="")] = False, where: Where = _WHERE) -> int:
    """List the runs, newest first.

    Parameters
    ----------
    json
        The list as JSON.
    """
    from console.commands.runs import list_all

    return list_all(where, as_json=json)


@app.command
def inspect(run: str, *, json: Annotated[bool, Parameter(negative="")] = False, where: Where = _WHERE) -> int:
    """Look at a run on the console's own panels, read-only, and step through it.

    Parameters
    ----------
    run
        The run: its id, the beginning of it, or its directory.
    json
        The run's state as JSON, without the console.
    """
    from console.commands.inspecting import inspect_run

    return inspect_run(run, where, as_json=json)


@app.command
def events(run: str, *, where: Where = _WHERE) -> int:
    """Print a run's events, one JSON object a line.

    Parameters
    ----------
    run
        The run: its id, the beginning of it, or its directory.
    """
    from console.commands.inspecting import print_events

    return print_events(run, where)


@app.command
def checkpoint(run: str, *, where: Where = _WHERE) -> int:
    """Take a checkpoint of a run now, whether or not an engine is running it.

    Parameters
    ----------
    run
        The run: its id, the beginning of it, or its directory.
    """
    from console.commands.checkpointing import take_checkpoint

    return take_checkpoint(run, where)


@app.command
def verify(run: str, *, where: Where = _WHERE) -> int:
    """Check that nothing of a run's journal and checkpoints was lost or changed.

    Parameters
    ----------
    run
        The run: its id, the beginning of it, or its directory.
    """
    from console.commands.verifying import verify_state

    return verify_state(run, where)


@app.command
def train(drill: str | None = None, *, speed: str | None = None, where: Where = _WHERE) -> int:
    """Practise: list the drills, or start one on the console.

    Parameters
    ----------
    drill
        Name of the drill.
    speed
        How many simulated seconds pass in one second, instead of as the drill says.
    """
    from console.commands.training import train_on

    return train_on(drill, speed, where)


@app.command
def samples(name: str | None = None, folder: Path | None = None) -> int:
    """List the sample plans, or copy one into a folder of your own to run it there.

    Parameters
    ----------
    name
        Name of the sample plan.
    folder
        Where to copy it. Default: a new folder of that name, here.
    """
    from console.commands.samples import copy_sample

    return copy_sample(name, folder)


@app.command
def schema() -> int:
    """Print the JSON Schema of the plan language, for editors."""
    from console.commands.check import print_schema

    return print_schema()


@app.command
def settings() -> int:
    """Print the settings of the console as they hold now, every key included, as a settings file."""
    from console.commands.settings import print_settings

    return print_settings()


def main() -> None:
    """The program's entry point: run the command, and turn what it came to into the exit code."""
    ready_streams()
    gc.disable()  # until `console.collecting` has it on again: what is loaded and built first stays
    if not sys.argv[1:]:
        say("wesley-console PLAN opens the console on a plan; wesley-console --help says what else there is")
        sys.exit(Exit.USAGE)
    try:
        code = app(sys.argv[1:], exit_on_error=False)
    except CycloptsError:
        code = Exit.USAGE  # the message was printed where it was found
    except KeyboardInterrupt:
        code = Exit.ABORTED
    except Exception as error:
        code = speak_of(error)
    lost = say_what_was_lost()
    sys.exit(code or (Exit.FAULT if lost else Exit.OK))
