"""What an operator made of a drill: each decision, how long it took, and what followed. Facts, no points."""

from collections.abc import Callable, Iterator, Sequence
from textwrap import fill
from typing import Any

import msgspec

from console.look import one_line, plural
from console.sentences import sentence
from console.training.drills import LoadedDrill
from engine.graph import Graph
from engine.machine import events as ev
from engine.plan.durations import format_duration

Outcome = (
    ev.TaskSucceeded
    | ev.TaskFailed
    | ev.TaskInDoubt
    | ev.TaskSkipped
    | ev.TaskWaived
    | ev.TaskRolledBack
    | ev.RollbackFailed
    | ev.TaskLeftApplied
)


class Decision(msgspec.Struct, kw_only=True):
    """A decision, and what followed from it. Times are real seconds: `took_s` is None where nobody had asked.

    `outcome` is what became of the task in question; `ran` are the tasks that ran although it was waived, or
    on the operator's word; `undone` and `stayed` belong to the rollback that was decided."""

    made: ev.DecisionMade
    asked: ev.QuestionOpened | None
    took_s: float | None
    outcome: str = ""
    blocked: list[str] = []
    ran: list[str] = []
    undone: list[str] = []
    stayed: list[str] = []

    @property
    def by_operator(self) -> bool:
        return self.made.actor != "engine"

    def followed(self) -> Iterator[tuple[str, str]]:
        """What followed, as label and text."""
        if self.outcome:
            yield "then", self.outcome
        for label, tasks in (
            ("blocked", self.blocked),
            ("ran all the same", self.ran),
            ("undone", self.undone),
            ("stayed applied", self.stayed),
        ):
            if tasks:
                yield label, ", ".join(tasks)


class DrillScore(msgspec.Struct, kw_only=True):
    """`waiting` are questions that nobody answered, with the real seconds they have been open. `run_s` is in
    seconds of the run's clock, `real_s` in real ones."""

    drill: LoadedDrill
    ended: str = "not finished"
    run_s: float = 0.0
    real_s: float = 0.0
    decisions: list[Decision] = []
    refused: list[str] = []
    waiting: list[tuple[ev.QuestionOpened, float]] = []
    questions: int = 0


def score_drill(events: Sequence[ev.Event], drill: LoadedDrill) -> DrillScore:
    """What `events`, the whole run of `drill` so far, amount to."""
    fold = _Fold(DrillScore(drill=drill))
    for event in events:
        fold.take(event)
    if events:
        fold.end(events[0], events[-1])
    return fold.score


class _Fold:
    """`about` holds the last decision on each task, `rollback` the one that the rollback goes back to."""

    def __init__(self, score: DrillScore) -> None:
        self.score = score
        self.graph = Graph(score.drill.plan.plan)
        self.open: dict[int, ev.QuestionOpened] = {}
        self.about: dict[str, Decision] = {}
        self.rollback: Decision | None = None

    def take(self, event: ev.Event) -> None:
        rule = _RULES.get(type(event))
        if rule:
            rule(self, event)

    def end(self, first: ev.Event, last: ev.Event) -> None:
        self.score.run_s = last.t
        self.score.real_s = (last.at - first.at).total_seconds()
        self.score.waiting = [(asked, (last.at - asked.at).total_seconds()) for asked in self.open.values()]

    def asked(self, event: ev.QuestionOpened) -> None:
        self.open[event.seq] = event
        self.score.questions += 1

    def withdrawn(self, event: ev.QuestionWithdrawn) -> None:
        self.open.pop(event.question, None)

    def decided(self, event: ev.DecisionMade) -> None:
        if event.action == "checkpoint":
            return  # it changes nothing about the way the run takes
        asked = self.open.pop(event.question, None)
        took = (event.at - asked.at).total_seconds() if asked else None
        decision = Decision(made=event, asked=asked, took_s=took)
        self.score.decisions.append(decision)
        if event.action == "rollback":
            self.rollback = decision
        elif event.task:
            self.about[event.task] = decision

    def refused(self, event: ev.DecisionRefused) -> None:
        self.score.refused.append(sentence(event))

    def outcome(self, event: Outcome) -> None:
        """The first thing that became of the task since the decision about it."""
        decision = self.about.get(event.task)
        if decision and not decision.outcome:
            decision.outcome = sentence(event)

    def started(self, event: ev.TaskStarted) -> None:
        for task, decision in self.about.items():
            passed = decision.made.mode in ("waive", "assert_done")
            fresh = event.task not in decision.ran
            if passed and fresh and event.task in self.graph.descendants(task):
                decision.ran.append(event.task)

    def blocked(self, event: ev.TaskBlocked) -> None:
        if event.by in self.about:
            self.about[event.by].blocked.append(event.task)

    def rolling_back(self, event: ev.RollbackStarted) -> None:
        if self.rollback:
            self.rollback.stayed.extend(event.stay)

    def rolled_back(self, event: ev.TaskRolledBack) -> None:
        self.outcome(event)
        if self.rollback:
            self.rollback.undone.append(event.task)

    def left_applied(self, event: ev.TaskLeftApplied) -> None:
        self.outcome(event)
        if self.rollback:
            self.rollback.stayed.append(event.task)

    def finished(self, event: ev.RunFinished) -> None:
        self.score.ended = event.status.replace("_", " ")
        for decision in self.score.decisions:
            if decision.made.action == "abort" and not decision.outcome:
                decision.outcome = sentence(event)


