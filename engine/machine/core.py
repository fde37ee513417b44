"""The Machine: reports in, events and commands out. Pure: no I/O, no clock, no randomness.

`handle` records what a report means, lets the rule for it answer (recovery, decisions, rollback,
checkpoints, resuming), and then goes on as far as the new state allows: that last part, `_advance`, is
the only place where tasks are started, waves opened and runs ended.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from engine.graph import Graph
from engine.machine import checkpoints, decisions, recovery, resuming, rollback, underway
from engine.machine import commands as cmd
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.fold import apply
from engine.machine.frontier import Frontier
from engine.machine.gates import Gate, gate_for
from engine.machine.policies import order_ranks
from engine.machine.state import State
from engine.machine.transitions import RunStatus, TaskStatus
from engine.plan.models import Plan, Task

E = TypeVar("E", bound=ev.Event)


class Step(msgspec.Struct, frozen=True):
    """The answer to a report. The commands may be carried out once the events are durable, in order."""

    events: list[ev.Event] = []
    commands: list[cmd.Command] = []


class Machine:
    """Runs `plan` from `state` on: a new run, or one whose events have been folded.

    Beside `state`, which is the truth, it holds indices that `rebuild` derives from it, and what commands
    are out whose answer must find its context again; a crash loses only the latter, and each such answer
    is either asked for again on resume (evidence, checkpoints) or the operator's to repeat (assertions)."""

    def __init__(self, plan: Plan, graph: Graph | None = None, state: State | None = None) -> None:
        self.plan = plan
        self.graph = graph or Graph(plan)
        self.state = state or State(plan)
        self._ranks = order_ranks(plan, self.graph)
        self.risky = frozenset(t.id for t in plan.tasks if t.risk >= plan.checkpoints.before_risk)
        self._tasks = {task.id: task for task in plan.tasks}
        self.now = rep.Now(self.state.t, self.state.at)  # type: ignore[arg-type]  # set by each report
        self.step = Step()
        self.saving: dict[str, checkpoints.Saving] = {}
        self.gathering: set[str] = set()
        self.asserting: dict[int, rep.Decide] = {}
        self.stop_checkpoint_tried = False
        self.rebuild()

    def rebuild(self) -> None:
        """Derive the indices from `state`."""
        state = self.state
        self.gate: Gate = gate_for(state, self.plan, self.graph)
        self.frontier = Frontier(state, self._ranks, self.graph.index)
        self.unmet: dict[str, int] = {
            task: sum(not state.satisfied(parent) for parent in parents)
            for task, parents in self.graph.parents.items()
        }
        self.progress = checkpoints.Progress(state, self.plan)
        for task in state.tasks.values():
            if task.status is TaskStatus.READY or (
                task.status is TaskStatus.WAITING and task.due_t is None and task.id not in state.lanes
            ):
                self.frontier.add(task.id)

    def handle(self, report: rep.Report, now: rep.Now) -> Step:
        """What follows from `report`. `state` already includes the events that are returned."""
        self.step = Step()
        self.now = now if now.t >= self.state.t else rep.Now(self.state.t, now.at)
        if not self.state.finished or isinstance(report, _AFTER_THE_END):
            _RULES[type(report)](self, report)
            self._advance()
        return self.step

    # -- what the rules build their answer with ----------------------------------------------------

    def emit(self, kind: type[E], **fields: Any) -> E:
        state, now = self.state, self.now
        fields["seq"], fields["t"], fields["at"] = state.seq + 1, now.t, now.at
        event = kind(**fields)
        apply(state, event)
        self.step.events.append(event)
        return event

    def command(self, command: cmd.Command) -> None:
        self.step.commands.append(command)

    def task(self, task_id: str) -> Task:
        return self._tasks[task_id]

    def satisfied(self, task_id: str) -> None:
        """`task_id` has come to be satisfied: its dependants may have become ready."""
        unmet = self.unmet
        for child in self.graph.children[task_id]:
            unmet[child] -= 1
            if not unmet[child]:
                self.make_ready(child)

    def make_ready(self, task_id: str) -> None:
        """Put a pending task on the frontier, if its dependencies are satisfied and its gate is open."""
        pending = self.state.tasks[task_id].status is TaskStatus.PENDING
        if pending and not self.unmet[task_id] and self.gate.is_open(task_id):
            self.emit(ev.TaskReady, task=task_id)
            self.frontier.add(task_id)

    def waited(self, task_id: str) -> None:
        """The hold on a waiting task is over."""
        self.emit(ev.TaskReady, task=task_id)
        self.frontier.add(task_id)

    @property
    def held(self) -> bool:
        """Whether something keeps new tasks from starting."""
        return bool(self.state.stopping or self.state.rollback or hold_reason(self.state))

    # -- going on ------------------------------------------------------------------------------------

    def _advance(self) -> None:
        state = self.state
        if state.finished or not state.started:
            return
        if state.stopping:
            self._stop()
        elif self.gathering:
            return
        elif state.rollback:
            rollback.advance(self)
        elif held := hold_reason(state):
            self._hold(held)
            if state.rollback_wanted and not state.in_flight and not rollback.place_under_way(self):
                rollback.begin(self)
        else:
            if state.status is not RunStatus.RUNNING:
                self.emit(ev.RunResumed, cause="decision")
                checkpoints.set_timer(self)
            self._open_waves()
            self._dispatch()
            if state.settled == len(state.tasks) and not self.saving:
                self.finish("completed")

    def _hold(self, reason: str) -> None:
        if self.state.status is RunStatus.RUNNING:
            self.emit(ev.RunPausing, reason=reason)
        if self.state.status is RunStatus.PAUSING and not self.state.in_flight and not self.saving:
            self.emit(ev.RunPaused, reason=reason)

    def _stop(self) -> None:
        if self.state.in_flight or self.saving:
            return
        wanted = checkpoints.outdated(self.state) or self.state.last_checkpoint is None
        if wanted and not self.stop_checkpoint_tried:
            self.stop_checkpoint_tried = True
            checkpoints.save(self, "stop")
            return
        stopping = self.state.stopping
        assert stopping is not None
        self.finish("failed" if stopping.fatal else "aborted", stopping.reason)

    def finish(self, status: ev.FinalStatus, reason: str = "") -> None:
        self.emit(ev.RunFinished, status=status, reason=reason)
        self.command(cmd.Finish(status=status))

    def _open_waves(self) -> None:
        """Open the first wave; later ones when the barrier before them has its checkpoint."""
        state = self.state
        settled = self.gate.settled_wave()
        if settled and settled not in state.barriers:
            self.emit(ev.BarrierReached, wave=settled)
        waiting = settled or not state.waves_started
        if not waiting or (settled and not checkpoints.barrier_saved(self, settled)):
            return
        upcoming = self.gate.next_wave()
        if upcoming:
            wave, tasks = upcoming
            self.emit(ev.WaveStarted, wave=wave)
            for task in tasks:
                self.make_ready(task)
            self._open_waves()  # a wave whose tasks are all blocked is settled as soon as it opens

    def _dispatch(self) -> None:
        state = self.state
        while None in state.lanes:
            task_id = self.frontier.pick()
            if task_id is None:
                break
            lane = state.lanes.index(None)
            if checkpoints.due_before(self, task_id):
                checkpoints.hold_for(self, task_id, lane)
            else:
                self.start(task_id, lane)
        for held, pool in self.frontier.newly_held():
            self.emit(ev.TaskWaiting, task=held, reason=pool_reason(state, pool))

    def start(self, task_id: str, lane: int) -> None:
        task = self.state.tasks[task_id]
        attempt = len(task.attempts) + 1
        undone = underway.undone_before(task, attempt)
        self.emit(ev.TaskStarted, task=task_id, attempt=attempt, lane=lane)
        self.command(
            cmd.StartTask(
                task=task_id,
                attempt=attempt,
                lane=lane,
                undone=undone,
                stranded=undone - task.undone_attempts,
                intent=underway.intended(task, "run"),
                adjusted=task.adjusted,
            )
        )


