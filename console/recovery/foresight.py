"""Consequences, worked out beside the screen while the operator reads.

One thread at a time runs the engine's own machine forward, on a copy of the state. What it finds comes back
as a message, draft by draft.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from console.recovery.choices import Draft
from engine.graph import Graph
from engine.machine.state import State

if TYPE_CHECKING:
    from engine.forecast.consequences import Consequence

Foresee = Callable[[State, Graph, int, Draft], "Consequence"]
"""What would follow from answering question number N (0: none) with a draft, as the state stands."""


def foresee(state: State, graph: Graph, question: int, draft: Draft) -> "Consequence":
    """What the engine itself says would follow."""
    # Late: the simulation is worth loading once somebody has to decide, and not before.
    from engine.forecast.consequences import consequences

    return consequences(state, graph, question, draft.action, draft.mode, draft.to)


class Foretold(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a draft, as the run stood after event `seq`, if it were chosen at `t` on the run's
    clock; or why that could not be worked out."""

    seq: int
    t: float
    found: "Consequence | None" = None
    fault: str = ""
    ends_at: datetime | None = None
    """When the run would end, on the clock of people; None where it is simulated, or ends at once."""

    def differs(self, other: "Foretold") -> bool:
        """Whether something else than the time it takes is foretold than in `other`."""
        return (self.found and self.found.without_time) != (other.found and other.found.without_time)

    @property
    def impossible(self) -> str:
        """Why the engine would not take the decision, or an empty string."""
        return self.found.why_not if self.found and not self.found.possible else ""


class Foreseen(Message):
    """What follows from `draft` has been worked out; `last` where no other draft is waited for."""

    def __init__(self, by: "Foresight", draft: Draft, foretold: Foretold, *, last: bool) -> None:
        super().__init__()
        self.by = by
        self.draft = draft
        self.foretold = foretold
        self.last = last


class Foresight:
    """What is known of the drafts for one question, and the thread that finds out more."""

    def __init__(self, asker: Widget, graph: Graph, question: int, ask: Foresee) -> None:
        self._asker = asker
        self._graph = graph
        self._question = question
        self._ask = ask
        self._busy = False
        self.known: dict[Draft, Foretold] = {}

    def want(self, drafts: Iterable[Draft], state: State, now_t: float) -> None:
        """Find out what is not known of `drafts` as of `state`, unless a thread is at it; it will be asked
        for again when that is done."""
        unknown = [
            draft
            for draft in dict.fromkeys(drafts)
            if draft not in self.known or self.known[draft].seq != state.seq
        ]
        if unknown and not self._busy:
            self._busy = True
            twin = state.clone()
            twin.t = now_t  # the run's clock has gone on since its last event
            if twin.at:
                twin.at += timedelta(seconds=now_t - state.t)
            self._asker.run_worker(lambda: self._work_out(twin, unknown), thread=True, group="foresight")

    def take(self, message: Foreseen) -> None:
        self.known[message.draft] = message.foretold
        self._busy = not message.last

    def _work_out(self, state: State, drafts: list[Draft]) -> None:
        worker = get_current_worker()
        for draft in drafts:
            if worker.is_cancelled:
                return
            foretold = foretell(self._ask, state, self._graph, self._question, draft)
            self._asker.post_message(Foreseen(self, draft, foretold, last=draft is drafts[-1]))


def foretell(ask: Foresee, state: State, graph: Graph, question: int, draft: Draft) -> Foretold:
    """What `ask` foretells; never raises."""
    try:
        found = ask(state, graph, question, draft)
    except Exception as fault:  # a fault of the forecast must not keep an operator from deciding
        return Foretold(seq=state.seq, t=state.t, fault=f"{type(fault).__name__}: {fault}")
    left = (found.finish_t or 0.0) - state.t
    real = state.at if left >= 60 and not state.simulated else None
    ends_at = real + timedelta(seconds=left) if real else None
    return Foretold(seq=state.seq, t=state.t, found=found, ends_at=ends_at)
