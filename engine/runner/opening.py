"""Opening a run: a new one from a plan, or one that already has a journal. Everything that can be refused is
refused in here, before anything is started or left behind."""

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

from engine.forecast.faults import Faults
from engine.forecast.outcomes import simulated_outcomes
from engine.journal.errors import NeverStarted, RunExists, StateDirUnusable, WriteError
from engine.journal.history import read_history
from engine.journal.integrity import has_begun
from engine.journal.journal import Journal
from engine.journal.ownership import own, this_engine
from engine.journal.rundir import RunDir, create_run_dir, new_run_id
from engine.machine import reports as rep
from engine.machine.core import Machine
from engine.machine.events import Event
from engine.machine.replanning import accept, adopted
from engine.machine.rollback import target_seq
from engine.machine.state import State
from engine.machine.transitions import RunStatus
from engine.plan.errors import Place, visible
from engine.plan.load import LoadedPlan
from engine.plan.models import Plan
from engine.plan.pinned import pin, plan_hash, source_digest
from engine.plan.targets import expand_targets, written_passwords
from engine.runner.clock import RunClock
from engine.runner.core import Runner, World
from engine.runner.past import Past, WorldWithPast, past_of
from engine.runner.replanning import PlanDecision, keep_plan, review_plan
from engine.runner.starting import CannotStart
from engine.runner.world import NoWorld, OnLines, RealWorld
from engine.tasks.base import Notify, unnoticed
from engine.tasks.registry import prepare
from engine.tasks.sanitise import Redactor


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run a plan. `speed` is how many seconds of a simulation pass in one of the world's."""

    actor: str
    simulate: bool = False
    speed: float = 1.0
    seed: int = 0
    faults: Faults | None = None
    on_unknown: str = "ask"
    rollback_to: str = "last"
    allow_outside: bool = False
    stop_at_question: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    on_lines: OnLines | None = None
    on_trouble: Callable[[str], None] = lambda _trouble: None
    on_notice: Notify = unnoticed


class NothingToResume(Exception):
    """The run is complete; `state` is what it came to."""

    def __init__(self, run: str, state: State) -> None:
        super().__init__(f"run {run} is {state.status}: there is nothing left to resume")
        self.state = state


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that this process owns, and that began with `plan`. `events` is what its journal held when it was
    opened; `options` is what it is run with: those given, but for what the
    run itself knows better."""

    id: str
    rundir: RunDir
    plan: Plan
    runner: Runner
    options: Options
    events: Sequence[Event]


@contextmanager
def new_run(
    loaded: LoadedPlan, plan: Plan, state: Path, run_id: str | None, options: Options
) -> Iterator[OpenRun]:
    """A new run of `plan`, which is `loaded.plan` with the options of the command line applied.

    Raises CannotStart, PlanErrors (variables that are not set, paths that leave the folder) and what
    creating the run's directory and journal raises."""
    world = _new_world(loaded, plan, options)
    run = new_run_id(plan.name, datetime.now(UTC)) if run_id is None else run_id
    with ExitStack() as stack:
        rundir = _run_dir(state, run)
        digest = plan_hash(plan)
        try:
            stack.enter_context(own(rundir))
            stack.callback(_leave_nothing, rundir)
            journal = stack.enter_context(Journal.create(rundir, run, pin(plan), digest))
        except (StateDirUnusable, WriteError):
            rmtree(rundir.path, ignore_errors=True)
            raise
        first = rep.Begin(
            run=run,
            plan_hash=digest,
            actor=options.actor,
            seed=options.seed,
            simulated=options.simulate,
            engine=this_engine(),
            folder=str(loaded.base),
            source=str(loaded.path),
            source_digest=source_digest(loaded.text),
            faults=_dump(options.faults),
            allow_outside=options.allow_outside,
        )
        runner = _runner(Machine(plan), journal, world(run, rundir), first, options)
        yield OpenRun(run, rundir, plan, runner, options, [])


def _run_dir(state: Path, run: str) -> RunDir:
    """The directory of a new run: made now, or left by an engine that was killed before the run began."""
    try:
        return create_run_dir(state, run)
    except RunExists as exists:
        if has_begun(RunDir(Path(exists.where))):
            raise
        return create_run_dir(state, run, again=True)


def _leave_nothing(rundir: RunDir) -> None:
    """Remove what there is of a run that never got to its first event."""
    if not has_begun(rundir):
        rmtree(rundir.path, ignore_errors=True)


def require_startable(loaded: LoadedPlan, plan: Plan, options: Options) -> None:
    """Raise what `new_run` would raise of the plan and its targets. Looks only."""
    _new_world(loaded, plan, options)


