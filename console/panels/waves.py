"""One line on how far the parts of the plan are: its waves and their barriers, or its phases."""

from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from console.look import STATUS, TRIGGER, Mark, one_line, plural, rounded
from console.panels.canvas import Canvas, clip, joined
from console.panels.outline import counts_of
from console.sentences import some_of
from engine.machine.transitions import SETTLED, RunStatus, TaskStatus
from engine.plan.durations import format_duration
from engine.plan.waves import phase_order, wave_plan

_TROUBLE = (
    TaskStatus.FAILED,
    TaskStatus.IN_DOUBT,
    TaskStatus.ROLLING_BACK,
    TaskStatus.ROLLED_BACK,
    TaskStatus.BLOCKED,
)
"""What one task of a part is makes the whole part be that: the gravest first."""
_LEFT_OUT = (TaskStatus.SKIPPED, TaskStatus.WAIVED)
_MOST = 12
"""More parts than this, and only _SHOWN of them are shown one by one."""
_SHOWN = 5
_NO_PHASE = "no phase"

Members = list[tuple[str, str, tuple[str, ...]]]
"""(id, title, tasks) of each part."""


class Fit(NamedTuple):
    """How much is said: cells of bars, cells of titles of parts under way, of other titles, and about the
    barrier all, something or nothing (2, 1, 0)."""

    bars: int
    title: int
    other: int
    words: int


_FITS = (
    *(Fit(8, 40, 40, 2), Fit(4, 40, 40, 2), Fit(0, 40, 40, 2), Fit(4, 16, 12, 2), Fit(0, 12, 12, 2)),
    *(Fit(0, 12, 5, 2), Fit(0, 40, 12, 1), Fit(0, 12, 5, 1), Fit(0, 12, 0, 1), Fit(0, 12, 0, 0)),
    *(Fit(0, 5, 0, 0), Fit(0, 0, 0, 0)),
)
"""What is given up, step by step, until the line fits. What the barrier waits for goes after most titles."""


@dataclass(frozen=True)
class Part:
    """A wave, a phase or a generation: how many of its tasks have succeeded, and how it stands."""

    title: str
    tasks: tuple[str, ...]
    succeeded: int
    settled: bool
    """Whether nothing more will happen in it."""
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
            text = self._line(parts, fit) + barrier[fit.words]
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
        is_open = (number for number, part in enumerate(parts) if not part.settled)
        start = min(max(0, next(is_open, len(parts)) - 1), len(parts) - _SHOWN)
        before, shown, after = parts[:start], parts[start : start + _SHOWN], parts[start + _SHOWN :]
        return [*self._together(before, "before"), *shown, *self._together(after, "after")]

    def _together(self, parts: list[Part], where: str) -> list[Part]:
        tasks = tuple(task for part in parts for task in part.tasks)
        return [self._part(f"{len(parts)} {where}", tasks, barrier=parts[-1].barrier)] if parts else []

    def _part(self, title: str, tasks: tuple[str, ...], *, barrier: bool) -> Part:
        counts = counts_of(self.view, tasks)
        settled = sum(counts[status] for status in SETTLED) == len(tasks)
        if trouble := next((status for status in _TROUBLE if counts[status]), None):
            status = trouble
        elif settled:
            status = next((status for status in _LEFT_OUT if counts[status]), TaskStatus.SUCCEEDED)
        else:
            status = TaskStatus.PENDING if counts[TaskStatus.PENDING] == len(tasks) else TaskStatus.RUNNING
        return Part(one_line(title), tasks, counts[TaskStatus.SUCCEEDED], settled, STATUS[status], barrier)

    def _barrier_words(self) -> tuple[Text, Text, Text]:
        """The barrier that is next: who waits there already and for what, or else what is left and how long;
        nothing of it, in short, and in full."""
        state, nothing = self.view.state, Text()
        wave = next(reversed(state.waves_started), None)
        if self.view.plan.model != "wave" or wave is None or wave in state.barriers or self._over:
            return nothing, nothing, nothing
        tasks = next(tasks for part, _, tasks in self._members if part == wave)
        holding = [task for task in tasks if state.tasks[task].status not in SETTLED]
        idle = [str(lane + 1) for lane, task in enumerate(state.lanes) if task is None]
        due = next((barrier for barrier in self.view.outlook.barriers if barrier.wave == wave), None)
        left = due.t - self.view.now_t if due else 0.0
        when = f", {format_duration(rounded(left))}" if left >= 1 else ""
        if not holding:
            short = full = "waits for its checkpoint"
        elif idle and state.status is RunStatus.RUNNING and not self._more_to_start(holding):
            short = f"lane {idle[0]} waits" if len(idle) == 1 else f"lanes {' '.join(idle)} wait"
            full = f"{short} for {some_of(holding)}{when}"
        else:
            last = f", {due.last} the last" if due and len(holding) > 1 else ""
            short = f"{len(holding)} to go{when}"
            full = f"{plural(len(holding), 'task')} to go{last}{when}"
        return nothing, self._at_barrier(short), self._at_barrier(full)

    def _at_barrier(self, words: str) -> Text:
        return joined([(f"   {TRIGGER['barrier'].glyph} {words}", self.ink("barrier"))])

    @property
    def _over(self) -> bool:
        """Whether no barrier is to be reached any more."""
        return self.view.state.finished or self.view.state.rollback is not None

    def _more_to_start(self, holding: list[str]) -> bool:
        """Whether an idle lane could yet be given any of the tasks that hold up the barrier."""
        return any(self.view.state.tasks[task].status is TaskStatus.READY for task in holding)

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
            pieces.append((f" {part.succeeded}/{len(part.tasks)}", self.ink("quiet")))
            if fit.bars and not weak:
                full = part.succeeded * fit.bars // len(part.tasks)
                pieces += [" ", ("━" * full, self.ink(part.mark.colour))]
                pieces.append(("─" * (fit.bars - full), self.ink("frame")))
        return joined(pieces)

    def _between(self, before: Part) -> tuple[str, Style]:
        if self.view.plan.model != "wave":
            return "   ", self.ink("quiet")
        glyph = TRIGGER["barrier"].glyph
        return f" {glyph} ", self.ink("barrier") if before.barrier else self.faded("barrier")
