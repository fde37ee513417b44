"""What is left of the screen where there is no room for panels: the question, what runs, and the keys."""

from collections.abc import Callable

from textual.content import Content

from console.actions import Keymap, first_key
from console.look import STATUS, one_line
from console.run_view import RunView
from console.status_line import question_text
from engine.machine.state import State
from engine.plan.durations import format_duration

KEYS = {
    "answer": "answers",
    "pause": "pauses",
    "go_on": "resumes",
    "abort": "stops",
    "summary": "tells how it ended",
    "help": "helps",
    "quit": "leaves",
}
"""The actions named here, the most important first."""


def summary(view: RunView, keymap: Keymap, available: Callable[[str], bool], height: int) -> Content:
    """The run in at most `height` lines, as far as they are not longer than the terminal is wide. The keys
    come second: a terminal of three lines still shows how to answer."""
    state = view.state
    parts = [*_questions(state), _keys(keymap, available), *_running(view, state)]
    parts.append(Content.styled(f"{one_line(view.plan.name)}  {state.run}", "$quiet"))
    parts.append(Content.styled("In 60×18 or more there are panels.", "$quiet"))
    return Content("\n").join(parts[:height])


def _questions(state: State) -> list[Content]:
    if state.finished or not state.questions:
        return []
    return [
        Content.styled(f"? {question_text(question)}", "bold $status-in-doubt")
        for question in state.questions.values()
    ]


def _keys(keymap: Keymap, available: Callable[[str], bool]) -> Content:
    named = [(first_key(name, keymap), does) for name, does in KEYS.items() if available(name)]
    return Content("  ").join([Content.assemble((key, "bold $accent"), f" {does}") for key, does in named])


def _running(view: RunView, state: State) -> list[Content]:
    lines = []
    for task_id in state.in_flight:
        task = state.tasks[task_id]
        mark = STATUS[task.status]
        since = f"  {format_duration(round(view.now_t - task.last.started_t))}" if task.last else ""
        lines.append(Content.assemble((f"{mark.glyph} ", f"${mark.colour}"), task_id, (since, "$quiet")))
    return lines