def hold_reason(state: State) -> str:
    """Why nothing new may start, or an empty string. Derived, so that it can never be left standing."""
    if state.questions:
        question = next(iter(state.questions.values()))
        more = f" and {len(state.questions) - 1} more" if len(state.questions) > 1 else ""
        return f"an operator must decide about {question.task}{more}"
    if state.rollback_wanted:
        return f"a rollback to {state.rollback_wanted.to} was decided"
    return state.operator_pause or ""


def pool_reason(state: State, pool: str) -> str:
    """Who holds `pool`, in words."""
    holders = [
        task for task in state.lanes if task and any(name == pool for name, _ in state.pools.demand[task])
    ]
    by = f", held by {', '.join(holders)}" if holders else ""
    if pool.startswith("lock:"):
        return f"lock {pool.removeprefix('lock:')}{by}"
    return f"{pool}: {state.in_use.get(pool, 0)} of {state.pools.capacity[pool]} in use{by}"


def _begin(machine: Machine, report: rep.Begin) -> None:
    plan = machine.plan
    machine.emit(
        ev.RunStarted,
        run=report.run,
        plan=plan.name,
        plan_hash=report.plan_hash,
        model=plan.model,
        policy=plan.policy,
        lanes=plan.workers,
        seed=report.seed,
        simulated=report.simulated,
        actor=report.actor,
        engine=report.engine,
        folder=report.folder,
        source=report.source,
        source_digest=report.source_digest,
        faults=report.faults,
        allow_outside=report.allow_outside,
    )
    checkpoints.set_timer(machine)
    for task in plan.tasks:
        machine.make_ready(task.id)


