"""What the console takes from whoever sits at it: their settings, and what it remembers of them."""

from dataclasses import dataclass, field

from console.settings.file import Settings, load_settings
from console.settings.memory import Memory


@dataclass(frozen=True)
class Preferences:
    """By themselves they are nobody's: nothing is set, and nothing is remembered."""

    settings: Settings = field(default_factory=Settings)
    memory: Memory = field(default_factory=lambda: Memory(hinted=True))

    @property
    def theme(self) -> str:
        """The theme that is set, or the one chosen last; empty where there is neither."""
        return self.settings.theme or self.memory.theme


def load_preferences() -> Preferences:
    """The preferences of the user of this process. Raises PlanErrors where the settings file is wrong."""
    from engine.journal.naming import state_dir  # late: a screen alone needs nothing of the journal

    return Preferences(load_settings(), Memory.read(state_dir(None) / "console.json"))
