"""Waits for locks and progress as pictures: dialogs and the main screen. The clock stands still."""

from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot
from textual.screen import ModalScreen

from console.app import ConsoleApp
from console.screens.adjusting import AdjustDialog
from console.screens.lock_wait import LockWaitDialog
from tests.console import fixtures
from tests.console.fixtures import HOLDER, START
from tests.console.recovery_stage import StageApp
from tests.console.wait_stage import FILLS, WAITS, with_backfill

Snap = Callable[..., bool]


@pytest.fixture(autouse=True)
def _in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


def after(screen: ModalScreen[None], *keys: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    async def run(pilot: Pilot[None]) -> None:
        await pilot.app.push_screen(screen)
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()

    return run


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_who_blocks_a_task(snap_compare: Snap, size: tuple[int, int]) -> None:
    dialog = LockWaitDialog(fixtures.lock_wait(), WAITS, actor="ana")
    assert snap_compare(StageApp(), terminal_size=size, run_before=after(dialog))


@pytest.mark.parametrize(("size", "theme"), [((80, 24), "wesley-light"), ((60, 18), "wesley-high-contrast")])
def test_before_their_connection_is_ended(snap_compare: Snap, size: tuple[int, int], theme: str) -> None:
    dialog = LockWaitDialog(fixtures.lock_wait(), WAITS, actor="ana")
    before = after(dialog, "t", *"lunch", "enter")
    assert snap_compare(StageApp(theme), terminal_size=size, run_before=before)


@pytest.mark.parametrize("theme", ["wesley-dark", "wesley-light"])
def test_how_a_backfill_goes(snap_compare: Snap, theme: str) -> None:
    dialog = AdjustDialog(with_backfill(fixtures.lock_wait()), FILLS, actor="ana")
    assert snap_compare(StageApp(theme), terminal_size=(80, 24), run_before=after(dialog, "left"))


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
def test_a_run_in_which_a_task_waits_for_a_lock(
    snap_compare: Snap, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.app.TICK_S", 3600)  # what is to come is worked out once
    app = ConsoleApp(fixtures.lock_wait(HOLDER), actor="ana", now=lambda: START)

    async def settle(pilot: Pilot[None]) -> None:
        while app.outlook is None:
            await pilot.pause(0.01)
        app.run_screen.select_task(WAITS)
        app.repaint_views()
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=settle)
