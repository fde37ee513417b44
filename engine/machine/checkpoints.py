"""When a checkpoint is taken, and what it holds."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.machine import commands as cmd
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine import rollback
from engine.machine.metrics import metrics
from engine.machine.state import State
from engine.machine.transitions import SETTLED, RunStatus, TaskStatus
from engine.plan.models import Plan

if TYPE_CHECKING:
    from engine.machine.core import Machine

VERSION = 1
"""Version of a checkpoint's content."""
TIMER = "checkpoint"


class Saving(NamedTuple):
    """A checkpoint on its way to the disk, as the state stood then. `tasks` are the risky tasks that wait
    for it, each on its lane."""

    position: int
    completed: int
    stable: bool
    note: str
    tasks: list[str]


class Progress:
    """How far the plan has come, in the steps that make checkpoints due. An index over State."""

    def __init__(self, state: State, plan: Plan) -> None:
        self._state = state
        self._percent = plan.checkpoints.progress
        self._phase_of = {task.id: task.phase for task in plan.tasks} if plan.checkpoints.phases else {}
        self._left: dict[str, int] = {}
        for task_id, phase in self._phase_of.items():
            if phase:
                unsettled = state.tasks[task_id].status not in SETTLED
                self._left[phase] = self._left.get(phase, 0) + unsettled
        self._mark = self._step()

    def _step(self) -> int:
        return self._state.settled * 100 // len(self._state.tasks) // self._percent

    def settled(self, task_id: str) -> tuple[ev.Trigger, str] | None:
        """The trigger that `task_id` being settled has pulled, with a note, if any."""
        phase = self._phase_of.get(task_id)
        before, self._mark = self._mark, self._step()
        if phase:
            self._left[phase] -= 1
            if not self._left[phase]:
                return "phase", f"phase {phase} complete"
        if self._mark > before:
            return "progress", f"{self._mark * self._percent} % settled"
        return None


def after_settling(machine: "Machine", task_id: str) -> None:
    """Take the checkpoint that `task_id` being settled has made due. A wave's own barrier comes first."""
    pulled = machine.progress.settled(task_id)
    if pulled and not machine.gate.settled_wave():
        save(machine, pulled[0], note=pulled[1])


def outdated(state: State) -> bool:
    """Whether the newest checkpoint no longer holds what is completed now."""
    last = state.last_checkpoint
    return state.settled_changed_seq > (last.position if last else 0)


def due_before(machine: "Machine", task_id: str) -> bool:
    """Whether a checkpoint must be durable before this task may start."""
    return task_id in machine.risky and outdated(machine.state)


def hold_for(machine: "Machine", task_id: str, lane: int) -> None:
    """Keep `lane` for a risky task until its checkpoint is durable."""
    machine.emit(ev.TaskWaiting, task=task_id, reason="its checkpoint is being written", lane=lane)
    saving = _fresh_saving(machine)
    if saving:
        saving.tasks.append(task_id)
    else:
        save(machine, "risk", note=f"before {task_id}", task=task_id)


def _fresh_saving(machine: "Machine") -> Saving | None:
    """A checkpoint that is being written, and holds all that is completed now."""
    changed = machine.state.settled_changed_seq
    return next((saving for saving in machine.saving.values() if saving.position >= changed), None)


def hold_again(machine: "Machine", task_id: str) -> None:
    """Ask anew for the checkpoint that `task_id` waits for on its lane: for a machine that takes up a state
    whose own request is out elsewhere."""
    save(machine, "risk", note=f"before {task_id}", task=task_id)


def save(machine: "Machine", trigger: ev.Trigger, note: str = "", task: str = "") -> None:
    state = machine.state
    checkpoint = next_id(state, machine.saving)
    machine.saving[checkpoint] = Saving(
        position=state.seq,
        completed=state.counts[TaskStatus.SUCCEEDED],
        stable=state.stable,
        note=note,
        tasks=[task] if task else [],
    )
    machine.command(
        cmd.SaveCheckpoint(
            checkpoint=checkpoint, trigger=trigger, position=state.seq, content=content_of(state)
        )
    )


