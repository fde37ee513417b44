"""The history of a run: all its events, folded."""

from typing import NamedTuple

from engine.journal.errors import Unreplayable
from engine.journal.journal import Journal
from engine.machine.events import Event, RunForked, RunStarted
from engine.machine.fold import apply
from engine.machine.state import State
from engine.machine.transitions import ImpossibleEvent
from engine.plan.models import Plan
from engine.plan.pinned import unpin


class History(NamedTuple):
    """`plan` is the one that the run started with; `state.plan` the one that it goes by now."""

    plan: Plan
    events: list[Event]
    state: State


def run_id(journal: Journal) -> str:
    """The run's id. A fork goes on with another run's history, and has its own id all the same."""
    forked = journal.newest(RunForked)
    return forked.event.run if forked and isinstance(forked.event, RunForked) else journal.meta.run


def read_history(journal: Journal) -> History:
    """Every event there is, and what they amount to.

    Raises JournalUnreadable, and Unreplayable where an event cannot follow those before it."""
    events = [record.event for record in journal.read()]
    where = journal.rundir.journal
    try:
        plan = unpin(journal.plan_json())
    except ValueError as error:
        raise Unreplayable(where, 0, f"its pinned plan is none of this version: {error}") from error
    state = State(plan)
    for event in events:
        # What the fold cannot make sense of (a task or a lane that there is not) shows as a failed look-up.
        try:
            if (event.seq == 1) != isinstance(event, RunStarted):
                raise ImpossibleEvent("a run begins with `run_started`, once")
            apply(state, event)
        except (ImpossibleEvent, LookupError, ValueError) as error:
            raise Unreplayable(where, event.seq, str(error)) from error
    return History(plan, events, state)
