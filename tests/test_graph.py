"""The graph: its order, its lengths, and that ten thousand tasks cost nothing worth noticing."""

from graphlib import CycleError
from time import process_time

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.graph import Graph
from engine.plan.models import Plan, parse_plan_data


def plan_of(*tasks: tuple[str, str, list[str]]) -> Plan:
    """A plan of tasks, each (id, duration, needs)."""
    return parse_plan_data(
        {
            "wesley": 1,
            "name": "graph",
            "tasks": [
                {"id": task_id, "run": {"shell": "true"}, "duration": duration, "needs": needs}
                for task_id, duration, needs in tasks
            ],
        }
    )


DIAMOND = plan_of(("d", "1s", ["c", "b", "c"]), ("a", "2s", []), ("b", "5s", ["a"]), ("c", "3s", ["a"]))


def test_order_and_neighbours_are_in_plan_order() -> None:
    graph = Graph(DIAMOND)
    assert graph.order == ("d", "a", "b", "c")
    assert graph.index == {"d": 0, "a": 1, "b": 2, "c": 3}
    assert graph.parents == {"d": ("b", "c"), "a": (), "b": ("a",), "c": ("a",)}
    assert graph.children == {"d": (), "a": ("b", "c"), "b": ("d",), "c": ("d",)}
    assert graph.generations == (("a",), ("b", "c"), ("d",))
    assert graph.generation == {"a": 0, "b": 1, "c": 1, "d": 2}


def test_lengths() -> None:
    graph = Graph.of(DIAMOND)
    assert graph.remaining == {"a": 8.0, "b": 6.0, "c": 4.0, "d": 1.0}
    assert graph.earliest == {"a": 0.0, "b": 2.0, "c": 2.0, "d": 7.0}
    assert graph.critical_path == ("a", "b", "d")
    assert graph.critical_path_s == 8.0
    assert graph.work_s == 11.0
    assert graph.slack == {"a": 0.0, "b": 0.0, "c": 2.0, "d": 0.0}
    assert graph.critical == {"a", "b", "d"}


def test_closures() -> None:
    graph = Graph(DIAMOND)
    assert graph.descendants("a") == {"b", "c", "d"}
    assert graph.ancestors("d") == {"a", "b", "c"}
    assert graph.descendants("d") == graph.ancestors("a") == frozenset()
    assert graph.descendants("a") is graph.descendants("a")


def test_several_equal_paths_are_all_critical_and_the_first_is_named() -> None:
    graph = Graph(plan_of(("a", "0.1s", []), ("b", "0.2s", ["a"]), ("y", "0.1s", ["x"]), ("x", "0.2s", [])))
    assert graph.critical_path == ("a", "b")
    assert graph.critical == {"a", "b", "x", "y"}


def test_a_cycle_is_not_walked_silently() -> None:
    graph = Graph(plan_of(("a", "1s", ["b"]), ("b", "1s", ["a"])))
    with pytest.raises(CycleError):
        _ = graph.generations


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    count = draw(st.integers(1, 12))
    tasks = []
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1))) if number else set()
        tasks.append((f"t{number}", f"{draw(st.integers(0, 9))}s", [f"t{n}" for n in needs]))
    return plan_of(*draw(st.permutations(tasks)))


@settings(deadline=None)
@given(plans())
def test_lengths_agree_with_networkx(plan: Plan) -> None:
    graph = Graph(plan)
    dag = nx.DiGraph()
    for child, parents in graph.parents.items():
        dag.add_edge(child, ("end", child), weight=graph.expected_s[child])
        dag.add_edges_from((("end", parent), child, {"weight": 0.0}) for parent in parents)
    assert graph.critical_path_s == nx.dag_longest_path_length(dag)
    assert sum(graph.expected_s[task_id] for task_id in graph.critical_path) == graph.critical_path_s
    assert set(graph.critical_path) <= graph.critical
    assert all(slack >= 0 for slack in graph.slack.values())


def test_ten_thousand_tasks_are_cheap() -> None:
    plan = plan_of(
        *((f"t{n}", "1m", sorted({f"t{n // k}" for k in (2, 3, 5)}) if n > 10 else []) for n in range(10_000))
    )
    begun = process_time()
    graph = Graph(plan)
    assert set(graph.critical_path) <= graph.critical
    assert graph.work_s == 600_000.0
    assert process_time() - begun < 1.0
