"""What is foretold of an operator's choice is what then happens: the same tasks, in the same time."""

import os
from collections import deque
from random import Random
from typing import Any

import msgspec
import pytest

from engine.forecast.consequences import Consequence, consequences
from engine.forecast.simulation import Simulation, everything_succeeds
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.decisions import answers, refusal
from engine.machine.state import Question, State
from engine.plan.models import FailureClass, Plan, Task, expected_duration
from tests.machine.plans import plan, random_plan, task
from tests.machine.world import World

RUNS = int(os.environ.get("WESLEY_CAMPAIGN", "600"))
CLASSES = (FailureClass.UNKNOWN, FailureClass.UNKNOWN, FailureClass.PERMANENT, FailureClass.TRANSIENT)


class Chanced(Simulation):
    """A run in which attempts fail by chance, until an operator decides something, again by chance: at any
    moment at which a question is open, while others may still be in flight.

    From then on everything goes well, and other questions are answered with a retry."""

    def __init__(self, plan: Plan, rng: Random) -> None:
        self.rng = rng
        self.failing = rng.choice((1, 3, 6))
        self.warming_up = rng.choice((0, 0, 1, 1, 2))
        """Decisions before the one in question: so it can be about a rollback under way."""
        self.foretold: Consequence | None = None
        self.decided: rep.Decide | None = None
        self.before: State | None = None
        super().__init__(
            plan, outcomes=self._by_chance, answering=self._answer_others, seed=rng.randrange(100)
        )

    def _answer_others(self, state: State) -> rep.Decide | None:
        if not self.decided or not state.questions or state.stopping:
            return None
        return rep.Decide(question=min(state.questions), action="retry", actor="ann")

    def _by_chance(self, task: Task, attempt: int, purpose: ev.Purpose) -> tuple[float, rep.Report]:
        takes, well = everything_succeeds(task, attempt, purpose)
        if self.decided or self.rng.randrange(10) >= self.failing:
            return takes, well
        told: dict[str, Any] = {"task": task.id, "attempt": attempt, "purpose": purpose, "reason": "it broke"}
        if self.rng.randrange(4) == 0:
            return takes, rep.InDoubt(**told)
        effect = self.rng.choice(("none", "unknown"))
        return takes, rep.Failed(**told, failure_class=self.rng.choice(CLASSES), rule="chance", effect=effect)

    def report(self, report: rep.Report) -> None:
        super().report(report)
        state = self.state
        if state.questions and not state.finished and not self.decided and self.rng.randrange(3) == 0:
            self.decide(self.rng.choice(list(state.questions.values())))

    def decide(self, question: Question) -> None:
        """A first answer that is not only a look: look forward, and then see what comes of it."""
        state = self.state.clone()
        state.t = self._t  # the run's clock has gone on since its last event
        offered = [answer for answer in answers(state, question) if answer[0] != "resume"]
        action, mode = self.rng.choice(offered)
        to = self.rng.choice(("last", "start", *state.checkpoints)) if action == "rollback" else "last"
        decision = rep.Decide(question=question.number, action=action, mode=mode, to=to, actor="ann")
        if self.warming_up:
            self.warming_up -= 1
            again = rep.Decide(question=question.number, action="retry", actor="ann")
            back = rep.Decide(question=question.number, action="rollback", actor="ann", to="start")
            super().report(again if refusal(state, back) else back)
            return
        told = consequences(state, self.machine.graph, question.number, action, mode, to)
        if why_not := refusal(state, decision):
            assert (told.possible, told.why_not) == (False, why_not)
            return
        self.before, self.foretold = state, told
        self.decided = decision
        self._due = [(due, order, _well(report)) for due, order, report in self._due]
        self._at_once = deque(map(_well, self._at_once))
        super().report(decision)

    def to_its_end(self) -> None:
        """Go on until the run ends, though chance had not let the operator decide anything before."""
        self.run()
        while not self.state.finished:
            self.decide(next(iter(self.state.questions.values())))
            self.run()


