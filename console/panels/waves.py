"""One line on how far the parts of the plan are: its waves and their barriers, or its phases."""

from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from console.look import STATUS, TRIGGER, Mark, one_line
from console.panels.canvas import Canvas, clip, joined
from console.panels.outline import counts_of
from engine.machine.transitions import SETTLED, TaskStatus
from engine.plan.waves import phase_order, wave_plan

_TROUBLE = (TaskStatus.FAILED, TaskStatus.IN_DOUBT, TaskStatus.ROLLING_BACK, TaskStatus.ROLLED_BACK)
_MOST = 12
"""More parts than this, and only _SHOWN of them are shown one by one."""
_SHOWN = 5
_NO_PHASE = "no phase"

Members = list[tuple[str, str, tuple[str, ...]]]
"""(id, title, tasks) of each part."""


class Fit(NamedTuple):
    """How much is said: cells of bars, cells of titles of parts under way, of other titles, and whether it is
    said what the barrier waits for."""

    bars: int
    title: int
    other: int
    words: bool


_FITS = (
    *(Fit(8, 40, 40, True), Fit(4, 40, 40, True), Fit(0, 40, 40, True), Fit(0, 12, 12, True)),
    *(Fit(0, 40, 40, False), Fit(0, 12, 12, False), Fit(0, 12, 5, False)),
    *(Fit(0, 12, 0, False), Fit(0, 5, 0, False), Fit(0, 0, 0, False)),
)
"""What is given up, step by step, until the line fits."""


@dataclass(frozen=True)
class Part:
    """A wave, a phase or a generation: how many of its tasks are settled, and how it stands."""

    title: str
    tasks: tuple[str, ...]
    settled: int
    mark: Mark
    barrier: bool
    """Whether a barrier stands behind it that has not been passed."""

    @property
    def begun(self) -> bool:
        return self.mark is not STATUS[TaskStatus.PENDING]


class WavesStrip(Canvas, can_focus=False):
    DEFAULT_CSS = """
    WavesStrip { height: 1; padding: 0 1; overflow: hidden; }
    """

    _known: tuple[int, Members] | None = None
    """The parts, beside the event that brought the plan they are of."""

    def draw_line(self, y: int) -> Strip:
        if y:
            return self.blank()
        parts = self._parts()
        barrier = self._barrier_words()
        text = Text()
        for fit in _FITS:
            text = self._line(parts, fit) + (barrier if fit.words else Text())
            if cell_len(text.plain) <= self.room.width:
                break
        return self.text_strip(text)

    # -- what there is to say ----------------------------------------------------------------------

    @property
    def _members(self) -> Members:
        """The parts of the plan that the run goes by in the state shown."""
        plan_seq = self.view.state.plan_seq
        if self._known is None or self._known[0] != plan_seq:
            self._known = plan_seq, self._work_out_members()
        return self._known[1]

    def _work_out_members(self) -> Members:
        plan, graph = self.view.plan, self.view.graph
        if plan.model == "wave":
            return [(wave.id, wave.title, wave.tasks) for wave in wave_plan(plan, graph)]
        phases = phase_order(plan)
        if not phases:
            return [(str(n), f"step {n}", tasks) for n, tasks in enumerate(graph.generations, start=1)]
        members: dict[str, list[str]] = {phase: [] for phase in phases}
        for task in plan.tasks:
            members.setdefault(task.phase or _NO_PHASE, []).append(task.id)
        return [(phase, phase, tuple(tasks)) for phase, tasks in members.items() if tasks]

    def _parts(self) -> list[Part]:
        """The parts in order: one by one, or where they are too many for a line those where things happen
        and the rest as one part on either side."""
        in_waves = self.view.plan.model == "wave"
        parts = [
            self._part(title, tasks, barrier=in_waves and part not in self.view.state.barriers)
            for part, title, tasks in self._members
        ]
        if len(parts) <= _MOST:
            return parts
        is_open = (number for number, part in enumerate(parts) if part.settled < len(part.tasks))
        start = min(max(0, next(is_open, len(parts)) - 1), len(parts) - _SHOWN)
        before, shown, after = parts[:start], parts[start : start + _SHOWN], parts[start + _SHOWN :]
        return [*self._together(before, "before"), *shown, *self._together(after, "after")]

    def _together(self, parts: list[Part], where: str) -> list[Part]:
        tasks = tuple(task for part in parts for task in part.tasks)
        return [self._part(f"{len(parts)} {where}", tasks, barrier=parts[-1].barrier)] if parts else []

    def _part(self, title: str, tasks: tuple[str, ...], *, barrier: bool) -> Part:
        counts = counts_of(self.view, tasks)
        settled = sum(counts[status] for status in SETTLED)
        trouble = next((status for status in _TROUBLE if counts[status]), None)
        if trouble:
            status = trouble
        elif settled == len(tasks):
            status = TaskStatus.SUCCEEDED
        else:
            status = TaskStatus.PENDING if counts[TaskStatus.PENDING] == len(tasks) else TaskStatus.RUNNING
        return Part(one_line(title), tasks, settled, STATUS[status], barrier)

    def _barrier_words(self) -> Text:
        """Which barrier is being waited at, and by whom it is held up."""
        state = self.view.state
        if self.view.plan.model != "wave" or state.finished:
            return Text()
        wave = next(reversed(state.waves_started), None)
        if wave is None or wave in state.barriers:
            return Text()
        tasks = next(tasks for part, _, tasks in self._members if part == wave)
        holding = [task for task in tasks if state.tasks[task].status not in SETTLED]
        more = f" and {len(holding) - 1} more" if len(holding) > 1 else ""
        words = f"waits for {holding[0]}{more}" if holding else "waits for its checkpoint"
        return joined([(f"   {TRIGGER['barrier'].glyph} {words}", self.ink("barrier"))])

    # -- drawing -----------------------------------------------------------------------------------

    def _line(self, parts: list[Part], fit: Fit) -> Text:
        pieces: list[tuple[str, Style] | str] = []
        for number, part in enumerate(parts):
            if number:
                pieces.append(self._between(parts[number - 1]))
            done = part.mark is STATUS[TaskStatus.SUCCEEDED]
            weak = done or not part.begun
            title = clip(part.title, fit.other if weak else fit.title)
            pieces.append((part.mark.glyph, self.ink(part.mark.colour, bold=True)))
            pieces.append((f" {title}" if title else "", self.ink("quiet" if weak else "foreground")))
            pieces.append((f" {part.settled}/{len(part.tasks)}", self.ink("quiet")))
            if fit.bars and not weak:
                full = part.settled * fit.bars // len(part.tasks)
                pieces += [" ", ("━" * full, self.ink(part.mark.colour))]
                pieces.append(("─" * (fit.bars - full), self.ink("frame")))
        return joined(pieces)

    def _between(self, before: Part) -> tuple[str, Style]:
        if self.view.plan.model != "wave":
            return "   ", self.ink("quiet")
        glyph = TRIGGER["barrier"].glyph
        return f" {glyph} ", self.ink("barrier") if before.barrier else self.faded("barrier")
