"""What an attempt under way tells, in words: who blocks it, how far it is, what an operator did about it."""

from collections.abc import Iterable
from typing import NamedTuple

from console.look import one_line, rounded
from engine.machine import events as ev
from engine.machine.state import State, TaskState, Underway
from engine.machine.transitions import SETTLED, TaskStatus
from engine.machine.underway import rate
from engine.plan.durations import format_duration

PREPARED = "prepared transaction"
IN_TRANSACTION = "idle in transaction"
_EIGHTHS = " ▏▎▍▌▋▊▉"


# -- waits for locks ---------------------------------------------------------------------------------


def waiting(state: State) -> list[str]:
    """The tasks that wait for a lock of the target just now: first those that others queue up behind, and of
    equals those that have waited for longest."""
    found = {task: wait for task in state.in_flight if (wait := lock_wait(state.tasks[task]))}
    if len(found) < 2:
        return list(found)
    strong = {task.id for task in state.plan.tasks if task.locks}
    # Whoever waits for older transactions (a concurrent index build) asks for no lock that others want.
    return sorted(found, key=lambda task: (not found[task].relation, task not in strong, found[task].seq))


def lock_wait(task: TaskState) -> ev.LockWaitChanged | None:
    """What the attempt in flight waits for; of one that is over nothing is told any more."""
    busy = task.status in (TaskStatus.RUNNING, TaskStatus.ROLLING_BACK)
    return task.underway.lock_wait if busy else None


def culprits(wait: ev.LockWaitChanged) -> list[ev.Blocker]:
    """Those who keep everybody waiting and wait for nobody themselves, the longest transaction first. Where
    all wait for each other, all of them."""
    known = {each.pid for each in wait.blockers}
    free = [each for each in wait.blockers if not known.intersection(each.waits_for)]
    return sorted(free or wait.blockers, key=lambda each: -each.age_s)


def what_for(wait: ev.LockWaitChanged) -> str:
    """What is waited for: `waits for a lock on orders`."""
    if not wait.relation:
        return "waits for older transactions to end"
    return f"waits for a lock on {one_line(wait.relation)}"


def who(blocker: ev.Blocker) -> str:
    """A backend by number and names: `pid 4711 alice (psql)`."""
    if blocker.own_task:
        return f"{blocker.own_task} of this run (pid {blocker.pid})"
    if blocker.state == PREPARED:
        return f"a prepared transaction, {one_line(blocker.application)!r}"
    application = one_line(blocker.application)
    names = [f"pid {blocker.pid}", one_line(blocker.user), f"({application})" if application else ""]
    return " ".join(name for name in names if name)


def doing(blocker: ev.Blocker, since_s: float) -> str:
    """What it is at, and for how long: `idle in transaction for 12m`. It was seen `since_s` seconds ago."""
    if not blocker.state:
        return "doing what this role may not see"
    if blocker.state == "active":
        verb = "waiting itself" if blocker.waits_for else "running a statement"
        return f"{verb} for {aged(blocker.state_s + since_s)}"
    return f"{one_line(blocker.state)} for {aged(blocker.state_s + since_s)}"


