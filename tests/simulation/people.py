"""Whoever watches a run and acts on it: holds what is told against what is durable, and answers questions."""

from collections.abc import Sequence
from random import Random
from typing import get_args

import anyio

from engine.graph import Graph
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.decisions import Choice, answers
from engine.machine.state import Question, State
from engine.machine.transitions import TaskStatus
from engine.plan.models import Plan
from engine.runner.core import Runner
from tests.machine.ledger import Ledger
from tests.simulation.reality import Reality
from tests.simulation.seam import Broken, Seam


class Witness:
    """Follows what is told of a run over all its lives, and checks each promise as it is told."""

    def __init__(self, plan: Plan) -> None:
        self.ledger = Ledger(plan, Graph(plan))
        self.told: list[ev.Event] = []

    @property
    def state(self) -> State:
        return self.ledger.state

    def follow(self, events: Sequence[ev.Event]) -> None:
        self.told += events
        self.ledger.follow(events)
        self.state.validate()

    def looks_at(self, seam: Seam) -> "Feed":
        return Feed(self, seam)


class Feed:
    """What a runner publishes to, in the place of a screen."""

    def __init__(self, witness: Witness, seam: Seam) -> None:
        self._witness = witness
        self._seam = seam

    def publish(self, events: list[ev.Event]) -> None:
        if events[-1].seq > len(self._seam.durable):
            raise Broken(f"event {events[-1].seq} is told of, and {len(self._seam.durable)} are durable")
        if self._seam.dead:
            raise Broken(f"{events} are told of by a dead engine")
        self._witness.follow(events)
        state = self._witness.state
        asked = {question.task for question in state.questions.values()}
        looked_into = {task for task in state.with_status(TaskStatus.IN_DOUBT) if task not in asked}
        self._witness.ledger.nobody_forgotten(looked_into)
        if not looked_into:
            self._witness.ledger.no_lane_idle()

    def close(self) -> None:
        pass


class Operator:
    """Answers by what is really there: `fair`, so that the run goes on; or `meddling` besides."""

    def __init__(self, runner: Runner, witness: Witness, reality: Reality, rng: Random) -> None:
        self._runner = runner
        self._witness = witness
        self._reality = reality
        self._rng = rng

    async def act(self, manner: str) -> None:
        fair = manner == "fair"
        while True:
            await anyio.sleep(self._rng.choice((0.2, 1.0, 4.0)))
            questions = list(self._witness.state.questions.values())
            if not fair and self._rng.randrange(4) == 0:
                self._meddle()
            elif questions:
                question = self._rng.choice(questions)
                self._decide(question, self._rng.choice(self._honest(question, fair=fair)))
            elif self._witness.state.operator_pause is not None:
                self._runner.report(rep.Continue(actor="ann"))

    def _honest(self, question: Question, *, fair: bool) -> list[Choice]:
        """The answers that do not say what is not so. If `fair`, those by which the run goes on."""
        state = self._witness.state
        if question.survivors:
            return [("resume", "look_again"), ("resume", "end_processes")]
        undoing = question.about == "rollback_step"
        done: Choice = ("skip", "assert_done")
        fitting = answers(state, question)
        if self._reality.stands[question.task] == (0 if undoing else 1):
            return [done] if done in fitting else [("retry", None)]
        if fair:
            return [("retry", None)]
        return [choice for choice in fitting if choice != done]

    def _decide(self, question: Question, choice: Choice) -> None:
        action, mode = choice
        self._runner.report(rep.Decide(question=question.number, action=action, mode=mode, actor="ann"))

    def _meddle(self) -> None:
        rng, state = self._rng, self._witness.state
        nonsense = rep.Decide(
            question=rng.choice((0, rng.randrange(state.seq + 3))),
            action=rng.choice([a for a in get_args(ev.Action) if a not in ("retry", "skip")]),
            to=rng.choice(("last", "start", "cp-9999")),
            actor="bob",
        )
        self._runner.report(
            rng.choice(
                (
                    rep.Pause(actor="ann"),
                    rep.Continue(actor="ann"),
                    rep.TakeCheckpoint(actor="ann"),
                    rep.Stop(actor="ann", reason="enough", drain=True),
                    rep.Stop(actor="ann", reason="at once", drain=False),
                    nonsense,
                )
            )
        )
