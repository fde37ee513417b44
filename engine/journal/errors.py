"""What can go wrong with a run's state. Each error says what, where, why, and what to do next.

Three families, since a caller answers them in three ways: `RunLookupError` (the person named something
that is not there, or may not be made; nothing was started), `StateRefused` (the state is there but must
not be used) and `WriteError` (an append did not happen, or nobody can tell whether it did).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.journal.naming import typed_name
from engine.plan.errors import visible

if TYPE_CHECKING:
    from engine.journal.ownership import Owner
    from engine.journal.report import Finding, VerifyReport

_SHOWN_FINDINGS = 20


class JournalError(Exception):
    """`str(error)` is the whole message; the four parts stand alone as attributes, too."""

    def __init__(self, what: str, *, where: object, why: str, do: str) -> None:
        super().__init__(what, where, why, do)
        self.what = what
        self.where = str(where)
        self.why = why
        self.do = do

    def __str__(self) -> str:
        return f"{self.what}\n  where: {self.where}\n  why: {self.why}\n  what to do: {self.do}"


class RunLookupError(JournalError):
    """No run could be found or made under the name given."""


class NoSuchRun(RunLookupError):
    def __init__(self, wanted: str, state: Path, near: list[str]) -> None:
        self.near = near
        hint = (
            f"did you mean {' or '.join(near)}?" if near else "`wesley-console runs` lists the runs there are"
        )
        super().__init__(
            f"no run {wanted!r}",
            where=state,
            why="it is neither the id of a run, nor the beginning of one, nor the directory of a run",
            do=f"{hint} (--state-dir says where runs live)",
        )


class AmbiguousRun(RunLookupError):
    def __init__(self, wanted: str, state: Path, matches: list[str]) -> None:
        self.matches = matches
        super().__init__(
            f"{wanted!r} could be any of {len(matches)} runs",
            where=state,
            why=f"these ids begin with it: {', '.join(matches[:10])}{', …' if len(matches) > 10 else ''}",
            do="give more of the id",
        )


class RunExists(RunLookupError):
    def __init__(self, run_id: str, path: Path) -> None:
        super().__init__(
            f"there is a run {run_id!r} already",
            where=path,
            why="a new run never writes over an old one",
            do=f"choose another --run-id, or go on with that run: wesley-console resume {typed_name(path)}",
        )


class UnsafeRunId(RunLookupError):
    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"{run_id!r} cannot be the id of a run",
            where="--run-id",
            why="it names a directory: letters, digits, `.`, `_` and `-`, a letter or digit first, up to 100",
            do="choose such an id, or leave --run-id out",
        )


class StateDirUnusable(RunLookupError):
    """The state directory (or a file in it) cannot be made, read or written at all."""

    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__(
            "the state directory cannot be used",
            where=path,
            why=str(error),
            do="make room or mend its permissions, or name another with --state-dir or WESLEY_CONSOLE_STATE",
        )


class StateRefused(JournalError):
    """The run's state exists, and using it now could lose or repeat work."""


class NeverStarted(StateRefused):
    def __init__(self, path: Path) -> None:
        super().__init__(
            "this run was cut off before it began",
            where=path,
            why="its engine ended before the first event was recorded: nothing of the plan was done",
            do=f"run the plan again: wesley-console run PLAN --run-id {path.name}",
        )


class Damaged(StateRefused):
    """The checks found damage; `findings` says each, `report` also the last good point."""

    def __init__(self, report: VerifyReport, offer: str | None = None) -> None:
        """`offer` is the checkpoint from which the run can be gone on with in another one."""
        self.report = report
        self.offer = offer
        self.findings: tuple[Finding, ...] = report.findings
        lines = [f"{finding}" for finding in self.findings[:_SHOWN_FINDINGS]]
        if len(self.findings) > _SHOWN_FINDINGS:
            lines.append(f"and {len(self.findings) - _SHOWN_FINDINGS} more")
        do = "nothing was changed; put the named files back from a copy, then `wesley-console verify` it"
        if offer:
            named = typed_name(report.path)
            do += f"\n       or go on in a new run: wesley-console resume {named} --from {offer}"
        super().__init__(
            "the state of this run is damaged, and is refused",
            where=report.path,
            why="\n       ".join(lines) + f"\n       last good point: {report.last_good}",
            do=do,
        )


