"""Which events are shown: by groups of kinds, and by words."""

from collections.abc import Mapping

from console.sentences import sentence
from engine.machine import events as ev

GROUPS: Mapping[str, tuple[type[ev.Event], ...]] = {
    "trouble": (
        ev.TaskFailed,
        ev.TaskCancelled,
        ev.RetryScheduled,
        ev.TaskInDoubt,
        ev.TaskBlocked,
        ev.QuestionOpened,
        ev.DecisionRefused,
        ev.RollbackFailed,
        ev.CheckpointFailed,
        ev.LockWaitChanged,
        ev.InterventionRefused,
    ),
    "decisions": (
        ev.QuestionOpened,
        ev.QuestionWithdrawn,
        ev.DecisionMade,
        ev.DecisionRefused,
        ev.DoubtSettled,
        ev.PlanChanged,
        ev.RunForked,
        ev.InterventionMade,
        ev.InterventionEnded,
        ev.InterventionRefused,
        ev.TaskAdjusted,
    ),
    "rollback": (
        ev.RollbackStarted,
        ev.RollbackStepStarted,
        ev.TaskRolledBack,
        ev.RollbackFailed,
        ev.TaskLeftApplied,
    ),
    "checkpoints": (ev.CheckpointSaved, ev.CheckpointFailed, ev.BarrierReached, ev.WaveStarted),
    "run": (
        ev.RunStarted,
        ev.RunResumed,
        ev.RunPausing,
        ev.RunPaused,
        ev.RunStopping,
        ev.RunFinished,
        ev.RunForked,
    ),
    "locks": (ev.LockWaitChanged, ev.InterventionMade, ev.InterventionEnded, ev.InterventionRefused),
    "progress": (ev.TaskProgressed, ev.CommitIntended, ev.TaskAdjusted),
}
"""What a word asks for that is the name of a group."""


_TICKING = (ev.TaskProgressed, ev.CommitIntended)
"""What comes every second, and would bury the rest: shown only where the group is named."""


class EventFilter:
    """`text` holds words: names of groups let all kinds of these groups pass, and every other word has to be
    in what an event says, or in the name of its task or kind. No words let everything pass but progress."""

    def __init__(self, text: str = "") -> None:
        words = text.lower().split()
        self.text = " ".join(words)
        self._kinds = tuple(kind for word in words if word in GROUPS for kind in GROUPS[word])
        self._words = [word for word in words if word not in GROUPS]

    def lets_pass(self, event: ev.Event) -> bool:
        if not isinstance(event, self._kinds) and (self._kinds or isinstance(event, _TICKING)):
            return False
        if not self._words:
            return True
        kind = type(event).__struct_config__.tag
        said = f"{getattr(event, 'task', '')} {kind} {sentence(event)}".lower()
        return all(word in said for word in self._words)