_RULES: dict[type[ev.Event], Callable[[_Fold, Any], None]] = {
    ev.QuestionOpened: _Fold.asked,
    ev.QuestionWithdrawn: _Fold.withdrawn,
    ev.DecisionMade: _Fold.decided,
    ev.DecisionRefused: _Fold.refused,
    ev.TaskSucceeded: _Fold.outcome,
    ev.TaskFailed: _Fold.outcome,
    ev.TaskInDoubt: _Fold.outcome,
    ev.TaskSkipped: _Fold.outcome,
    ev.TaskWaived: _Fold.outcome,
    ev.RollbackFailed: _Fold.outcome,
    ev.TaskStarted: _Fold.started,
    ev.TaskBlocked: _Fold.blocked,
    ev.RollbackStarted: _Fold.rolling_back,
    ev.TaskRolledBack: _Fold.rolled_back,
    ev.TaskLeftApplied: _Fold.left_applied,
    ev.RunFinished: _Fold.finished,
}


def headline(score: DrillScore) -> str:
    """How the drill went, in a sentence or two."""
    made = sum(decision.by_operator for decision in score.decisions)
    return (
        f"The run {'is' if score.ended == 'not finished' else 'was'} {score.ended} after "
        f"{format_duration(score.run_s)} on its clock, {format_duration(score.real_s)} of yours, with "
        f"{plural(score.questions, 'question')} and {plural(made, 'decision')} of an operator."
    )


def timing(decision: Decision) -> str:
    """How long the decision took, or why that cannot be told."""
    if decision.took_s is not None:
        return f"after {format_duration(max(0.0, decision.took_s))}"
    return "unasked" if decision.by_operator else "by the engine itself"


def render_score(score: DrillScore, width: int = 100) -> str:
    """The score as plain text, for a terminal without a screen or a file."""
    paragraphs = [[f"Drill: {one_line(score.drill.drill.title)}", headline(score)]]
    paragraphs += [_told(number, decision) for number, decision in enumerate(score.decisions, 1)]
    paragraphs += [[line] for line in leftovers(score)]
    paragraphs.append([f"What there is to learn: {one_line(score.drill.drill.lesson)}"])
    return "\n\n".join("\n".join(_wrapped(line, width) for line in lines) for lines in paragraphs)


def leftovers(score: DrillScore) -> list[str]:
    """What the engine refused, and the questions that nobody answered."""
    unanswered = [
        f"Unanswered for {format_duration(seconds)}: {sentence(asked)}" for asked, seconds in score.waiting
    ]
    return [*(f"The engine {text}" for text in score.refused), *unanswered]


def _told(number: int, decision: Decision) -> list[str]:
    told = [sentence(decision.asked)] if decision.asked else []
    told.append(f"{timing(decision)}: {sentence(decision.made)}")
    told += [f"{label}: {text}" for label, text in decision.followed()]
    return [f"{number}. {line}" if line is told[0] else f"   {line}" for line in told]


def _wrapped(line: str, width: int) -> str:
    indent = " " * 6 if line.startswith((" ", *"123456789")) else ""
    return fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
