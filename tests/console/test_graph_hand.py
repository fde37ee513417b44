"""What an operator does to the frontier graph: expand, collapse, pan, drag, zoom, and let it follow again."""

from textual.pilot import Pilot

from console.messages import TaskSelected
from console.panels.graph import FrontierGraph
from console.panels.nodes import Level
from console.panels.outline import counts_of
from console.panels.tally import Tally
from console.run_view import RunView
from engine.machine import events as ev
from engine.plan.models import FailureClass, Plan
from tests.console import fixtures
from tests.console.panel_stage import PanelStage, keys, lines_of, play
from tests.console.test_panels_hostile import hostile
from tests.console.test_panels_layout import layered


def graph_of(pilot: Pilot[None]) -> FrontierGraph:
    return pilot.app.query_one(FrontierGraph)


def text_of(graph: FrontierGraph) -> str:
    return "\n".join(lines_of(graph))


def cell_of(graph: FrontierGraph, text: str) -> tuple[int, int]:
    return next((line.index(text), y) for y, line in enumerate(lines_of(graph)) if text in line)


def test_space_collapses_the_phase_of_a_task_and_expands_it_again() -> None:
    async def act(pilot: Pilot[None]) -> None:
        graph = graph_of(pilot)
        graph.select_task("create-orgs")
        await pilot.press("space")
        assert "⊞ expand ✓3" in text_of(graph)
        assert "create-orgs" not in text_of(graph)
        assert "⊞ expand  3 tasks, collapsed  ✓ 3 succeeded  space expands" in text_of(graph)
        await pilot.press("space")
        assert "✓ create-orgs" in text_of(graph)
        assert graph.selected == "create-orgs"

    play(lambda: FrontierGraph(fixtures.running()), (170, 16), act)


def test_all_can_be_collapsed_but_not_what_needs_an_operator() -> None:
    async def act(pilot: Pilot[None]) -> None:
        graph = graph_of(pilot)
        await pilot.press("E")
        text = text_of(graph)
        assert "✗ backfill-orders" in text
        assert [task for task in graph.view.graph.order if task in text] == ["backfill-orders"]
        await pilot.press("e")
        assert "⊞" not in text_of(graph)
        await pilot.press("E", "f")
        assert "⊞" not in text_of(graph)  # a plan of sixteen tasks is shown whole
        assert graph.follow

    play(lambda: FrontierGraph(fixtures.question_open()), (170, 16), act)


def test_too_many_tasks_are_not_all_expanded_and_it_is_said_why() -> None:
    view = fixtures.told(layered(1000, 50), 0.5)

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("e")
        said = [notification.message for notification in pilot.app._notifications]
        assert said == ["1000 tasks are too many to see. Expand a group with space."]
        assert "⊞" in text_of(graph_of(pilot))

    play(lambda: FrontierGraph(view), (120, 30), act)


def test_a_click_chooses_a_group_and_a_double_click_expands_it() -> None:
    view = fixtures.told(layered(400, 40), 0.5)

    async def act(pilot: Pilot[None]) -> None:
        graph = graph_of(pilot)
        await pilot.press(*["shift+left"] * 5)
        await pilot.click(FrontierGraph, offset=cell_of(graph, "⊞ generations 1–3"))
        assert lines_of(graph)[-1].startswith(" ⊞ generations 1–3  120 tasks, collapsed  ✓ 120 succeeded")
        assert graph.selected is None
        await pilot.press("right")
        assert graph.selected

    async def twice(pilot: Pilot[None]) -> None:
        graph = graph_of(pilot)
        await pilot.press(*["shift+left"] * 5)
        await pilot.click(FrontierGraph, offset=cell_of(graph, "⊞ generations 1–3"), times=2)
        assert "generations 1–3" not in text_of(graph)
        assert graph.selected == "t0000"

    play(lambda: FrontierGraph(view), (120, 30), act)
    stage = play(lambda: FrontierGraph(view), (120, 30), twice)
    asked = [message.task_id for message in stage.asked if isinstance(message, TaskSelected)]
    assert asked[-1] == "t0000"


def test_detail_goes_from_marks_to_times() -> None:
    async def act(pilot: Pilot[None]) -> None:
        graph = graph_of(pilot)
        assert graph._shown_level is Level.IDS
        await pilot.press("plus")
        assert "create-orgs Create the" in text_of(graph)
        await pilot.press("plus", "plus")
        assert "1m6s" in text_of(graph)
        await pilot.press(*["minus"] * 5)
        assert graph._shown_level is Level.MARKS
        assert "create-orgs" not in text_of(graph)
        assert "▶" in text_of(graph)
        await pilot.press("0")
        assert graph._shown_level is Level.IDS

    play(lambda: FrontierGraph(fixtures.running()), (130, 14), act)


def test_panning_lets_the_operator_hold_the_graph_and_f_gives_it_back() -> None:
    async def act(pilot: Pilot[None]) -> None:
        graph = graph_of(pilot)
        assert graph.border_subtitle == "following · ids"
        here = graph.scroll_offset
        await pilot.press("shift+left")
        assert graph.scroll_offset.x < here.x
        assert graph.border_subtitle == "f follows · ids"
        await pilot.press(*["shift+left"] * 15)
        graph.refresh_view()
        assert graph.scroll_offset.x == 0
        assert "▶" in lines_of(graph)[-1]  # what runs is out of sight, and is counted
        await pilot.press("f")
        assert graph.border_subtitle == "following · ids"
        assert graph.scroll_offset == here

    play(lambda: FrontierGraph(fixtures.told(layered(60, 4), 0.9)), (60, 12), act)


