"""What is said below the lanes: how busy they were, what waits, and what the chosen bar is."""

import math
from typing import NamedTuple

from rich.style import Style

from console.holdups import hold_ups
from console.look import STATUS, one_line, plural
from console.outlook import Outlook
from console.panels.canvas import BOLD, Canvas
from console.panels.history import History, Span
from console.run_view import RunView
from console.underway import live, waiting
from engine.machine.transitions import TaskStatus
from engine.plan.durations import format_duration

Words = list[tuple[str, Style] | str]


def percent(part: float, whole: float) -> str:
    """The share in whole percent, rounded down: 100 % is said of nothing less."""
    return f"{math.floor(100 * part / whole + 1e-6)}%" if whole > 0 else "–"


def share_words(canvas: Canvas, history: History, lanes: int) -> Words:
    """How busy all lanes together have been."""
    now = canvas.view.now_t
    busy = sum(track.busy(now) for track in history.lanes.values())
    words = plural(lanes, "lane")
    if now > 0:
        idle = format_duration(max(0.0, now * lanes - busy))
        words += f" {percent(busy, now * lanes)} busy, {idle} idle"
    return [(words, canvas.ink("quiet"))]


def lock_words(canvas: Canvas) -> Words:
    """The gravest wait for a lock, and who blocks it; else what an operator holds."""
    state, mark = canvas.view.state, STATUS[TaskStatus.WAITING]
    blocked = [
        f"{task} {told.words}"
        for task in waiting(state)[:1]
        if (told := live(state, task, canvas.view.now_t))
    ]
    held = [up.words for up in hold_ups(state)[:1]]
    return [(f"{mark.glyph} {words}", canvas.ink(mark.colour)) for words in (blocked or held)]


def waits_words(canvas: Canvas) -> Words:
    """What is on the frontier but held up, and why."""
    state = canvas.view.state
    mark = STATUS[TaskStatus.WAITING]
    if not state.counts[TaskStatus.WAITING]:
        return []
    held = state.with_status(TaskStatus.WAITING)
    more = f", and {len(held) - 1} more" if len(held) > 1 else ""
    reason = one_line(state.tasks[held[0]].waiting_for)
    return [(f"  {mark.glyph} {held[0]} waits: {reason}{more}", canvas.ink(mark.colour))]


def bar_words(canvas: Canvas, lane: int, span: Span) -> Words:
    """What the bar `span` is."""
    view, quiet = canvas.view, canvas.ink("quiet")
    mark = STATUS[span.status if span.attempt else TaskStatus.PENDING]
    attempt = f", attempt {span.attempt}" if span.attempt > 1 else ""
    return [
        (f"{mark.glyph} ", canvas.ink(mark.colour, bold=True)),
        (span.task, BOLD),
        (f"  {mark.word if span.attempt else 'expected'}", canvas.ink(mark.colour)),
        (f"  lane {lane + 1}{attempt}, {_times(view, span)}", quiet),
    ]


def _times(view: RunView, span: Span) -> str:
    end = span.until(view.now_t)
    length = format_duration(end - span.start)
    start = format_duration(span.start)
    expected = view.graph.expected_s.get(span.task)
    usual = "" if expected is None else f", expected {format_duration(expected)}"
    if not span.attempt:
        return f"{start} to {format_duration(end)} of the run, {length}"
    if span.end is None:
        return f"for {length}{usual}"
    return f"{start} to {format_duration(end)} of the run, took {length}{usual}"


class Note(NamedTuple):
    """Words that end at a line through all lanes; `colour` is a theme variable, `sure` if it has happened."""

    t: float
    text: str
    colour: str
    sure: bool = True


def notes(history: History, outlook: Outlook) -> list[Note]:
    """What each barrier waits for to the last, and how long the run was without an engine."""
    found = [Note(barrier.t, barrier.last, "barrier") for barrier in history.barriers]
    found += [Note(barrier.t, barrier.last, "barrier", sure=False) for barrier in outlook.barriers]
    found += [
        Note(taken_up.t, f"resumed after {format_duration(taken_up.away_s)}", "quiet")
        for taken_up in history.taken_up
    ]
    return sorted(found)
