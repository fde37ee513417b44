"""The plan language as a JSON Schema (draft 2020-12), made from the models: for editors and error hints."""

from functools import lru_cache
from typing import Any

from engine.plan.durations import format_duration
from engine.plan.models import DURATION_SCHEMA, SQL_KINDS, Plan

_TEXTS = {
    "Plan.wesley": "Version of the plan language: 1.",
    "Plan.name": "Title of the plan.",
    "Plan.model": "rolling: a task starts as soon as it can; wave: wave by wave, with a barrier in between.",
    "Plan.workers": "How many lanes run tasks at once.",
    "Plan.policy": "The order of the frontier.",
    "Plan.interpreter": "The Python that runs `python:` tasks.",
    "Plan.targets": "Databases by name.",
    "Plan.resources": "Pools by name, each with its capacity.",
    "Plan.checkpoints": "When checkpoints are taken, and how many are kept.",
    "Plan.retry": "Retries of TRANSIENT failures.",
    "Plan.defaults": "What holds for every task that does not say otherwise.",
    "Plan.phases": "Phases in their order; where absent, those that tasks name, in order of appearance.",
    "Plan.waves": "Waves in their order; derived from the dependencies where absent.",
    "Plan.tasks": "The tasks. Their order here breaks ties between equals.",
    "Target.sqlite": "Path of a SQLite file, from the plan's folder. ${NAME} and ${NAME:-default} expand.",
    "Target.postgres": "A conninfo or URL, or `embedded`. ${NAME} and ${NAME:-default} expand.",
    "CheckpointRules.every": "Time between checkpoints; 0s for none by time.",
    "CheckpointRules.progress": "A checkpoint each time this many per cent of the tasks are done.",
    "CheckpointRules.phases": "A checkpoint when a phase completes.",
    "CheckpointRules.before_risk": "A checkpoint before a task with this risk or more.",
    "CheckpointRules.keep": "How many of the newest are kept, besides those of barriers.",
    "RetryRules.attempts": "How often a TRANSIENT failure is retried before it counts as UNKNOWN.",
    "RetryRules.base": "The n-th retry waits base × 2ⁿ.",
    "RetryRules.cap": "The longest wait before a retry.",
    "RetryRules.jitter": "Vary the waits a little, so that tasks do not come back all at once.",
    "Defaults.timeout": "The longest an attempt may run.",
    "Defaults.lock_timeout": "The longest a SQL statement waits for a database lock.",
    "Defaults.lock_patience": "The longest an attempt on PostgreSQL goes on trying to get its locks.",
    "Wave.id": "Name that tasks use.",
    "Wave.name": "Title for people.",
    "Task.id": "Name that other tasks use: letters, digits, _, - and .",
    "Task.name": "Title for people; the id where absent.",
    "Task.run": "What the task does: exactly one of sql, sql_file, backfill, shell, python, simulate.",
    "Task.rollback": "What undoes it.",
    "Task.verify": "What tells whether it took effect: SQL with a true first value, or exit code 0.",
    "Task.needs": "Dependencies: ids of tasks that come first.",
    "Task.wave": "The wave it belongs to.",
    "Task.phase": "The phase it belongs to.",
    "Task.duration": "Expected time; forecasts and the critical path use it.",
    "Task.effort": "Hours of work; the duration where absent.",
    "Task.value": "Business value, above 0.",
    "Task.risk": "From 0 to 1.",
    "Task.critical": "A PERMANENT failure rolls the run back instead of skipping the task.",
    "Task.idempotent": "Running it twice does no harm, so a doubt is settled by running it again.",
    "Task.uses": "Units it takes from pools while it runs.",
    "Task.locks": "Locks it holds while it runs; a lock is a pool of one and needs no declaration.",
    "Task.timeout": "The longest an attempt may run.",
    "Task.lock_timeout": "The longest its SQL waits for a database lock at a time.",
    "Task.classify": "Rules that give failures their class; the first that matches decides.",
    "Action.sql": "SQL statements: one transaction where they allow it.",
    "Action.sql_file": "A file of SQL, relative to the plan's folder; read when the plan is loaded.",
    "Action.backfill": "A statement that PostgreSQL runs batch by batch along a table's key.",
    "Action.shell": "A command for sh -c, in the plan's folder.",
    "Action.python": "A function to call, as module:function, found from the plan's folder.",
    "Action.simulate": "Nothing but time.",
    "Action.on": "The target that SQL runs on.",
    "Backfill.table": "The table whose keys are gone through: table, or schema.table.",
    "Backfill.key": "Its column to go by: NOT NULL, and an index has to begin with it.",
    "Backfill.sql": "One INSERT, UPDATE, DELETE or MERGE for the keys from :first to :last.",
    "Backfill.batch": "Rows of the table in a batch; each batch is a transaction.",
    "Backfill.pause": "Time between two batches.",
    "Backfill.throttle": "What holds the backfill back.",
    "Throttle.lag": "A standby that is this far behind holds it back.",
    "Throttle.lock_waits": "This many sessions that wait for a lock in the database hold it back.",
    "Throttle.sql": "A SELECT: while its first value is true, the backfill is held back.",
    "Throttle.every": "How often all this is looked at, at most.",
    "Simulated.duration": "How long it takes; the task's duration where absent.",
    "Simulated.exit": "The exit code it ends with.",
    "Simulated.output": "What it prints.",
    "ClassifyRule.exit": "An exit code.",
    "ClassifyRule.sqlstate": "An SQLSTATE, or the beginning of one.",
    "ClassifyRule.output": "Text that the output holds.",
    "ClassifyRule.as": "The failure class.",
}


