"""The JSON Schema takes what the loader takes, refuses what it refuses, and explains itself."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from engine.plan.schema import expected_at, plan_schema
from engine.plan.source import parse_yaml
from tests.plan.test_load import PUBLISHED
from tests.plan.written import errors_of, load_text

VALIDATOR = Draft202012Validator(plan_schema())


def minimal(**task: Any) -> dict[str, Any]:
    return {"wesley": 1, "name": "x", "tasks": [{"id": "a", "run": {"shell": "x"}} | task]}


def test_it_is_a_schema_and_plain_json() -> None:
    schema = plan_schema()
    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "$id" not in schema


def test_the_plan_of_the_documentation_is_valid() -> None:
    VALIDATOR.validate(parse_yaml(PUBLISHED, "plan.yaml").data)


TARGETS = {"targets": {"app": {"sqlite": "a.db"}}}
SHOP = {"targets": {"shop": {"postgres": "embedded"}}}


def backfill(**fields: Any) -> dict[str, Any]:
    given = {
        "table": "orders",
        "key": "id",
        "sql": "DELETE FROM a WHERE id BETWEEN :first AND :last",
    } | fields
    return minimal(run={"backfill": given, "on": "shop"}) | SHOP


@pytest.mark.parametrize(
    "plan",
    [
        minimal(run={"sql": "x", "on": "app"}) | TARGETS,
        minimal(run={"python": "a.b:c"}),
        minimal(run={"simulate": {}}),
        minimal(run={"simulate": {"duration": "5m", "exit": 75}}),
        minimal(duration="1h30m", effort=1, risk=1, needs=[]),
        minimal(duration="PT1H30M"),
        minimal(duration="1.5s"),
        backfill(),
        backfill(table='shop."Order Items"', key='"Id"', batch=1, pause="0s", throttle={"lag": "10s"}),
        backfill(throttle={"lock_waits": 5, "sql": "SELECT false", "every": "250ms"}),
    ],
)
def test_what_the_loader_takes_is_valid(tmp_path: Path, plan: dict[str, Any]) -> None:
    load_text(tmp_path, json.dumps(plan))
    VALIDATOR.validate(plan)


@pytest.mark.parametrize(
    "plan",
    [
        {},
        minimal() | {"wesley": 2},
        minimal() | {"tasks": []},
        minimal() | {"nmae": "x"},
        minimal() | {"targets": {"a": {}}},
        minimal() | {"targets": {"a": {"sqlite": "x", "postgres": "y"}}},
        minimal() | {"targets": {"a b": {"sqlite": "x"}}},
        minimal() | {"resources": {"cpu": 0}},
        minimal(run={}),
        minimal(run={"shell": "x", "simulate": {}}),
        minimal(run={"sql": "x"}) | TARGETS,
        minimal(run={"shell": "x", "on": "app"}) | TARGETS,
        minimal(run={"python": "nothing"}),
        minimal(id="a b"),
        minimal(duration="30"),
        minimal(duration=30),
        minimal(duration="1:30:00"),
        minimal(risk=2),
        minimal(value=0),
        minimal(needs="b"),
        minimal(classify=[{"as": "transient"}]),
        minimal(classify=[{"exit": 1, "output": "x", "as": "transient"}]),
        minimal(classify=[{"exit": 1, "as": "sometimes"}]),
        backfill(table="a.b.c"),
        backfill(table="orders; DROP TABLE orders"),
        backfill(key="id, number"),
        backfill(batch=0),
        backfill(throttle={}),
        backfill(throttle={"every": "1s"}),
        minimal(run={"backfill": backfill()["tasks"][0]["run"]["backfill"]}) | SHOP,
    ],
)
def test_what_the_loader_refuses_is_not_valid(tmp_path: Path, plan: dict[str, Any]) -> None:
    errors_of(tmp_path, json.dumps(plan))
    assert not VALIDATOR.is_valid(plan)


def test_every_key_is_explained() -> None:
    schema = plan_schema()
    for definition in [schema, *schema["$defs"].values()]:
        for key, value in definition.get("properties", {}).items():
            assert value["description"], key


def test_defaults_are_written_as_in_a_plan() -> None:
    properties = plan_schema()["$defs"]["CheckpointRules"]["properties"]
    assert (properties["every"]["default"], properties["every"]["type"]) == ("30m", "string")
    assert properties["progress"]["default"] == 25


def test_what_is_expected_at_a_place() -> None:
    assert "needs" in expected_at(("tasks", 3))
    assert expected_at(("tasks", 3, "rollback"))[:2] == ("sql", "sql_file")
    assert expected_at(("targets", "app")) == ("sqlite", "postgres")
    assert expected_at(("model",)) == ("wave", "rolling")
    assert expected_at(("tasks", 0, "classify", 0, "as"))[0] == "transient"
    assert expected_at(("tasks", 0, "nothing", "here")) == ()
