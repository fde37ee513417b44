"""What the console keeps for the next time: the theme chosen last, and whether the first hint was given.

Nothing depends on it: where it cannot be read or written, the next time is like the first."""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Memory:
    """`path` is a JSON file; without one, what is remembered is forgotten with the console."""

    path: Path | None = None
    theme: str = ""
    hinted: bool = False

    @classmethod
    def read(cls, path: Path) -> "Memory":
        kept: Any = None
        with suppress(OSError, ValueError):
            kept = json.loads(path.read_text(encoding="utf-8"))
        known = kept if isinstance(kept, dict) else {}
        return cls(path, str(known.get("theme", "")), known.get("hinted") is True)

    def choose(self, theme: str) -> None:
        self.theme = theme
        self._write()

    def give_hint(self) -> bool:
        """Whether the hint is to be given: once, and this was it."""
        due, self.hinted = not self.hinted, True
        if due:
            self._write()
        return due

    def _write(self) -> None:
        if self.path is None:
            return
        aside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_text(json.dumps({"theme": self.theme, "hinted": self.hinted}), encoding="utf-8")
            aside.replace(self.path)
