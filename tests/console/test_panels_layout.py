"""How the graph is laid out: whatever the plan, what is drawn is the plan's own graph."""

import itertools

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from console.panels.focus import AT_ONCE, WHOLE, Hand, focus_of, moment_of
from console.panels.ground import Edge, Ground, ground_of
from console.panels.layering import Layering, Net, layering
from console.panels.outline import Outline, outline
from console.panels.wiring import Wiring
from console.run_view import RunView
from engine.graph import Graph
from engine.plan.models import Plan, parse_plan_data
from tests.console import fixtures


@st.composite
def plans(draw: st.DrawFn, most: int = 30) -> Plan:
    count = draw(st.integers(1, most))
    tasks = []
    for number in range(count):
        before = [f"t{other}" for other in range(number)]
        needs = draw(st.lists(st.sampled_from(before), max_size=3, unique=True)) if before else []
        minutes = draw(st.integers(1, 9))
        phase = draw(st.sampled_from([{}, {"phase": "early"}, {"phase": "late"}]))
        task = {"id": f"t{number}", "run": {"shell": "true"}, "needs": needs, "duration": f"{minutes}m"}
        tasks.append(task | phase)
    model = draw(st.sampled_from(["rolling", "wave"]))
    return parse_plan_data({"wesley": 1, "name": "any", "model": model, "tasks": tasks})


def laid_out(plan: Plan) -> tuple[Graph, Layering]:
    graph = Graph(plan)
    shown = whole(plan, graph)
    return graph, layering(shown.columns, shown.edges, 20)


def whole(plan: Plan, graph: Graph) -> Outline:
    return outline(ground_of(plan, graph), frozenset(graph.order))


def closure(graph: Graph) -> dict[str, frozenset[str]]:
    return {task: graph.descendants(task) for task in graph.order}


@settings(max_examples=60, deadline=None)
@given(plans())
def test_the_drawn_edges_say_what_the_plan_says(plan: Plan) -> None:
    graph = Graph(plan)
    shown = whole(plan, graph)
    picture = nx.DiGraph(shown.edges)
    picture.add_nodes_from(graph.order)
    assert {task: frozenset(nx.descendants(picture, task)) for task in graph.order} == closure(graph)
    assert all(child in graph.children[parent] for parent, child in shown.edges)


@settings(max_examples=60, deadline=None)
@given(plans())
def test_every_edge_can_be_followed_from_column_to_column(plan: Plan) -> None:
    graph, layers = laid_out(plan)
    shown = whole(plan, graph)
    carried = nx.MultiDiGraph()
    for nets in layers.gaps:
        for net in nets:
            for (left, right), edges in net.edges.items():
                for edge in edges:
                    carried.add_edge((edge, left), (edge, right))
    for parent, child in shown.edges:
        edge = parent, child
        assert nx.has_path(carried, (edge, parent), (edge, child))


@settings(max_examples=60, deadline=None)
@given(plans())
def test_nodes_have_rows_of_their_own_and_lines_on_one_track_do_not_meet(plan: Plan) -> None:
    _, layers = laid_out(plan)
    for column in layers.columns:
        rows = [layers.row[item] for item in column]
        assert rows == sorted(set(rows))
        assert all(0 <= row < layers.height for row in rows)
    for nets in layers.gaps:
        bent = [net for net in nets if len(span(net, layers)) > 1]
        for first, second in itertools.combinations(bent, 2):
            if first.track == second.track:
                assert not set(span(first, layers)) & set(span(second, layers))


def span(net: Net, layers: Layering) -> range:
    rows = [layers.row[item] for item in (*net.lefts, *net.rights)]
    return range(min(rows), max(rows) + 1)


def test_parents_of_the_same_children_share_one_line() -> None:
    columns = [["a", "b"], ["c", "d"]]
    edges = frozenset(itertools.product("ab", "cd"))
    assert len(layering(columns, edges, 10).gaps[0]) == 1


def drawn(layers: Layering, critical: frozenset[Edge]) -> list[str]:
    """Two columns one cell wide, the second at cell 4."""
    wiring = Wiring(layers, [0, 4], [1, 1], critical)
    rows = [wiring.row(y) for y in range(layers.height)]
    return ["".join(cells[x].char if x in cells else " " for x in range(4)) for cells in rows]


def test_a_line_is_drawn_with_its_bends_and_its_weight() -> None:
    layers = layering([["a"], ["b", "c"]], frozenset({("a", "b"), ("a", "c")}), 6)
    assert layers.row == {"a": 2, "b": 0, "c": 3}
    assert drawn(layers, frozenset({("a", "b")})) == ["  ┏━", "  ┃ ", "━━┩ ", "  ╰─"]


def test_lines_that_only_cross_are_not_joined() -> None:
    nets = [Net((a,), (b,), {(a, b): {(a, b)}}) for a, b in (("a", "d"), ("m", "n"))]
    layers = Layering([["a", "m"], ["n", "d"]], {"a": 0, "m": 1, "n": 1, "d": 2}, [nets], 3)
    assert drawn(layers, frozenset()) == ["──╮ ", "──│─", "  ╰─"]
    assert drawn(layers, frozenset({("m", "n")})) == ["──╮ ", "━━━━", "  ╰─"]


