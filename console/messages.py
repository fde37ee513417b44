"""What panels tell the app. Selection is one for the whole app, so panels ask and never tell each other."""

from textual.message import Message


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


class RollbackRequested(Message):
    """The operator asks what a rollback to `to` (`last`, `start` or a checkpoint) would do."""

    def __init__(self, to: str = "last") -> None:
        super().__init__()
        self.to = to
