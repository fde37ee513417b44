from pathlib import Path
from typing import Any

import pytest

from engine.machine import reports
from engine.plan.models import FailureClass, Plan, parse_plan_data
from engine.tasks.base import Cancelled, Evidence, Failed, InDoubt, Outcome, Succeeded, verdict
from engine.tasks.registry import prepare


def plan(*runs: dict[str, Any], **more: Any) -> Plan:
    tasks = [{"id": f"t{number}", "run": run} for number, run in enumerate(runs)]
    return parse_plan_data({"wesley": 1, "name": "p", "tasks": tasks, **more})


def test_a_plan_that_can_run_has_no_problems(tmp_path: Path) -> None:
    (tmp_path / "up.sql").write_text("SELECT 1")
    given = plan(
        {"sql": "SELECT 1", "on": "app"},
        {"sql_file": "up.sql", "on": "app"},
        {"shell": "true"},
        {"python": "a:b"},
        targets={"app": {"sqlite": "app.db"}},
    )
    assert prepare(given, {"app": tmp_path / "app.db"}, tmp_path) == []
    assert not (tmp_path / "app.db").exists()


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "latin.sql").write_bytes("SELECT 'ü'".encode("latin-1"))
    given = plan(
        {"sql": "BEGIN; SELECT 1", "on": "app"},
        {"sql_file": "nowhere.sql", "on": "app"},
        {"sql_file": "latin.sql", "on": "app"},
        {"sql": "SELECT 1", "on": "main"},
        {"sql": "SELECT 1", "on": "directory"},
        {"python": "a:b"},
        interpreter="python-of-tomorrow",
        targets={
            "app": {"sqlite": "${APP}"},
            "main": {"postgres": "${MAIN}"},
            "directory": {"sqlite": "${DIRECTORY}"},
        },
    )
    targets = {"app": tmp_path / "no" / "app.db", "main": "host=db password=secret x", "directory": tmp_path}
    problems = prepare(given, targets, tmp_path)
    assert [problem.partition(":")[0] for problem in problems] == [
        "target `app`",
        "target `directory`",
        "target `main`",
        "interpreter",
        "task `t0`, run",
        "task `t1`, run",
        "task `t2`, run",
    ]
    told = "\n".join(problems)
    for expected in ("create it first", "is not a file", "conninfo cannot be read", "python-of-tomorrow",
                     "the engine owns the transaction", "nowhere.sql", "not UTF-8 at byte 8"):  # fmt: skip
        assert expected in told
    assert "${APP}" in told
    assert "secret" not in told
    assert str(tmp_path) not in told


def test_a_folder_that_is_not_there_is_problem_enough(tmp_path: Path) -> None:
    (problem,) = prepare(plan({"shell": "true"}), {}, tmp_path / "gone")
    assert "gone" in problem


def test_targets_that_nobody_uses_are_no_problem(tmp_path: Path) -> None:
    assert prepare(plan({"shell": "true"}), {"main": "postgres://db"}, tmp_path) == []


@pytest.mark.parametrize(
    ("outcome", "report"),
    [
        (Succeeded(outputs={"rows": 1}), reports.Succeeded),
        (
            Failed(failure_class=FailureClass.UNKNOWN, reason="r", rule="x", tail="t", fatal=True),
            reports.Failed,
        ),
        (Cancelled(effect="none", reason="r"), reports.Cancelled),
        (InDoubt(reason="r"), reports.InDoubt),
    ],
)
def test_an_outcome_is_the_report_but_for_the_attempt(outcome: Outcome, report: type[reports.Report]) -> None:
    built = report(task="t", attempt=1, purpose="run", **outcome.fields())
    assert {name: getattr(built, name) for name in outcome.fields()} == outcome.fields()


def test_evidence_is_the_report_but_for_the_attempt() -> None:
    evidence = Evidence(done=True, by="ledger", detail="d")
    assert reports.EvidenceFound(task="t", attempt=1, **evidence.fields()).by == "ledger"


def test_a_verify_that_was_cut_short_tells_nothing() -> None:
    assert verdict(Cancelled(effect="none", reason="r")).done is None
    assert verdict(InDoubt(reason="r")).done is None
