"""The line below the graph: what is chosen, and what there is to see out of sight."""

from collections import Counter
from collections.abc import Iterable

from rich.style import Style

from console.holdups import hold
from console.look import CRITICAL, STATUS, one_line, plural
from console.panels.canvas import BOLD, Canvas
from console.panels.nodes import COUNTED, GROUP
from console.panels.timing import timing_words
from engine.machine.transitions import TaskStatus

Parts = list[tuple[str, Style]]


def of_plan(canvas: Canvas) -> Parts:
    """What is said while no task is chosen."""
    count = plural(len(canvas.view.graph.order), "task")
    return [(f" {count}  ", canvas.ink("quiet")), (f"━━ {CRITICAL.word}", canvas.ink(CRITICAL.colour))]


def of_task(canvas: Canvas, task_id: str) -> Parts:
    """What is said of the chosen task."""
    view = canvas.view
    held = hold(view.state, task_id)
    mark = STATUS[TaskStatus.WAITING if held else view.state.tasks[task_id].status]
    name = one_line(view.by_id[task_id].name or "")
    parts = [
        (f" {mark.glyph} ", canvas.ink(mark.colour, bold=True)),
        (task_id, BOLD),
        (f"  {held or mark.word}", canvas.ink(mark.colour)),
        (timing_words(view, task_id), canvas.ink("foreground")),
    ]
    if task_id in view.graph.critical:
        parts.append((f"  {CRITICAL.glyph} {CRITICAL.word}", canvas.ink(CRITICAL.colour)))
    needs, feeds = len(view.graph.parents[task_id]), len(view.graph.descendants(task_id))
    parts.append((f"  needs {needs}, {feeds} depend on it", canvas.ink("quiet")))
    return [*parts, (f"  {name}", canvas.ink("quiet"))]


def of_group(canvas: Canvas, title: str, counts: Counter[TaskStatus], key: str) -> Parts:
    """`key` is what expands it."""
    parts = [
        (f" {GROUP} ", canvas.ink("quiet", bold=True)),
        (title, BOLD),
        (f"  {plural(counts.total(), 'task')}, collapsed", canvas.ink("quiet")),
    ]
    for status in COUNTED:
        if counts[status]:
            mark = STATUS[status]
            parts.append((f"  {mark.glyph} {counts[status]} {mark.word}", canvas.ink(mark.colour)))
    return [*parts, (f"  {key} expands", canvas.ink("quiet"))]


def out_of_sight(canvas: Canvas, statuses: Iterable[TaskStatus]) -> Parts:
    """What fails or runs where it cannot be seen."""
    counts = Counter(statuses)
    return [
        (f"{STATUS[status].glyph}{counts[status]} ", canvas.ink(STATUS[status].colour, bold=True))
        for status in COUNTED
        if counts[status]
    ]
