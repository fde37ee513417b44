"""The dialogs as pictures, in their main states. Virtual time and a fixed theme: the same every time."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from console.screens.recovery import RecoveryDialog
from console.screens.rollback import RollbackDialog
from tests.console import recovery_stage as stages
from tests.console.recovery_stage import Stage, StageApp

Snap = Callable[..., bool]


def _after(screen: Screen[Any], *keys: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    async def run(pilot: Pilot[None]) -> None:
        await pilot.app.push_screen(screen)
        for key in ("", *keys):
            if key:
                await pilot.press(key)
            while pilot.app.workers:
                await pilot.app.workers.wait_for_complete()
                await pilot.pause()
            await pilot.pause()

    return run


def _ask(stage: Stage) -> RecoveryDialog:
    return RecoveryDialog(stage.view, stage.question, actor="ana")


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
def test_a_failure(snap_compare: Snap, size: tuple[int, int]) -> None:
    assert snap_compare(StageApp(), terminal_size=size, run_before=_after(_ask(stages.failure())))


@pytest.mark.parametrize(
    "make", [stages.doubt, stages.still_running, stages.rollback_step, stages.rollback_scope]
)
def test_other_questions(snap_compare: Snap, make: Callable[[], Stage]) -> None:
    assert snap_compare(StageApp(), terminal_size=(80, 24), run_before=_after(_ask(make())))


def test_where_to_roll_back_to(snap_compare: Snap) -> None:
    before = _after(_ask(stages.rollback_scope()), "b")
    assert snap_compare(StageApp(), terminal_size=(120, 36), run_before=before)


def test_a_rollback_before_it_is_confirmed(snap_compare: Snap) -> None:
    before = _after(_ask(stages.rollback_scope()), "b", "0")
    assert snap_compare(StageApp(), terminal_size=(80, 24), run_before=before)


def test_in_the_light(snap_compare: Snap) -> None:
    before = _after(_ask(stages.two_questions()), "s")
    assert snap_compare(StageApp("wesley-light"), terminal_size=(120, 36), run_before=before)


def test_a_rollback_on_demand(snap_compare: Snap) -> None:
    stage = stages.failure()
    before = _after(RollbackDialog(stage.view, actor="ana"))
    assert snap_compare(StageApp(), terminal_size=(80, 24), run_before=before)
