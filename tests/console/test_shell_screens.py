"""Room for panels, looking back, help, and what the review and the summary say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from console.actions import ACTIONS
from console.app import ConsoleApp
from console.messages import MomentSelected, TaskSelected
from console.run_view import RunView
from console.screens.finished import FinishedScreen
from console.screens.help import HelpScreen
from console.screens.run import RunScreen
from console.theming import ThemedApp
from tests.console import fixtures
from tests.console.shell_stage import START, LiveRun, plan

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Looker:
    """Somebody who looks at a run; nothing happens meanwhile."""

    def __init__(self, app: ConsoleApp, pilot: Any) -> None:
        self.app = app
        self.pilot = pilot
        self.screen = app.run_screen
        self.view = app.view

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    @property
    def shown(self) -> list[str]:
        return [name for name, panel in self.screen.panels.items() if panel.display]

    @property
    def focused(self) -> str:
        return next(name for name, panel in self.screen.panels.items() if panel.has_focus_within)


@asynccontextmanager
async def looking(view: RunView, size: tuple[int, int], mode: str = "inspect") -> AsyncIterator[Looker]:
    app = ConsoleApp(view, mode=mode, now=lambda: START)  # type: ignore[arg-type]
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield Looker(app, pilot)


# -- room for panels -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "panels"),
    [
        ((80, 24), ["graph", "lanes"]),
        ((80, 40), ["graph", "lanes", "checkpoints"]),
        ((120, 24), ["graph", "lanes", "task"]),
        ((120, 36), ["graph", "lanes", "checkpoints", "events", "task"]),
        ((200, 60), ["graph", "lanes", "checkpoints", "events", "task"]),
    ],
)
async def test_what_is_less_important_gives_way_first(size: tuple[int, int], panels: list[str]) -> None:
    async with looking(fixtures.finished(), size) as desk:
        assert desk.shown == panels
        for name in panels:
            region = desk.screen.panels[name].region
            assert region.height >= 4, name
            assert region.width >= 30, name


async def test_a_panel_without_room_is_shown_whole_on_its_key() -> None:
    async with looking(fixtures.finished(), (80, 24)) as desk:
        await desk.press("4")
        assert (desk.shown, desk.focused) == (["events"], "events")
        await desk.press("3")
        assert (desk.shown, desk.focused) == (["checkpoints"], "checkpoints")
        await desk.press("escape")
        assert desk.shown == ["graph", "lanes"]


async def test_zoom_gives_the_focused_panel_the_screen_and_back() -> None:
    async with looking(fixtures.finished(), (120, 36)) as desk:
        await desk.press("2", "z")
        assert desk.shown == ["lanes"]
        assert desk.screen.panels["lanes"].region.height > 25
        await desk.press("z")
        assert len(desk.shown) == 5


async def test_tab_goes_round_the_panels() -> None:
    async with looking(fixtures.finished(), (120, 36)) as desk:
        seen = []
        for _ in range(5):
            seen.append(desk.focused)
            await desk.press("tab")
        assert seen == ["graph", "lanes", "checkpoints", "events", "task"]


async def test_a_terminal_that_is_too_small_gets_a_plain_line() -> None:
    async with looking(fixtures.running(), (50, 12)) as desk:
        assert not desk.screen.query_one("#whole").display
        assert "6/16 settled" in desk.screen.status_line.render().plain
        assert "▶ backfill-orders  12m48s" in str(desk.screen.query_one("#too-small").render())
        await desk.pilot.resize_terminal(80, 24)
        await desk.pilot.pause()
        assert desk.screen.query_one("#whole").display
        assert not desk.screen.query_one("#too-small").display


async def test_foreign_text_is_never_markup() -> None:
    hostile = "[@click=app.quit]move[/] [b]house"
    run = LiveRun(plan(name=hostile))
    run.begin()
    async with looking(run.taken_in().view, (200, 60), mode="live") as desk:
        assert hostile in desk.screen.status_line.render().plain
        await desk.pilot.resize_terminal(50, 12)
        await desk.pilot.pause()
        assert hostile in str(desk.screen.query_one("#too-small").render())


async def test_the_selection_follows_the_run_until_a_task_is_chosen() -> None:
    run = LiveRun()
    run.begin()
    async with looking(run.taken_in().view, (120, 36), mode="live") as desk:
        graph = desk.screen.graph
        assert graph.selected == "b"
        run.succeed("b")
        run.view.fold(run.machine_events[len(run.view.events) :])
        desk.app.repaint_views()
        assert (graph.selected, graph.follow) == ("a", True)
        graph.post_message(TaskSelected("e"))
        await desk.pilot.pause()
        run.succeed("a")
        run.view.fold(run.machine_events[len(run.view.events) :])
        desk.app.repaint_views()
        assert graph.selected == "e"
        await desk.press("escape")
        assert graph.selected in ("c", "d")


async def test_a_selection_is_one_for_all_panels() -> None:
    async with looking(fixtures.finished(), (120, 36)) as desk:
        desk.screen.panels["events"].post_message(TaskSelected("check-orders"))
        await desk.pilot.pause()
        selected = {getattr(panel, "selected", "check-orders") for panel in desk.screen.panels.values()}
        assert selected == {"check-orders"}


# -- looking back ----------------------------------------------------------------------------------


async def test_stepping_through_events_and_checkpoints() -> None:
    async with looking(fixtures.finished(), (80, 24)) as desk:
        newest = desk.view.newest.seq
        await desk.press("left_square_bracket", "left_square_bracket", "right_square_bracket")
        assert desk.view.state.seq == newest - 1
        moment = desk.screen.query_one("MomentLine").render().plain
        assert moment.startswith(f"◂ as of event {newest - 1} of {newest} · 2026-03-14 02:34:12 UTC")
        await desk.press("left_curly_bracket")
        saved = [checkpoint.seq for checkpoint in desk.view.newest.checkpoints.values()]
        assert desk.view.state.seq == saved[-2]
        await desk.press("left_curly_bracket", "right_curly_bracket", "right_curly_bracket")
        assert desk.view.state.seq == saved[-1]
        await desk.press("home", "left_square_bracket")
        assert desk.view.state.seq == 1
        await desk.press("end", "right_square_bracket")
        assert desk.view.state is desk.view.newest


async def test_panels_can_choose_the_moment() -> None:
    async with looking(fixtures.finished(), (80, 24)) as desk:
        desk.screen.panels["graph"].post_message(MomentSelected(12))
        await desk.pilot.pause()
        assert desk.view.state.seq == 12


async def test_a_record_cannot_be_changed() -> None:
    async with looking(fixtures.finished(), (80, 24)) as desk:
        offered = {action.id for action in desk.app.available_actions(desk.app.screen)}
        assert not offered & {action.id for action in ACTIONS if action.changes_run}
        assert {"step_back", "newest", "summary"} <= offered
        await desk.press("p", "c", "a", "R", "r")
        assert isinstance(desk.app.screen, RunScreen)


async def test_a_live_run_is_not_stepped_through() -> None:
    async with looking(fixtures.running(), (80, 24), mode="live") as desk:
        before = desk.view.state.seq
        await desk.press("left_square_bracket", "left_curly_bracket", "home")
        assert desk.view.state.seq == before
        assert "step_back" not in {action.id for action in desk.app.available_actions(desk.app.screen)}


# -- help and summary ------------------------------------------------------------------------------


async def test_help_lists_what_can_be_done_here_and_every_mark() -> None:
    async with looking(fixtures.finished(), (120, 40)) as desk:
        await desk.press("question_mark")
        assert isinstance(desk.app.screen, HelpScreen)
        keys = str(desk.app.screen.query_one("#help-keys").render())
        assert "{  Back to the checkpoint before" in keys
        assert "Save a checkpoint now" not in keys
        marks = str(desk.app.screen.query_one("#help-marks").render())
        assert "↺  rolling back" in marks
        await desk.press("escape")
        assert isinstance(desk.app.screen, RunScreen)


async def test_the_summary_of_a_rolled_back_run() -> None:
    app = ThemedApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(FinishedScreen(fixtures.rolled_back(), "/runs/[b]x"))
        await pilot.pause()
        text = "\n".join(str(part.render()) for part in app.screen.query("Static"))
        assert "The run was rolled back to checkpoint" in text
        assert "2: switch-reads, switch-writes" in text
        assert "1: drop-totals" in text
        assert "wesley-console resume '/runs/[b]x'" in text
        assert "/runs/[b]x" in text, "foreign text is not markup"
