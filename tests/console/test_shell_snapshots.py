"""Pictures of the shell's own screens: review, run, stopping, the end, help."""

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from console.app import ConsoleApp
from console.review import ReviewFacts
from console.settings.file import Settings
from console.settings.memory import Memory
from console.settings.preferences import Preferences
from console.theming import OUR_THEMES
from engine.machine import reports as rep
from tests.console import fixtures
from tests.console.shell_stage import START, Desk, LiveRun

Compare = Callable[..., bool]
FACTS = ReviewFacts(
    run="20260314-0200-shop", folder="/var/lib/wesley/runs", plan_file="shop.yaml", forecast=2050.0
)


@pytest.fixture(autouse=True)
def _in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to come is worked out again and again, without a rest."""
    monkeypatch.setattr("console.app.TICK_S", 0.1)
    monkeypatch.setattr("console.ahead.AGAIN_TICKS", 0)
    monkeypatch.setattr("console.ahead.REST_SHARE", 1)


def _running(**options: Any) -> tuple[ConsoleApp, LiveRun]:
    run = LiveRun()
    run.begin()
    run.succeed("a", after=540)
    run.report(rep.TakeCheckpoint(actor="ana"))
    run.t = 720
    run.taken_in()  # what is news to the console is told in passing, and that would come and go in pictures
    app = ConsoleApp(run.view, events=run.feed, actor="ana", now=lambda: START, **options)
    return app, run


def _at(desk_does: Callable[[Desk], Any], run: LiveRun) -> Callable[[Pilot[None]], Any]:
    async def before(pilot: Pilot[None]) -> None:
        desk = Desk(pilot, run)
        await desk.settle()
        await _outlook(desk)
        await desk_does(desk)
        await desk.settle()

    return before


async def _outlook(desk: Desk) -> None:
    """Wait until what is to come has been worked out from where the run stands now."""
    desk.app.outlook = None
    while desk.app.outlook is None:
        await desk.pilot.pause()


async def _nothing(desk: Desk) -> None:
    """What one sees without touching anything."""


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_review(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = ConsoleApp(fixtures.empty(), review=FACTS, now=lambda: START)
    assert snap_compare(app, terminal_size=size)


@pytest.mark.parametrize(
    ("size", "theme"), [(size, theme) for theme in OUR_THEMES for size in ((80, 24), (120, 36), (200, 60))]
)
def test_run(snap_compare: Compare, size: tuple[int, int], theme: str) -> None:
    app, run = _running(preferences=Preferences(Settings(theme=theme)))
    assert snap_compare(app, terminal_size=size, run_before=_at(_nothing, run))


@pytest.mark.parametrize("size", [(60, 18), (100, 30)])
def test_run_of_other_sizes(snap_compare: Compare, size: tuple[int, int]) -> None:
    app, run = _running()
    assert snap_compare(app, terminal_size=size, run_before=_at(_nothing, run))


def test_first_run(snap_compare: Compare) -> None:
    app, run = _running(preferences=Preferences(memory=Memory()))
    assert snap_compare(app, terminal_size=(80, 24), run_before=_at(_nothing, run))


def test_run_without_colours(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app, run = _running()
    assert snap_compare(app, terminal_size=(80, 24), run_before=_at(_nothing, run))


def test_jump_mode(snap_compare: Compare) -> None:
    app, run = _running()

    async def jump(desk: Desk) -> None:
        await desk.press("J")

    assert snap_compare(app, terminal_size=(120, 36), run_before=_at(jump, run))


def test_question_on_a_tiny_terminal(snap_compare: Compare) -> None:
    app, run = _running()

    async def put_aside(desk: Desk) -> None:
        run.fail("b", "exit 1; it said: the list changed while it was being read", after=0)
        await desk.settle()
        await desk.press("escape")

    assert snap_compare(app, terminal_size=(50, 10), run_before=_at(put_aside, run))


def test_stop_dialog(snap_compare: Compare) -> None:
    app, run = _running()

    async def arm(desk: Desk) -> None:
        await desk.press("a", "e")

    assert snap_compare(app, terminal_size=(100, 30), run_before=_at(arm, run))


def test_question_put_aside(snap_compare: Compare) -> None:
    app, run = _running()

    async def put_aside(desk: Desk) -> None:
        run.fail("b", "exit 1; it said: the list changed while it was being read", after=0)
        await desk.settle()
        await desk.press("escape")
        await _outlook(desk)

    assert snap_compare(app, terminal_size=(80, 24), run_before=_at(put_aside, run))


def test_end_of_a_rolled_back_run(snap_compare: Compare) -> None:
    app = ConsoleApp(
        fixtures.rolled_back(), mode="inspect", folder="/var/lib/wesley/runs/x", now=lambda: START
    )
    assert snap_compare(app, terminal_size=(80, 24), press=["s"])


def test_looking_back(snap_compare: Compare) -> None:
    app = ConsoleApp(fixtures.finished(), mode="inspect", now=lambda: START)
    assert snap_compare(app, terminal_size=(120, 36), press=["left_curly_bracket"] * 4)


def test_help(snap_compare: Compare) -> None:
    app = ConsoleApp(fixtures.finished(), mode="inspect", now=lambda: START)
    assert snap_compare(app, terminal_size=(120, 44), press=["question_mark"])