def test_dragging_moves_the_graph_and_chooses_nothing() -> None:
    async def act(pilot: Pilot[None]) -> None:
        graph = graph_of(pilot)
        here = graph.scroll_offset
        await pilot.mouse_down(FrontierGraph, offset=(20, 5))
        await pilot.hover(FrontierGraph, offset=(32, 5))
        await pilot.mouse_up(FrontierGraph, offset=(32, 5))
        assert graph.scroll_offset.x == here.x - 12
        assert not graph.follow
        assert graph.selected is None

    stage = play(lambda: FrontierGraph(fixtures.told(layered(60, 4), 0.9)), (60, 12), act)
    assert not stage.asked


def test_a_picture_stands_for_a_while_but_a_failure_is_shown_at_once() -> None:
    plan = layered(400, 40)
    events = fixtures.told(plan, 0.9).events
    view = RunView(plan, controls=fixtures.HeldControls(0))
    view.fold(events[:200])
    clock = [100.0]

    def make() -> FrontierGraph:
        graph = FrontierGraph(view)
        graph.clock = lambda: clock[0]
        return graph

    def running() -> set[str]:
        return {task for task in view.state.lanes if task}

    async def act(pilot: Pilot[None]) -> None:
        graph = graph_of(pilot)
        picture = graph._picture
        view.fold(events[200:600])
        graph.refresh_view()
        assert graph._picture is picture
        assert not all(task in text_of(graph) for task in running())
        clock[0] += 5
        graph.refresh_view()
        assert graph._picture is not picture
        assert running() <= set(graph._picture.outline.column)
        picture = graph._picture
        view.fold(events[600:1000])
        graph.refresh_view()
        assert graph._picture is picture
        failed = next(task for task in view.state.lanes if task and task not in text_of(graph))
        fail(view, failed)
        graph.refresh_view()
        assert f"✗ {failed} failed" in text_of(graph)

    play(make, (140, 40), act)


def fail(view: RunView, task: str) -> None:
    last, attempt = view.events[-1], view.state.tasks[task].last
    assert attempt
    view.fold(
        [
            ev.TaskFailed(
                seq=last.seq + 1, t=last.t, at=last.at, task=task, attempt=attempt.number,
                lane=attempt.lane, failure_class=FailureClass.UNKNOWN, reason="exit 3", rule="",
            )
        ]
    )  # fmt: skip


def test_groups_are_counted_as_things_happen_and_when_one_looks_back() -> None:
    plan = layered(400, 40)
    events = fixtures.told(plan, 0.9).events
    view = RunView(plan)
    groups = {"first": view.graph.order[:250], "last": view.graph.order[250:]}
    tally = Tally(view, groups)

    def right() -> bool:
        tally.update()
        return all(+tally.counts(group) == counts_of(view, tasks) for group, tasks in groups.items())

    for begin in range(0, len(events), 37):
        view.fold(events[begin : begin + 37])
        assert right()
    view.show_past(100)
    assert right()
    view.show_past(None)
    assert right()


def test_a_refresh_draws_only_what_came_out_different() -> None:
    view = fixtures.told(layered(400, 40), 0.5)

    async def act(pilot: Pilot[None]) -> None:
        graph = graph_of(pilot)
        before = {y: graph.render_line(y) for y in range(39)}
        picture = graph._picture
        for _ in range(3):
            view.fold([])  # something new, and nothing that is shown
            graph.refresh_view()
        assert graph._picture is picture
        assert all(graph.render_line(y) is strip for y, strip in before.items())

    play(lambda: FrontierGraph(view), (140, 40), act)


def test_hostile_names_are_drawn_within_their_columns_at_every_level() -> None:
    async def act(pilot: Pilot[None]) -> None:
        graph = graph_of(pilot)
        graph.mark(graph.view.graph.order)
        for press in ("minus", "plus", "plus", "plus", "E", "e", "space"):
            await pilot.press(press)
            for y in range(graph.room.height):
                strip = graph.render_line(y)
                assert strip.text.isprintable()
                assert strip.cell_length == graph.room.width

    for size in ((30, 6), (90, 12), (200, 30)):
        play(lambda: FrontierGraph(hostile()), size, act)


def many(model: str = "rolling") -> Plan:
    """A plan of 500 tasks in five phases, each a few generations long, that are waves as well."""
    data = layered(500, 25).model_dump(mode="json", exclude_unset=True)
    names = ["expand", "backfill", "validate", "switch", "contract"]
    for number, task in enumerate(data["tasks"]):
        task["phase"] = task["wave"] = names[number // 100]
    waves = [{"id": name, "name": name.capitalize()} for name in names]
    return Plan.model_validate({**data, "model": model, "phases": names, "waves": waves})


def test_a_large_plan_is_counted_by_phase_and_by_wave() -> None:
    text = "\n".join(play(lambda: FrontierGraph(fixtures.told(many(), 0.5)), (280, 40)).shown)
    assert "⊞ expand ✓100" in text
    assert "⊞ contract ·100" in text
    stage: PanelStage = play(lambda: FrontierGraph(fixtures.told(many("wave"), 0.5)), (150, 40), keys("E"))
    assert "Expand 100/100" in stage.shown[0]
    assert "⊞ Contract ·100" in "\n".join(stage.shown)
