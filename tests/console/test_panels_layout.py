"""How the graph is laid out: whatever the plan, what is drawn is the plan's own graph."""

import itertools

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from console.panels.layering import Edge, Layering, Net, layering
from console.panels.outline import WHOLE, focus_of, outline
from console.panels.wiring import wiring
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
        tasks.append(
            {"id": f"t{number}", "run": {"shell": "true"}, "needs": needs, "duration": f"{minutes}m"}
        )
    return parse_plan_data({"wesley": 1, "name": "any", "tasks": tasks})


def laid_out(plan: Plan) -> tuple[Graph, Layering]:
    graph = Graph(plan)
    shown = outline(plan, graph, frozenset(graph.order))
    return graph, layering(shown.columns, shown.edges, 20)


def closure(graph: Graph) -> dict[str, frozenset[str]]:
    return {task: graph.descendants(task) for task in graph.order}


@settings(max_examples=60, deadline=None)
@given(plans())
def test_the_drawn_edges_say_what_the_plan_says(plan: Plan) -> None:
    graph = Graph(plan)
    shown = outline(plan, graph, frozenset(graph.order))
    picture = nx.DiGraph(shown.edges)
    picture.add_nodes_from(graph.order)
    assert {task: frozenset(nx.descendants(picture, task)) for task in graph.order} == closure(graph)
    assert all(child in graph.children[parent] for parent, child in shown.edges)


@settings(max_examples=60, deadline=None)
@given(plans())
def test_every_edge_can_be_followed_from_column_to_column(plan: Plan) -> None:
    graph, layers = laid_out(plan)
    shown = outline(plan, graph, frozenset(graph.order))
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
    cells = wiring(layers, [0, 4], [1, 1], critical)
    return [
        "".join(cells[y][x].char if x in cells[y] else " " for x in range(4)) for y in range(layers.height)
    ]


def test_a_line_is_drawn_with_its_bends_and_its_weight() -> None:
    layers = layering([["a"], ["b", "c"]], frozenset({("a", "b"), ("a", "c")}), 6)
    assert layers.row == {"a": 2, "b": 0, "c": 3}
    assert drawn(layers, frozenset({("a", "b")})) == ["  ┏━", "  ┃ ", "━━┩ ", "  ╰─"]


def test_lines_that_only_cross_are_not_joined() -> None:
    nets = [Net((a,), (b,), {(a, b): {(a, b)}}) for a, b in (("a", "d"), ("m", "n"))]
    layers = Layering([["a", "m"], ["n", "d"]], {"a": 0, "m": 1, "n": 1, "d": 2}, [nets], 3)
    assert drawn(layers, frozenset()) == ["──╮ ", "──│─", "  ╰─"]
    assert drawn(layers, frozenset({("m", "n")})) == ["──╮ ", "━━━━", "  ╰─"]


def test_a_small_plan_is_shown_whole_and_a_large_one_by_its_frontier() -> None:
    view = fixtures.running()
    assert focus_of(view, None, 36) == frozenset(view.graph.order)
    big = layered(400, 40)
    view = fixtures.told(big, 0.5)
    focus = focus_of(view, "t0399", 36)
    running = {task for task in view.state.lanes if task}
    assert running | {"t0399"} <= focus
    assert len(focus) < WHOLE
    shown = outline(view.plan, view.graph, focus)
    members = [task for group in shown.groups.values() for task in group]
    singles = [key for column in shown.columns for key in column if key not in shown.groups]
    assert sorted([*members, *singles]) == sorted(view.graph.order)
    assert set(singles) == focus
    assert all(shown.column[a] < shown.column[b] for a, b in shown.edges)


def test_columns_that_nothing_happens_in_are_drawn_together() -> None:
    chain = [
        {"id": f"t{n}", "run": {"shell": "true"}, "needs": [f"t{n - 1}"] if n else []} for n in range(500)
    ]
    view = fixtures.told(parse_plan_data({"wesley": 1, "name": "chain", "tasks": chain}), 0.5)
    shown = outline(view.plan, view.graph, focus_of(view, None, 36))
    assert len(shown.columns) < 20
    assert len(shown.critical) == len(shown.columns) - 1


def test_waves_have_columns_of_their_own() -> None:
    view = fixtures.at_barrier()
    shown = outline(view.plan, view.graph, focus_of(view, None, 36))
    assert [title for title, _, _ in shown.sections] == [
        "Expand",
        "Backfill",
        "Validate",
        "Switch",
        "Contract",
    ]
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
