"""What the end of a run says of what operators did."""

from msgspec.structs import replace

from console.commands.inspecting import as_dict
from console.run_view import RunView
from console.summary import ended_because, summarise
from engine.machine import events as ev
from tests.console import fixtures
from tests.console.wait_stage import FILLS, WAITS, Scene

ENDS = {"attempt": 1, "action": "terminate_backend", "pid": 4711}


def interfered() -> RunView:
    """A connection was ended, another was not there any more, one's own attempt is being ended still; and a
    backfill was held."""
    scene = Scene()
    scene.tell(ev.InterventionMade, **ENDS, actor="ana", reason="alice is at lunch", on_seq=1)
    scene.tell(ev.InterventionEnded, **ENDS, done=True, detail="its connection is ended")
    scene.tell(ev.InterventionRefused, action="cancel_backend", pid=7, actor="ben", why="it has changed")
    scene.tell(ev.InterventionMade, attempt=1, action="cancel_own", actor="ben", on_seq=1)
    scene.tell(ev.TaskAdjusted, task=FILLS, held=True, actor="ana")
    return scene.view


def told_of(view: RunView) -> list[tuple[str, str]]:
    return [(line.label, line.text) for line in summarise(view).lines]


def test_the_summary_tells_who_interfered_when_why_and_with_what_result() -> None:
    told = told_of(interfered())
    first = told.index(next(each for each in told if each[0] == "interventions"))
    assert [text.partition(" ")[2] for _, text in told[first : first + 4]] == [
        f"ana decided to end the connection of pid 4711, which blocks {WAITS} (alice is at lunch): "
        "done, its connection is ended",
        f"refused: ben wanted to cancel what pid 7 runs, which blocks {WAITS}: it has changed",
        f"ben decided to end attempt 1 at {WAITS}: no end of it was seen",
        f"ana adjusted {FILLS}: held",
    ]
    assert told[first + 3][0] == "adjustments"


def test_of_many_interventions_the_last_are_told_and_the_others_counted() -> None:
    scene = Scene()
    for pid in range(7):
        scene.tell(ev.InterventionRefused, action="cancel_backend", pid=pid, actor="ana", why="it has gone")
    told = [text for _, text in told_of(scene.view)]
    assert "4 earlier: `inspect --json` has them" in told
    assert ["pid 3" in text or "pid 4" in text for text in told].count(True) == 1


def test_inspect_has_interventions_and_adjustments() -> None:
    view = interfered()
    found = as_dict(view.newest, view.events)
    ended, refused, own = found["interventions"]
    assert ended == {
        "task": WAITS,
        "attempt": 1,
        "action": "terminate_backend",
        "pid": 4711,
        "actor": "ana",
        "reason": "alice is at lunch",
        "at": ended["at"],
        "result": "done",
        "detail": "its connection is ended",
    }
    assert ended["at"].endswith("Z")
    assert (refused["actor"], refused["result"], refused["detail"]) == ("ben", "refused", "it has changed")
    assert (own["pid"], own["result"]) == (None, "unknown")
    [held] = found["adjustments"]
    assert (held["task"], held["actor"], held["held"], held["batch"]) == (FILLS, "ana", True, None)


def test_a_run_that_nobody_interfered_with_says_nothing_of_it() -> None:
    labels = [label for label, _ in told_of(fixtures.finished())]
    assert not {"interventions", "adjustments", ""} & {*labels}


def test_the_reason_of_a_rollback_stays_beside_what_it_came_to() -> None:
    told = fixtures.rolled_back()
    *before, end = told.events
    view = RunView(told.plan)
    view.fold([*before, replace(end, reason="rolled back to cp-0006")])
    assert "Reason: rolled back to cp-0006 (support sees wrong totals)." in summarise(view).meaning
    assert ended_because(view.newest) == "rolled back to cp-0006 (support sees wrong totals)"
