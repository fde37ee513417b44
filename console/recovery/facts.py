"""The case that an operator decides: everything a dialog shows of a question, captured when it opens.

A `Case` never changes, so a decision is always about what was on the screen.
"""

from collections.abc import Sequence

import msgspec

from console.look import one_line
from console.run_view import RunView
from engine.machine import events as ev
from engine.machine.state import Attempt, Question
from engine.plan.models import Action, Task
from engine.tasks.sanitise import sanitise

Ending = ev.TaskFailed | ev.RollbackFailed | ev.TaskInDoubt


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """`seq` is the last event that existed at capture; `ending` what ended the attempt in question."""

    question: Question
    seq: int
    task: Task
    on_critical_path: bool
    expected_s: float
    purpose: ev.Purpose
    attempts: tuple[Attempt, ...]
    undo_attempts: int
    ending: Ending | None
    output: Sequence[str]

    @property
    def ran(self) -> Action | None:
        return self.task.rollback if self.purpose == "rollback" else self.task.run

    @property
    def in_doubt(self) -> bool:
        """Whether it ended in a way that nobody saw."""
        return isinstance(self.ending, ev.TaskInDoubt)

    @property
    def rerun_is_safe(self) -> bool:
        """Whether running it again does no harm: it left nothing behind, or the plan says that it may."""
        left_nothing = getattr(self.ending, "effect", "unknown") == "none"
        return left_nothing or (self.purpose == "run" and self.task.idempotent)

    @property
    def error(self) -> str:
        return one_line(self.ending.reason if self.ending else self.question.reason)

    @property
    def why_asked(self) -> str:
        """The question's own reason, where it says more than the error does."""
        reason = one_line(self.question.reason)
        return "" if not reason or reason in self.error else reason


def capture(view: RunView, number: int) -> Case:
    """The case of question `number`; raises KeyError where it is not open."""
    state = view.state
    question = state.questions[number]
    task = state.tasks[question.task]
    undoing = question.about == "rollback_step"
    return Case(
        question=question,
        seq=state.seq,
        task=view.by_id[question.task],
        on_critical_path=question.task in view.graph.critical,
        expected_s=view.graph.expected_s[question.task],
        purpose="rollback" if undoing else "run",
        attempts=task.attempts,
        undo_attempts=task.undo_attempts,
        ending=_ending(view, question),
        output=() if undoing else view.output(task.id, len(task.attempts)),
    )


def output_of(case: Case) -> Sequence[str]:
    """The lines that are known of what the attempt printed: all that was kept, else the end in its event."""
    if case.output:
        return case.output
    return sanitise(getattr(case.ending, "tail", "")).rstrip("\n").splitlines()


def _ending(view: RunView, question: Question) -> Ending | None:
    for event in reversed(view.events[: question.number]):
        if isinstance(event, Ending) and event.task == question.task:
            return event
    return None
