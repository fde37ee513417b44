"""Lines of the lock radar, painted; and the radar of one task, remembered while the plan is the same."""

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.style import Style
from rich.text import Text

from console.panels.canvas import joined
from console.radar import Line, is_felt, lines
from engine.plan.models import Plan
from engine.plan.sql.scripts import Script, scripts

INKS = ("quiet", "warning", "error")
"""By the weight of a line: nobody is blocked, writes are, reads are too."""
_STEP = 2


def painted(line: Line, ink: Callable[[str], Style], console: Console, width: int) -> Iterator[Text]:
    """`line` in as many lines of `width` cells as it needs; a statement is cut off instead."""
    indent = " " * (_STEP * line.indent)
    style = ink("foreground" if line.kind == "statement" else INKS[line.weight])
    text = joined([(indent + line.text, style)])
    if line.kind == "statement":
        text.truncate(max(1, width), overflow="ellipsis")
        yield text
    else:
        yield from wrapped(text, console, width, len(indent) + _STEP)


def wrapped(text: Text, console: Console, width: int, indent: int) -> Iterator[Text]:
    """`text` in as many lines of `width` cells as it needs, all but the first indented."""
    first, *rest = text.wrap(console, max(20, width - indent)) or [text]
    yield first
    for line in rest:
        yield joined([" " * indent]) + line


class Radar:
    """The lock radar of the tasks of a plan. Reading the SQL takes time, so it is done once for a plan."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._scripts: dict[str, list[Script]] = {}

    def of(self, plan: Plan, task_id: str) -> Sequence[tuple[str, list[Line]]]:
        """What run and rollback of a task lock: a label for each, and lines; nothing off PostgreSQL."""
        if plan is not self._plan:
            self._plan, self._scripts = plan, {}
            for script in scripts(plan):
                self._scripts.setdefault(script.task, []).append(script)
        labels = {"run": "locks", "rollback": "undoing"}
        return [
            (labels[script.role], list(_told(script)))
            for script in self._scripts.get(task_id, ())
            if script.role in labels and script.statements
        ]


def _told(script: Script) -> Iterator[Line]:
    if script.is_backfill:
        yield Line(0, "one transaction for each batch", "part")
    elif script.mixed:
        yield Line(0, f"{len(script.parts)} parts, each committed by itself", "part")
    if is_felt(script):
        yield from (line._replace(indent=line.indent - 1) for line in lines(script))
    else:
        yield Line(0, "blocks nobody", "part")
