import sqlite3

import pytest

from engine.plan.models import ClassifyRule, FailureClass
from engine.tasks.base import Failed
from engine.tasks.classify import by_plan, failed, timed_out
from engine.tasks.exits import by_exit, describe_exit
from engine.tasks.sqlite import by_result
from tests.tasks.conftest import MakeJob

T, R, P, U = FailureClass.TRANSIENT, FailureClass.RESOURCE, FailureClass.PERMANENT, FailureClass.UNKNOWN


@pytest.mark.parametrize(
    ("code", "failure_class"),
    [(code, P) for code in (64, 65, 66, 77, 78, 126, 127, 134, 139)]
    + [(code, T) for code in (69, 75, 124)]
    + [(code, R) for code in (71, 73, 74, 152, 153)]
    + [(code, U) for code in (1, 2, 63, 129, 130, 137, 143, 255)]
    + [(-6, P), (-11, P), (-24, R), (-25, R), (-9, U), (-15, U)],
)
def test_exit_codes(code: int, failure_class: FailureClass) -> None:
    verdict = by_exit(code)
    assert verdict.failure_class is failure_class
    assert str(code) in verdict.rule
    assert bool(verdict.resource) == (failure_class is R)


def test_a_kill_is_for_lack_of_memory_only_with_evidence() -> None:
    assert by_exit(-9, out_of_memory=True)[::2] == (R, "memory")
    assert by_exit(137, out_of_memory=True).failure_class is R
    assert by_exit(1, out_of_memory=True).failure_class is U


def test_signals_are_named() -> None:
    assert describe_exit(-9) == "exit -9: ended by SIGKILL"
    assert describe_exit(143) == "exit 143: ended by SIGTERM"
    assert describe_exit(75) == "exit 75: EX_TEMPFAIL"
    assert describe_exit(255) == "exit 255"


@pytest.mark.parametrize(
    ("code", "failure_class", "resource"),
    [
        (sqlite3.SQLITE_BUSY, T, ""),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, T, ""),
        (sqlite3.SQLITE_LOCKED, T, ""),
        (sqlite3.SQLITE_FULL, R, "disk"),
        (sqlite3.SQLITE_IOERR_WRITE, R, "disk"),
        (sqlite3.SQLITE_NOMEM, R, "memory"),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, P, ""),
        (sqlite3.SQLITE_ERROR, P, ""),
        (sqlite3.SQLITE_MISUSE, U, ""),
        (sqlite3.SQLITE_CANTOPEN, U, ""),
    ],
)
def test_sqlite_results(code: int, failure_class: FailureClass, resource: str) -> None:
    error = sqlite3.OperationalError("it says")
    error.sqlite_errorcode = code
    verdict = by_result(error)
    assert (verdict.failure_class, verdict.resource, verdict.fatal) == (failure_class, resource, False)


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CORRUPT_INDEX, sqlite3.SQLITE_NOTADB]
)
def test_a_damaged_database_is_fatal(code: int) -> None:
    error = sqlite3.DatabaseError("it says")
    error.sqlite_errorcode = code
    assert by_result(error).fatal


def rules(*given: dict[str, object]) -> list[ClassifyRule]:
    return [ClassifyRule.model_validate(rule) for rule in given]


def test_the_first_rule_of_the_plan_that_matches_decides() -> None:
    given = rules(
        {"exit": 3, "as": "resource"}, {"output": "Dead", "as": "transient"}, {"exit": 4, "as": "permanent"}
    )
    verdict = by_plan(given, exit_code=4, tail="a DEADlock")
    assert verdict is not None
    assert verdict.failure_class is T
    assert verdict.rule == 'plan: output "Dead" as transient'
    assert by_plan(given, exit_code=5, tail="all well") is None


def test_an_exit_rule_takes_a_signal_either_way() -> None:
    assert by_plan(rules({"exit": 143, "as": "transient"}), exit_code=-15)
    assert by_plan(rules({"exit": -15, "as": "transient"}), exit_code=143)
    assert not by_plan(rules({"exit": 15, "as": "transient"}), exit_code=-15)


def test_an_sqlstate_rule_may_name_a_class() -> None:
    assert by_plan(rules({"sqlstate": "53", "as": "resource"}), sqlstate="53100")
    assert not by_plan(rules({"sqlstate": "55P03", "as": "resource"}), sqlstate="55006")
    assert not by_plan(rules({"sqlstate": "55P03", "as": "resource"}))


def test_output_that_looks_like_a_cause_changes_nothing(make_job: MakeJob) -> None:
    job = make_job({"shell": "false"}, task={"classify": [{"exit": 9, "as": "transient"}]})
    job.output.write(b"deadlock detected, disk full, connection refused\n")
    assert failed(job, by_exit(1), "exit 1", exit_code=1).failure_class is U


def test_the_rules_of_the_plan_come_first(make_job: MakeJob) -> None:
    job = make_job({"shell": "false"}, task={"classify": [{"exit": 64, "as": "transient"}]})
    outcome = failed(job, by_exit(64), "exit 64", exit_code=64)
    assert (outcome.failure_class, outcome.rule) == (T, "plan: exit 64 as transient")


def test_no_rule_hides_a_damaged_database(make_job: MakeJob) -> None:
    job = make_job({"shell": "false"}, task={"classify": [{"output": "malformed", "as": "transient"}]})
    job.output.write(b"database disk image is malformed\n")
    error = sqlite3.DatabaseError("malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    outcome = failed(job, by_result(error), "malformed")
    assert (outcome.failure_class, outcome.fatal) == (T, True)


@pytest.mark.parametrize(
    ("effect", "idempotent", "failure_class"),
    [("none", False, T), ("none", True, T), ("unknown", True, T), ("unknown", False, U)],
)
def test_a_timeout_runs_again_only_where_that_does_no_harm(
    make_job: MakeJob, effect: str, idempotent: bool, failure_class: FailureClass
) -> None:
    job = make_job({"shell": "false"}, task={"idempotent": idempotent}, timeout_s=90.0)
    outcome = timed_out(job, effect)  # type: ignore[arg-type]
    assert (outcome.failure_class, outcome.rule) == (failure_class, "engine: timeout")
    assert "1m30s" in outcome.reason


def test_reasons_are_cleaned(make_job: MakeJob) -> None:
    job = make_job({"shell": "false"}, secrets={"pa55word": "${PW}"})
    outcome = failed(job, by_exit(1), "it said \x1b[2J pa55word")
    assert isinstance(outcome, Failed)
    assert outcome.reason == "it said ␛[2J ${PW}"