def _timer_fired(machine: Machine, report: rep.TimerFired) -> None:
    kind, _, task_id = report.key.partition(":")
    if kind == checkpoints.TIMER:
        checkpoints.on_timer(machine)
    elif machine.state.tasks[task_id].status is TaskStatus.WAITING:
        recovery.on_wait_over(machine, kind, task_id)


def _pause(machine: Machine, report: rep.Pause) -> None:
    state = machine.state
    why = f"the run is {state.status}" if state.finished else ""
    if not why and state.rollback:
        why = "a rollback is under way"
    if not why and state.stopping:
        why = "the run is stopping"
    if why:
        machine.emit(ev.DecisionRefused, question=0, action="pause", actor=report.actor, why=why)
    elif state.operator_pause is None:
        reason = report.reason or f"paused by {report.actor}"
        machine.emit(
            ev.DecisionMade, question=0, action="pause", actor=report.actor, reason=reason, on_seq=state.seq
        )


def _continue(machine: Machine, report: rep.Continue) -> None:
    if machine.state.operator_pause is not None and not machine.state.stopping:
        machine.emit(ev.RunResumed, cause="operator", actor=report.actor)
        checkpoints.set_timer(machine)


def _stop(machine: Machine, report: rep.Stop) -> None:
    state = machine.state
    stopping = state.stopping
    if stopping and (report.drain or not stopping.drain):
        return
    fatal = stopping is not None and stopping.fatal
    machine.emit(ev.RunStopping, drain=report.drain, fatal=fatal, actor=report.actor, reason=report.reason)
    if not report.drain:
        undoing = state.rollback.running if state.rollback else ""
        for task_id in state.in_flight:
            purpose: ev.Purpose = "rollback" if task_id == undoing else "run"
            machine.command(cmd.CancelTask(task=task_id, purpose=purpose))


_RULES: dict[type[rep.Report], Callable[[Machine, Any], None]] = {
    rep.Begin: _begin,
    rep.EngineResumed: resuming.on_engine_resumed,
    rep.EvidenceFound: resuming.on_evidence,
    rep.Succeeded: recovery.on_succeeded,
    rep.Failed: recovery.on_failed,
    rep.Cancelled: recovery.on_cancelled,
    rep.InDoubt: recovery.on_in_doubt,
    rep.ProbeAnswered: recovery.on_probe,
    rep.TimerFired: _timer_fired,
    rep.Decide: decisions.on_decide,
    rep.AssertionChecked: decisions.on_assertion,
    rep.CheckpointWritten: checkpoints.on_written,
    rep.CheckpointNotWritten: checkpoints.on_not_written,
    rep.TakeCheckpoint: checkpoints.on_demand,
    rep.Pause: _pause,
    rep.Continue: _continue,
    rep.Stop: _stop,
    rep.CommitIntended: underway.on_intent,
    rep.Progressed: underway.on_progress,
    rep.LockWaitSeen: underway.on_lock_wait,
    rep.Intervene: underway.on_intervene,
    rep.Intervened: underway.on_intervened,
    rep.Adjust: underway.on_adjust,
}
_AFTER_THE_END = (rep.EngineResumed, rep.Decide, rep.AssertionChecked, rep.Pause, rep.Intervene, rep.Adjust)
"""Reports that a run which has ended still answers: all but the first with a refusal. Of the others (a timer,
a probe) it is simply no longer true that anybody waits for them."""
