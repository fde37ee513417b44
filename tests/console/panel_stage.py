"""A stage for one panel at a time: what it draws as text, and what it asks the app for."""

import asyncio
from collections.abc import Awaitable, Callable

from textual.app import ComposeResult
from textual.message import Message
from textual.pilot import Pilot

from console.messages import MomentSelected, RollbackRequested, TaskSelected
from console.panels.canvas import Canvas
from console.theming import DARK, ThemedApp

Act = Callable[[Pilot[None]], Awaitable[None]]


class PanelStage(ThemedApp):
    def __init__(self, make: Callable[[], Canvas], theme: str = DARK) -> None:
        super().__init__(theme)
        self.make = make
        self.asked: list[Message] = []
        self.shown: list[str] = []

    def compose(self) -> ComposeResult:
        self.panel = self.make()
        yield self.panel

    def on_mount(self) -> None:
        self.panel.styles.height = "1fr"
        self.panel.focus()

    def on_task_selected(self, message: TaskSelected) -> None:
        self.asked.append(message)

    def on_moment_selected(self, message: MomentSelected) -> None:
        self.asked.append(message)

    def on_rollback_requested(self, message: RollbackRequested) -> None:
        self.asked.append(message)


def lines_of(panel: Canvas) -> list[str]:
    """What the panel shows, line by line, without trailing blanks."""
    return [panel.render_line(y).text.rstrip() for y in range(panel.room.height)]


def play(make: Callable[[], Canvas], size: tuple[int, int], act: Act | None = None) -> PanelStage:
    """The stage after `act`, with what was shown at the end in `stage.shown`."""

    async def perform() -> PanelStage:
        stage = PanelStage(make)
        async with stage.run_test(size=size) as pilot:
            await pilot.pause()
            if act:
                await act(pilot)
                await pilot.pause()
            stage.shown = lines_of(stage.panel)
        return stage

    return asyncio.run(perform())


def keys(*names: str) -> Act:
    async def press(pilot: Pilot[None]) -> None:
        await pilot.press(*names)

    return press
