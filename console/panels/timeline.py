"""The checkpoints: what each holds, what a rollback to it would undo, and when the next one is due."""

from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from console.look import TRIGGER
from console.messages import MomentSelected, RollbackRequested
from console.panels.canvas import BOLD, Canvas, joined
from console.panels.checkpoint_facts import CheckpointFacts, ContentFound
from console.panels.checkpoint_words import (
    Fact,
    consequence_facts,
    content_facts,
    next_words,
    why_words,
)
from console.panels.timing import ago
from console.recovery.foresight import Foreseen
from console.run_view import RunView
from engine.machine.rollback import target_seq
from engine.machine.state import Checkpoint

_LABEL = 15
"""Cells that the labels of what is said about a checkpoint take."""


class CheckpointTimeline(Canvas, panel="checkpoints"):
    HELP = """The checkpoints, newest first, and above them the next one that the engine's forecast expects.

Choose one: below it stands what a rollback to it would do, worked out by the engine, and what it holds. **b**
opens that rollback; it is shown in full and confirmed before anything happens."""
    DEFAULT_CSS = """
    CheckpointTimeline { overflow: hidden auto; scrollbar-gutter: stable; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Newer", show=False, tooltip="Choose a newer checkpoint"),
        Binding("down,j", "move(1)", "Older", show=False, tooltip="Choose an older checkpoint"),
        Binding("enter", "go", "Go to its moment", show=False, tooltip="Looking back: go to its moment"),
        Binding("b", "rollback", "Roll back to it", show=False,
                tooltip="See what a rollback to it would undo, and confirm"),
    ]  # fmt: skip

    chosen: str | None = None
    """The id of the checkpoint that is unfolded."""
    _lines: tuple[tuple[str, Text | None], ...] = ()
    """What comes next, and then the checkpoints, newest first; each line with the checkpoint it is about. The
    headings of checkpoints are made as they are drawn: most are out of sight."""
    _kept: frozenset[str] = frozenset()

    def __init__(
        self, view: RunView, *, name: str | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(view, name=name, id=id, classes=classes)
        self._facts = CheckpointFacts(self, view)

    def prepare(self) -> None:
        if self.chosen not in self.view.state.checkpoints:
            self.chosen = None  # the moment shown is before it
        if self.chosen:
            self._facts.follow()
        lines: list[tuple[str, Text | None]] = [("", self._next())]
        self._kept = frozenset(checkpoint.id for checkpoint in self.view.state.kept_checkpoints())
        for checkpoint in reversed(self.view.state.checkpoints.values()):
            lines.append((checkpoint.id, None))
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
        to = self.chosen or "last"
        if self.view.read_only or self.view.state.finished:
            self._refuse("A run that is over, or only looked at, cannot be rolled back from here.")
        elif target_seq(self.view.state, to) is None:
            gone = "a rollback went behind it" if self.view.state.checkpoints[to].undone else "it is not kept"
            self._refuse(f"There is no going back to {to}: {gone}.")
        else:
            self.post_message(RollbackRequested(to))

    def _refuse(self, why: str) -> None:
        self.notify(why, severity="warning", markup=False)

    @on(ContentFound)
    @on(Foreseen)
    def _found(self, message: ContentFound | Foreseen) -> None:
        message.stop()
        if self._facts.take(message):
            self.refresh_view()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        line = offset.y + self.scroll_offset.y if offset else -1
        if 0 <= line < len(self._lines) and self._lines[line][0]:
            self._choose(self._lines[line][0])

    def _choose(self, checkpoint: str | None) -> None:
        self.chosen = checkpoint
        if checkpoint:
            self._facts.choose(self.view.state.checkpoints[checkpoint])
        self.refresh_view()
        at = [number for number, (of, _) in enumerate(self._lines) if of and of == checkpoint]
        if at:
            top = min(max(self.scroll_offset.y, at[-1] - self.room.height + 1), at[0])
            self.scroll_to(y=top, animate=False)

    # -- what there is to say ----------------------------------------------------------------------

    def _heading(self, checkpoint: Checkpoint) -> Text:
        mark, kept = TRIGGER[checkpoint.trigger], checkpoint.id in self._kept
        quiet = self.ink("quiet")
        return joined(
            [
                (f" {mark.glyph} ", self.ink(mark.colour, bold=True)),
                (f"{mark.word:<9}", self.ink(mark.colour)),
                (f"{ago(self.view.now_t - checkpoint.t):>11}", self.ink("foreground")),
                (f"  {checkpoint.completed:>3} done  ", quiet),
                (checkpoint.id, BOLD if kept else quiet),
                ("" if checkpoint.stable else "  not stable", self.ink("status-failed")),
                ("  undone" if checkpoint.undone else "", self.ink("status-rolled-back")),
                ("" if kept else "  no longer kept", quiet),
                (f"  {why_words(self.view, checkpoint.trigger, checkpoint.note)}", quiet),
            ]
        )

    def _details(self, checkpoint: Checkpoint) -> list[Text]:
        """What a rollback to the checkpoint would undo, and what it holds."""
        facts = [
            *consequence_facts(self.view, checkpoint, self._facts.foretold),
            *content_facts(checkpoint, self._facts.content, len(self.view.state.tasks)),
        ]
        return [line for fact in facts for line in self._wrapped(fact)]

    def _wrapped(self, fact: Fact) -> list[Text]:
        """`fact` in as many lines as it needs."""
        wrapped = Text(fact.text, style=self.ink(fact.colour)).wrap(
            self.app.console, max(10, self.room.width - _LABEL)
        )
        heads = [f"   {fact.label:<{_LABEL - 3}}", *[" " * _LABEL] * (len(wrapped) - 1)]
        return [joined([(head, self.ink("quiet"))]) + line for head, line in zip(heads, wrapped, strict=True)]

    def _next(self) -> Text:
        foreseen = self.view.outlook.checkpoints and not self.view.state.finished
        mark = " ◌ " if foreseen else "   "
        return joined([(mark, self.ink("checkpoint")), (next_words(self.view), self.ink("quiet"))])

    # -- drawing -----------------------------------------------------------------------------------

    def draw_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        if number >= len(self._lines):
            return self.blank()
        about, text = self._lines[number]
        if text is None:
            heading = self._heading(self.view.state.checkpoints[about])
            return self.text_strip(heading, chosen=about == self.chosen)
        return self.text_strip(text)
