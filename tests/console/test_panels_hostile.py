"""Panels under everything that a plan, a run or a terminal may throw at them."""

import asyncio
from collections.abc import Callable

import pytest
from rich.cells import cell_len

from console.panels.canvas import Canvas, clip, clip_middle
from console.panels.events import EventsPanel
from console.panels.graph import FrontierGraph
from console.panels.lanes import LanesPanel
from console.panels.task import TaskPanel
from console.panels.timeline import CheckpointTimeline
from console.panels.waves import WavesStrip
from console.run_view import RunView
from console.theming import LIGHT
from engine.machine import events as ev
from engine.plan.models import FailureClass, parse_plan_data
from tests.console import fixtures
from tests.console.panel_stage import PanelStage

PANELS: list[type[Canvas]] = [
    FrontierGraph,
    LanesPanel,
    WavesStrip,
    CheckpointTimeline,
    EventsPanel,
    TaskPanel,
]
SIZES = [(1, 1), (9, 2), (24, 5), (80, 12), (200, 40)]
NASTY = "ok\x1b]52;c;aGk=\x07\x9b31m \u202eevil\u202c [@click=app.quit]x[/] 移行テスト\ttab\r\n"
WIDE = "[@click=app.quit]x[/] [b]移行テスト é" * 3


def hostile() -> RunView:
    """Long ids, wide titles, and control characters wherever the machine passes on foreign text."""
    long = "x" * 99
    tasks = [
        {
            "id": f"a{long}",
            "name": "移行" * 60,
            "run": {"shell": NASTY},
            "phase": "p" * 100,
            "wave": "w" * 100,
        },
        {"id": f"b{long}", "name": WIDE, "run": {"python": "m:f"}, "needs": [f"a{long}"], "wave": "w" * 100},
        {"id": "c", "run": {"sql": NASTY, "on": "db"}, "needs": [f"b{long}"], "wave": "v"},
    ]
    plan = parse_plan_data(
        {
            "wesley": 1,
            "name": WIDE,
            "model": "wave",
            "workers": 2,
            "targets": {"db": {"sqlite": "x.db"}},
            "waves": [{"id": "w" * 100, "name": "第一波" * 30}, {"id": "v", "name": WIDE}],
            "tasks": tasks,
        }
    )
    story = fixtures.Story(plan).begin().add(ev.WaveStarted, wave="w" * 100)
    story.ready(f"a{long}").start(f"a{long}", 0).checkpoint("manual", note=NASTY)
    story.at(1).done(f"a{long}").ready(f"b{long}").add(ev.TaskWaiting, task=f"b{long}", reason=NASTY)
    story.ready(f"b{long}").start(f"b{long}", 1)
    story.at(2).fail(f"b{long}", FailureClass.UNKNOWN, NASTY, rule=NASTY, tail=NASTY)
    story.add(ev.QuestionOpened, about="failure", task=f"b{long}", reason=NASTY)
    return story.view(now=3.0, lines={(f"b{long}", 1): [NASTY] * 30})


VIEWS: list[Callable[[], RunView]] = [
    *(fixtures.empty, fixtures.running, fixtures.question_open, fixtures.at_barrier),
    *(fixtures.rolled_back, fixtures.finished, hostile),
]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.__name__)
def test_every_line_is_as_wide_as_the_panel_and_free_of_control_characters(
    panel: type[Canvas], view: Callable[[], RunView]
) -> None:
    async def perform() -> None:
        stage = PanelStage(lambda: panel(view()), LIGHT)
        async with stage.run_test(size=SIZES[-1]) as pilot:
            select = getattr(stage.panel, "select_task", lambda _task: None)
            for number, size in enumerate(SIZES):
                await pilot.resize_terminal(*size)
                select(stage.panel.view.graph.order[min(number, 2)])
                stage.panel.refresh_view()
                await pilot.pause()
                for y in range(stage.panel.room.height):
                    strip = stage.panel.render_line(y)
                    assert strip.text.isprintable()
                    assert cell_len(strip.text) == strip.cell_length == stage.panel.room.width

    asyncio.run(perform())


@pytest.mark.parametrize("width", range(12))
def test_clipping_keeps_to_its_width(width: int) -> None:
    for text in ("", "short", "backfill-customers", "移行テスト移行テスト"):
        for cut in (clip(text, width), clip_middle(text, width)):
            assert cell_len(cut) <= width
            assert cut == text or "…" in cut or not width
    assert clip_middle("backfill-orders", 9) == "back…ders"
