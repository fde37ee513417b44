"""What panels tell the app, and are told by it. Selection is one for the whole app, so panels ask and never
tell each other."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from textual.message import Message

from engine.machine.events import Event


@runtime_checkable
class Refreshable(Protocol):
    def refresh_view(self) -> None:
        """Draw what has changed in the run."""


class TaskSelected(Message):
    """The operator chose a task in some panel: every panel that shows a selection is to show this one."""

    def __init__(self, task_id: str) -> None:
        super().__init__()
        self.task_id = task_id


class MomentSelected(Message):
    """The operator chose event number `seq`: the inspector shows the run as it stood there."""

    def __init__(self, seq: int) -> None:
        super().__init__()
        self.seq = seq


class OutputRequested(Message):
    """The operator asks for all of the output of an attempt."""

    def __init__(self, task_id: str, attempt: int) -> None:
        super().__init__()
        self.task_id = task_id
        self.attempt = attempt


class EventRequested(Message):
    """The operator asks for all of an event."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


class LineRequested(Message):
    """A panel asks for a line to type into, which holds `value` at first; `changed` hears of every change."""

    def __init__(self, prompt: str, value: str, hint: str, changed: Callable[[str], None]) -> None:
        super().__init__()
        self.prompt = prompt
        self.value = value
        self.hint = hint
        self.changed = changed


class RollbackRequested(Message):
    """The operator asks what a rollback to `to` (`last`, `start` or a checkpoint) would do."""

    def __init__(self, to: str = "last") -> None:
        super().__init__()
        self.to = to
