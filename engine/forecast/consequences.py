"""What would follow from an operator's choice: the engine's own machine, run forward from the present state.

Everything else is taken to go well: what is in flight succeeds in its expected time, a retried task
succeeds, and other open questions are answered with a retry.
"""

from collections.abc import Iterator

import msgspec

from engine.forecast.simulation import Simulation
from engine.graph import Graph
from engine.machine import reports as rep
from engine.machine.decisions import answers, refusal
from engine.machine.events import Action, Mode, RollbackStarted, TaskStarted
from engine.machine.state import State
from engine.machine.transitions import TaskStatus


class Consequence(msgspec.Struct, frozen=True, kw_only=True):
    """`reruns`: tasks that run again. `blocked`: tasks that will not run. `undone`, in the order of undoing,
    and `stays` (applied, since they have no rollback): what a rollback does. `may_run`: dependants that go
    on without the task's effect, or on the operator's word for it. `run_ends`: the final status where the
    choice ends the run, else empty. `finish_t`: expected end on the run's clock, in seconds."""

    possible: bool
    why_not: str = ""
    reruns: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    may_run: tuple[str, ...] = ()
    run_ends: str = ""
    finish_t: float | None = None
    note: str = ""


def consequences(
    state: State,
    graph: Graph,
    question: int,
    action: Action,
    mode: Mode | None = None,
    to: str = "last",
) -> Consequence:
    """What `action` would bring about if it were taken now. `state` is not touched; `question` is 0 for a
    rollback on demand."""
    decision = rep.Decide(question=question, action=action, mode=mode, to=to, actor="preview")
    why_not = refusal(state, decision)
    if why_not:
        return Consequence(possible=False, why_not=why_not)
    asked = state.questions.get(question)
    simulation = Simulation(state.plan, graph, state)
    simulation.take_up()
    simulation.report(decision)
    after = _finish(simulation)
    rollback = next((e for e in simulation.events if isinstance(e, RollbackStarted)), None)
    started = {e.task for e in simulation.events if isinstance(e, TaskStarted)}
    return Consequence(
        possible=True,
        reruns=tuple(_in_order(graph, (t for t in started if state.tasks[t].attempts))),
        blocked=tuple(_newly(state, after, TaskStatus.BLOCKED)),
        undone=rollback.tasks if rollback else (),
        stays=rollback.stay if rollback else (),
        may_run=_may_run(asked.task, after, graph) if asked and mode in ("waive", "assert_done") else (),
        run_ends="" if after.status == "completed" else str(after.status),
        finish_t=after.finished_t,
        note=_note(state, asked.task, mode) if asked else "",
    )


def expected_finish(state: State, graph: Graph) -> float | None:
    """When the run ends, in seconds on its clock, if all goes as expected from here."""
    return expected_end(state, graph).finished_t


def expected_end(state: State, graph: Graph) -> State:
    """The run as it will have been, if all goes as expected from here. `state` is not touched."""
    simulation = Simulation(state.plan, graph, state, keep_events=False)
    simulation.take_up()
    if state.operator_pause is not None:
        simulation.report(rep.Continue(actor="preview"))
    return _finish(simulation)


def _finish(simulation: Simulation) -> State:
    """Run to the end; a question that is or becomes open is answered with a retry, or the nearest to it."""
    state = simulation.run()
    for _ in range(2 * len(state.tasks)):
        question = next(iter(state.questions.values()), None)
        if question is None or state.finished:
            break
        decisions = (
            rep.Decide(question=question.number, action=action, mode=mode, actor="preview")
            for action, mode in answers(state, question)
        )
        simulation.report(next(decision for decision in decisions if not refusal(state, decision)))
        simulation.run()
    return state


def _newly(before: State, after: State, status: TaskStatus) -> Iterator[str]:
    return (
        task.id
        for task in after.tasks.values()
        if task.status is status and before.tasks[task.id].status is not status
    )


def _may_run(task_id: str, after: State, graph: Graph) -> tuple[str, ...]:
    ran = (t for t in graph.descendants(task_id) if after.tasks[t].status is TaskStatus.SUCCEEDED)
    return tuple(_in_order(graph, ran))


def _in_order(graph: Graph, tasks: Iterator[str]) -> list[str]:
    return sorted(tasks, key=graph.index.__getitem__)


def _note(state: State, task_id: str, mode: Mode | None) -> str:
    if mode != "assert_done":
        return ""
    verify = next(task.verify for task in state.plan.tasks if task.id == task_id)
    if verify is None:
        return "it has no verify: your word is all there is"
    return "its verify is run first, and must pass"
