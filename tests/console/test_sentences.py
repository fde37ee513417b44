"""Events in words."""

from typing import Any, get_args

import msgspec
import pytest

from console.look import RUN, STATUS, TRIGGER
from console.sentences import mark_of, sentence
from engine.machine import events as ev
from engine.machine.transitions import RunStatus, TaskStatus
from engine.plan.models import FailureClass
from tests.console import fixtures
from tests.console.fixtures import START


def event(kind: type[ev.Event], **fields: Any) -> Any:
    return kind(seq=7, t=60.0, at=START, **fields)


KNOWN = [
    (
        event(
            ev.TaskFailed, task="load", attempt=2, failure_class=FailureClass.UNKNOWN, reason="exit 3",
            rule="built-in: any other exit code",
        ),
        "load failed, attempt 2 (UNKNOWN: exit 3 — rule: built-in: any other exit code)",
    ),
    (event(ev.TaskStarted, task="load", attempt=1, lane=0), "load started on lane 1"),
    (
        event(ev.RetryScheduled, task="load", retry=2, delay=4.0, due_t=9.0),
        "load will be retried in 4s (retry 2)",
    ),
    (
        event(ev.TaskSucceeded, task="load", attempt=1, asserted_by="ana"),
        "load counts as done, on the word of ana",
    ),
    (
        event(
            ev.DecisionMade, question=3, task="load", action="skip", mode="waive", actor="ana",
            reason="known", on_seq=6,
        ),
        "ana decided about load: waive: what depends on it may run (known)",
    ),
    (
        event(ev.RollbackStarted, to="start", to_seq=0, tasks=("a",), stay=tuple("cdef"), reason="bad"),
        "rollback to start begins, 1 task to undo: bad; staying applied: c, d, e and 1 more",
    ),
    (
        event(
            ev.CheckpointSaved, checkpoint="cp-0001", trigger="risk", position=6, position_hash="",
            completed=1, stable=False, note="before drop",
        ),
        "checkpoint cp-0001 saved (risk, before drop): 1 task completed, not stable",
    ),
    (
        event(ev.DoubtSettled, task="load", attempt=1, done=True, by="ledger"),
        "doubt settled: load took effect; its ledger row says so",
    ),
    (event(ev.RunFinished, status="rolled_back", reason="asked for"), "run rolled back: asked for"),
]  # fmt: skip


@pytest.mark.parametrize(("told", "words"), KNOWN, ids=lambda known: getattr(known, "kind", ""))
def test_sentences(told: ev.Event, words: str) -> None:
    assert sentence(told) == words


def samples() -> list[Any]:
    """One event of every kind, with whatever its fields allow."""
    made = []
    for kind in get_args(ev.AnyEvent):
        fields = {
            field.encode_name: _some(field)
            for field in msgspec.structs.fields(kind)
            if field.required and field.name not in ("seq", "t", "at")
        }
        data = {"kind": kind.__struct_config__.tag, "seq": 1, "t": 0.0, "at": START.isoformat(), **fields}
        made.append(ev.decode_event(msgspec.json.encode(data)))
    return made


def _some(field: msgspec.structs.FieldInfo) -> Any:
    named = {
        "action": "retry",
        "failure_class": "unknown",
        "effect": "none",
        "cause": "operator",
        "by": "verify",
    }
    choices = {"about": "failure", "status": "aborted", "trigger": "time", "model": "wave"}
    if field.name == "by" and field.type is str:
        return "load\x1b[2J"
    if field.name in named | choices:
        return (named | choices)[field.name]
    by_type: dict[Any, Any] = {str: "load\x1b[2J", int: 1, float: 1.0, bool: True}
    return by_type.get(field.type, [])


@pytest.mark.parametrize("told", samples(), ids=lambda told: told.kind)
def test_every_kind_of_event_has_a_sentence_that_is_safe_on_a_screen(told: ev.Event) -> None:
    words = sentence(told)
    assert words
    assert words.isprintable()
    assert mark_of(told).glyph


def test_marks_are_those_of_what_an_event_brings() -> None:
    marks = [mark_of(told) for told in fixtures.rolled_back().events]
    assert STATUS[TaskStatus.SUCCEEDED] in marks
    assert TRIGGER["risk"] in marks
    assert marks[-1] == RUN[RunStatus.ROLLED_BACK]