def next_id(state: State, under_way: Iterable[str] = ()) -> str:
    """The id of the next checkpoint, while those in `under_way` are being written.

    One more than the highest: counting would name two alike once a checkpoint has failed, or was lost."""
    taken = (*state.checkpoints, *under_way)
    return f"cp-{max((int(name.removeprefix('cp-')) for name in taken), default=0) + 1:04d}"


def content_of(state: State) -> dict[str, Any]:
    """The published content of a checkpoint, as plain JSON values."""
    tasks = state.tasks.values()
    return {
        "timestamp": state.at.isoformat() if state.at else None,
        "version": VERSION,
        "completed": state.with_status(TaskStatus.SUCCEEDED),
        "running": [
            {"task": task_id, "attempt": len(state.tasks[task_id].attempts), "lane": lane}
            for lane, task_id in enumerate(state.lanes)
            if task_id and state.tasks[task_id].status is TaskStatus.RUNNING
        ],
        "frontier": state.frontier,
        "outputs": {task.id: task.outputs for task in tasks if task.outputs},
        "resources": {
            pool: {"capacity": capacity, "in_use": state.in_use.get(pool, 0)}
            for pool, capacity in state.pools.capacity.items()
        },
        "metrics": dict(metrics(state)),
    }


def barrier_saved(machine: "Machine", wave: str) -> bool:
    """Whether the barrier of `wave` has its checkpoint; asks for it if nobody has yet."""
    reached = machine.state.barriers[wave]
    if any(c.trigger == "barrier" and c.position >= reached for c in machine.state.checkpoints.values()):
        return True
    if not any(saving.note == _barrier_note(wave) for saving in machine.saving.values()):
        save(machine, "barrier", note=_barrier_note(wave))
    return False


def _barrier_note(wave: str) -> str:
    return f"wave {wave} complete"


def on_written(machine: "Machine", report: rep.CheckpointWritten) -> None:
    saving = machine.saving.pop(report.checkpoint)
    machine.emit(
        ev.CheckpointSaved,
        checkpoint=report.checkpoint,
        trigger=report.trigger,
        position=report.position,
        position_hash=report.position_hash,
        file=report.file,
        completed=saving.completed,
        stable=saving.stable,
        note=saving.note,
    )
    rollback.reconsider(machine)
    _release(machine, saving)


def on_not_written(machine: "Machine", report: rep.CheckpointNotWritten) -> None:
    saving = machine.saving.pop(report.checkpoint)
    machine.emit(ev.CheckpointFailed, trigger=report.trigger, reason=report.reason)
    _release(machine, saving)


def _release(machine: "Machine", saving: Saving) -> None:
    """Start the tasks that waited for this checkpoint; put them back if something holds the run now."""
    state = machine.state
    may_start = state.status is RunStatus.RUNNING and not machine.held
    for task_id in saving.tasks:
        if task_id not in state.lanes:
            continue
        if may_start:
            machine.start(task_id, state.lanes.index(task_id))
        else:
            machine.waited(task_id)


def set_timer(machine: "Machine") -> None:
    """Ask to be woken for the next checkpoint by time. Not while paused: nothing changes then."""
    every = machine.plan.checkpoints.every
    if every:
        machine.command(cmd.SetTimer(key=TIMER, due_t=machine.now.t + every))


def on_timer(machine: "Machine") -> None:
    if machine.state.status is not RunStatus.RUNNING:
        return
    if outdated(machine.state) and _fresh_saving(machine) is None:
        save(machine, "time")
    set_timer(machine)


def on_demand(machine: "Machine", report: rep.TakeCheckpoint) -> None:
    machine.emit(
        ev.DecisionMade,
        question=0,
        action="checkpoint",
        actor=report.actor,
        reason=report.reason,
        on_seq=machine.state.seq,
    )
    save(machine, "manual", note=f"asked for by {report.actor}")
