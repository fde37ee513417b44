"""Panels as pictures: colour and weight, which text alone does not show."""

from collections.abc import Callable

from textual.pilot import Pilot

from console.outlook import look_ahead
from console.panels.graph import FrontierGraph
from console.panels.lanes import LanesPanel
from console.panels.task import TaskPanel
from console.panels.timeline import CheckpointTimeline
from console.theming import LIGHT
from tests.console import fixtures
from tests.console.panel_stage import PanelStage
from tests.console.test_graph_hand import many

Snap = Callable[..., bool]


def test_the_reference_plan_with_a_task_chosen(snap_compare: Snap) -> None:
    stage = PanelStage(lambda: FrontierGraph(fixtures.reference_running("wave")))
    assert snap_compare(stage, terminal_size=(90, 22), press=["right", "down"])


def test_a_failure_in_the_graph(snap_compare: Snap) -> None:
    stage = PanelStage(lambda: FrontierGraph(fixtures.question_open()), LIGHT)
    assert snap_compare(stage, terminal_size=(120, 16))


def test_a_large_plan_with_the_rest_counted_by_phase(snap_compare: Snap) -> None:
    stage = PanelStage(lambda: FrontierGraph(fixtures.told(many(), 0.5)))
    assert snap_compare(stage, terminal_size=(140, 34))


def test_names_and_times_with_matches_marked(snap_compare: Snap) -> None:
    async def mark(pilot: Pilot[None]) -> None:
        pilot.app.query_one(FrontierGraph).mark({"WP1.T002", "WP3.T004"})

    stage = PanelStage(lambda: FrontierGraph(fixtures.reference_running()))
    assert snap_compare(stage, terminal_size=(190, 30), press=["plus"], run_before=mark)


def test_lanes_with_a_retry_and_what_is_expected(snap_compare: Snap) -> None:
    def panel() -> LanesPanel:
        view = fixtures.running()
        view.expected = look_ahead(view.newest.clone(), view.graph, view.now_t)
        return LanesPanel(view)

    assert snap_compare(PanelStage(panel), terminal_size=(110, 12))


def test_lanes_after_a_rollback(snap_compare: Snap) -> None:
    assert snap_compare(PanelStage(lambda: LanesPanel(fixtures.rolled_back())), terminal_size=(110, 10))


def test_the_task_that_failed(snap_compare: Snap) -> None:
    def panel() -> TaskPanel:
        panel = TaskPanel(fixtures.question_open())
        panel.select_task("backfill-orders")
        return panel

    assert snap_compare(PanelStage(panel), terminal_size=(64, 30))


def test_a_checkpoint_unfolded(snap_compare: Snap) -> None:
    async def choose(pilot: Pilot[None]) -> None:
        await pilot.press("down", "down", "down")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()

    stage = PanelStage(lambda: CheckpointTimeline(fixtures.finished()))
    assert snap_compare(stage, terminal_size=(80, 14), run_before=choose)
