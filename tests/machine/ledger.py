"""The promises of a run, checked from outside: over its events, and from first principles.

Nothing here uses the machine's own indices (frontier, gate, unmet counts); what the fold makes of the events
is used only where the promise is about it.
"""

from collections import Counter
from collections.abc import Collection, Iterable

from engine.graph import Graph
from engine.machine import events as ev
from engine.machine.fold import apply
from engine.machine.policies import order_keys
from engine.machine.state import State
from engine.machine.transitions import RunStatus, TaskStatus
from engine.plan.models import Plan
from engine.plan.waves import wave_plan

SETTLED = {"succeeded", "waived", "skipped", "blocked"}


def snapshot(state: State) -> dict[str, object]:
    """Everything in `state`, to compare."""
    return {name: value for name, value in vars(state).items() if name not in ("plan", "pools")}


_AFTER_THE_END = ev.RunResumed | ev.DecisionRefused | ev.InterventionRefused | ev.CheckpointSaved


class Ledger:
    """Follows the events of a run, and raises AssertionError at the first that breaks a promise."""

    def __init__(self, plan: Plan, graph: Graph) -> None:
        self.plan = plan
        self.graph = graph
        self.tasks = {task.id: task for task in plan.tasks}
        self.state = State(plan)
        self.keys = order_keys(plan, graph)
        waves = wave_plan(plan, graph)
        self.earlier: dict[str, list[str]] = {}
        """Per task: the tasks of all waves before its own; nothing in the rolling model."""
        self.wave_of = {task_id: wave.id for wave in waves for task_id in wave.tasks}
        done: list[str] = []
        for wave in waves:
            self.earlier |= dict.fromkeys(wave.tasks, list(done) if plan.model == "wave" else [])
            done += wave.tasks
        self.applied: set[str] = set()
        """Tasks whose effect is there: they succeeded and were not undone."""
        self.history: list[tuple[int, frozenset[str]]] = [(0, frozenset())]
        """What was applied from which event on."""
        self.undoing = ""
        self.paused = False
        self.wanted = False
        """A rollback was decided and has not begun."""
        self.by_engine = False
        """The last rollback that began was the engine's own."""
        self.covered = 0
        """The latest place that a checkpoint stands at."""
        self.barriers: list[int] = [0]
        """The places that barrier checkpoints stand at."""

    def follow(self, events: Iterable[ev.Event]) -> None:
        for event in events:
            body = ev.encode_event(event)
            assert ev.decode_event(body) == event, event
            assert event.seq == self.state.seq + 1, event
            assert event.t >= self.state.t, event
            before = getattr(self, f"_before_{event.kind}", None)
            if before:
                before(event)
            if self.state.finished:
                assert isinstance(event, _AFTER_THE_END), event
            apply(self.state, ev.decode_event(body))
            if self.applied != self.history[-1][1]:
                self.history.append((event.seq, frozenset(self.applied)))

    # -- what must hold where an event stands ------------------------------------------------------

    def _before_run_resumed(self, event: ev.RunResumed) -> None:
        if self.state.finished or event.cause == "engine":
            assert event.cause == "engine", event
            self.undoing = ""
        if event.cause != "decision":
            self.paused = False

    def _before_task_started(self, event: ev.TaskStarted) -> None:
        state, task_id = self.state, event.task
        for need in self.graph.parents[task_id]:
            assert state.tasks[need].status in ("succeeded", "waived"), (event, need)
        assert task_id not in self.applied, f"{task_id} has succeeded, and is started again"
        assert state.tasks[task_id].status is not TaskStatus.RUNNING
        assert event.attempt == len(state.tasks[task_id].attempts) + 1
        assert state.lanes[event.lane] in (None, task_id), (event, state.lanes)
        self._nothing_holds(event)
        assert self.gate_open(task_id), f"{task_id} starts before the barrier ahead of it"
        held = task_id in state.lanes
        if not held:
            self._first_in_order(event)
            risky = self.tasks[task_id].risk >= self.plan.checkpoints.before_risk
            assert not risky or state.settled_changed_seq <= self.covered, f"{task_id} needs a checkpoint"

    def _before_task_waiting(self, event: ev.TaskWaiting) -> None:
        if event.lane is not None:
            assert self.state.lanes[event.lane] is None, event
            self._nothing_holds(event)
            self._first_in_order(event)

    def _before_task_succeeded(self, event: ev.TaskSucceeded) -> None:
        self.applied.add(event.task)

    def _before_task_skipped(self, event: ev.TaskSkipped) -> None:
        assert event.task not in self.applied, event

    def _before_decision_made(self, event: ev.DecisionMade) -> None:
        assert event.on_seq == event.seq - 1
        assert event.question == 0 or event.question in self.state.questions, event
        if event.question:
            assert event.task == self.state.questions[event.question].task
        self.paused |= event.action == "pause"
        self.wanted |= event.action == "rollback"

    def _before_intervention_made(self, event: ev.InterventionMade) -> None:
        assert event.task in self.state.in_flight, event
        wait = self.state.tasks[event.task].underway.lock_wait
        if event.action != "cancel_own":
            assert wait and wait.seq <= event.on_seq < event.seq, event
            shown = {(each.pid, each.started): each.own_task for each in wait.blockers}
            assert shown[event.pid, event.backend_started] == "", event

    def _before_question_opened(self, event: ev.QuestionOpened) -> None:
        asked = [q.task for q in self.state.questions.values()]
        assert event.task not in asked, f"two questions about {event.task}"
        if event.about == "rollback_scope":
            self.wanted = False

    def _before_run_stopping(self, _: ev.RunStopping) -> None:
        self.wanted = False

    def _before_rollback_started(self, event: ev.RollbackStarted) -> None:
        assert self.wanted, "nobody decided on this rollback"
        self.wanted = False
        assert not self.state.in_flight, event
        place = {task_id: at for at, task_id in enumerate(event.tasks)}
        for task_id, at in place.items():
            assert self.tasks[task_id].rollback is not None, event
            for ancestor in self.graph.ancestors(task_id):
                assert place.get(ancestor, at) >= at, f"{ancestor} is undone before {task_id}, which needs it"
        assert all(self.tasks[task_id].rollback is None for task_id in event.stay), event
        scope = {t for t in self.applied if self.state.tasks[t].settled_seq > event.to_seq}
        assert scope == {*event.tasks, *event.stay}, (event, scope)
        self.by_engine = (
            self.state.rollback_wanted is not None and self.state.rollback_wanted.actor == "engine"
        )
        assert len(event.tasks) + len(event.stay) == len(scope)

    def _before_rollback_step_started(self, event: ev.RollbackStepStarted) -> None:
        rollback = self.state.rollback
        assert rollback
        assert event.task in self.applied, f"{event.task} left no effect, and is rolled back"
        assert not self.undoing, event
        assert not self.state.in_flight, event
        assert not self.state.questions, event
        before = rollback.tasks[: rollback.tasks.index(event.task)]
        assert all(task not in self.applied or task in rollback.left for task in before), event
        self.undoing = event.task

    def _before_rollback_failed(self, event: ev.RollbackFailed) -> None:
        assert self.undoing == event.task
        self.undoing = ""

    def _before_task_in_doubt(self, event: ev.TaskInDoubt) -> None:
        if event.purpose == "rollback":
            self.undoing = ""

    def _before_task_rolled_back(self, event: ev.TaskRolledBack) -> None:
        self.undoing = ""
        self.applied.remove(event.task)

    def _before_checkpoint_saved(self, event: ev.CheckpointSaved) -> None:
        assert event.checkpoint not in self.state.checkpoints, f"{event.checkpoint} is saved twice"
        assert event.position < event.seq
        if self.by_engine and self.state.rollback and self.plan.model == "rolling":
            better = event.stable and event.position > self.state.rollback.to_seq
            assert not better, f"the engine did not wait for {event}, and rolls back behind it"
        self.covered = max(self.covered, event.position)
        if event.trigger == "barrier":
            self.barriers.append(event.position)

    def _before_checkpoint_failed(self, _: ev.CheckpointFailed) -> None:
        self.paused = True

    def _before_run_finished(self, event: ev.RunFinished) -> None:
        state = self.state
        assert not state.in_flight, event
        undecided = [t.id for t in state.tasks.values() if t.status not in SETTLED]
        assert event.status != "completed" or not undecided, (event, undecided)
        for task in state.tasks.values():
            if event.status == "completed" and task.status == "blocked":
                needs = {state.tasks[need].status.value for need in self.graph.parents[task.id]}
                assert needs & {"skipped", "blocked"}, f"{task.id} is blocked by nothing: {needs}"
        if event.status == "rolled_back":
            assert state.rollback
            then = self.applied_at(state.rollback.to_seq)
            assert self.applied == then | {*state.rollback.stay} | state.rollback.left, (event, then)
        if event.status == "failed":
            assert state.stopping
            assert state.stopping.fatal

    def applied_at(self, seq: int) -> frozenset[str]:
        """The tasks whose effect was there after event `seq`."""
        return next(applied for since, applied in reversed(self.history) if since <= seq)

    # -- from first principles ---------------------------------------------------------------------

    @property
    def held(self) -> bool:
        state = self.state
        return bool(state.questions or self.paused or self.wanted or state.stopping or state.rollback)

    def _nothing_holds(self, event: ev.Event) -> None:
        assert not self.held, f"{event} while something holds the run"
        assert self.state.status is RunStatus.RUNNING, event

    def gate_open(self, task_id: str) -> bool:
        """Whether the task's wave is open, all before it are settled, and a barrier checkpoint says so."""
        tasks = [self.state.tasks[earlier] for earlier in self.earlier[task_id]]
        settled = max((task.settled_seq for task in tasks), default=0)
        if self.plan.model == "wave" and self.wave_of[task_id] not in self.state.waves_started:
            return False
        return all(task.status in SETTLED for task in tasks) and max(self.barriers) >= settled

    def startable(self) -> list[str]:
        """Tasks that a free lane could take now, the one that is to start first in front."""
        state = self.state
        turns = sorted(
            (task for task, times in state.overtaken.items() if times >= len(state.lanes)),
            key=lambda task: (-state.overtaken[task], self.graph.index[task]),
        )
        ranks = {task: rank for rank, task in enumerate(turns)}
        found = []
        for task in state.tasks.values():
            on_frontier = task.status in ("pending", "ready") or (
                task.status == "waiting" and task.due_t is None and task.id not in state.lanes
            )
            satisfied = all(
                state.tasks[p].status in ("succeeded", "waived") for p in self.graph.parents[task.id]
            )
            if on_frontier and satisfied and self.gate_open(task.id):
                reserved: Counter[str] = Counter()
                for other in turns[: ranks.get(task.id, len(turns))]:
                    reserved.update(dict(state.pools.demand[other]))
                taken: Counter[str] = Counter()
                for busy in filter(None, state.lanes):
                    taken.update(dict(state.pools.demand[busy]))
                demand = state.pools.demand[task.id]
                if all(taken[p] + reserved[p] + units <= state.pools.capacity[p] for p, units in demand):
                    key = self.keys.get(task.id) or (float(task.ready_seq),)
                    rank = ranks.get(task.id, len(turns))
                    found.append((rank, key, self.graph.index[task.id], task.id))
        return [task_id for *_, task_id in sorted(found)]

    def _first_in_order(self, event: ev.TaskStarted | ev.TaskWaiting) -> None:
        ready = [t for t in self.startable() if self.state.tasks[t].status != "pending"]
        assert ready[:1] == [event.task], (event, ready)

    def no_lane_idle(self) -> None:
        """To be asked between steps, when nothing is being looked into."""
        if None in self.state.lanes and not self.held and self.state.status is RunStatus.RUNNING:
            assert not self.startable(), f"a lane is idle, and {self.startable()} could run"

    def nobody_forgotten(self, looked_into: Collection[str]) -> None:
        """To be asked between steps: what is undecided waits for an answer, or for the run to go on."""
        state = self.state
        waits = {question.task for question in state.questions.values()} | {*looked_into}
        if state.rollback_wanted:
            waits.add(state.rollback_wanted.task)
        undecided = {"failed", "in_doubt", "cancelled", "rolled_back", "rolling_back"}
        if not (state.finished or state.stopping or state.rollback):
            forgotten = [t for t in state.tasks.values() if t.status in undecided and t.id not in waits]
            assert not forgotten, f"nobody decides about {forgotten}"
