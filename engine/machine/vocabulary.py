"""What events are made of: their base with its three stamps, and the words and structures in them.

`engine.machine.events` gives all of this out, too: nothing but it needs to import from here.
"""

import re
from datetime import datetime
from typing import Literal

import msgspec

Trigger = Literal["time", "progress", "phase", "barrier", "risk", "manual", "stop"]
Purpose = Literal["run", "rollback"]
About = Literal["failure", "doubt", "rollback_step", "rollback_scope"]
"""What a question is about: a failed task, a task in doubt, a failed rollback step, or a rollback
whose scope holds tasks that cannot be undone."""
Action = Literal["resume", "retry", "skip", "rollback", "abort", "pause", "checkpoint"]
SkipMode = Literal["subtree", "waive", "assert_done", "leave_applied"]
DoubtMode = Literal["look_again", "end_processes"]
"""How a doubt is gone on with: it is looked into once more, and what still runs is ended before that."""
Mode = Literal[SkipMode, DoubtMode]
Effect = Literal["none", "unknown"]
"""What a task that did not succeed left behind: certainly nothing, or nobody can tell from here."""
Intervention = Literal["cancel_own", "cancel_backend", "terminate_backend", "adjust"]
"""What an operator does about an attempt that is under way: end it, end what another backend runs, end that
backend itself; or set how it goes on."""
FinalStatus = Literal["completed", "aborted", "rolled_back", "failed"]


def _kind(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine process owned the run: enough to tell it from another process with its pid."""

    pid: int
    host: str
    boot_id: str
    process_started: float
    version: str


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A run whose history another one goes on with: its id, and the directory it is kept in."""

    run: str
    path: str


class Blocker(msgspec.Struct, frozen=True, kw_only=True):
    """A backend that holds, or waits for, what an attempt waits for.

    `pid` and `started` together tell it from any other. When it was seen, its transaction (or else its
    present state) had lasted `age_s` seconds, its present state `state_s`. `query` has no constants in it.
    `waits_for` are the pids that block it in turn; `own_task` is the task of this run that it works for."""

    pid: int
    started: str
    user: str = ""
    application: str = ""
    state: str = ""
    age_s: float = 0.0
    state_s: float = 0.0
    query: str = ""
    waits_for: tuple[int, ...] = ()
    own_task: str = ""


class Event(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="kind", tag=_kind, omit_defaults=True
):
    """Values only, which never refer back: the garbage collector need not look at them (`gc=False`)."""

    seq: int
    t: float
    at: datetime

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)
