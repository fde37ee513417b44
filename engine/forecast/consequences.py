"""What would follow from an operator's choice: the engine's own machine, run forward from the present state.

Everything else is taken to go well: what is in flight succeeds in its expected time, a retried task
succeeds, and other open questions are answered with a retry.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from engine.forecast.simulation import Simulation
from engine.graph import Graph
from engine.machine import reports as rep
from engine.machine.decisions import answers, refusal
from engine.machine.events import Action, Event, Mode, TaskRolledBack, TaskStarted
from engine.machine.state import State
from engine.machine.transitions import FRONTIER, TaskStatus

Answering = Callable[[State], rep.Decide | None]


class Consequence(msgspec.Struct, frozen=True, kw_only=True):
    """What is told by its tasks is told of the choice alone: not of what other open questions are about.

    `reruns`: tasks that run again (that in question may have run elsewhere only), but for those that were
    about to. `blocked`: tasks that will not run.
    `may_run`: dependants that go on without the task's effect, or on the operator's word for it.

    `undone`, in the order of undoing, `stays` (applied, since they have no rollback) and `left` (applied,
    since the choice leaves them so): what becomes of what a rollback is about. Of a rollback under way, what
    is settled already is left out.

    `ended`: the processes that are ended.

    `run_ends`: the final status where the choice ends the run, else empty. `finish_t`: expected end on the
    run's clock, in seconds. `depends`: nobody can know what follows, since something is looked into first;
    then the rest is empty. `resumed`: the rest holds from when the run, which the operator has paused, is
    told to go on."""

    possible: bool
    why_not: str = ""
    reruns: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    may_run: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    run_ends: str = ""
    finish_t: float | None = None
    ended: tuple[str, ...] = ()
    depends: bool = False
    resumed: bool = False

    @property
    def without_time(self) -> "Consequence":
        return msgspec.structs.replace(self, finish_t=None)


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
    if action == "resume":
        ended = asked.survivors if asked and mode == "end_processes" else ()
        return Consequence(possible=True, depends=True, ended=ended)
    simulation = Simulation(state.plan, graph, state, answering=_answer)
    simulation.take_up()
    simulation.report(decision)
    if state.operator_pause is not None:
        simulation.report(rep.Continue(actor="preview"))
    after = simulation.run()
    others = {each.task for each in state.questions.values()} - {asked.task if asked else ""}
    started = {e.task for e in simulation.events if isinstance(e, TaskStarted)} - others
    due = {TaskStatus.PENDING, *FRONTIER}
    reruns = {task for task in started if state.tasks[task].status not in due}
    on_its_word = graph.descendants(asked.task) if asked and mode in ("waive", "assert_done") else set()
    asserted = {asked.task} if asked and mode == "assert_done" else set()
    return Consequence(
        possible=True,
        reruns=_in_order(graph, reruns),
        blocked=_in_order(graph, _blocked(after) - _blocked(state)),
        may_run=_in_order(graph, on_its_word & (started - reruns)),
        undone=tuple(
            e.task for e in simulation.events if isinstance(e, TaskRolledBack) and e.task not in asserted
        ),
        stays=after.rollback.stay if after.rollback and not state.rollback else (),
        left=_left(state, after),
        run_ends="" if after.status == "completed" else str(after.status),
        finish_t=after.finished_t,
        resumed=state.operator_pause is not None and after.status == "completed",
    )


def expected_finish(state: State, graph: Graph) -> float | None:
    """When the run ends, in seconds on its clock, if all goes as expected from here."""
    return expected_end(state, graph).finished_t


def expected_end(state: State, graph: Graph) -> State:
    """The run as it will have been, if all goes as expected from here. `state` is not touched."""
    return _gone_on(state, graph, answering=_answer, keep_events=False).run()


class Course(NamedTuple):
    """How a run is expected to go on: the state it gets to, and the events up to there."""

    end: State
    events: list[Event]


def expected_course(state: State, graph: Graph) -> Course:
    """What is to happen until the run ends, or until an operator must answer: nothing is foretold that
    hangs on an answer. Else all goes as expected from here. `state` is not touched."""
    simulation = _gone_on(state, graph, answering=None, keep_events=True)
    return Course(simulation.run(), simulation.events)


def _gone_on(state: State, graph: Graph, *, answering: Answering | None, keep_events: bool) -> Simulation:
    simulation = Simulation(state.plan, graph, state, answering=answering, keep_events=keep_events)
    simulation.take_up()
    if state.operator_pause is not None:
        simulation.report(rep.Continue(actor="preview"))
    return simulation


def _answer(state: State) -> rep.Decide | None:
    """The answer to an open question: a retry where the engine takes one, else the first that it takes."""
    for question in state.questions.values():
        for action, mode in sorted(answers(state, question), key=lambda answer: answer[0] != "retry"):
            decision = rep.Decide(question=question.number, action=action, mode=mode, actor="preview")
            if not refusal(state, decision):
                return decision
    return None


def _blocked(state: State) -> set[str]:
    return set(state.with_status(TaskStatus.BLOCKED))


def _left(before: State, after: State) -> tuple[str, ...]:
    """What the rollback was to undo, and has not, but for what was left applied before."""
    if after.rollback is None:
        return ()
    decided = before.rollback.left if before.rollback else frozenset()
    still = (task for task in after.rollback.tasks if after.tasks[task].status is not TaskStatus.ROLLED_BACK)
    return tuple(task for task in still if task not in decided)


def _in_order(graph: Graph, tasks: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(tasks, key=graph.index.__getitem__))
