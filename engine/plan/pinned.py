"""The plan as it is pinned with its run: canonical JSON, the same bytes for the same plan."""

import hashlib
import json

from engine.plan.models import Plan


def pin(plan: Plan) -> bytes:
    """`plan` as canonical JSON: keys sorted, defaults left out, durations in seconds."""
    data = plan.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def unpin(pinned: bytes) -> Plan:
    """The plan in `pinned`; raises ValueError where that is not a plan of this version."""
    return Plan.model_validate_json(pinned)


def source_digest(text: str) -> str:
    """What a plan's file with this text is known again by; empty where it names other files, whose text it
    takes in."""
    return "" if "sql_file" in text else hashlib.sha256(text.encode()).hexdigest()


def plan_hash(plan: Plan) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal digits: plans with one hash are the same plan."""
    return hashlib.sha256(pin(plan)).hexdigest()
