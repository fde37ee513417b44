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


BLOCKERS = (
    ev.Blocker(pid=4712, started="s", user="web", state="active", state_s=3.0, waits_for=(4711,)),
    ev.Blocker(pid=4711, started="s", user="alice", application="psql", state="idle in transaction",
               age_s=800.0, state_s=720.0),
)  # fmt: skip
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
        "doubt settled: load is done; the ledger says so",
    ),
    (
        event(
            ev.DoubtSettled, task="load", attempt=1, done=False, by="ledger",
            detail="it stands at key 250, after 250 rows in 25 batches",
        ),
        "doubt settled: load is not done; the ledger says so (it stands at key 250, after 250 rows in 25 "
        "batches)",
    ),
    (event(ev.RunFinished, status="rolled_back", reason="asked for"), "run rolled back: asked for"),
    (
        event(ev.LockWaitChanged, task="load", attempt=1, pid=9, relation="orders", blockers=BLOCKERS,
              tries=2),
        "load waits for a lock on orders: pid 4711 alice (psql), idle in transaction for 12m, and 1 more, "
        "try 3",
    ),
    (
        event(ev.LockWaitChanged, task="load", attempt=1, purpose="rollback", pid=9),
        "the rollback of load waits for no lock any more",
    ),
    (
        event(ev.LockWaitChanged, task="load", attempt=1, pid=9, blockers=BLOCKERS[1:]),
        "load waits for older transactions to end: pid 4711 alice (psql), idle in transaction for 12m",
    ),
    (
        event(ev.TaskProgressed, task="load", attempt=1, done=412_000, total=600_000, unit="rows",
              held="replication lag 12s"),
        "load: 412,000 of about 600,000 rows, held: replication lag 12s",
    ),
    (
        event(ev.TaskProgressed, task="load", attempt=1, done=5, total=9, unit="blocks", detail="building"),
        "load: 5 of about 9 blocks (building)",
    ),
    (
        event(ev.TaskProgressed, task="load", attempt=1, done=0, unit="", detail="sorting"),
        "load: sorting",
    ),
    (
        event(ev.CommitIntended, task="load", attempt=1, part=2, parts=3, statement="ALTER", xid="757"),
        "load is about to commit transaction 757, part 2 of 3",
    ),
    (
        event(ev.CommitIntended, task="load", attempt=1, part=1, parts=1, statement="VACUUM"),
        "load is about to run `VACUUM`, in no transaction",
    ),
    (
        event(ev.InterventionMade, task="load", attempt=1, action="terminate_backend", pid=4711,
              actor="ana", reason="alice is at lunch", on_seq=6),
        "ana decided to end the connection of pid 4711, which blocks load (alice is at lunch)",
    ),
    (
        event(ev.InterventionMade, task="load", attempt=2, action="cancel_own", actor="ana", on_seq=6),
        "ana decided to end attempt 2 at load",
    ),
    (
        event(ev.InterventionEnded, task="load", attempt=1, action="cancel_backend", pid=4711, done=False,
              detail="backend 4711 had ended already"),
        "load: not done: backend 4711 had ended already",
    ),
    (
        event(ev.InterventionRefused, task="load", action="cancel_backend", pid=4711, actor="ana",
              why="backend 4711 does not block load any more"),
        "refused: ana wanted to cancel what pid 4711 runs, which blocks load: "
        "backend 4711 does not block load any more",
    ),
    (
        event(ev.TaskAdjusted, task="load", batch=500, pause_s=0.0, held=True, actor="ana"),
        "ana adjusted load: batches of 500, no pause, held",
    ),
    (event(ev.TaskAdjusted, task="load", held=True, actor="ana"), "ana adjusted load: held"),
    (
        event(ev.TaskAdjusted, task="load", pause_s=0.25, actor="ana"),
        "ana adjusted load: batches as planned, 250ms between them",
    ),
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
    if field.name == "action" and field.type == ev.Intervention:
        return "cancel_backend"
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
