"""A rollback that was decided, and given up since the run was stopped before it began."""

from collections.abc import Sequence

from console.look import one_line
from engine.machine import events as ev
from engine.machine.state import State


def given_up(state: State, events: Sequence[ev.Event]) -> ev.DecisionMade | None:
    """The last rollback that was decided, if a stop came before it; `events` led to `state`."""
    decided = next((made for made in reversed(state.decisions) if made.action == "rollback"), None)
    if decided is None or state.rollback_wanted:
        return None
    stopped = False
    for event in events[decided.seq : state.seq]:
        if isinstance(event, ev.RollbackStarted) or _asks_about_scope(event):
            return None
        stopped = stopped or isinstance(event, ev.RunStopping)
    return decided if stopped else None


def given_up_words(decided: ev.DecisionMade) -> str:
    """What the stop has made of it, and what a resume does."""
    return f"{_the_rollback(decided)} has not been done, and is given up: a resume goes on with the plan."


def giving_up_words(decided: ev.DecisionMade) -> str:
    """What a stop would make of it."""
    return f"{_the_rollback(decided)} has not begun: to stop gives it up, and a resume goes on with the plan."


def _the_rollback(decided: ev.DecisionMade) -> str:
    return f"The rollback to {decided.to} that {one_line(decided.actor)} decided"


def _asks_about_scope(event: ev.Event) -> bool:
    return isinstance(event, ev.QuestionOpened) and event.about == "rollback_scope"
