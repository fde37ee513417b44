"""Events as the outside sees them: one flat JSON object each, for `events` and `run --json`."""

from datetime import UTC
from typing import Any

import msgspec

from engine.journal.journal import Record

_KEPT_BACK = ("plan_changed", "pinned")


def public_json(record: Record, run: str) -> dict[str, Any]:
    """The event as plain JSON values: `seq, at, t, run, kind, hash`, then the event's own fields.

    `at` is UTC in ISO 8601; `t` is seconds on the run's clock; `failure_class` is in upper case.
    A field that is None is left out; every other field is there, whether or not it has its default.
    The plan inside `plan_changed` is left out, too: it may hold passwords, and has its hash to be known by.
    Text in it may be foreign: keep it escaped (JSON with ASCII only) on its way to a terminal.
    """
    event = record.event
    at = event.at if event.at.tzinfo is not None else event.at.replace(tzinfo=UTC)
    public: dict[str, Any] = {
        "seq": event.seq,
        "at": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "t": event.t,
        "run": run,
        "kind": event.kind,
        "hash": record.hash,
    }
    for field in event.__struct_fields__:
        value = getattr(event, field)
        if field in public or value is None or (event.kind, field) == _KEPT_BACK:
            continue
        plain = value.upper() if field == "failure_class" else msgspec.to_builtins(value)
        public[field] = list(plain) if isinstance(plain, tuple) else plain
    return public