def never_together(plan: Plan) -> Plan:
    """The plan, with no two tasks that take equally long: which of two that end at the same moment was first,
    nobody can foretell. The lengths are such that their sums are exact."""
    lengths = [expected_duration(task) + n / 1024 for n, task in enumerate(plan.tasks)]
    tasks = [
        task.model_copy(update={"duration": length}) for task, length in zip(plan.tasks, lengths, strict=True)
    ]
    return plan.model_copy(update={"tasks": tuple(tasks)})


def _well(report: rep.Report) -> rep.Report:
    if isinstance(report, rep.Failed | rep.InDoubt):
        return rep.Succeeded(task=report.task, attempt=report.attempt, purpose=report.purpose)
    if isinstance(report, rep.EvidenceFound):
        return msgspec.structs.replace(report, done=True)
    return report


def what_happened(run: Chanced) -> dict[str, Any]:
    """What the events since the decision amount to, told as a consequence is."""
    assert run.before and run.decided
    before, decided = run.before, run.decided
    since = [event for event in run.events if event.seq > before.seq]
    asked = before.questions[decided.question].task
    others = {question.task for question in before.questions.values()} - {asked}
    again, fresh, blocked, undone, left = set(), set(), set(), [], set()
    stays: tuple[str, ...] = ()
    steps = before.rollback.tasks if before.rollback else ()
    decided_before = before.rollback.left if before.rollback else ()
    for event in since:
        match event:
            case ev.TaskStarted(task=name) if name not in others:
                was_due = before.tasks[name].status in ("pending", "ready", "waiting")
                (fresh if was_due else again).add(name)
            case ev.TaskBlocked(task=name):
                blocked.add(name)
            case ev.TaskReset(task=name):
                blocked.discard(name)
            case ev.RollbackStarted():
                stays, steps = event.stay, event.tasks
            case ev.TaskRolledBack(task=name) if (name, decided.mode) != (asked, "assert_done"):
                undone.append(name)
    still = {task.id for task in run.state.tasks.values() if task.status != "rolled_back"}
    left = [name for name in steps if name in still and name not in decided_before]
    passed = decided.mode in ("waive", "assert_done")
    ended = since[-1]
    assert isinstance(ended, ev.RunFinished)
    return {
        "reruns": again,
        "blocked": blocked,
        "may_run": fresh & run.machine.graph.descendants(asked) if passed else set(),
        "undone": undone,
        "stays": list(stays),
        "left": left,
        "run_ends": "" if ended.status == "completed" else ended.status,
        "finish_t": ended.t,
    }


@pytest.mark.parametrize("first", range(0, RUNS, 100))
def test_what_is_foretold_is_what_then_happens(first: int) -> None:
    asked = [_foretold_and_happened(Random(seed)) for seed in range(first, first + 100)]
    assert sum(asked) > 5, "hardly anything went wrong"


def _foretold_and_happened(rng: Random) -> bool:
    run = Chanced(never_together(random_plan(rng)), rng)
    run.to_its_end()
    if run.foretold is None:
        return False  # nothing went wrong
    happened = what_happened(run)
    foretold = {name: getattr(run.foretold, name) for name in happened}
    for name in ("reruns", "blocked", "may_run"):
        foretold[name] = set(foretold[name])
    for name in ("undone", "stays", "left"):
        foretold[name] = list(foretold[name])
    assert happened == foretold, run.decided
    return True


def test_a_doubt_that_was_answered_with_a_rollback_is_looked_into_no_more() -> None:
    """It stays in doubt, whatever else is decided before the rollback can begin."""
    made = plan(task("a"), task("b", duration=60.0), task("c", duration=60.0), task("d", duration=90.0))
    world = World(made).lose("a").found("a", None)
    world.decide("rollback", to="start").fail("b")
    told = consequences(world.state, world.graph, world.question.number, "skip", "waive")
    assert (told.undone, told.stays) == (("d", "c"), ())
    world.decide("skip", "waive").succeed("c", "d").undo("d", "c")
    assert world.status("a") == "in_doubt"
