"""What the fold does with the two events that change what a run consists of: another plan, and a fork."""

from msgspec import structs

from engine.machine.events import Event, PlanChanged, RunForked
from engine.machine.resources import Pools
from engine.machine.state import State, TaskState
from engine.machine.transitions import SETTLED, TaskStatus
from engine.plan.models import Plan

_NEW_TO_FORK = "it is new to this run, and may have run in what is lost of the one this goes on for"


def change_plan(state: State, event: PlanChanged, plan: Plan) -> None:
    """From here on the run goes by `plan`. Tasks that both plans have stand as they stood; one that is new to
    a fork may have been in what is lost of its originals, and may have run there."""
    added = {task.id for task in plan.tasks} - state.tasks.keys() if state.origins else set()
    state.plan = plan
    state.plan_seq = event.seq
    state.source_digest = event.source_digest
    state.pools = Pools(plan)
    state.tasks = {task.id: state.tasks.get(task.id) or TaskState(task.id) for task in plan.tasks}
    for task_id in sorted(added):
        _doubt(state.tasks[task_id], event, _NEW_TO_FORK)
    state.overtaken = {task: times for task, times in state.overtaken.items() if task in state.tasks}
    _keep_waves(state, event.waves)
    if state.rollback:
        # The last one, which has ended: what it went over is of interest as far as it is still there.
        state.rollback.tasks = tuple(task for task in state.rollback.tasks if task in state.tasks)
        state.rollback.stay = tuple(task for task in state.rollback.stay if task in state.tasks)
    _count_again(state)
    state.settled_changed_seq = event.seq


def fork(state: State, event: RunForked) -> None:
    """The history of another run becomes that of this one, and what may have gone on there is in doubt."""
    state.origins = event.past
    state.run = event.run
    for task_id, why in event.doubted.items():
        _doubt(state.tasks[task_id], event, why)
    state.overtaken = {task: times for task, times in state.overtaken.items() if task not in event.doubted}
    state.checkpoints = {id: each for id, each in state.checkpoints.items() if id not in event.lost}
    _keep_waves(state, event.waves)
    _count_again(state)
    state.settled_changed_seq = event.seq


def _doubt(task: TaskState, event: Event, why: str) -> None:
    """What became of the task in a run that this one goes on for, nobody here has seen."""
    last = task.last
    if last and last.result is TaskStatus.RUNNING:
        unseen = {"ended_t": event.t, "ended_at": event.at, "result": TaskStatus.IN_DOUBT, "reason": why}
        task.attempts = (*task.attempts[:-1], structs.replace(last, **unseen))
    task.done_seq = task.settled_seq if task.status is TaskStatus.SUCCEEDED else 0
    task.status = TaskStatus.IN_DOUBT
    task.doubt = "run"
    task.unseen = why
    task.forked_after = len(task.attempts)
    task.settled_seq = 0
    task.waiting_for = task.blocked_by = ""
    task.due_t = None


def _keep_waves(state: State, waves: tuple[str, ...]) -> None:
    state.waves_started = {wave: state.waves_started[wave] for wave in waves}
    state.barriers = {wave: seq for wave, seq in state.barriers.items() if wave in waves}


def _count_again(state: State) -> None:
    """Derive from the tasks what is kept beside them."""
    on_lane = (TaskStatus.RUNNING, TaskStatus.WAITING)
    state.counts = dict.fromkeys(TaskStatus, 0)
    for task in state.tasks.values():
        state.counts[task.status] += 1
    state.settled = sum(state.counts[status] for status in SETTLED)
    state.in_use = {}
    for lane, task_id in enumerate(state.lanes):
        if task_id is None:
            continue
        if task_id not in state.tasks or state.tasks[task_id].status not in on_lane:
            state.lanes[lane] = None
            continue
        for pool, units in state.pools.demand[task_id]:
            state.in_use[pool] = state.in_use.get(pool, 0) + units
