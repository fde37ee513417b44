"""How the nodes of the graph look: tasks, and groups of tasks, at each level of detail."""

from collections import Counter
from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from rich.cells import cell_len
from rich.style import Style

from console.look import STATUS, one_line
from console.panels.canvas import BOLD, Canvas, Row, clip, clip_middle
from console.panels.outline import Outline
from console.panels.picture import Width
from console.panels.timing import elapsed, progress_of
from console.run_view import RunView
from console.underway import held_by_operator, lock_wait
from engine.machine.transitions import TaskStatus
from engine.plan.durations import format_duration
from engine.plan.models import Task


class Level(IntEnum):
    """How much of each task is shown."""

    MARKS = 0
    IDS = 1
    NAMES = 2
    TIMES = 3


GROUP = "⊞"
_LONGEST_NAME = 28
_LONGEST_TITLE = 20
_LEAST_NAME = 4
"""A name of fewer cells than this says nothing."""
_FAIR_NAME = 7
"""Names are worth showing with so many cells for each."""
_SHARE = 5
"""Cells for how far a running task is."""
_OVER = " its time"
"""Said of a task that takes longer than expected, where there is room for it."""
_TIMES = 14
"""Cells for times, where they are shown."""
_NARROWEST = 8
"""A column is squeezed down to so many cells so that the whole graph can be seen."""
_NARROW = 16
"""Likewise, where some of the graph is collapsed."""
_STRONG = frozenset({TaskStatus.RUNNING, TaskStatus.FAILED, TaskStatus.IN_DOUBT, TaskStatus.ROLLING_BACK})
_AHEAD = frozenset({TaskStatus.PENDING, TaskStatus.READY})
_WEAK = frozenset({TaskStatus.PENDING, TaskStatus.SUCCEEDED, TaskStatus.SKIPPED, TaskStatus.WAIVED})
_WORDLESS = frozenset({TaskStatus.PENDING, TaskStatus.READY, TaskStatus.SUCCEEDED, TaskStatus.RUNNING})
"""Statuses that go without saying, or that something else than their word is said of."""
_COUNTED = (
    *(
        TaskStatus.FAILED,
        TaskStatus.IN_DOUBT,
        TaskStatus.ROLLING_BACK,
        TaskStatus.RUNNING,
        TaskStatus.WAITING,
    ),
    *(TaskStatus.READY, TaskStatus.BLOCKED, TaskStatus.SUCCEEDED, TaskStatus.PENDING),
)
COUNTED = (*_COUNTED, *(status for status in STATUS if status not in _COUNTED))
"""The order in which a group counts its tasks: what matters most comes first."""


class Face(NamedTuple):
    """All that decides what a node looks like. Two nodes with equal faces look the same.

    `text` and `more` are what is said after the glyph, `tail` goes last, each with its theme colour; `counts`
    are those of a group; `share` is how much of the node is filled."""

    glyph: str
    mark: str
    text: str
    ink: str
    more: str = ""
    tail: str = ""
    counts: tuple[tuple[str, str], ...] = ()
    share: float = 0.0
    bold: bool = False
    found: bool = False
    dimmed: bool = False
    cursor: bool = False


def task_face(view: RunView, task_id: str, level: Level) -> Face:
    """The face of a task that nothing is chosen, found or dimmed in."""
    status = view.state.tasks[task_id].status
    mark = STATUS[status]
    critical = task_id in view.graph.critical
    ink = mark.colour if status in _STRONG else "quiet" if status in _WEAK else "foreground"
    if critical and status in _AHEAD:
        ink = "critical"
    if level is Level.MARKS:
        return Face(mark.glyph, mark.colour, "", ink, bold=critical)
    share, tail = 0.0, "" if status in _WORDLESS else mark.word
    if status is TaskStatus.RUNNING:
        part = progress_of(view, task_id)
        late = round(part, 1) > 1.0
        share, tail = (0.0, f"{part:.1f}×{_OVER}") if late else (round(min(1.0, part), 2), f"{part:.0%}")
        if lock_wait(view.state.tasks[task_id]):
            mark, tail = STATUS[TaskStatus.WAITING], "lock"
        elif held_by_operator(view.state.tasks[task_id]):
            mark, tail = STATUS[TaskStatus.WAITING], "held"
    if level is Level.TIMES:
        tail = _times(view, task_id)
    name = one_line(view.by_id[task_id].name or "") if level >= Level.NAMES else ""
    return Face(mark.glyph, mark.colour, task_id, ink, name, tail, share=share, bold=critical)


