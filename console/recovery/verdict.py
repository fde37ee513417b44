"""What has become of a question, and of a decision that was sent: read off the newest events."""

from console.look import one_line
from console.run_view import RunView
from console.sentences import sentence
from engine.machine import events as ev
from engine.machine.reports import Decide
from engine.machine.state import State


def verdict(view: RunView, question: int, since: int) -> str:
    """What happened, after event `since`, that leaves question `question` (0: none, a rollback on demand)
    without need of an answer; empty while a decision can be taken."""
    if view.read_only:
        return "This is a look at the past. Nothing can be decided here."
    state = view.newest
    if question and question not in state.questions:
        told = (_fate(event, question) for event in reversed(view.events[since:]))
        return next(filter(None, told), "The question is not open any more.")
    if state.finished:
        return f"The run has ended ({words(state.status)}). It can be decided after a resume."
    if state.stopping:
        return f"{one_line(state.stopping.actor)} is stopping the run. It can be decided after a resume."
    return "" if question else _other_rollback(state)


def answer_to(view: RunView, sent: Decide, since: int) -> ev.DecisionMade | ev.DecisionRefused | None:
    """What the engine made of `sent`, if it has spoken since event `since`."""
    for event in view.events[since:]:
        if isinstance(event, ev.DecisionMade | ev.DecisionRefused):
            ours = (event.question, event.action, event.actor) == (sent.question, sent.action, sent.actor)
            if ours:
                return event
    return None


def words(name: str) -> str:
    """A status or a mode as people write it."""
    return name.replace("_", " ")


def _fate(event: ev.Event, question: int) -> str:
    if isinstance(event, ev.DecisionMade | ev.QuestionWithdrawn) and event.question == question:
        return f"{sentence(event)}. Nothing is left to decide here."
    return ""


def _other_rollback(state: State) -> str:
    if state.rollback:
        return f"A rollback to {state.rollback.to} is already under way."
    if state.rollback_wanted:
        wanted = state.rollback_wanted
        return f"{one_line(wanted.actor)} has already decided a rollback to {wanted.to}."
    return ""
