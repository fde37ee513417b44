"""What an operator can answer: one table for each thing a question can be about.

A choice either leads to further ones, or to the confirm step. Dangerous are those that another answer
cannot take back: skipping and asserting let the plan go on from what may not be true, a rollback undoes
work, an abort ends the run for everybody. A retry is dangerous only where the failed attempt may have
left something behind and the task does not say that running it twice is harmless.
"""

import msgspec

from console.look import TRIGGER
from engine.machine.decisions import answers
from engine.machine.events import About, Action, DecisionMade, Mode
from engine.machine.rollback import target_seq
from engine.machine.state import Checkpoint, Question, State

replace = msgspec.structs.replace

CONFIRM_KEY = "y"
"""Confirms what is dangerous. No choice has this key, so that no key pressed twice decides anything."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A decision before its reason: what the consequences are worked out for, and what is sent."""

    action: Action
    mode: Mode | None = None
    to: str = "last"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """`means` says what the choice does, with {task}, {attempt} (the next one) and {to} to be filled in.

    `targeted`: the checkpoint that a rollback goes to is chosen next."""

    key: str
    title: str
    means: str
    draft: Draft
    choices: tuple["Choice", ...] = ()
    targeted: bool = False


_SUBTREE = Choice(
    key="s",
    title="Skip, and all that needs it",
    means="{task} counts as skipped; nothing that depends on it runs.",
    draft=Draft(action="skip", mode="subtree"),
)
_WAIVE = Choice(
    key="w",
    title="Waive: the rest goes on",
    means="{task} counts as waived; what depends on it runs as if it had succeeded.",
    draft=Draft(action="skip", mode="waive"),
)
_DONE = Choice(
    key="d",
    title="It is done",
    means="{task} counts as succeeded, on your word.",
    draft=Draft(action="skip", mode="assert_done"),
)
_RETRY = Choice(
    key="r",
    title="Retry now",
    means="Runs {task} again, as attempt {attempt}.",
    draft=Draft(action="retry"),
)
_LOOK_AGAIN = Choice(
    key="g",
    title="Look again",
    means="Looks whether {task} still runs, and what it has done.",
    draft=Draft(action="resume", mode="look_again"),
)
_END = Choice(
    key="e",
    title="End what still runs",
    means="Asks every process left of {task} to end, kills what does not, and looks again.",
    draft=Draft(action="resume", mode="end_processes"),
)
_ROLL_BACK = Choice(
    key="b",
    title="Roll back …",
    means="Undoes what has succeeded since {to}, dependants first; then the run stops.",
    draft=Draft(action="rollback"),
    targeted=True,
)
_ABORT = Choice(
    key="a",
    title="Abort",
    means="What is in flight finishes, and the run stops. A resume asks this again.",
    draft=Draft(action="abort"),
)


def _skip(*choices: Choice) -> Choice:
    return Choice(key="s", title="Skip …", means=_SUBTREE.means, draft=_SUBTREE.draft, choices=choices)


CHOICES: dict[About, tuple[Choice, ...]] = {
    "failure": (_RETRY, _skip(_SUBTREE, _WAIVE, _DONE), _ROLL_BACK, _ABORT),
    "doubt": (
        _LOOK_AGAIN,
        _END,
        _DONE,
        replace(_RETRY, title="Run it again"),
        _skip(_SUBTREE, _WAIVE),
        _ROLL_BACK,
        _ABORT,
    ),
    "rollback_step": (
        _LOOK_AGAIN,
        _END,
        Choice(
            key="r",
            title="Retry the step",
            means="Runs the rollback of {task} again.",
            draft=Draft(action="retry"),
        ),
        Choice(
            key="l",
            title="Leave it applied",
            means="{task} stays applied, and the rollback goes on with the next task.",
            draft=Draft(action="skip", mode="leave_applied"),
        ),
        Choice(
            key="d",
            title="It is undone",
            means="{task} counts as rolled back, on your word.",
            draft=Draft(action="skip", mode="assert_done"),
        ),
        Choice(
            key="a",
            title="Abort",
            means="The rollback stops here, half done. A resume goes on with this step.",
            draft=Draft(action="abort"),
        ),
    ),
    "rollback_scope": (
        _RETRY,
        _skip(_SUBTREE, _WAIVE),
        _ROLL_BACK,
        _ABORT,
    ),
}


def name_of(choice: Choice) -> str:
    """The choice by itself, without the menu it stands in."""
    if choice.draft.action == "rollback":
        return f"Roll back to {place(choice.draft.to)}"
    return choice.title.removesuffix(" …")


def place(to: str) -> str:
    return "the start" if to == "start" else to


def choices_for(question: Question, state: State) -> tuple[Choice, ...]:
    """The answers that `question` takes, those that ask where to with the places below them."""
    about = question.about
    decided = wanted(state, question)
    places = targets(state, decided.to if decided else "last")
    taken = answers(state, question)
    return tuple(
        replace(choice, draft=places[0].draft, choices=places) if choice.targeted else choice
        for choice in CHOICES[about]
        if choice.choices or (choice.draft.action, choice.draft.mode) in taken
    )


def wanted(state: State, question: Question) -> DecisionMade | None:
    """The engine's own decision to roll back, where that is what the question is about."""
    if question.about != "rollback_scope":
        return None
    return next(made for made in reversed(state.decisions) if made.task == question.task and made.to)


def targets(state: State, to: str = "last") -> tuple[Choice, ...]:
    """Where a rollback can go: first the place that `to` stands for, then the kept checkpoints, newest first,
    and the start. Each is named by its id, so that a checkpoint saved meanwhile changes nothing."""
    kept = {checkpoint.id: checkpoint for checkpoint in reversed(state.rollback_targets())}
    first = (target_seq(state, to) or ("start", 0))[0]
    names = dict.fromkeys((first, *kept, "start"))
    keys = iter("123456789")
    return tuple(
        Choice(
            key="0" if name == "start" else next(keys, ""),
            title=_describe(kept[name], state) if name in kept else "start of the run",
            means=_ROLL_BACK.means,
            draft=Draft(action="rollback", to=name),
        )
        for name in names
    )


def _describe(checkpoint: Checkpoint, state: State) -> str:
    mark = TRIGGER[checkpoint.trigger]
    last = checkpoint is state.last_stable_checkpoint
    stable = ", last stable" if last else "" if checkpoint.stable else ", not stable"
    today = state.at is not None and state.at.date() == checkpoint.at.date()
    saved = checkpoint.at.strftime("%H:%M:%S" if today else "%d %b %H:%M")
    return f"{checkpoint.id} {mark.glyph} {mark.word} {saved}{stable}"