class CannotFork(StateRefused):
    """The run cannot be gone on with from that checkpoint; `sound` are those that the checks let pass."""

    def __init__(self, path: Path, checkpoint: str, why: str, sound: Sequence[str]) -> None:
        others = [each for each in sound if each != checkpoint]
        super().__init__(
            f"nothing can go on from checkpoint {visible(checkpoint)} of this run",
            where=path,
            why=visible(why),
            do=f"try another of its checkpoints: {', '.join(others)}"
            if others
            else "put the damaged files back from a copy, then `wesley-console verify` it",
        )


class JournalUnreadable(StateRefused):
    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__(
            "the journal cannot be read",
            where=path,
            why=f"{error}",
            do="see that you may read it, and (while its log is in use) write to its directory; "
            "`wesley-console verify` names what is damaged",
        )


class Unreplayable(StateRefused):
    """Every byte is as it was written, and yet the events do not make a run."""

    def __init__(self, path: Path, seq: int, why: str) -> None:
        self.seq = seq
        super().__init__(
            f"the journal tells of something that cannot have happened, at event {seq}",
            where=path,
            why=f"{visible(why)}\n       last good point: {f'event {seq - 1}' if seq > 1 else 'none'}",
            do="nothing was changed; a later version of this program may have written it: try that one. "
            "Otherwise put the journal back from a copy",
        )


class Owned(StateRefused):
    """Another engine owns the run; `owner` is its identity as it wrote it down."""

    def __init__(self, owner: Owner, path: Path) -> None:
        self.owner = owner
        super().__init__(
            f"another engine owns this run: {owner.describe()}",
            where=path,
            why="one engine owns a run at a time; its lock is held, so that process is alive",
            do="wait for it, or stop it (SIGTERM leaves the run resumable), then try again",
        )


class Fenced(StateRefused):
    def __init__(self, path: Path, ours: int, current: int) -> None:
        super().__init__(
            "another engine took this run over",
            where=path,
            why=f"this engine holds epoch {ours}, the journal is at epoch {current}",
            do="end this engine; the other one goes on with the run",
        )


class WriteError(JournalError):
    """An append, or taking a run over, did not go through."""


class EventRefused(WriteError):
    """Events that no reader could take back; nothing was written, the journal stays usable."""

    def __init__(self, path: Path, seq: int, why: str) -> None:
        super().__init__(
            f"event {seq} cannot be written",
            where=path,
            why=why,
            do="this is a fault of the program: please report it with this message; the run can be resumed",
        )


class JournalBusy(WriteError):
    """Another process kept the write lock; nothing was written, the journal stays usable."""

    def __init__(self, path: Path, waited_s: float) -> None:
        super().__init__(
            "the journal is being written by another process",
            where=path,
            why=f"its write lock was held for more than {waited_s:g} s",
            do="end the process that has the file open, then try again",
        )


class JournalFull(WriteError):
    """No room. Nothing was written, cleanly: the same append may be tried again once there is room."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            "there is no room to write the journal",
            where=path,
            why=why,
            do="make room (or raise the limit), then go on: nothing acknowledged is lost",
        )


class JournalFailed(WriteError):
    """Whether the last append is on the disk is not known. This journal object writes nothing any more."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            "the journal could not be made durable; the run is halted",
            where=path,
            why=why,
            do="mend the disk, then `wesley-console resume` the run: all that was acknowledged is kept",
        )


class CheckpointUnwritable(WriteError):
    """The checkpoint is not saved: nothing may depend on it."""

    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__(
            "the checkpoint could not be saved",
            where=path,
            why=str(error),
            do="make room or mend the disk; the run itself is safe in its journal",
        )