def _new_world(loaded: LoadedPlan, plan: Plan, options: Options) -> Callable[[str, RunDir], World]:
    for path in (loaded.base, loaded.path):
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            why = "is not UTF-8, and could not be written to the journal; rename it"
            raise CannotStart([f"the path {visible(str(path))} {why}"]) from error
    return _world_of(plan, loaded.base, options, loaded.target_places)


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """What is made in the block lives as long as the run: time spent on looking through it for garbage, over
    and over as it grows, is lost."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.freeze()
            gc.enable()


@contextmanager
def resumed_run(rundir: RunDir, options: Options, on_plan: PlanDecision = keep_plan) -> Iterator[OpenRun]:
    """An existing run, taken up where its journal ends; whether it is simulated is the run's own matter.

    `on_plan` is asked where the plan's file is not what the run goes by. Raises NothingToResume, CannotStart,
    what owning the run and opening its journal raises, and what `on_plan` does."""
    with ExitStack() as stack:
        stack.enter_context(own(rundir))
        with _nothing_collected(), Journal.open(rundir, readonly=True) as kept:
            started_with, events, state = read_history(kept)
        if not events:
            raise NeverStarted(rundir.path)
        run = state.run
        if state.status is RunStatus.COMPLETED:
            raise NothingToResume(run, state)
        if target_seq(state, options.rollback_to) is None:
            places = ", ".join(["start", *(place.id for place in state.rollback_targets())])
            raise CannotStart(
                [f"run {run} cannot be rolled back to {options.rollback_to}, only to: {places}"]
            )
        if not state.simulated and options.speed != 1.0:
            raise CannotStart([f"run {run} is no simulation: its clock goes at the world's speed"])
        faults = Faults.model_validate({"faults": state.faults}) if state.faults else None
        options = replace(
            options,
            simulate=state.simulated,
            faults=faults,
            allow_outside=options.allow_outside or state.allow_outside,
        )
        review = review_plan(run, state, allow_outside=options.allow_outside)
        edited = review.edited if review and on_plan(review) else None
        plan = adopted(state.plan, edited) if edited else state.plan
        world = _world_of(plan, Path(state.folder), options, past=past_of(state), state=state)
        journal = stack.enter_context(Journal.open(rundir, check=False))  # it passed when it was read
        news: list[Event] = []
        if review and edited:
            news = accept(state, edited, review.digest, options.actor, datetime.now(UTC))
        first = rep.EngineResumed(actor=options.actor, engine=this_engine())
        runner = _runner(Machine(plan, state=state), journal, world(run, rundir), first, options, news)
        yield OpenRun(run, rundir, started_with, runner, options, events)


def _world_of(
    plan: Plan,
    folder: Path,
    options: Options,
    places: Mapping[str, Place] | None = None,
    past: Past | None = None,
    state: State | None = None,
) -> Callable[[str, RunDir], World]:
    """Where attempts will be made, once the run has a name and a directory; refuses what cannot work. `state`
    is that of a run that exists."""
    if options.simulate:
        return lambda _run, _rundir: NoWorld(options.faults)
    resolved = expand_targets(
        plan, options.environ, folder, allow_outside=options.allow_outside, places=places
    )
    redactor = Redactor({**written_passwords(plan), **resolved.secrets})
    problems = prepare(plan, resolved.locations, folder)
    if problems:
        raise CannotStart([redactor.redact(problem) for problem in problems])
    real = partial(WorldWithPast, past) if past else RealWorld
    worked_on = _worked_on(state) if state else frozenset()
    return lambda run, rundir: real(
        plan, run, rundir, folder, resolved.locations, redactor, options.on_lines, worked_on
    )


def _worked_on(state: State) -> frozenset[str]:
    """The targets on which something was at least attempted."""
    attempted = [task for task in state.plan.tasks if state.tasks[task.id].attempts]
    return frozenset(task.run.on for task in attempted if task.run.on)


def _runner(
    machine: Machine,
    journal: Journal,
    world: World,
    first: rep.Report,
    options: Options,
    news: Sequence[Event] = (),
) -> Runner:
    return Runner(
        machine,
        journal,
        RunClock(machine.state.t, options.speed),
        world,
        first=first,
        news=news,
        outcomes=simulated_outcomes(options.faults) if options.simulate else None,
        on_unknown=options.on_unknown,
        rollback_to=options.rollback_to,
        stop_at_question=options.stop_at_question,
        on_trouble=options.on_trouble,
        on_notice=options.on_notice,
    )


def _dump(faults: Faults | None) -> tuple[dict[str, Any], ...]:
    if faults is None:
        return ()
    return tuple(
        fault.model_dump(mode="json", by_alias=True, exclude_defaults=True) for fault in faults.faults
    )
