"""The frontier graph as one sees it and moves about in it."""

import time

from textual.pilot import Pilot

from console.messages import TaskSelected
from console.panels.graph import FrontierGraph
from console.panels.nodes import Level, task_face
from console.run_view import RunView
from tests.console import fixtures
from tests.console.panel_stage import keys, play
from tests.console.test_panels_layout import layered

SHOP = """\
                ╭✓ add-org-id ──┲━▶ backfi…tomers━· check-…tomers┓
                │               ┃                                ┃
 ✓ create-orgs ━┪               ┃                                ┡━· switch-reads ┓               ┏· drop-totals ━┓
                ┗✓ fill-orgs ━━━┛╭· index-orders ────────────────│╮               ┃               ┃               ┃
                                 │                               ││               ┡· switch-writes┫               ┣· analyze
                                 │                               │╰───────────────╯               ┗· drop-s…s-text┛
 ✓ add-to…-cents─▶ backfi…-orders┴· check-orders ╮               │
                                                 │               │
                                                 ├───────────────╯
 ✓ create…atuses─✓ backfi…tatuses────────────────╯
"""  # noqa: E501 - a picture


def test_the_whole_plan_is_drawn_with_its_edges() -> None:
    shown = play(lambda: FrontierGraph(fixtures.running()), (130, 14)).shown
    assert shown[1:11] == SHOP.splitlines()
    assert shown[-1] == " 16 tasks  ━━ critical path"


def test_the_39_tasks_of_the_reference_plan_are_readable_in_70_by_20() -> None:
    for model in ("rolling", "wave"):
        view = fixtures.reference_running(model)
        text = "\n".join(play(lambda view=view: FrontierGraph(view), (70, 20)).shown)
        assert len(view.by_id) == 39
        assert all(task in text for task in view.by_id)


def test_running_tasks_say_how_far_they_are() -> None:
    text = "\n".join(play(lambda: FrontierGraph(fixtures.running()), (180, 14)).shown)
    assert "▶ backfill-orders 85%" in text
    assert "▶ backfill-customers 20%" in text


def test_a_task_that_takes_longer_than_expected_does_not_look_like_progress() -> None:
    late = fixtures.midway().view(now=60.0)
    text = "\n".join(play(lambda: FrontierGraph(late), (180, 14)).shown)
    assert "▶ backfill-customers 4.0×" in text
    assert "%" not in text
    wide = "\n".join(play(lambda: FrontierGraph(late), (400, 14)).shown)
    assert "4.0× its time" in wide
    face = task_face(late, "backfill-orders", Level.IDS)
    assert (face.share, face.tail) == (0.0, "3.9× its time")


def graph_of(pilot: Pilot[None]) -> FrontierGraph:
    return pilot.app.query_one(FrontierGraph)


def test_the_first_selection_only_marks_and_the_next_one_lights() -> None:
    async def act(pilot: Pilot[None]) -> None:
        graph = graph_of(pilot)
        graph.select_task("backfill-orders")
        assert graph.follow
        assert not graph._lit
        graph.select_task("check-customers")
        assert not graph.follow
        assert graph._lit == {
            *("create-orgs", "add-org-id", "fill-orgs", "backfill-customers", "check-customers"),
            *("switch-reads", "switch-writes", "drop-totals", "drop-status-text", "analyze"),
        }
        assert ("backfill-customers", "check-customers") in graph._lit_edges
        assert ("check-orders", "switch-reads") not in graph._lit_edges
        await pilot.press("f")
        assert graph.follow
        assert not graph._lit

    stage = play(lambda: FrontierGraph(fixtures.running()), (130, 14), act)
    assert "· check-customers  pending  expected 3m  ★ critical path  needs 1" in stage.shown[-1]


def test_arrow_keys_go_where_they_point() -> None:
    pressed = keys("right", "right", "left", "left", "down", "down", "left", "left")
    stage = play(lambda: FrontierGraph(fixtures.running()), (180, 14), pressed)
    assert [message.task_id for message in stage.asked if isinstance(message, TaskSelected)] == [
        "backfill-customers",  # nothing was selected, so it begins where things happen
        "check-customers",
        "backfill-customers",
        "add-org-id",
        "fill-orgs",
        "backfill-orders",
        "add-total-cents",
    ]


def test_a_click_selects_the_task_under_it() -> None:
    async def act(pilot: Pilot[None]) -> None:
        await pilot.click(FrontierGraph, offset=(5, 7))
        await pilot.click(FrontierGraph, offset=(5, 2))

    stage = play(lambda: FrontierGraph(fixtures.running()), (130, 14), act)
    assert [message.task_id for message in stage.asked if isinstance(message, TaskSelected)] == [
        "add-total-cents"
    ]


def test_it_follows_the_frontier_until_one_moves() -> None:
    def late() -> FrontierGraph:
        return FrontierGraph(fixtures.told(layered(60, 4), 0.9))

    shown = play(late, (60, 12)).shown
    assert any("▶" in line for line in shown)
    stage = play(late, (60, 12), keys("left", "left", "left", "left", "left", "left", "left"))
    assert not any("▶ t" in line for line in stage.shown[:-1])
    assert "▸" in stage.shown[-1]


def test_what_is_collapsed_is_counted() -> None:
    text = "\n".join(play(lambda: FrontierGraph(fixtures.told(layered(400, 40), 0.5)), (140, 40)).shown)
    assert "⊞ generations 1–3 ✓120" in text
    assert "⊞ generations 7–10 ·160" in text


def test_a_new_event_changes_only_what_it_is_about() -> None:
    view = fixtures.running()

    async def act(pilot: Pilot[None]) -> None:
        graph = graph_of(pilot)
        before = {y: graph.render_line(y) for y in range(14)}
        story = fixtures.running().events
        more = fixtures.question_open().events[len(story) :]
        view.fold(more)
        graph.refresh_view()
        changed = [y for y in range(14) if graph.render_line(y) is not before[y]]
        assert changed == [4, 5, 6, 7]  # the task, and the lines to what it feeds
        assert "✗ backfi…-orders" in graph.render_line(7).text

    play(lambda: FrontierGraph(view), (130, 14), act)


def test_5000_tasks_are_drawn_quickly() -> None:
    view: RunView = fixtures.told(layered(5000, 50), 0.5)

    async def act(pilot: Pilot[None]) -> None:
        graph = graph_of(pilot)
        begun = time.process_time()
        graph.refresh_view()
        graph.select_task("t2500")
        graph.select_task("t4999")
        assert time.process_time() - begun < 1.5

    stage = play(lambda: FrontierGraph(view), (120, 36), act)
    assert any("t4999" in line for line in stage.shown)
