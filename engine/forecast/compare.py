"""What to expect of a plan: both models run in virtual time, beside the bounds that neither can beat."""

from typing import get_args

import msgspec

from engine.forecast.simulation import Simulation
from engine.graph import Graph
from engine.machine.metrics import metrics
from engine.machine.state import State
from engine.plan.models import Model, Plan


class Bar(msgspec.Struct, frozen=True):
    """A task on its lane, from `start_s` to `end_s` after the start of the run."""

    task: str
    lane: int
    start_s: float
    end_s: float


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """One model's run. `idle_s` is lane time in which nothing ran; `utilisation` the share in which
    something did; `barriers` are the moments at which a wave was complete, in seconds."""

    model: Model
    makespan_s: float
    utilisation: float
    idle_s: float
    checkpoints: int
    bars: tuple[Bar, ...]
    barriers: tuple[float, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Both models, and what bounds them: no schedule is shorter than `work_s / lanes`, nor than the critical
    path. `assumed` tasks gave no duration."""

    plan: str
    policy: str
    lanes: int
    tasks: int
    work_s: float
    work_bound_s: float
    critical_path: tuple[str, ...]
    critical_path_s: float
    assumed: tuple[str, ...]
    wave: Forecast
    rolling: Forecast

    @property
    def bound_s(self) -> float:
        return max(self.work_bound_s, self.critical_path_s)


def compare(plan: Plan) -> Comparison:
    """Both models of `plan`, every task taking its expected duration and succeeding."""
    graph = Graph(plan)
    wave, rolling = (_forecast(plan, graph, model) for model in get_args(Model))
    return Comparison(
        plan=plan.name,
        policy=plan.policy,
        lanes=plan.workers,
        tasks=len(plan.tasks),
        work_s=graph.work_s,
        work_bound_s=graph.work_s / plan.workers,
        critical_path=graph.critical_path,
        critical_path_s=graph.critical_path_s,
        assumed=tuple(
            task.id
            for task in plan.tasks
            if task.duration is None and not (task.run.simulate and task.run.simulate.duration is not None)
        ),
        wave=wave,
        rolling=rolling,
    )


def _forecast(plan: Plan, graph: Graph, model: Model) -> Forecast:
    simulation = Simulation(plan.model_copy(update={"model": model}), graph)
    state = simulation.run()
    found = metrics(state)
    return Forecast(
        model=model,
        makespan_s=found["makespan_s"],
        utilisation=found["utilisation"],
        idle_s=found["idle_s"],
        checkpoints=found["checkpoints"],
        bars=bars_of(state),
        barriers=tuple(event.t for event in simulation.events if event.kind == "barrier_reached"),
    )


def bars_of(state: State) -> tuple[Bar, ...]:
    """Every attempt of a run that is over, by lane and start."""
    bars = (
        Bar(task.id, attempt.lane, attempt.started_t, attempt.ended_t)
        for task in state.tasks.values()
        for attempt in task.attempts
        if attempt.ended_t is not None
    )
    return tuple(sorted(bars, key=lambda bar: (bar.lane, bar.start_s)))
