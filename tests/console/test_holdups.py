"""What the lights say while a run stands still: backfills held, databases gone, and who waits for them."""

from datetime import timedelta
from typing import Any

import pytest
from textual.pilot import Pilot

from console.holdups import hold_ups
from console.panels.graph import FrontierGraph
from console.panels.nodes import Level, task_face
from console.panels.why import why
from console.run_view import RunView
from console.status_line import fitted, status_parts
from engine.machine import events as ev
from engine.plan.models import FailureClass
from tests.console import fixtures
from tests.console.fixtures import START
from tests.console.panel_stage import play
from tests.console.wait_stage import FILLS, with_backfill

OTHER = "backfill-customers"


def line(view: RunView, *, width: int = 300, finish_t: float | None = 3600) -> str:
    return fitted(status_parts(view, now=START, finish_t=finish_t), width).plain


def held(view: RunView, t: float = 15.0, **fields: Any) -> None:
    known = {"task": FILLS, "actor": "ana", "held": True} | fields
    happened(view, ev.TaskAdjusted, t, **known)


def happened(view: RunView, kind: type[ev.Event], t: float = 15.0, **fields: Any) -> None:
    event = kind(seq=view.newest.seq + 1, t=t * 60, at=START + timedelta(minutes=t), **fields)
    view.fold([event])


def filling(*, alone: bool = True) -> RunView:
    """A backfill is in flight, alone or beside another task."""
    view = with_backfill(fixtures.running())
    if alone:
        happened(view, ev.TaskSucceeded, task=OTHER, attempt=1)
    return view


# -- an operator's hold ----------------------------------------------------------------------------


def test_a_run_of_which_all_is_held_says_who_holds_it_and_no_finish() -> None:
    view = filling()
    assert "done in about" in line(view)
    held(view)
    told = line(view)
    assert told.startswith(f"◷ {FILLS} is held by ana since 02:15 UTC · A lets it go on · ")
    assert "done in" not in told
    assert line(view, width=80) == f"◷ {FILLS} is held by ana since 02:15 UTC · A lets it go on"


def test_what_else_is_in_flight_goes_on() -> None:
    view = filling(alone=False)
    held(view)
    told = line(view)
    assert told.startswith(f"▶ running · ◷ {FILLS} is held by ana since 02:15 UTC · A lets it go on")
    assert "done in" not in told


def test_a_change_of_its_batches_is_no_new_hold() -> None:
    view = filling()
    held(view, 15.0)
    rows = {"task": FILLS, "attempt": 1, "done": 5, "unit": "rows"}
    happened(view, ev.TaskProgressed, 15.1, held="by an operator", **rows)
    held(view, 40.0, batch=500, actor="bob")
    assert hold_ups(view.state)[0].words == f"{FILLS} is held by bob since 02:15 UTC"
    held(view, 41.0, held=False)
    assert hold_ups(view.state) == []


def test_a_hold_of_yesterday_names_the_day() -> None:
    view = filling()
    held(view)
    happened(view, ev.RunPausing, 24 * 60, reason="paused by ana")
    assert hold_ups(view.state)[0].words.endswith("since Sat 14 Mar, 02:15 UTC")


def test_the_graph_shows_it() -> None:
    view = filling()
    assert task_face(view, FILLS, Level.IDS).mark == "status-running"
    held(view)
    face = task_face(view, FILLS, Level.IDS)
    assert (face.mark, face.tail) == ("status-waiting", "held")


def test_so_do_the_line_below_the_graph_and_the_task_panel() -> None:
    view = filling()
    held(view)
    words = "held by ana since 02:15 UTC"
    assert why(view, FILLS) == words

    async def act(pilot: Pilot[None]) -> None:
        pilot.app.query_one(FrontierGraph).select_task(FILLS)
        pilot.app.query_one(FrontierGraph).refresh_view()

    assert f"◷ {FILLS}  {words}" in play(lambda: FrontierGraph(view), (130, 14), act).shown[-1]


# -- pauses, stops and rollbacks that wait for it --------------------------------------------------


def test_a_rollback_says_what_it_waits_for() -> None:
    view = filling(alone=False)
    decided: dict[str, Any] = {"task": "", "action": "rollback", "to": "start", "actor": "ana", "reason": ""}
    happened(view, ev.DecisionMade, question=0, on_seq=1, **decided)
    happened(view, ev.RunPausing, reason="a rollback to start was decided")
    told = line(view)
    assert told.startswith(
        f"↺ rollback to start: waits for {FILLS}, {OTHER} · A can end the attempt at {FILLS}"
    )
    held(view)
    assert line(view).startswith(
        f"↺ rollback to start: waits for {FILLS} (held by ana since 02:15 UTC), {OTHER} · A lets it go on"
    )


def test_a_pause_tells_how_a_backfill_is_held() -> None:
    view = filling()
    happened(view, ev.RunPausing, reason="paused by ana")
    assert line(view).startswith(f"◷ pausing: waits for {FILLS} · A holds {FILLS}")


def test_a_stop_says_what_is_held() -> None:
    view = filling()
    happened(view, ev.RunStopping, drain=True, fatal=False, actor="ana", reason="")
    assert line(view).startswith("− stopping, 1 task running · ")
    held(view)
    assert line(view).startswith(f"− stopping: waits for {FILLS} (held by ana since 02:15 UTC) · A lets")


# -- a database that is gone -----------------------------------------------------------------------

LOST = "built-in: connection lost"
REFUSED = "built-in: connection refused or not to be had"


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([REFUSED], "database shop cannot be reached since 02:16 UTC"),
        ([LOST, REFUSED, REFUSED], "database shop cannot be reached since 02:16 UTC"),
        (["built-in: 40P01 deadlock_detected", REFUSED], "database shop cannot be reached since 02:17 UTC"),
        ([LOST], ""),
        ([REFUSED, "built-in: 40P01 deadlock_detected"], ""),
    ],
)
def test_a_database_that_cannot_be_reached(rules: list[str], words: str) -> None:
    view = filling()
    for number, rule in enumerate(rules):
        t, attempt = 16.0 + number, 1 + number
        if number:
            happened(view, ev.TaskStarted, t, task=FILLS, attempt=attempt, lane=0)
        failed = {"failure_class": FailureClass.TRANSIENT, "reason": "connecting", "effect": "none"}
        happened(view, ev.TaskFailed, t, task=FILLS, attempt=attempt, rule=rule, **failed)
        again = {"retry": attempt, "delay": 9.0, "due_t": t * 60 + 9.0, "reason": "retry"}
        happened(view, ev.RetryScheduled, t, task=FILLS, **again)
    assert [up.words for up in hold_ups(view.state)] == ([words] if words else [])
    told = line(view)
    assert told.startswith(f"◷ {words} · " if words else "▶ running · ")
    assert ("done in" in told) is not bool(words)
