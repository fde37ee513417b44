"""Waves and phases in their order."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.graph import Graph
from engine.plan.models import Plan, parse_plan_data
from engine.plan.waves import WaveSlot, phase_order, wave_plan


def plan_of(tasks: dict[str, dict[str, Any]], **keys: Any) -> Plan:
    listed = [{"id": task_id, "run": {"shell": "x"}} | task for task_id, task in tasks.items()]
    return parse_plan_data({"wesley": 1, "name": "waves", "tasks": listed} | keys)


def waves_of(plan: Plan) -> list[tuple[str, tuple[str, ...]]]:
    return [(slot.id, slot.tasks) for slot in wave_plan(plan, Graph(plan))]


def test_listed_waves_in_their_order_with_tasks_in_plan_order() -> None:
    plan = plan_of(
        {"b": {"wave": "w2"}, "a": {"wave": "w1"}, "c": {"wave": "w2"}},
        waves=[{"id": "w1", "name": "Foundation"}, {"id": "w2"}, {"id": "w3"}],
    )
    assert wave_plan(plan, Graph(plan)) == (
        WaveSlot("w1", "Foundation", ("a",)),
        WaveSlot("w2", "w2", ("b", "c")),
    )


def test_a_task_without_a_wave_is_in_the_earliest_its_needs_allow() -> None:
    plan = plan_of(
        {
            "free": {},
            "a": {"wave": "w1"},
            "b": {"wave": "w2"},
            "after-a": {"needs": ["a"]},
            "after-b": {"needs": ["b", "a"]},
            "last": {"needs": ["after-b"]},
        },
        waves=[{"id": "w1"}, {"id": "w2"}],
    )
    assert waves_of(plan) == [("w1", ("free", "a", "after-a")), ("w2", ("b", "after-b", "last"))]


def test_waves_that_tasks_name_come_in_order_of_appearance() -> None:
    plan = plan_of({"x": {}, "b": {"wave": "build"}, "a": {"wave": "apply", "needs": ["b"]}})
    assert waves_of(plan) == [("build", ("x", "b")), ("apply", ("a",))]


def test_without_waves_the_generations_are_waves() -> None:
    plan = plan_of({"c": {"needs": ["b"]}, "a": {}, "b": {"needs": ["a"]}, "x": {}})
    assert waves_of(plan) == [("wave-1", ("a", "x")), ("wave-2", ("b",)), ("wave-3", ("c",))]
    assert wave_plan(plan, Graph(plan))[1].title == "Wave 2"


def test_phases_are_those_listed_or_those_named() -> None:
    tasks: dict[str, dict[str, Any]] = {
        "a": {"phase": "q"},
        "b": {},
        "c": {"phase": "p"},
        "d": {"phase": "q"},
    }
    assert phase_order(plan_of(tasks)) == ("q", "p")
    assert phase_order(plan_of(tasks, phases=["p", "q", "r"])) == ("p", "q", "r")


@settings(deadline=None)
@given(st.data())
def test_every_task_is_in_one_wave_and_never_before_its_needs(data: st.DataObject) -> None:
    tasks: dict[str, dict[str, Any]] = {}
    wave_of: list[int] = []
    for number in range(data.draw(st.integers(1, 10))):
        needs = data.draw(st.sets(st.integers(0, number - 1))) if number else set()
        earliest = max((wave_of[need] for need in needs), default=0)
        named = data.draw(st.none() | st.integers(earliest, 3))
        wave_of.append(earliest if named is None else named)
        tasks[f"t{number}"] = {"needs": [f"t{need}" for need in needs]}
        if named is not None:
            tasks[f"t{number}"]["wave"] = f"w{named}"
    plan = plan_of(tasks, waves=[{"id": f"w{number}"} for number in range(4)])
    placed = {task_id: wave for wave, members in waves_of(plan) for task_id in members}
    assert placed == {f"t{number}": f"w{wave}" for number, wave in enumerate(wave_of)}
