"""What must be true of a run, whenever and however often its engine was killed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.journal.errors import NeverStarted
from engine.journal.integrity import verify_run
from engine.journal.journal import Journal, Record
from engine.journal.rundir import RunDir
from engine.machine import events as ev
from engine.machine.fold import apply, replay
from engine.machine.state import State
from engine.machine.transitions import TaskStatus
from engine.plan.models import Plan
from engine.plan.pinned import unpin
from tests.crash.stories import Story, Witness


class Broken(AssertionError):
    """A promise was not kept."""


class Kept(NamedTuple):
    """What a journal holds: the plan that the run started with, the state it stands at, and the records."""

    plan: Plan | None
    state: State | None
    records: list[Record]


def journaled(rundir: RunDir) -> Kept:
    """What the journal holds; nothing of a run that has not begun."""
    try:
        with Journal.open(rundir, readonly=True, check=False) as journal:
            records = list(journal.read())
            plan = unpin(journal.plan_json())
    except NeverStarted:
        return Kept(None, None, [])
    return Kept(plan, replay(State(plan), [record.event for record in records]), records)


def judge_standing(folder: Path, rundir: RunDir, before: Witness | None = None) -> State | None:
    """What holds at every moment at which no engine runs. `before`: what had been done when the journal lost
    its end; only what is journaled behind that speaks for more."""
    _, state, records = journaled(rundir)
    _need(not records or verify_run(rundir).ok, "verify finds damage")
    witness = Witness(folder)
    known = before or Witness()
    events = [record.event for record in records]
    forked = next((at for at, event in enumerate(events) if isinstance(event, ev.RunForked)), 0)
    tasks = set(state.tasks) if state else set()
    _need(witness.tasks <= tasks, f"{witness.tasks - tasks} took effect, and no task is called so")
    for task in tasks:
        starts = sum(isinstance(e, ev.TaskStarted) and e.task == task for e in events[forked:])
        undos = sum(isinstance(e, ev.RollbackStepStarted) and e.task == task for e in events[forked:])
        _need(witness.done(task) - known.done(task) <= starts, f"{task} took effect without a durable start")
        _need(
            witness.undone(task) - known.undone(task) <= undos, f"{task} was undone without a durable start"
        )
    told = {json.dumps([r.event.seq, r.hash]) for r in records}
    for line in _acknowledged(folder):
        _need(line in told, f"an event was told of, and is lost: {line}")
    return state


def _acknowledged(folder: Path) -> Iterator[str]:
    """(seq, hash) of every event that any engine told of; the last line of one that was killed may be cut."""
    for file in folder.glob("said-*"):
        for line in file.read_text().split("\n")[:-1]:
            if line.startswith("{"):
                event = json.loads(line)
                yield json.dumps([event["seq"], event["hash"]])


def judge_end(folder: Path, rundir: RunDir, story: Story, before: Witness | None = None) -> None:
    """What holds once the run has come to its end."""
    judge_standing(folder, rundir, before)
    plan, state, records = journaled(rundir)
    assert plan is not None and state is not None
    _need(state.status == story.ends, f"it came to {state.status}, not to {story.ends}")
    _need(not state.questions and not state.in_flight, "something was left open")
    witness = Witness(folder)
    for task in state.tasks.values():
        wanted = 1 if task.status is TaskStatus.SUCCEEDED else 0
        _need(
            witness.stands(task.id) == wanted,
            f"{task.id} is {task.status}; it took effect {witness.done(task.id)} times "
            f"and was undone {witness.undone(task.id)} times",
        )
        _need(task.status is not TaskStatus.IN_DOUBT, f"{task.id} is still in doubt")
    judge_doubts(records, State(plan))


def judge_doubts(records: list[Record], state: State) -> None:
    """Whatever was in flight when an engine died became a doubt, and each doubt was settled before anything
    of that task started again."""
    unseen: dict[tuple[str, str], int] = {}
    doubtful: set[str] = set()
    for event in (record.event for record in records):
        task = getattr(event, "task", "")
        match event:
            case ev.RunResumed(cause="engine"):
                undoing = state.rollback.running if state.rollback else ""
                for each in state.in_flight:
                    purpose = "rollback" if each == undoing else "run"
                    attempts = state.tasks[each]
                    unseen[each, purpose] = (
                        attempts.undo_attempts if purpose == "rollback" else len(attempts.attempts)
                    )
            case ev.TaskInDoubt():
                number = unseen.pop((task, event.purpose), event.attempt)
                _need(number == event.attempt, f"the doubt is about another attempt at {task}")
                doubtful.add(task)
            case ev.RunForked(doubted=doubted):
                doubtful.update(doubted)
            case ev.DoubtSettled():
                doubtful.discard(task)
            case ev.DecisionMade(action=action):
                if action != "resume":
                    doubtful.discard(task)
            case ev.TaskStarted() | ev.RollbackStepStarted():
                _need(task not in doubtful, f"{task} was started again while it was in doubt")
                _need(not any(task == each for each, _ in unseen), f"{task} was silently started again")
        apply(state, event)
    _need(not unseen, f"silently dropped: {unseen}")
    _need(not doubtful, f"never settled: {doubtful}")


def head(rundir: RunDir) -> tuple[int, str]:
    with Journal.open(rundir, readonly=True) as journal:
        return journal.head()


def _need(held: bool, otherwise: str) -> None:
    if not held:
        raise Broken(otherwise)
