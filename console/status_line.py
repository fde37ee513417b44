"""The line on top: is it going well, and when is it done. And the line that says which moment is shown."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.widget import Widget

from console.giving_up import given_up
from console.holdups import HoldUp, gets_on, hold, hold_ups, waits_for
from console.look import QUESTION, RUN, STATUS, Mark, one_line, plural, rounded
from console.run_view import RunView
from console.underway import live, waiting
from engine.machine.state import Question, State
from engine.machine.transitions import RunStatus, TaskStatus
from engine.plan.durations import format_duration

GAP = " · "


ESSENTIAL = 7
"""Parts of this weight or more: a long one among them is cut short before any of them is left out."""
SHORTEST = 16
"""Cells below which cutting a part short leaves nothing worth reading."""


class Part(NamedTuple):
    """A part of the line. The parts of lowest `weight` are left out first where the line is too short."""

    text: str
    style: str = ""
    weight: int = 5
    shrinks: bool = False


class PartsLine(Widget):
    """A line of parts, painted again only where it came out different: under a dialog that one sees through,
    every repaint is one of the whole screen."""

    _painted: tuple[Sequence[Part], int] | None = None

    def parts(self) -> Sequence[Part]:
        raise NotImplementedError

    def refresh_view(self) -> None:
        if self._painted != (self.parts(), self.content_size.width):
            self.refresh()

    def render(self) -> Content:
        self._painted = parts, width = self.parts(), self.content_size.width
        return fitted(parts, width)


class StatusLine(PartsLine):
    def __init__(
        self,
        view: RunView,
        *,
        now: Callable[[], datetime],
        speed: float,
        answer_key: str = "r",
        lock_key: str = "L",
        adjust_key: str = "A",
    ) -> None:
        super().__init__(id="status-line")
        self.answer_key = answer_key
        self.lock_key = lock_key
        self.adjust_key = adjust_key
        self.view = view
        self.now = now
        self.speed = speed
        self.finish_t: float | None = None
        self.engine_gone = False

    def refresh_view(self) -> None:
        self.set_class(bool(self.view.state.questions) and not self.view.state.finished, "-asking")
        super().refresh_view()

    def parts(self) -> Sequence[Part]:
        return status_parts(
            self.view,
            now=self.now(),
            speed=self.speed,
            finish_t=self.finish_t,
            engine_gone=self.engine_gone,
            answer_key=self.answer_key,
            lock_key=self.lock_key,
            adjust_key=self.adjust_key,
        )


class MomentLine(PartsLine):
    """Which event the inspector stands at."""

    def __init__(self, view: RunView) -> None:
        super().__init__(id="moment-line")
        self.view = view

    def refresh_view(self) -> None:
        self.set_class(self.view.state.seq < self.view.newest.seq, "-past")
        super().refresh_view()

    def parts(self) -> Sequence[Part]:
        return moment_parts(self.view)


def fitted(parts: Sequence[Part], width: int) -> Content:
    """`parts` on one line of `width` cells, without those of lowest weight that have no room."""
    kept = list(parts)
    while len(kept) > 1 and (excess := _length(kept) - width) > 0:
        least = min(kept, key=lambda part: part.weight)
        long = next((part for part in kept if part.shrinks), None)
        room = cell_len(long.text) - excess if long else 0
        if long and least.weight >= ESSENTIAL and room >= SHORTEST:
            kept[kept.index(long)] = long._replace(text=set_cell_size(long.text, room - 1).rstrip() + "…")
        else:
            kept.remove(least)
    line = Content(GAP).join([Content.styled(part.text, part.style) for part in kept])
    return line.truncate(width, ellipsis=True)


def _length(parts: Sequence[Part]) -> int:
    return sum(cell_len(part.text) for part in parts) + len(GAP) * (len(parts) - 1)


def status_parts(
    view: RunView,
    *,
    now: datetime,
    speed: float = 1.0,
    finish_t: float | None = None,
    engine_gone: bool = False,
    answer_key: str = "r",
    lock_key: str = "L",
    adjust_key: str = "A",
) -> list[Part]:
    """The parts of the status line. `speed`: seconds of the run's clock per real second. `finish_t`: when
    the run is expected to end, on its clock."""
    state = view.state
    opening = [Part(one_line(view.opening), "bold", 10, shrinks=True)] if view.opening else []
    if not state.started:
        return [_headed(STATUS[TaskStatus.PENDING], "not started"), *opening]
    ups = [] if state.finished else hold_ups(state)
    parts = [_headline(view, engine_gone), *opening]
    if view.trouble:
        parts.append(Part(f"! held up: {one_line(view.trouble)}", "bold $error", 10, shrinks=True))
    if question := _first(state):
        parts.append(Part(question_text(question), "bold", 9, shrinks=True))
        if not view.read_only:
            parts.append(Part(f"{answer_key} answers", "bold $accent", 8))
    parts.extend(_held_up(view, ups, parts[0].text, adjust_key))
    parts.extend(_lock_waits(view, lock_key))
    settled, total = state.settled, len(state.tasks)
    parts.append(Part(f"{settled}/{total} settled", "", 7))
    if not state.finished:
        parts.extend(_activity(state))
        if not ups:
            parts.extend(_finish(view, now, speed, finish_t))
        parts.extend(_given_up(view))
    parts.extend(_mishaps(state))
    if state.status_reason and not state.questions:
        parts.append(Part(one_line(state.status_reason), "$quiet", 3))
    parts.append(Part(one_line(view.plan.name), "$quiet", 2))
    parts.append(Part(state.run, "$quiet", 1))
    return parts


def _headline(view: RunView, engine_gone: bool) -> Part:
    state = view.state
    if engine_gone and not state.finished:
        return _headed(STATUS[TaskStatus.FAILED], "the engine has stopped; the run is not finished")
    if state.questions and not state.finished and not state.rollback_wanted:
        return _headed(QUESTION, plural(len(state.questions), "question"))
    mark = RUN[state.status]
    if state.finished_t is not None:
        return _headed(mark, f"{mark.word} in {format_duration(state.finished_t)}")
    if state.stopping:
        busy = state.in_flight
        held = any(hold(state, task) for task in busy)
        how = f": {waits_for(state)}" if held else f", {plural(len(busy), 'task')} running"
        return _headed(RUN[RunStatus.ABORTED], f"stopping{how}")
    if state.status is RunStatus.ROLLING_BACK and state.rollback:
        undone = sum(state.tasks[task].status is TaskStatus.ROLLED_BACK for task in state.rollback.tasks)
        return _headed(mark, f"rolling back to {state.rollback.to}: {undone}/{len(state.rollback.tasks)}")
    waits = f": {waits}" if (waits := waits_for(state)) else ""
    if state.rollback_wanted:
        return _headed(RUN[RunStatus.ROLLING_BACK], f"rollback to {state.rollback_wanted.to}{waits}")
    if state.status is RunStatus.PAUSING:
        return _headed(mark, f"{mark.word}{waits}")
    ups = hold_ups(state)
    if ups and not gets_on(state):
        more = f" (and {len(ups) - 1} more)" if len(ups) > 1 else ""
        return _headed(STATUS[TaskStatus.WAITING], f"{ups[0].words}{more}")
    return _headed(mark, mark.word)


def _headed(mark: Mark, text: str) -> Part:
    return Part(f"{mark.glyph} {text}", f"bold ${mark.colour}", 10)


def _held_up(view: RunView, ups: Sequence[HoldUp], headline: str, key: str) -> list[Part]:
    """What holds something up that the headline does not tell of, and the key for backfills in flight."""
    mark = STATUS[TaskStatus.WAITING]
    parts = [
        Part(f"{mark.glyph} {up.words}", f"bold ${mark.colour}", 8, shrinks=True)
        for up in ups[:1]
        if not any(words in headline for words in (up.words, f"{up.task} (held by"))
    ]
    hint = "" if view.read_only else _backfill_hint(view)
    return [*parts, Part(f"{key} {hint}", "bold $accent", 8)] if hint else parts


def _backfill_hint(view: RunView) -> str:
    """What the dialog about backfills is good for just now."""
    state = view.state
    busy = [task for task in state.in_flight if view.by_id[task].run.kind == "backfill"]
    if any(hold(state, task) for task in busy):
        return "lets it go on"
    if busy and state.rollback_wanted:
        return f"can end the attempt at {busy[0]}"
    if busy and state.status is RunStatus.PAUSING and not state.stopping:
        return f"holds {busy[0]}"
    return ""


def _first(state: State) -> Question | None:
    return None if state.finished else next(iter(state.questions.values()), None)


def title_text(view: RunView, engine_gone: bool = False) -> str:
    """The run in half a line, for where no screen of ours is seen."""
    state = view.state
    if not state.started:
        return f"{STATUS[TaskStatus.PENDING].glyph} not started{GAP}{one_line(view.plan.name)}"
    return GAP.join([_headline(view, engine_gone).text, f"{state.settled}/{len(state.tasks)}", state.run])


def question_text(question: Question) -> str:
    """The question in half a line."""
    about = {
        "failure": f"{question.task} failed",
        "doubt": f"did {question.task} take effect?",
        "rollback_step": f"undoing {question.task} failed",
        "rollback_scope": "a rollback that cannot undo everything",
    }[question.about]
    reason = one_line(question.reason)
    return f"{about}: {reason}" if reason and question.about != "doubt" else about


def _lock_waits(view: RunView, key: str) -> list[Part]:
    """Who blocks the task whose wait for a lock is the gravest."""
    found = waiting(view.state)
    live_one = live(view.state, found[0], view.now_t) if found else None
    if live_one is None:
        return []
    mark = STATUS[TaskStatus.WAITING]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    words = f"{mark.glyph} {found[0]}{more} {live_one.words}"
    parts = [Part(words, f"bold ${mark.colour}", 8, shrinks=True)]
    return parts if view.read_only else [*parts, Part(f"{key} shows it", "bold $accent", 6)]


def _activity(state: State) -> list[Part]:
    busy = sum(task is not None for task in state.lanes)
    parts = [Part(f"{busy}/{plural(len(state.lanes), 'lane')} busy", "", 4)]
    retrying = sum(task.retries > 0 and task.due_t is not None for task in state.tasks.values())
    waiting = state.counts[TaskStatus.WAITING] - retrying
    if retrying:
        parts.append(Part(f"{plural(retrying, 'retry', 'retries')} due", "$status-waiting", 5))
    if waiting > 0:
        parts.append(Part(f"{waiting} waiting", "$status-waiting", 3))
    return parts


def _given_up(view: RunView) -> list[Part]:
    """Of a run that goes on: that a rollback which was decided before it was stopped is not done any more."""
    if decided := given_up(view.state, view.events):
        return [Part(f"rollback to {decided.to} was given up by the stop", "$warning", 5)]
    return []


def _mishaps(state: State) -> list[Part]:
    """What did not go as planned, by status; tasks that a question asks about are in its own part."""
    shown = (
        TaskStatus.FAILED,
        TaskStatus.IN_DOUBT,
        TaskStatus.SKIPPED,
        TaskStatus.WAIVED,
        TaskStatus.BLOCKED,
        TaskStatus.ROLLED_BACK,
        TaskStatus.CANCELLED,
    )
    return [
        Part(f"{mark.glyph} {state.counts[status]} {mark.word}", f"${mark.colour}")
        for status in shown
        if state.counts[status] and (mark := STATUS[status])
    ]


def _finish(view: RunView, now: datetime, speed: float, finish_t: float | None) -> list[Part]:
    """When the run is done."""
    state = view.state
    if finish_t is None:
        return []
    left = finish_t - view.now_t
    if left < 1.0:
        late = left <= 0.0 and state.in_flight
        return [Part("longer than expected", "$status-waiting", 6)] if late else []
    about = format_duration(rounded(left))
    if state.status is not RunStatus.RUNNING and not state.stopping:
        return [Part(f"about {about} of work left", "", 6)]
    parts = [Part(f"{'stops' if state.stopping else 'done'} in about {about}", "", 6)]
    if not state.simulated and left >= 60.0:
        parts.append(Part(f"at {_clock(now + timedelta(seconds=left), now)} UTC", "", 5))
    elif state.simulated and speed != 1.0 and left / speed >= 1.0:
        parts.append(Part(f"{format_duration(rounded(left / speed))} at this speed", "$quiet", 4))
    return parts


def _clock(moment: datetime, now: datetime) -> str:
    return moment.strftime("%H:%M" if moment.date() == now.date() else "%a %d %b, %H:%M")


def moment_parts(view: RunView) -> list[Part]:
    """The parts of the line that says which moment of the run is shown."""
    state, newest = view.state, view.newest
    past = state.seq < newest.seq
    parts = [
        Part(
            f"◂ as of event {state.seq} of {newest.seq}" if past else f"at the newest event, {newest.seq}",
            "bold $accent" if past else "bold",
            9,
        )
    ]
    if state.at:
        parts.append(Part(f"{state.at:%Y-%m-%d %H:%M:%S} UTC", "", 7))
        parts.append(Part(f"{format_duration(state.t)} into the run", "", 5))
    if state.seq:
        event = view.events[state.seq - 1]
        parts.append(Part(" ".join([event.kind.replace("_", " "), getattr(event, "task", "")]), "$quiet", 6))
    return parts
