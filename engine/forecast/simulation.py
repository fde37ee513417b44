"""Virtual time: the engine's own machine, driven by outcomes that are made up instead of carried out.

Not a second engine. It only answers the machine's commands the way the world would, each at its moment on
a virtual clock; what follows from the answers is the machine's to say.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

from engine.graph import Graph
from engine.machine import checkpoints
from engine.machine import commands as cmd
from engine.machine import reports as rep
from engine.machine.core import Machine
from engine.machine.decisions import standing_answer
from engine.machine.events import Event, Purpose
from engine.machine.state import State, TaskState
from engine.machine.transitions import RunStatus, TaskStatus
from engine.machine.underway import left_s
from engine.plan.models import Plan, Task, expected_duration

Outcomes = Callable[[Task, int, Purpose], tuple[float, rep.Report]]
"""(task, attempt, purpose) to how many seconds the attempt takes, and the report it ends in."""

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""The wall clock at virtual time 0, where a simulation is given no other."""


_WOKEN = rep.TimerFired(key=checkpoints.TIMER)


def everything_succeeds(task: Task, attempt: int, purpose: Purpose) -> tuple[float, rep.Report]:
    """Every attempt takes the task's expected duration and succeeds; so does every rollback."""
    return expected_duration(task), rep.Succeeded(task=task.id, attempt=attempt, purpose=purpose)


