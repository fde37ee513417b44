"""Why a task stands where it stands, in words."""

from console.holdups import hold
from console.look import plural
from console.run_view import RunView
from console.sentences import some_of
from console.underway import lock_wait, wait_words
from engine.machine.transitions import SATISFIED, RunStatus, TaskStatus
from engine.plan.durations import format_duration


def why(view: RunView, task_id: str) -> str:
    """What the task waits for or what became of it; empty where its status says it all."""
    state = view.state
    task = state.tasks[task_id]
    question = next((q for q in state.questions.values() if q.task == task_id), None)
    if question:
        return f"question {question.number} is open: {question.reason}"
    if task.status is TaskStatus.WAITING:
        due = max(0.0, (task.due_t or 0.0) - view.now_t)
        return task.waiting_for + (f"; again in {format_duration(due)}" if task.due_t is not None else "")
    if wait := lock_wait(task):
        return wait_words(wait, max(0.0, view.now_t - wait.t))
    if held := hold(state, task_id):
        return held
    if task.status is TaskStatus.BLOCKED:
        return f"blocked by {task.blocked_by}"
    if task.status is TaskStatus.IN_DOUBT:
        return "whether it took effect is not known"
    if task.status is TaskStatus.READY:
        return "waits for a free lane" if state.status is RunStatus.RUNNING else "waits for the run to go on"
    if task.status is TaskStatus.PENDING:
        return _pending(view, task_id)
    return ""


def _pending(view: RunView, task_id: str) -> str:
    missing = [need for need in view.graph.parents[task_id] if view.state.tasks[need].status not in SATISFIED]
    if missing:
        return f"waits for {some_of(missing)}"
    if view.plan.model == "wave" and view.state.started:
        return "waits for its wave to open"
    return "" if view.state.started else f"one of {plural(len(view.graph.order), 'task')} to come"
