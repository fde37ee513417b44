"""The case that an operator decides: everything a dialog shows of a question, captured when it opens.

A `Case` never changes, so a decision is always about what was on the screen.
"""

import textwrap
from collections.abc import Iterator, Sequence

import msgspec

from console.look import STATUS, one_line
from console.run_view import RunView
from engine.machine import events as ev
from engine.machine.state import Attempt, Question, State
from engine.plan.durations import format_duration
from engine.plan.models import Action, Task
from engine.tasks.sanitise import sanitise

Ending = ev.TaskFailed | ev.RollbackFailed | ev.TaskInDoubt

_PROSE_WIDTH = 72
"""Cells of a line of what is told in full: read without scrolling sideways on 80 columns."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """`seq` is the last event that existed at capture; `ending` what ended the attempt in question, and `ran`
    what that attempt ran: the plan may have been changed since."""

    question: Question
    seq: int
    task: Task
    on_critical_path: bool
    expected_s: float
    purpose: ev.Purpose
    attempts: tuple[Attempt, ...]
    undo_attempts: int
    ending: Ending | None
    ran: Action | None
    output: Sequence[str]

    @property
    def runs_now(self) -> Action | None:
        """What another attempt would run."""
        return _action(self.task, self.purpose)

    @property
    def in_doubt(self) -> bool:
        """Whether it ended in a way that nobody saw."""
        return self.question.about == "doubt" or isinstance(self.ending, ev.TaskInDoubt)

    @property
    def left_nothing(self) -> bool:
        """Whether the attempt certainly had no effect."""
        return getattr(self.ending, "effect", "unknown") == "none"

    @property
    def rerun_is_safe(self) -> bool:
        """Whether running it again does no harm: it left nothing behind, or the plan says that it may."""
        return self.left_nothing or (self.purpose == "run" and self.task.idempotent)

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
    ending = _ending(view, question)
    purpose: ev.Purpose = "rollback" if undoing else "run"
    then = view.plan_at(ending.seq if ending else question.number)
    ran = next((each for each in then.tasks if each.id == task.id), view.by_id[task.id])
    return Case(
        question=question,
        seq=state.seq,
        task=view.by_id[question.task],
        on_critical_path=question.task in view.graph.critical,
        expected_s=view.graph.expected_s[question.task],
        purpose=purpose,
        attempts=task.attempts,
        undo_attempts=task.undo_attempts,
        ending=ending,
        ran=_action(ran, purpose),
        output=() if undoing else view.output(task.id, len(task.attempts)),
    )


def _action(task: Task, purpose: ev.Purpose) -> Action | None:
    return task.rollback if purpose == "rollback" else task.run


def output_of(case: Case) -> Sequence[str]:
    """The lines that are known of what the attempt printed: all that was kept, else the end in its event."""
    if case.output:
        return case.output
    return sanitise(getattr(case.ending, "tail", "")).rstrip("\n").splitlines()


def where(case: Case, state: State) -> str:
    """What the action works on, from which lane, as far as either is known."""
    action = case.ran
    if action is None:
        return ""
    target = state.plan.targets.get(action.on or "")
    file = f" ({target.sqlite})" if target and target.sqlite else ""
    place = f"{action.on}{file}" if action.on else state.folder or "the plan's folder"
    last = case.attempts[-1] if case.attempts else None
    lane = f"lane {last.lane + 1} · " if last and case.purpose == "run" else ""
    return lane + one_line(f"{action.kind.replace('_', ' ')} {'on' if action.on else 'in'} {place}")


def told_of(attempt: Attempt) -> str:
    """How an attempt ended, and when."""
    named = attempt.failure_class.upper() if attempt.failure_class else STATUS[attempt.result].word
    ended = attempt.ended_t
    lasted = f" for {format_duration(ended - attempt.started_t)}" if ended is not None else ""
    return f"{named} {attempt.started_at:%H:%M:%S}{lasted}"


def in_full(case: Case) -> list[str]:
    """Everything that the dialog may have had to cut short, but for the output."""
    task = case.task
    actions = [("Its rollback", task.rollback), ("Its verify", task.verify)]
    if case.purpose == "run" and case.ran != task.run:
        actions = [("It ran", case.ran), ("By the changed plan it runs", task.run), *actions]
    else:
        actions = [("It ran", task.run), *actions]
    told = [f"{one_line(task.title)} ({task.id})", "", "What happened:"]
    told += _prose(case.error, case.why_asked, one_line(case.question.evidence))
    told += ["", "Attempts:"]
    told += _prose(*(f"{each.number} {told_of(each)}: {one_line(each.reason)}" for each in case.attempts))
    for label, action in actions:
        text = sanitise(action.text).strip() if action else "none is given"
        told += ["", f"{label}:", *text.splitlines()]
    return told


def _prose(*texts: str) -> Iterator[str]:
    for text in texts:
        yield from textwrap.wrap(text, _PROSE_WIDTH, break_on_hyphens=False)


def _ending(view: RunView, question: Question) -> Ending | None:
    for event in reversed(view.events[: question.number]):
        if isinstance(event, Ending) and event.task == question.task:
            return event
    return None
