"""Exit codes, and what becomes of an exception on its way to the shell."""

import sys
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.machine.state import State


class Exit(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAULT = 1
    USAGE = 2
    INCOMPLETE = 3
    ABORTED = 4
    ROLLED_BACK = 5
    QUESTION = 6
    REFUSED = 7


class UsageError(Exception):
    """Something the person at the command line can put right; the message says what and how."""


def exit_code(state: "State") -> Exit:
    """What a run that has stopped means to the shell."""
    from engine.machine.transitions import RunStatus, TaskStatus

    if state.status is RunStatus.COMPLETED:
        everything = state.counts[TaskStatus.SUCCEEDED] == len(state.tasks)
        return Exit.OK if everything else Exit.INCOMPLETE
    if state.status is RunStatus.ROLLED_BACK:
        return Exit.ROLLED_BACK
    return Exit.ABORTED if state.finished else Exit.QUESTION


def speak_of(error: Exception) -> Exit:
    """Tell the person what went wrong, on standard error, and give the exit code. A fault of the program
    itself is raised again: its traceback is for whoever mends it."""
    from engine.journal.errors import JournalError, StateRefused, WriteError
    from engine.plan.errors import PlanErrors
    from engine.runner.forking import NothingToFork
    from engine.runner.standing import NothingToSave
    from engine.runner.starting import CannotStart

    error = _innermost(error)
    if isinstance(error, PlanErrors):
        say(error.render())
        return Exit.USAGE
    if isinstance(error, StateRefused | WriteError):
        say(str(error))
        return Exit.REFUSED
    if isinstance(error, CannotStart | NothingToFork | NothingToSave | UsageError | JournalError):
        say(str(error))
        return Exit.USAGE
    raise error


def _innermost(error: Exception) -> Exception:
    """The one error inside a group of one: how task groups hand on what ended them."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def say(text: str) -> None:
    """A message for the person, on standard error; nobody there to read it is no reason to fail."""
    with suppress(OSError):
        print(text, file=sys.stderr)
