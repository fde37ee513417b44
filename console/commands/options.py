"""From what was typed to what the engine takes; everything that does not hang together is refused here."""

import math
import os
import pwd
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from console.exits import UsageError, say
from engine.journal.naming import state_dir
from engine.journal.rundir import RunDir, find_run

if TYPE_CHECKING:
    from console.cli import NewRunFlags, PlanFlags, RunFlags, Where
    from engine.forecast.faults import Faults
    from engine.plan.load import LoadedPlan
    from engine.plan.models import Plan
    from engine.runner.opening import Options


def actor() -> str:
    """Who decides: the name of the user of this process."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def speed_of(text: str) -> float:
    """The factor in `--speed`: a number above 0, or infinity for `max`."""
    try:
        speed = math.inf if text == "max" else float(text)
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise UsageError(f"--speed {text}: a number above 0 is needed, or max")
    return speed


def _place(text: str) -> str:
    """What `--rollback-to` names. Whether the run has that checkpoint is the run's own matter."""
    if not re.fullmatch(r"last|start|cp-\d{4,}", text):
        raise UsageError(f"--rollback-to {text}: last, start or a checkpoint is needed, like cp-0003")
    return text


def require_terminal(instead: str) -> None:
    """Raise UsageError where there is no terminal that the console could be shown on."""
    if not (os.isatty(0) and os.isatty(2)) or os.environ.get("TERM") == "dumb":
        raise UsageError(f"the console needs a terminal, and this is none; without it: {instead}")


def planned(path: Path, flags: "PlanFlags") -> "tuple[LoadedPlan, Plan]":
    """The plan in the file, and the same with the command line's changes. Raises PlanErrors, UsageError."""
    from engine.plan.load import load_plan

    loaded = load_plan(path, allow_outside=flags.allow_outside)
    given = {"model": flags.model, "workers": flags.workers, "policy": flags.policy}
    changes = {name: value for name, value in given.items() if value is not None}
    if flags.workers is not None and not 1 <= flags.workers <= 1000:
        raise UsageError(f"--workers {flags.workers}: between 1 and 1000 lanes are possible")
    return loaded, loaded.plan.model_copy(update=changes) if changes else loaded.plan


def options_of(
    run_flags: "RunFlags",
    new: "NewRunFlags | None" = None,
    *,
    faults: "Faults | None" = None,
    allow_outside: bool = False,
    headless: bool = False,
) -> "Options":
    """How to run. `new` is absent for a run that exists already: it knows itself whether it is simulated.

    Without a screen the run stops where an operator is needed, and what there is to know of its journal and
    its targets is told on standard error."""
    from engine.runner.opening import Options
    from engine.tasks.base import unnoticed

    simulate = bool(new and new.simulate)
    speed = speed_of(run_flags.speed)
    if new and not simulate and (speed != 1.0 or new.faults):
        flag = "--faults" if new.faults else "--speed"
        raise UsageError(f"{flag} is for simulated runs: add --simulate")
    return Options(
        actor=actor(),
        simulate=simulate,
        speed=speed,
        seed=new.seed if new else 0,
        faults=faults,
        on_unknown=run_flags.on_unknown,
        rollback_to=_place(run_flags.rollback_to),
        allow_outside=allow_outside,
        stop_at_question=headless,
        on_trouble=_say_trouble if headless else _unseen,
        on_notice=_say_notice if headless else unnoticed,
    )


def _say_trouble(trouble: str) -> None:
    """The engine waits for no reader of this, either."""
    text = f"held up: {trouble}" if trouble else "the journal can be written again: the run goes on"
    _beside().submit(say, text)


def _say_notice(text: str, *, passing: bool = False) -> None:  # noqa: ARG001
    _beside().submit(say, text)


@cache
def _beside() -> ThreadPoolExecutor:
    """A thread that says one thing after the other."""
    return ThreadPoolExecutor(1)


def _unseen(_trouble: str) -> None:
    """The screen asks for it itself."""


def runs_dir(where: "Where") -> Path:
    return state_dir(where.state_dir)


def found_run(where: "Where", run: str) -> RunDir:
    return find_run(runs_dir(where), run)
