"""The checkpoints: what each holds, what a rollback to it would undo, and when the next one is due."""

from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from console.look import STATUS, TRIGGER, one_line, plural
from console.messages import MomentSelected, RollbackRequested
from console.panels.canvas import BOLD, Canvas, joined
from console.panels.timing import ago
from engine.machine.rollback import scope
from engine.machine.state import Checkpoint
from engine.machine.transitions import SETTLED, RunStatus, TaskStatus
from engine.plan.durations import format_duration
from engine.plan.waves import phase_order


class CheckpointTimeline(Canvas):
    HELP = """The checkpoints, newest first, and what is expected to bring the next one.

**↑ ↓** choose one: below it stands what it holds and what a rollback to it would undo. **b** asks for that
rollback; it is shown in full and confirmed before anything happens."""
    DEFAULT_CSS = """
    CheckpointTimeline { overflow: hidden auto; scrollbar-gutter: stable; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Newer", show=False),
        Binding("down,j", "move(1)", "Older", show=False),
        Binding("enter", "go", "Go to its moment", show=False),
        Binding("b", "rollback", "Roll back to it", show=False),
    ]

    chosen: str | None = None
    """The id of the checkpoint that is unfolded."""
    _lines: tuple[tuple[str, Text], ...] = ()
    """What comes next, and then the checkpoints, newest first; each line with the checkpoint it is about."""

    def prepare(self) -> None:
        lines = [("", self._next_words())]
        kept = {checkpoint.id for checkpoint in self.view.state.kept_checkpoints()}
        for checkpoint in reversed(self.view.state.checkpoints.values()):
            lines.append((checkpoint.id, self._heading(checkpoint, checkpoint.id in kept)))
            if checkpoint.id == self.chosen:
                lines += [(checkpoint.id, text) for text in self._details(checkpoint)]
        self._lines = tuple(lines)
        self.virtual_size = Size(self.room.width, len(lines))

    # -- choosing ----------------------------------------------------------------------------------

    def action_move(self, steps: int) -> None:
        ids = list(reversed(self.view.state.checkpoints))
        if not ids:
            return
        at = ids.index(self.chosen) + steps if self.chosen in ids else 0
        self._choose(ids[at] if 0 <= at < len(ids) else (None if at < 0 else ids[-1]))

    def action_go(self) -> None:
        checkpoint = self.view.state.checkpoints.get(self.chosen or "")
        if checkpoint is None:
            raise SkipAction
        self.post_message(MomentSelected(checkpoint.seq))

    def action_rollback(self) -> None:
        self.post_message(RollbackRequested(self.chosen or "last"))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        line = offset.y + self.scroll_offset.y if offset else -1
        if 0 <= line < len(self._lines) and self._lines[line][0]:
            self._choose(self._lines[line][0])

    def _choose(self, checkpoint: str | None) -> None:
        self.chosen = checkpoint
        self.refresh_view()
        at = [number for number, (of, _) in enumerate(self._lines) if of and of == checkpoint]
        if at:
            top = min(max(self.scroll_offset.y, at[-1] - self.room.height + 1), at[0])
            self.scroll_to(y=top, animate=False)

    # -- what there is to say ----------------------------------------------------------------------

    def _heading(self, checkpoint: Checkpoint, kept: bool) -> Text:
        mark = TRIGGER[checkpoint.trigger]
        quiet = self.ink("quiet")
        return joined(
            [
                (f" {mark.glyph} ", self.ink(mark.colour, bold=True)),
                (f"{mark.word:<9}", self.ink(mark.colour)),
                (f"{ago(self.view.now_t - checkpoint.t):>11}", self.ink("foreground")),
                (f"  {checkpoint.completed:>3} done  ", quiet),
                (checkpoint.id, BOLD if kept else quiet),
                ("" if checkpoint.stable else "  not stable", self.ink("status-failed")),
                ("" if kept else "  no longer kept", quiet),
                (f"  {one_line(checkpoint.note)}" if checkpoint.note else "", quiet),
            ]
        )

    def _details(self, checkpoint: Checkpoint) -> list[Text]:
        """What the checkpoint holds, and what a rollback to it would undo."""
        state = self.view.state
        undo = scope(state, self.view.graph, checkpoint.position)
        quiet, text = self.ink("quiet"), self.ink("foreground")
        total = len(state.tasks)
        saved = f"{checkpoint.completed} of {total} tasks completed, event {checkpoint.position}"
        lines = [joined([(f"   {'holds':<11}", quiet), (f"{saved}, at {checkpoint.at:%H:%M:%S}", text)])]
        if not undo.tasks and not undo.stay:
            return [*lines, joined([(f"   {'rollback':<11}", quiet), ("nothing has succeeded since", text)])]
        back = STATUS[TaskStatus.ROLLED_BACK]
        for label, tasks, colour in (
            ("would undo", undo.tasks, back.colour),
            ("would stay", undo.stay, "status-failed"),
        ):
            lines += self._listed(label, tasks, self.ink(colour))
        return lines

    def _listed(self, label: str, tasks: tuple[str, ...], style: Style) -> list[Text]:
        """`label` and the tasks, in order, in as many lines as they need."""
        if not tasks:
            return []
        words = Text(", ".join(tasks), style=style)
        if label == "would stay":
            words.append(" (no rollback)", self.ink("quiet"))
        wrapped = words.wrap(self.app.console, max(10, self.room.width - 14))
        heads = [f"   {label:<11}", *[" " * 14] * (len(wrapped) - 1)]
        return [joined([(head, self.ink("quiet"))]) + line for head, line in zip(heads, wrapped, strict=True)]

    def _next_words(self) -> Text:
        words = self._next()
        mark = "◌ " if words and not self.view.state.finished else "  "
        return joined([(f" {mark}", self.ink("checkpoint")), (words, self.ink("quiet"))])

    def _next(self) -> str:
        """What is expected to bring the next checkpoint, the nearest first."""
        state = self.view.state
        if state.finished:
            return plural(len(state.checkpoints), "checkpoint") + " saved"
        if not state.started:
            return "none yet"
        if state.status is not RunStatus.RUNNING:
            return "the next one comes when the run goes on"
        causes = [words for words in (self._by_progress(), self._by_part(), self._by_time()) if words]
        return f"next: {', '.join(causes)}" if causes else "none is due before the end"

    def _by_progress(self) -> str:
        state, step = self.view.state, self.view.plan.checkpoints.progress
        total = len(state.tasks)
        percent = (state.settled * 100 // total // step + 1) * step
        if percent > 100:
            return ""
        left = -(-percent * total // 100) - state.settled
        return f"at {percent} % ({plural(left, 'task')})"

    def _by_part(self) -> str:
        """The wave under way, or the phase with the fewest tasks left."""
        state, plan = self.view.state, self.view.plan
        if plan.model == "wave":
            wave = next(reversed(state.waves_started), None)
            return f"at the barrier of {wave}" if wave and wave not in state.barriers else ""
        left = dict.fromkeys(phase_order(plan) if plan.checkpoints.phases else (), 0)
        for task in plan.tasks:
            if task.phase in left and state.tasks[task.id].status not in SETTLED:
                left[task.phase] += 1
        begun = {task.phase for task in plan.tasks if state.tasks[task.id].attempts}
        nearest = min(
            ((count, phase) for phase, count in left.items() if count and phase in begun), default=None
        )
        return f"at the end of {nearest[1]} ({plural(nearest[0], 'task')})" if nearest else ""

    def _by_time(self) -> str:
        every = self.view.plan.checkpoints.every
        return f"every {format_duration(every)}" if every else ""

    # -- drawing -----------------------------------------------------------------------------------

    def draw_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        if number >= len(self._lines):
            return self.blank()
        about, text = self._lines[number]
        heading = number == 0 or self._lines[number - 1][0] != about
        return self.text_strip(text, chosen=heading and bool(about) and about == self.chosen)
