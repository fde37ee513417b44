"""What the checks of a run's state found: each piece of damage, and how far the run is sound."""

from dataclasses import dataclass
from pathlib import Path

from engine.plan.errors import visible


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of damage. `code` is stable; `file` is relative to the run directory; `seq` is an event."""

    code: str
    what: str
    file: str
    seq: int | None = None

    def __str__(self) -> str:
        place = self.file if self.seq is None else f"{self.file}, event {self.seq}"
        return f"{self.code}: {visible(self.what)} ({place})"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What the checks found. `events` counts those that are there; up to `good_seq` all of them are sound.

    `sound_checkpoints` are those that nothing speaks against, by their ids and oldest first; of these
    `good_checkpoints` stand at or before `good_seq`.
    """

    path: Path
    run: str
    events: int
    head_hash: str
    checkpoints: int
    good_seq: int
    sound_checkpoints: tuple[str, ...]
    good_checkpoints: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def good_checkpoint(self) -> str | None:
        """The newest of `good_checkpoints`."""
        return self.good_checkpoints[-1] if self.good_checkpoints else None

    @property
    def last_good(self) -> str:
        """The last good point, in words."""
        if not self.good_seq:
            return "none"
        beside = f", checkpoint {self.good_checkpoint}" if self.good_checkpoint else ""
        return f"event {self.good_seq}{beside}"
