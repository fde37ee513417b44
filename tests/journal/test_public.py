import json
from datetime import datetime, timedelta, timezone

from engine.journal.journal import Record
from engine.journal.public import public_json
from engine.machine import events as ev
from engine.plan.models import FailureClass
from tests.journal.samples import run_started


def public(event: ev.Event) -> dict[str, object]:
    shown = public_json(Record(event, ev.encode_event(event), "ab" * 32), "r1")
    assert json.loads(json.dumps(shown)) == shown
    return shown


def test_the_stamps_come_first_and_none_is_left_out() -> None:
    east = datetime(2026, 11, 22, 15, 44, 13, 250_000, timezone(timedelta(hours=9)))
    failed = ev.TaskFailed(
        seq=7,
        t=1.5,
        at=east,
        task="a",
        attempt=2,
        lane=3,
        failure_class=FailureClass.TRANSIENT,
        reason="busy",
        rule="sqlite",
    )
    assert list(public(failed).items()) == [
        ("seq", 7),
        ("at", "2026-11-22T06:44:13.250Z"),
        ("t", 1.5),
        ("run", "r1"),
        ("kind", "task_failed"),
        ("hash", "ab" * 32),
        ("task", "a"),
        ("attempt", 2),
        ("lane", 3),
        ("failure_class", "TRANSIENT"),
        ("reason", "busy"),
        ("rule", "sqlite"),
        ("effect", "unknown"),
        ("resource", ""),
        ("tail", ""),
    ]


def test_a_run_is_named_by_its_journal_and_nested_values_are_plain() -> None:
    engine = ev.Engine(pid=1, host="h", boot_id="b", process_started=2.0, version="0")
    started = public(ev.RunStarted(**{**_fields(run_started("r1")), "engine": engine}))
    assert started["run"] == "r1"
    assert started["engine"] == {
        "pid": 1,
        "host": "h",
        "boot_id": "b",
        "process_started": 2.0,
        "version": "0",
    }
    assert "engine" not in public(run_started("r1"))


def test_outputs_go_out_as_they_are() -> None:
    at = datetime(2026, 11, 22, 6, 44, 13)  # noqa: DTZ001  a stamp without a zone is UTC
    outputs = {"rows": [1, {"x": None}], "lane": "not the lane"}
    shown = public(ev.TaskSucceeded(seq=1, t=0, at=at, task="a", attempt=1, outputs=outputs))
    assert shown["outputs"] == outputs
    assert shown["at"] == "2026-11-22T06:44:13.000Z"
    assert "lane" not in shown


def _fields(event: ev.Event) -> dict[str, object]:
    return {name: getattr(event, name) for name in event.__struct_fields__}