def aged(seconds: float) -> str:
    """An age that ticks no faster than it matters: seconds up to ten minutes, then minutes."""
    return format_duration(float(int(seconds) if seconds < 600 else int(seconds) // 60 * 60))


def wait_words(wait: ev.LockWaitChanged, since_s: float) -> str:
    """All of a wait in one line."""
    first = culprits(wait)[0]
    others = len(wait.blockers) - 1
    return f"{what_for(wait)}: {who(first)}, {doing(first, since_s)}" + (
        f", and {others} more" if others else ""
    )


class Branch(NamedTuple):
    """A line of the tree of blockers: `stem` is drawn before it, `below` before what else is said of it.
    `again`: it stands further up already, with those who block it."""

    stem: str
    below: str
    blocker: ev.Blocker
    again: bool = False


def tree(wait: ev.LockWaitChanged) -> list[Branch]:
    """Those who block us, and under each of them those who block it in turn."""
    by_pid = {each.pid: each for each in wait.blockers}
    behind = {pid for each in wait.blockers for pid in each.waits_for}
    branches: list[Branch] = []
    seen: set[int] = set()

    def grow(pids: Iterable[int], stem: str) -> None:
        known = [pid for pid in pids if pid in by_pid]
        for pid in known:
            last = pid == known[-1]
            below = stem + ("   " if last else "│  ")
            branches.append(Branch(stem + ("└─ " if last else "├─ "), below, by_pid[pid], pid in seen))
            if pid not in seen:
                seen.add(pid)
                grow(by_pid[pid].waits_for, below)

    # Of a circle that nobody stands before, whoever comes first begins it.
    grow([pid for pid in by_pid if pid not in behind] or by_pid, "")
    return branches


def adjustable(state: State) -> list[str]:
    """The backfills whose batches are still to come, those first that run."""
    backfills = [task.id for task in state.plan.tasks if task.run.kind == "backfill"]
    open_ones = [task for task in backfills if state.tasks[task].status not in SETTLED]
    return sorted(open_ones, key=lambda task: task not in state.in_flight)


def held_by_operator(task: TaskState) -> ev.TaskAdjusted | None:
    """How an operator has set the backfill in flight that is to write nothing for now."""
    held = task.status is TaskStatus.RUNNING and task.adjusted is not None and task.adjusted.held
    return task.adjusted if held else None


# -- progress ------------------------------------------------------------------------------------------


def progress(task: TaskState) -> ev.TaskProgressed | None:
    """How far the attempt in flight is, as far as it tells."""
    busy = task.status in (TaskStatus.RUNNING, TaskStatus.ROLLING_BACK)
    return task.underway.progress if busy else None


def share(told: ev.TaskProgressed) -> float | None:
    """How much of it is done, from 0 to 1; None where that is not known."""
    return min(told.done / told.total, 1.0) if told.total else None


def bar(told: ev.TaskProgressed, cells: int) -> str:
    """A bar of so many cells, filled by the share that is done; empty where that is not known."""
    done = share(told)
    if done is None:
        return ""
    full, part = divmod(int(done * cells * 8), 8)
    return ("█" * full + (_EIGHTHS[part] if part else "")).ljust(cells, "·") + f" {int(done * 100)}%"


def counted(told: ev.TaskProgressed) -> str:
    """`412,000 of about 600,000 rows`: totals are mostly estimates."""
    if not told.unit:
        return ""
    if told.total is None or told.done >= told.total:
        return f"{told.done:,} {told.unit}"
    return f"{told.done:,} of about {told.total:,} {told.unit}"


def pace_words(underway: Underway) -> str:
    """`8,300/s · ~23s left`; how long it takes is not told while it is held back."""
    told, speed = underway.progress, rate(underway)
    if told is None or speed is None:
        return ""
    words = f"{_two_digits(speed)}/s"
    if told.total and told.done < told.total and not told.held:
        words += f" · ~{format_duration(rounded((told.total - told.done) / speed))} left"
    return words


def progress_words(underway: Underway) -> str:
    """All of it in one line, what matters most first."""
    told = underway.progress
    if told is None:
        return ""
    held = f"held: {one_line(told.held)}" if told.held else ""
    return " · ".join(part for part in (counted(told), pace_words(underway), held) if part)


def _two_digits(number: float) -> str:
    """Two figures that count: 8,312 is told as 8,300."""
    if number < 10:
        return f"{number:.1f}"
    unit = 10.0 ** (len(str(int(number))) - 2)
    return f"{round(number / unit) * unit:,.0f}"


class Live(NamedTuple):
    """What there is to say of a task in flight besides its name: `blocked` where it waits for a lock or an
    operator holds it, `share` where it is known how much of it is done."""

    words: str
    blocked: bool = False
    share: float | None = None


def live(state: State, task_id: str, now_t: float) -> Live | None:
    """None for a task that tells nothing, or is not in flight."""
    task = state.tasks[task_id]
    told = progress(task)
    done = share(told) if told else None
    if wait := lock_wait(task):
        return Live(wait_words(wait, max(0.0, now_t - wait.t)), blocked=True, share=done)
    if told is None:
        return None
    words = progress_words(task.underway)
    percent = f"{int(done * 100)}% · " if done is not None else ""
    held = held_by_operator(task) is not None
    return Live(percent + words if words else one_line(told.detail), blocked=held, share=done)


# -- interventions -------------------------------------------------------------------------------------


def intervention(action: ev.Intervention, task: str, pid: int, attempt: int = 0) -> str:
    """What an operator wants done: `end the connection of pid 4711, which blocks add-total`."""
    of = f"attempt {attempt} at {task}" if attempt else f"the attempt at {task}"
    return {
        "cancel_own": f"end {of}",
        "cancel_backend": f"cancel what pid {pid} runs, which blocks {task}",
        "terminate_backend": f"end the connection of pid {pid}, which blocks {task}",
        "adjust": f"adjust {task}",
    }[action]


def came_of(event: ev.InterventionRefused | ev.InterventionEnded) -> tuple[bool, str]:
    """Whether an intervention was made, and what came of it."""
    if isinstance(event, ev.InterventionRefused):
        return False, f"Refused: {event.why}. Nothing was done."
    return event.done, f"{'Done' if event.done else 'Not done'}: {event.detail}."


def adjusted_words(adjusted: ev.TaskAdjusted) -> str:
    """How a backfill goes on: `batches of 500, 250ms between them, held`."""
    if adjusted.batch is None and adjusted.pause_s is None:
        return "held" if adjusted.held else "as planned"
    batch = "batches as planned" if adjusted.batch is None else f"batches of {adjusted.batch:,}"
    pause = "pauses as planned"
    if adjusted.pause_s is not None:
        pause = f"{format_duration(adjusted.pause_s)} between them" if adjusted.pause_s else "no pause"
    return ", ".join([batch, pause, *(["held"] if adjusted.held else [])])