def focus(view: RunView, chosen: str | None = None, hand: Hand | None = None) -> frozenset[str]:
    return focus_of(view, moment_of(view, 36), chosen, 36, hand or Hand())


def outlined(view: RunView, shown: frozenset[str]) -> Outline:
    return outline(ground_of(view.plan, view.graph), shown)


def holds_each_task_once(shown: Outline, ground: Ground) -> bool:
    members = [task for group in shown.groups.values() for task in group]
    singles = [key for column in shown.columns for key in column if key not in shown.groups]
    return sorted([*members, *singles]) == sorted(ground.graph.order)


@settings(max_examples=100, deadline=None)
@given(plans(), st.data())
def test_every_task_is_drawn_or_counted_exactly_once(plan: Plan, data: st.DataObject) -> None:
    graph = Graph(plan)
    ground = ground_of(plan, graph)
    focus = frozenset(data.draw(st.sets(st.sampled_from(graph.order))))
    shown = outline(ground, focus)
    assert holds_each_task_once(shown, ground)
    assert {key for column in shown.columns for key in column if key not in shown.groups} == focus
    assert all(shown.column[a] < shown.column[b] for a, b in shown.edges)


def test_a_small_plan_is_shown_whole_and_a_large_one_by_its_frontier() -> None:
    view = fixtures.running()
    assert focus(view) == frozenset(view.graph.order)
    view = fixtures.told(layered(400, 40), 0.5)
    shown = focus(view, "t0399")
    running = {task for task in view.state.lanes if task}
    assert running | {"t0399"} <= shown
    assert len(shown) < WHOLE
    assert holds_each_task_once(outlined(view, shown), ground_of(view.plan, view.graph))


def test_what_is_expanded_or_collapsed_by_hand_stays_so_and_a_failure_is_never_hidden() -> None:
    view = fixtures.question_open()
    everything = Hand()
    everything.collapse(view.graph.order)
    assert focus(view, None, everything) == {"backfill-orders"}  # the task that is asked about
    assert focus(view, "analyze", everything) == {"backfill-orders", "analyze"}
    view = fixtures.told(layered(400, 40), 0.5)
    some = Hand()
    some.expand(view.graph.order[:300])
    assert len(some.opened) == AT_ONCE
    assert frozenset(view.graph.order[:AT_ONCE]) <= focus(view, None, some)
    some.collapse(view.graph.order[:10])
    assert focus(view, None, some).isdisjoint(view.graph.order[:10])


def test_what_is_not_shown_is_counted_by_phase_or_by_wave() -> None:
    for model in ("rolling", "wave"):
        plan = fixtures.reference_plan(model)
        shown = outline(ground_of(plan, Graph(plan)), frozenset({"WP1.T002"}))
        by_id = {task.id: task for task in plan.tasks}
        names = {wave.id: wave.name for wave in plan.waves}
        for group, title in shown.titles.items():
            parts = {
                by_id[task].phase if model == "rolling" else names[by_id[task].wave or ""]
                for task in shown.groups[group]
            }
            assert parts == {title}


def test_a_plan_with_neither_phases_nor_waves_is_counted_by_generation() -> None:
    view = fixtures.told(layered(400, 40), 0.5)
    titles = list(outlined(view, focus(view)).titles.values())
    assert titles[0] == "generations 1–3"
    assert titles[-1] == "generations 7–10"


def test_columns_that_nothing_happens_in_are_drawn_together() -> None:
    chain = [
        {"id": f"t{n}", "run": {"shell": "true"}, "needs": [f"t{n - 1}"] if n else []} for n in range(500)
    ]
    view = fixtures.told(parse_plan_data({"wesley": 1, "name": "chain", "tasks": chain}), 0.5)
    shown = outlined(view, focus(view))
    assert len(shown.columns) < 20
    assert len(shown.critical) == len(shown.columns) - 1


def test_waves_have_columns_of_their_own() -> None:
    view = fixtures.at_barrier()
    shown = outlined(view, focus(view))
    titles = [title for title, _, _ in shown.sections]
    assert titles == ["Expand", "Backfill", "Validate", "Switch", "Contract"]
    assert [first for _, first, _ in shown.sections[1:]] == [last for _, _, last in shown.sections[:-1]]
    for title, first, last in shown.sections:
        tasks = {task for column in shown.columns[first:last] for task in column}
        assert {view.by_id[task].wave for task in tasks} == {title.lower()}


def layered(count: int, width: int) -> Plan:
    """Layers of `width` tasks, each task needing three of the layer before."""
    tasks = []
    for number in range(count):
        layer = number // width * width
        needs = [f"t{layer - width + (number * 7 + k * 13) % width:04}" for k in range(3)] if layer else []
        tasks.append(
            {
                "id": f"t{number:04}",
                "run": {"shell": "true"},
                "needs": sorted(set(needs)),
                "duration": f"{1 + number % 7}m",
            }
        )
    return parse_plan_data({"wesley": 1, "name": "layers", "workers": 8, "tasks": tasks})
