"""What operators did about attempts under way in the course of a run, gathered from its events."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from console.sentences import sentence
from engine.machine import events as ev

Result = Literal["done", "not done", "refused", "unknown"]


class Interfered(NamedTuple):
    """An intervention with its end. One without an end, where it was made, went on when the engine died, or
    does still."""

    asked: ev.InterventionMade | ev.InterventionRefused
    ended: ev.InterventionEnded | None = None

    @property
    def result(self) -> Result:
        if isinstance(self.asked, ev.InterventionRefused):
            return "refused"
        if self.ended is None:
            return "unknown"
        return "done" if self.ended.done else "not done"

    @property
    def detail(self) -> str:
        """What came of it, as it was seen."""
        if isinstance(self.asked, ev.InterventionRefused):
            return self.asked.why
        return self.ended.detail if self.ended else ""

    @property
    def words(self) -> str:
        """Who did what, when and why, and what came of it, in a line."""
        told = f"{self.asked.at:%H:%M:%S} {sentence(self.asked)}"
        if self.result == "refused":
            return told
        return f"{told}: {self.result}, {self.detail}" if self.ended else f"{told}: no end of it was seen"


def interventions(events: Sequence[ev.Event]) -> list[Interfered]:
    """In the order in which they were asked for."""
    found: list[Interfered] = []
    for event in events:
        if isinstance(event, ev.InterventionMade | ev.InterventionRefused):
            found.append(Interfered(event))
        elif isinstance(event, ev.InterventionEnded):
            open_ones = (n for n, each in enumerate(found) if _is_end(event, each))
            if (last := max(open_ones, default=None)) is not None:
                found[last] = found[last]._replace(ended=event)
    return found


def _is_end(event: ev.InterventionEnded, of: Interfered) -> bool:
    asked = of.asked
    if not isinstance(asked, ev.InterventionMade) or of.ended:
        return False
    same = ("task", "attempt", "action", "pid")
    return all(getattr(asked, name) == getattr(event, name) for name in same)


def adjustments(events: Sequence[ev.Event]) -> list[ev.TaskAdjusted]:
    """How backfills were set to go on, in order."""
    return [event for event in events if isinstance(event, ev.TaskAdjusted)]


def adjustment_words(event: ev.TaskAdjusted) -> str:
    return f"{event.at:%H:%M:%S} {sentence(event)}"


def as_dicts(events: Sequence[ev.Event]) -> dict[str, list[dict[str, Any]]]:
    """All of it as `inspect --json` gives it."""
    return {
        "interventions": [_intervention(each) for each in interventions(events)],
        "adjustments": [
            {
                "task": each.task,
                "batch": each.batch,
                "pause": each.pause_s,
                "held": each.held,
                "actor": each.actor,
                "at": _iso(each),
            }
            for each in adjustments(events)
        ],
    }


def _intervention(each: Interfered) -> dict[str, Any]:
    asked = each.asked
    return {
        "task": asked.task,
        "attempt": getattr(asked, "attempt", None),
        "action": asked.action,
        "pid": asked.pid or None,
        "actor": asked.actor,
        "reason": getattr(asked, "reason", ""),
        "at": _iso(asked),
        "result": each.result,
        "detail": each.detail,
    }


def _iso(event: ev.Event) -> str:
    return event.at.isoformat().replace("+00:00", "Z")