class Simulation:
    """A run of `plan` in virtual time, from its start or from `state` (which is cloned, not touched).

    Questions are answered by `answering`, which is given the state, or else as `on_unknown` says. `events`
    holds what the machine emitted. With `keep_events=False` it stays empty."""

    def __init__(
        self,
        plan: Plan,
        graph: Graph | None = None,
        state: State | None = None,
        *,
        outcomes: Outcomes = everything_succeeds,
        on_unknown: str = "ask",
        answering: Callable[[State], rep.Decide | None] | None = None,
        seed: int = 0,
        keep_events: bool = True,
    ) -> None:
        self.machine = Machine(plan, graph, state.clone() if state else None)
        self.events: list[Event] = []
        self._plan = plan
        self._outcomes = outcomes
        self._answering = answering or partial(_standing_order, on_unknown)
        self._seed = seed
        self._keep = keep_events
        self._tasks = {task.id: task for task in plan.tasks}
        self._due: list[tuple[float, int, rep.Report]] = []
        self._timers: dict[str, float] = {}
        """When each timer is due: one that is set again replaces the one before."""
        self._at_once: deque[rep.Report] = deque()
        self._order = count()
        self._t = self.state.t
        self._epoch = (state.at - timedelta(seconds=state.t)) if state and state.at else EPOCH

    @property
    def state(self) -> State:
        return self.machine.state

    def begin(self) -> None:
        self.report(rep.Begin(run="simulation", plan_hash="", actor="", seed=self._seed, simulated=True))

    def report(self, report: rep.Report) -> None:
        """Hand `report` to the machine at the present virtual time, and answer what it asks for."""
        step = self.machine.handle(report, rep.Now(self._t, self._epoch + timedelta(seconds=self._t)))
        if self._keep:
            self.events.extend(step.events)
        for command in step.commands:
            self._answer(command)

    def schedule(self, after_s: float, report: rep.Report) -> None:
        self._schedule_at(self._t + after_s, report)

    def _schedule_at(self, due_t: float, report: rep.Report) -> None:
        heapq.heappush(self._due, (due_t, next(self._order), report))

    def take_up(self) -> None:
        """Carry on from a state in mid-run: what is in flight needs the rest of its expected time (a
        backfill the time that it tells itself) and succeeds, waits end when they were due, and what is being
        looked into turns out to be done."""
        state = self.state
        self._wind_timer()
        undoing = state.rollback.running if state.rollback else ""
        if undoing:
            attempt = state.tasks[undoing].undo_attempts
            self.schedule(*self._outcomes(self._tasks[undoing], attempt, "rollback"))
        for task in state.tasks.values():
            last = task.last
            if task.status is TaskStatus.RUNNING and last:
                takes, report = self._outcomes(self._tasks[task.id], last.number, "run")
                left = self._left_as_told(task)
                rest = max(last.started_t + takes - self._t, 0.0) if left is None else left
                self.schedule(rest, report)
            elif task.status is TaskStatus.WAITING and task.id in state.lanes:
                checkpoints.hold_again(self.machine, task.id)
                self._answer(self.machine.step.commands[-1])
            elif task.status is TaskStatus.WAITING and task.due_t is not None:
                self._answer(cmd.SetTimer(key=task.timer, due_t=max(task.due_t, self._t)))
            elif task.status is TaskStatus.IN_DOUBT and self._is_looked_into(task):
                undo = task.doubt == "rollback"
                self.machine.gathering.add(task.id)
                self._at_once.append(
                    rep.EvidenceFound(
                        task=task.id,
                        attempt=task.undo_attempts if undo else len(task.attempts),
                        purpose="rollback" if undo else "run",
                        done=True,
                    )
                )
        # Whatever else was asked for elsewhere (a barrier's checkpoint), the machine asks for again as soon
        # as it is told anything. These two reports say nothing new, each where the other would.
        paused = state.operator_pause is not None
        self.report(rep.TimerFired(key=checkpoints.TIMER) if paused else rep.Continue(actor="preview"))

    def _left_as_told(self, task: TaskState) -> float | None:
        """What a backfill in flight still needs by its own account. Of what else tells how far it is, that is
        one phase of several."""
        if self._tasks[task.id].run.kind != "backfill":
            return None
        return left_s(task.underway, self._t)

    def _wind_timer(self) -> None:
        """The next checkpoint by time is due when it would have been elsewhere. A run that is held winds its
        timer anew when it goes on."""
        state, every = self.state, self._plan.checkpoints.every
        if every and state.status is RunStatus.RUNNING:
            turns = math.floor((self._t - state.going_since_t) / every) + 1
            self._answer(cmd.SetTimer(key=checkpoints.TIMER, due_t=state.going_since_t + turns * every))

    def _is_looked_into(self, task: TaskState) -> bool:
        """Whether evidence about a task in doubt is on its way: not while its question is open, nor once that
        was answered with a rollback or an abort."""
        state = self.state
        asked = any(question.task == task.id for question in state.questions.values())
        since = max(state.taken_up_seq, task.ready_seq)
        left_so = any(
            made.task == task.id and made.action in ("rollback", "abort") and made.seq > since
            for made in state.decisions
        )
        return not asked and not left_so and (task.doubt == "rollback" or not state.rollback)

    def run(self) -> State:
        """Run until the run ends, or until nothing more can happen without an operator."""
        if not self.state.started:
            self.begin()
        while not self.state.finished:
            if self._at_once:
                self.report(self._at_once.popleft())
            elif answer := self._answering(self.state):
                self.report(answer)
            elif self._due:
                due_t, _, report = heapq.heappop(self._due)
                if isinstance(report, rep.TimerFired) and self._timers[report.key] != due_t:
                    continue
                if report == _WOKEN and not self._due:
                    break  # checkpoints by time would be taken for ever of a run that nothing moves any more
                self._t = due_t
                self.report(report)
            else:
                break
        return self.state

    def _answer(self, command: cmd.Command) -> None:
        match command:
            case cmd.StartTask(task=task, attempt=attempt):
                self.schedule(*self._outcomes(self._tasks[task], attempt, "run"))
            case cmd.StartRollback(task=task, attempt=attempt):
                self.schedule(*self._outcomes(self._tasks[task], attempt, "rollback"))
            case cmd.SetTimer(key=key, due_t=due_t):
                self._timers[key] = due_t
                self._schedule_at(due_t, rep.TimerFired(key=key))
            case cmd.SaveCheckpoint(checkpoint=checkpoint, trigger=trigger, position=position):
                written = rep.CheckpointWritten(
                    checkpoint=checkpoint, trigger=trigger, position=position, position_hash=""
                )
                self._at_once.append(written)
            case cmd.ProbeResource(task=task):
                self._at_once.append(rep.ProbeAnswered(task=task, available=True))
            case cmd.CheckAssertion(question=question):
                self._at_once.append(rep.AssertionChecked(question=question, passed=True))
            case cmd.GatherEvidence(task=task, attempt=attempt, purpose=purpose):
                evidence = rep.EvidenceFound(task=task, attempt=attempt, purpose=purpose, done=None)
                self._at_once.append(evidence)


def _standing_order(on_unknown: str, state: State) -> rep.Decide | None:
    question = next(iter(state.questions.values()), None)
    return standing_answer(state, question, on_unknown) if question else None
