"""One line on how far the parts of the plan are: its waves and their barriers, or its phases."""

from dataclasses import dataclass

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from console.look import STATUS, TRIGGER, Mark, one_line
from console.panels.canvas import Canvas, clip, joined
from console.sentences import some_of
from engine.machine.transitions import SETTLED, TaskStatus
from engine.plan.waves import phase_order, wave_plan

_BAR = 8
"""Cells of a part's bar, where there is room for one."""
_TROUBLE = (TaskStatus.FAILED, TaskStatus.IN_DOUBT, TaskStatus.ROLLING_BACK, TaskStatus.ROLLED_BACK)
_FITS = (
    *((_BAR, 40, True), (_BAR // 2, 40, True), (0, 40, True), (0, 12, True)),
    *((0, 12, False), (0, 8, False), (0, 5, False), (0, 0, False)),
)
"""What is given up, step by step, until the line fits: (cells of bars, cells of titles, barrier words)."""


@dataclass(frozen=True)
class Part:
    """A wave, a phase or a generation: how many of its tasks are settled, and how it stands."""

    title: str
    tasks: tuple[str, ...]
    settled: int
    mark: Mark
    barrier: bool = False
    """Whether a barrier stands behind it that has not been passed."""

    @property
    def begun(self) -> bool:
        return self.mark is not STATUS[TaskStatus.PENDING]


class WavesStrip(Canvas, can_focus=False):
    DEFAULT_CSS = """
    WavesStrip { height: 1; overflow: hidden; }
    """

    def draw_line(self, y: int) -> Strip:
        parts = self._parts()
        if y or not parts:
            return self.blank()
        barrier = self._barrier_words()
        text = Text()
        for bars, cut, words in _FITS:
            text = self._line(parts, bars, cut) + (barrier if words else Text())
            if cell_len(text.plain) <= self.room.width:
                break
        return self.text_strip(text)

    # -- what there is to say ----------------------------------------------------------------------

    def _parts(self) -> list[Part]:
        plan, graph = self.view.plan, self.view.graph
        if plan.model == "wave":
            barriers = self.view.state.barriers
            return [
                self._part(wave.title, wave.tasks, wave.id not in barriers) for wave in wave_plan(plan, graph)
            ]
        phases = phase_order(plan)
        if phases:
            members: dict[str | None, list[str]] = {}
            for task in plan.tasks:
                members.setdefault(task.phase, []).append(task.id)
            titled = [(phase, members[phase]) for phase in phases if phase in members]
            return [
                self._part(title, tuple(tasks))
                for title, tasks in [*titled, *([("no phase", members[None])] if None in members else [])]
            ]
        return [
            self._part(f"step {number}", tasks) for number, tasks in enumerate(graph.generations, start=1)
        ]

    def _part(self, title: str, tasks: tuple[str, ...], barrier: bool = False) -> Part:
        statuses = [self.view.state.tasks[task].status for task in tasks]
        settled = sum(status in SETTLED for status in statuses)
        trouble = next((status for status in _TROUBLE if status in statuses), None)
        if trouble:
            status = trouble
        elif settled == len(tasks):
            status = TaskStatus.SUCCEEDED
        else:
            idle = settled == 0 and all(status is TaskStatus.PENDING for status in statuses)
            status = TaskStatus.PENDING if idle else TaskStatus.RUNNING
        return Part(one_line(title), tasks, settled, STATUS[status], barrier)

    def _barrier_words(self) -> Text:
        """Which barrier is being waited at, and by whom it is held up."""
        state = self.view.state
        if self.view.plan.model != "wave" or state.finished:
            return Text()
        opened = [
            wave for wave in wave_plan(self.view.plan, self.view.graph) if wave.id in state.waves_started
        ]
        if not opened or opened[-1].id in state.barriers:
            return Text()
        holding = [task for task in opened[-1].tasks if state.tasks[task].status not in SETTLED]
        return joined([(f"   waits for {some_of(holding)}", self.ink("barrier"))])

    # -- drawing -----------------------------------------------------------------------------------

    def _line(self, parts: list[Part], bars: int, cut: int) -> Text:
        """All parts, with bars of so many cells, and titles of at most `cut` cells."""
        pieces: list[tuple[str, Style] | str] = []
        for number, part in enumerate(parts):
            if number:
                pieces.append(self._between(parts[number - 1]))
            done = part.mark is STATUS[TaskStatus.SUCCEEDED]
            weak = done or not part.begun
            title = clip(part.title, cut)
            pieces.append((part.mark.glyph, self.ink(part.mark.colour, bold=True)))
            pieces.append((f" {title}" if title else "", self.ink("quiet" if weak else "foreground")))
            pieces.append((f" {part.settled}/{len(part.tasks)}", self.ink("quiet")))
            if bars and not weak:
                full = part.settled * bars // len(part.tasks)
                pieces += [" ", ("━" * full, self.ink(part.mark.colour))]
                pieces.append(("─" * (bars - full), self.ink("frame")))
        return joined(pieces)

    def _between(self, before: Part) -> tuple[str, Style]:
        if self.view.plan.model != "wave":
            return "   ", self.ink("quiet")
        glyph = TRIGGER["barrier"].glyph
        return f" {glyph} ", self.ink("barrier") if before.barrier else self.faded("barrier")
