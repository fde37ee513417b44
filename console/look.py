"""How things look: one glyph, one word and one colour for each status and each checkpoint trigger.

No screen is imported here, so plain output uses the same marks. Colours are names of theme variables;
`console.theming` turns them into styles.
"""

from typing import NamedTuple

from engine.machine.events import Trigger
from engine.machine.transitions import RunStatus, TaskStatus


class Mark(NamedTuple):
    """`colour` is a theme variable without its `$`. Colour never stands alone: glyph or word goes with it."""

    glyph: str
    word: str
    colour: str


def _task(status: TaskStatus, glyph: str) -> tuple[TaskStatus, Mark]:
    return status, Mark(glyph, status.replace("_", " "), f"status-{status.replace('_', '-')}")


STATUS: dict[TaskStatus, Mark] = dict(
    (
        _task(TaskStatus.PENDING, "·"),
        _task(TaskStatus.READY, "○"),
        _task(TaskStatus.WAITING, "◷"),
        _task(TaskStatus.RUNNING, "▶"),
        _task(TaskStatus.SUCCEEDED, "✓"),
        _task(TaskStatus.FAILED, "✗"),
        _task(TaskStatus.IN_DOUBT, "?"),
        _task(TaskStatus.SKIPPED, "⊘"),
        _task(TaskStatus.WAIVED, "~"),
        _task(TaskStatus.BLOCKED, "■"),
        _task(TaskStatus.ROLLING_BACK, "↺"),
        _task(TaskStatus.ROLLED_BACK, "↩"),
        _task(TaskStatus.CANCELLED, "−"),
    )
)

RUN: dict[RunStatus, Mark] = {
    RunStatus.RUNNING: Mark("▶", "running", "status-running"),
    RunStatus.PAUSING: Mark("◷", "pausing", "status-waiting"),
    RunStatus.PAUSED: Mark("‖", "paused", "status-waiting"),
    RunStatus.ROLLING_BACK: Mark("↺", "rolling back", "status-rolling-back"),
    RunStatus.COMPLETED: Mark("✓", "completed", "status-succeeded"),
    RunStatus.ABORTED: Mark("−", "aborted", "status-cancelled"),
    RunStatus.ROLLED_BACK: Mark("↩", "rolled back", "status-rolled-back"),
    RunStatus.FAILED: Mark("✗", "failed", "status-failed"),
}

TRIGGER: dict[Trigger, Mark] = {
    "time": Mark("◔", "time", "checkpoint"),
    "progress": Mark("◑", "progress", "checkpoint"),
    "phase": Mark("◆", "phase", "checkpoint"),
    "barrier": Mark("‖", "barrier", "barrier"),
    "risk": Mark("▲", "risk", "checkpoint"),
    "manual": Mark("✚", "manual", "checkpoint"),
    "stop": Mark("■", "stop", "checkpoint"),
}

QUESTION = Mark("?", "question", "status-in-doubt")
INTERVENTION = Mark("!", "intervention", "warning")
CRITICAL = Mark("★", "critical path", "critical")


def one_line(text: str) -> str:
    """`text` as one line that is safe on any screen: runs of white space become one space, and control
    characters, bidirectional overrides and the like become the replacement character."""
    kept = (char if char.isprintable() else " " if char.isspace() else "�" for char in text)
    return " ".join("".join(kept).split())


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 task`, `3 tasks`; `many` is the plural where an s is not enough."""
    return f"{count} {noun if count == 1 else many or noun + 's'}"


def rounded(seconds: float) -> float:
    """`seconds` as exactly as an expectation deserves: 1176 is told as 20m, not as 19m36s."""
    steps = ((36_000, 1800), (7200, 600), (600, 60), (60, 10))
    step = next((step for above, step in steps if seconds >= above), 1)
    return round(seconds / step) * step
