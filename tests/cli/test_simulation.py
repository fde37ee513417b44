"""Simulated runs from outside: the published makespans, the same seed twice, faults, waves and barriers."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import sample_plans
from tests.cli.program import Program, write_plan

SAMPLES = Path(sample_plans.__file__).parent
ROLLING = SAMPLES / "reference" / "rolling.yaml"
WAVES = SAMPLES / "reference" / "waves.yaml"
SIMULATE = ("--headless", "--json", "--simulate", "--speed", "max")
DRILLS = sorted(path.parent for path in SAMPLES.glob("drills/*/faults.yaml"))


def _order(events: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    return [(event["kind"], event.get("task"), event.get("lane"), event["t"]) for event in events]


@pytest.mark.parametrize(("policy", "hours"), [("critical-path", 48), ("weighted", 58)])
def test_the_reference_plan_takes_as_long_as_published(program: Program, policy: str, hours: int) -> None:
    program("run", ROLLING, *SIMULATE, "--policy", policy, "--run-id", "r").wants(0)
    found = program.inspect("r")
    assert found["metrics"]["makespan_s"] == hours * 3600
    assert {task["status"] for task in found["tasks"].values()} == {"succeeded"}
    assert len(found["tasks"]) == 39
    assert found["metrics"]["utilisation"] == pytest.approx(190 / (4 * hours), abs=1e-4)
    assert found["metrics"]["idle_s"] == pytest.approx((4 * hours - 190) * 3600, abs=1)


def test_no_wave_starts_before_the_barrier_of_the_one_before_is_durable(program: Program) -> None:
    told = program("run", WAVES, *SIMULATE, "--run-id", "r").wants(0).events
    assert told == program.events("r")
    wave_of = {}
    now, barrier_saved, settled = 0, True, True
    for event in told:
        match event["kind"]:
            case "wave_started":
                assert barrier_saved
                now, barrier_saved, settled = now + 1, False, False
            case "barrier_reached":
                settled = True
            case "checkpoint_saved" if event["trigger"] == "barrier":
                assert settled
                barrier_saved = True
            case "task_started":
                assert not settled
                wave_of[event["task"]] = now
    assert now == len([event for event in told if event["kind"] == "barrier_reached"])
    assert len(wave_of) == 39
    assert max(wave_of.values()) == now > 3
    assert program.inspect("r")["metrics"]["makespan_s"] > 48 * 3600


def test_the_same_seed_is_the_same_run_and_what_forecast_says(program: Program) -> None:
    jitter = write_plan(
        program.folder,
        "".join(f"  - {{id: t{n}, run: {{shell: x}}, duration: {n + 1}s}}\n" for n in range(6)),
        retry="{jitter: true}",
        workers="2",
    )
    faults = program.folder / "faults.yaml"
    faults.write_text(
        "faults:\n" + "".join(f"  - {{task: t{n}, attempts: [1, 2], exit: 75}}\n" for n in range(6))
    )
    runs = [
        program("run", jitter, *SIMULATE, "--seed", seed, "--faults", faults).wants(0).events
        for seed in (3, 3, 4)
    ]
    assert _order(runs[0]) == _order(runs[1])
    assert _order(runs[0]) != _order(runs[2])
    assert [event["kind"] for event in runs[0]].count("retry_scheduled") == 12


def test_a_simulation_does_nothing_to_the_world(program: Program) -> None:
    plan = write_plan(
        program.folder,
        """
  - {id: sql, run: {sql: "CREATE TABLE t (x)", on: app}, rollback: {sql: "DROP TABLE t", on: app}}
  - {id: shell, run: {shell: "touch done"}, needs: [sql], critical: true}
""",
        targets="{app: {sqlite: '${NOT_EVEN_SET}'}}",
    )
    faults = program.folder / "faults.yaml"
    faults.write_text("faults:\n  - {task: shell, class: permanent, reason: as told}\n")
    before = sorted(program.folder.iterdir())
    program("run", plan, *SIMULATE, "--run-id", "r").wants(0)
    program("run", plan, *SIMULATE, "--faults", faults, "--run-id", "s").wants(5)
    assert sorted(program.folder.iterdir()) == before
    failed = [event for event in program.events("s") if event["kind"] == "task_failed"]
    assert [(event["task"], event["reason"], event["failure_class"]) for event in failed] == [
        ("shell", "as told", "PERMANENT")
    ]


@pytest.mark.parametrize("drill", DRILLS, ids=lambda path: path.name)
@pytest.mark.parametrize("answer", ["ask", "skip", "rollback"])
def test_the_drills_end_or_ask_whatever_the_answer(program: Program, drill: Path, answer: str) -> None:
    flags = ["--faults", drill / "faults.yaml", "--on-unknown", answer, "--run-id", "r"]
    result = program("run", drill / "plan.yaml", *SIMULATE, *flags)
    expected = {"ask": {0, 6}, "skip": {0, 3, 4}, "rollback": {0, 4, 5}}
    assert result.code in expected[answer], result.out + result.err
    begins_cut_off = "dies_in" in (drill / "drill.yaml").read_text()
    assert any(event["kind"] == "task_failed" for event in result.events) is not begins_cut_off
    assert result.out == program("events", "r").out
    assert (result.code == 6) == (program.inspect("r")["question"] is not None)


def test_speed_sets_the_pace_of_a_simulation(program: Program) -> None:
    plan = write_plan(program.folder, "  - {id: a, run: {shell: x}, duration: 1h}\n")
    told = program("run", plan, "--json", "--simulate", "--speed", "36000").wants(0).events
    first = told[0]
    started, succeeded = (next(e for e in told if e["kind"] == f"task_{k}") for k in ("started", "succeeded"))
    assert first["t"] < 360, "the time of a run begins with its first event"
    assert succeeded["t"] - started["t"] >= 3600
    real_s = (_at(succeeded) - _at(started)).total_seconds()
    assert (succeeded["t"] - started["t"]) / 36000 == pytest.approx(real_s, abs=0.02)


def _at(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["at"])


def test_a_simulation_is_resumed_as_one(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "touch done"}, duration: 1h}\n')
    faults = program.folder / "faults.yaml"
    faults.write_text("faults:\n  - {task: a, attempts: [1, 2], exit: 1}\n")
    program("run", plan, *SIMULATE, "--faults", faults, "--run-id", "r").wants(6)
    faults.unlink()
    program("resume", "r", "--headless", "--speed", "max", "--on-unknown", "retry").wants(0)
    assert program.inspect("r")["tasks"]["a"]["attempts"] == 3
    assert program.inspect("r")["simulated"] is True
    assert not (program.folder / "done").exists()


def test_a_real_run_is_never_hurried(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "exit 1"}}\n')
    program("run", plan, "--headless", "--run-id", "r").wants(6)
    refused = program("resume", "r", "--headless", "--speed", "max", "--on-unknown", "abort").wants(2)
    assert "simulat" in refused.err
    assert program.inspect("r")["status"] == "paused"