def plan_schema() -> dict[str, Any]:
    """The schema, as plain JSON values. It tells what one value can tell; references are for `check`."""
    schema = Plan.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema["$defs"]
    for name, definition in [("Plan", schema), *definitions.items()]:
        properties: dict[str, Any] = definition.get("properties", {})
        for key, value in properties.items():
            properties[key] = _property(value) | {"description": _TEXTS[f"{name}.{key}"]}
    definitions["Action"]["oneOf"] = [
        {"required": [kind, "on"]} if kind in SQL_KINDS else {"required": [kind], "not": {"required": ["on"]}}
        for kind in definitions["Action"]["properties"]
        if kind != "on"
    ]
    definitions["Throttle"]["anyOf"] = [{"required": [key]} for key in ("lag", "lock_waits", "sql")]
    definitions["Target"]["oneOf"] = [{"required": ["sqlite"]}, {"required": ["postgres"]}]
    definitions["ClassifyRule"]["oneOf"] = [{"required": [key]} for key in ("exit", "sqlstate", "output")]
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A plan for wesley-console",
        "description": "The plan language, version 1.",
    }
    rest = {key: value for key, value in schema.items() if key not in (*head, "$defs")}
    return head | rest | {"$defs": definitions}


def _property(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` without what only the models need: the null of an absent key, titles, seconds."""
    kept = {key: value for key, value in schema.items() if key != "title" and value is not None}
    if "anyOf" in kept:
        (inner,) = (choice for choice in kept.pop("anyOf") if choice != {"type": "null"})
        kept |= inner
    if "patternProperties" in kept:
        ((pattern, kept["additionalProperties"]),) = kept.pop("patternProperties").items()
        kept["propertyNames"] |= {"pattern": pattern}
    if "$ref" in kept:
        kept.pop("default", None)  # told beside each key of it
    elif kept.get("pattern") == DURATION_SCHEMA["pattern"] and "default" in kept:
        kept["default"] = format_duration(kept["default"])
    return kept


@lru_cache(1)
def _schema() -> dict[str, Any]:
    return plan_schema()


def expected_at(loc: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys or values that the language knows at `loc`; nothing where any would do."""
    return expected_in(_schema(), loc)


def expected_in(schema: dict[str, Any], loc: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys or values that `schema` knows at `loc`; nothing where any would do."""
    here: dict[str, Any] = schema
    for step in loc:
        here = here.get("items", {}) if isinstance(step, int) else _member(here, step)
        here = here.get("anyOf", [here])[0]
        if "$ref" in here:
            here = schema["$defs"][here["$ref"].rpartition("/")[2]]
    return tuple(here.get("properties", ())) or tuple(str(value) for value in here.get("enum", ()))


def _member(schema: dict[str, Any], key: str) -> dict[str, Any]:
    found: dict[str, Any] = schema.get("properties", {}).get(key) or schema.get("additionalProperties") or {}
    return found
