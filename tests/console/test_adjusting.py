"""The dialog about how a backfill goes: quick to hold, and nothing is set that was not asked for."""

import asyncio
from collections.abc import Awaitable, Callable

from textual.pilot import Pilot

from console.app import ConsoleApp
from console.screens.adjusting import AdjustDialog
from engine.machine import events as ev
from engine.machine import reports as rep
from tests.console import fixtures
from tests.console.fixtures import START
from tests.console.recovery_stage import StageApp
from tests.console.wait_stage import FILLS, Scene, said, with_backfill

Act = Callable[[Pilot[None], Scene], Awaitable[None]]


def at(act: Act) -> list[object]:
    """What was reported by an operator who does `act` before the dialog."""
    scene = Scene(with_backfill(fixtures.lock_wait()))

    async def play() -> None:
        async with StageApp().run_test(size=(100, 30)) as pilot:
            await pilot.app.push_screen(AdjustDialog(scene.view, FILLS, actor="ana"))
            await pilot.pause()
            await act(pilot, scene)

    asyncio.run(play())
    return [*scene.reports]


def adjust(batch: int | None = None, pause_s: float | None = None, held: bool = False) -> rep.Adjust:
    return rep.Adjust(task=FILLS, batch=batch, pause_s=pause_s, held=held, actor="ana")


def rows(pilot: Pilot[None]) -> list[str]:
    return [" ".join(line.split()) for line in said(pilot, "#dials").splitlines()]


def test_it_tells_how_far_it_is_and_what_it_goes_by() -> None:
    async def act(pilot: Pilot[None], scene: Scene) -> None:
        progress = said(pilot, "#progress")
        assert "68%" in progress
        assert "412,000 of about 600,000 rows · 2,400/s · held: replication lag 12s" in progress
        assert rows(pilot) == [
            "▸ rows a batch ◂ 1,000 ▸ planned: 1,000",
            "pause between them 50ms planned: 50ms",
            "held back no",
        ]

    assert at(act) == []


def test_one_key_holds_it_back_and_lets_it_go_on() -> None:
    async def act(pilot: Pilot[None], scene: Scene) -> None:
        await pilot.press("h")
        scene.tell(ev.TaskAdjusted, task=FILLS, held=True, actor="ana")
        pilot.app.screen.refresh_view()  # type: ignore[attr-defined]
        assert rows(pilot)[2] == "held back held nothing is written until it goes on"
        await pilot.press("h")

    assert at(act) == [adjust(held=True), adjust(held=False)]


def test_what_is_turned_is_set_by_enter_and_not_before() -> None:
    async def act(pilot: Pilot[None], scene: Scene) -> None:
        await pilot.press("left", "left", "down", "right")
        assert rows(pilot)[:2] == [
            "rows a batch 200 planned: 1,000, not set yet",
            "▸ pause between them ◂ 100ms ▸ planned: 50ms, not set yet",
        ]
        assert scene.reports == []
        await pilot.press("enter")
        scene.tell(ev.TaskAdjusted, task=FILLS, batch=200, pause_s=0.1, actor="ana")
        pilot.app.screen.refresh_view()  # type: ignore[attr-defined]
        assert "not set yet" not in said(pilot, "#dials")
        await pilot.press("enter")

    assert at(act) == [adjust(batch=200, pause_s=0.1)]


def test_holding_it_sets_nothing_else_that_was_turned_and_forgets_nothing() -> None:
    async def act(pilot: Pilot[None], scene: Scene) -> None:
        await pilot.press("left", "h")
        scene.tell(ev.TaskAdjusted, task=FILLS, held=True, actor="ana")
        pilot.app.screen.refresh_view()  # type: ignore[attr-defined]
        await pilot.press("enter")

    assert at(act) == [adjust(held=True), adjust(batch=500, held=True)]


def test_back_to_the_plan() -> None:
    async def act(pilot: Pilot[None], scene: Scene) -> None:
        scene.tell(ev.TaskAdjusted, task=FILLS, batch=200, pause_s=0.1, held=True, actor="bo")
        pilot.app.screen.refresh_view()  # type: ignore[attr-defined]
        await pilot.press("p", "enter")

    assert at(act) == [adjust(held=True)]


def test_no_batch_is_empty_and_no_pause_endless() -> None:
    async def act(pilot: Pilot[None], scene: Scene) -> None:
        await pilot.press(*["left"] * 20, "down", *["right"] * 20, "enter")

    assert at(act) == [adjust(batch=1, pause_s=60.0)]


def test_escape_sets_nothing() -> None:
    async def act(pilot: Pilot[None], scene: Scene) -> None:
        await pilot.press("right", "escape")
        assert not isinstance(pilot.app.screen, AdjustDialog)

    assert at(act) == []


def test_a_key_opens_it_where_there_is_a_backfill() -> None:
    async def play() -> None:
        for view, there in ((fixtures.lock_wait(), False), (with_backfill(fixtures.lock_wait()), True)):
            app = ConsoleApp(view, actor="ana", now=lambda: START)
            async with app.run_test(size=(120, 36)) as pilot:
                await pilot.press("A")
                assert isinstance(app.screen, AdjustDialog) == there

    asyncio.run(play())


def test_ending_it_takes_a_second_key_and_escape_takes_that_back() -> None:
    async def act(pilot: Pilot[None], scene: Scene) -> None:
        await pilot.press("y")
        await pilot.press("c")
        assert "goes on behind the last key" in said(pilot, "#ending")
        await pilot.press("c", "escape", "y", "enter")
        assert isinstance(pilot.app.screen, AdjustDialog)
        assert scene.reports == []
        await pilot.press("c", "y")

    (report,) = at(act)
    assert isinstance(report, rep.Intervene)
    assert (report.task, report.action, report.actor) == (FILLS, "cancel_own", "ana")