def _times(view: RunView, task_id: str) -> str:
    task = view.state.tasks[task_id]
    expected = format_duration(view.graph.expected_s[task_id])
    if task.last is None:
        return expected
    taken = format_duration(elapsed(view, task.last))
    if task.status in _WORDLESS:
        return f"{taken} of {expected}" if task.status is TaskStatus.RUNNING else taken
    return STATUS[task.status].word


def group_face(shown: Outline, key: str, counts: Counter[TaskStatus], level: Level) -> Face:
    if level is Level.MARKS:
        return Face(GROUP, "quiet", str(len(shown.groups[key])), "quiet")
    parts = [
        (f"{STATUS[status].glyph}{counts[status]}", STATUS[status].colour)
        for status in COUNTED
        if counts[status]
    ]
    return Face(GROUP, "quiet", shown.titles[key], "foreground", counts=tuple(parts))


def width_of(tasks: Mapping[str, Task], shown: Outline, level: Level, key: str) -> Width:
    """The cells that a node would like to have, and those without which it is not worth it."""
    if key in shown.groups:
        digits = len(str(len(shown.groups[key])))
        if level is Level.MARKS:
            return Width(2 + digits, 2 + digits)
        title, count = 2 + min(cell_len(shown.titles[key]), _LONGEST_TITLE), 2 + digits
        return Width(title + 3 * count, title + 2 * count)
    if level is Level.MARKS:
        return Width(1, 1)
    if level is Level.IDS:
        return Width(2 + len(key), _NARROW if shown.groups else _NARROWEST)
    bare = 2 + len(key) + (_TIMES if level is Level.TIMES else _SHARE)
    name = one_line(tasks[key].name or "")
    wanted = bare + (min(1 + cell_len(name), _LONGEST_NAME) if name else 0)
    return Width(wanted, min(wanted, bare + _FAIR_NAME))


def draw(canvas: Canvas, line: Row, x: int, room: int, face: Face) -> None:
    """Draw a node into `room` cells from cell `x` on, and one blank behind it where there is room for it."""
    colour = canvas.faded if face.dimmed else canvas.ink
    glyph = canvas.faded(face.mark) if face.dimmed else canvas.ink(face.mark, bold=True)
    text = colour(face.ink) + (BOLD if face.bold else Style.null())
    if face.found:
        text += canvas.ink("accent") + Style(underline=True, bold=True)
    end = line.put(x, face.glyph, glyph)
    parts = _group_parts(face, room - 2) if face.counts else _task_parts(face, room - 2)
    for number, (part, ink) in enumerate(parts):
        end = line.put(line.put(end, " ", colour(ink)), part, text if number == 0 else colour(ink))
    if face.cursor:
        line.tint(x, end, canvas.cursor)
    elif face.share and not face.dimmed:
        line.tint(x, x + round(face.share * (end - x)), canvas.wash(face.mark))
    if end < x + room:
        line.put(end, " ")


def _task_parts(face: Face, room: int) -> list[tuple[str, str]]:
    """What is written after the glyph of a task in `room` cells: the id before all else, then what goes
    last, then as much of the name as there is room for."""
    if not face.text or room < 1:
        return []
    spare = room - cell_len(face.text)
    tails = (face.tail, face.tail.removesuffix(_OVER))
    tail = next((each for each in tails if cell_len(each) < spare), "")
    if tail:
        spare -= 1 + cell_len(tail)
    more = clip(face.more, spare - 1) if spare > _LEAST_NAME else ""
    parts = [(clip_middle(face.text, room), face.ink), (more, "quiet"), (tail, _tail_ink(face))]
    return [(text, ink) for text, ink in parts if text]


def _tail_ink(face: Face) -> str:
    return face.mark if face.ink == face.mark else "quiet"


def _group_parts(face: Face, room: int) -> list[tuple[str, str]]:
    """The title of a group and its counts in `room` cells: the counts, the most important first, as far as
    some of the title is left."""
    title = min(cell_len(face.text), _LEAST_NAME)
    counts = []
    spare = room - title
    for text, ink in face.counts:
        if spare < 1 + len(text):
            break
        counts.append((text, ink))
        spare -= 1 + len(text)
    return [(clip(face.text, title + spare), face.ink), *counts]
