"""Time on the lanes: the axis, the stretch that is looked at, and what belongs to which cell of it."""

import math
import random
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.panels.axis import Axis, steady, whole
from console.panels.bars import pieces
from console.panels.history import History, Track
from console.panels.window import Window
from console.run_view import RunView
from engine.forecast.simulation import Simulation
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.events import Purpose
from engine.machine.metrics import busy_seconds
from engine.machine.transitions import TaskStatus
from engine.plan.models import FailureClass, Task, expected_duration
from tests.console import fixtures

T = TaskStatus

# -- the axis --------------------------------------------------------------------------------------


def test_an_axis_has_ticks_at_round_times_far_enough_apart_to_read() -> None:
    assert whole(3600, 60).ticks() == [(0, "0s"), (15, "15m"), (30, "30m"), (45, "45m"), (60, "1h")]
    assert [label for _, label in whole(172_800, 60).ticks()] == ["0s", "12h", "1d", "1d12h", "2d"]
    assert [label for _, label in whole(2, 60).ticks()] == ["0s", "500ms", "1s", "1.5s", "2s"]


@pytest.mark.parametrize(
    ("start", "scale", "labels"),
    [
        (93_600, 30, ["1d2h", "1d2h10m", "1d2h20m"]),
        (93_600, 1, ["1d2h", "1d2h15s", "1d2h30s", "1d2h45s"]),
        (3_600, 0.02, ["1h", "1h+500ms", "1h1s"]),
    ],
)
def test_labels_tell_neighbouring_ticks_apart_however_late_they_are(
    start: float, scale: float, labels: list[str]
) -> None:
    assert [label for _, label in Axis(start, scale, 50).ticks()][: len(labels)] == labels


@given(
    start=st.floats(0, 1e7), scale=st.sampled_from([0.005, 0.1, 1.0, 7.0, 60.0, 900.0, 86_400.0]),
    cells=st.integers(20, 200),
)  # fmt: skip
def test_ticks_differ_and_never_run_into_each_other(start: float, scale: float, cells: int) -> None:
    ticks = Axis(start, scale, cells).ticks()
    assert len({label for _, label in ticks}) == len(ticks)
    assert all(cell + len(label) < following for (cell, label), (following, _) in pairwise(ticks))


@pytest.mark.parametrize("length", [1e-3, 1.0, 59.0, 86_400.0, 3.2e7, 3.2e9])
def test_ticks_are_few_whatever_the_length(length: float) -> None:
    assert 1 <= len(whole(length, 80).ticks()) <= 9


def test_the_length_stands_still_for_a_while_and_never_cuts_off() -> None:
    lengths = [0.0]
    for step in range(100):
        lengths.append(steady(100 + step, lengths[-1]))
        assert lengths[-1] >= 100 + step
    assert len(set(lengths[1:])) <= 10
    assert steady(100, lengths[-1]) < lengths[-1]  # but it does not stay too long for ever


# -- the stretch that is looked at -----------------------------------------------------------------


def test_zooming_keeps_the_moment_one_looks_at_in_place() -> None:
    window = Window()
    axis = window.axis(50, 100.0, 60.0, growing=False)
    window.zoom(axis, 0.5, 30.0, along=False)
    closer = window.axis(50, 100.0, 60.0, growing=False)
    assert closer.scale == axis.scale / 2
    assert closer.cell(30.0) == axis.cell(30.0)


@given(steps=st.lists(st.sampled_from(["in", "out", "left", "right", "now", "bring"]), max_size=30))
def test_a_window_never_leaves_the_run(steps: list[str]) -> None:
    window, now, length = Window(), 700.0, 1000.0
    for step in steps:
        axis = window.axis(50, length, now, growing=False)
        assert axis.start >= 0.0
        assert axis.start < length
        assert axis.scale * axis.cells <= length + 1e-6
        match step:
            case "in" | "out":
                window.zoom(axis, 0.5 if step == "in" else 2.0, axis.middle(20), along=False)
            case "left" | "right":
                window.pan(axis, 0.25 if step == "right" else -0.25)
            case "now":
                window.follow(1.0)
            case "bring":
                window.bring(axis, 400.0, 410.0)
                axis = window.axis(50, length, now, growing=False)
                assert axis.start <= 400.0 + 1e-6
                assert axis.end >= min(410.0, 400.0 + axis.scale) - 1e-6


# -- what belongs to which cell --------------------------------------------------------------------


@st.composite
def tracks(draw: st.DrawFn) -> tuple[Track, float]:
    """Spans of all lengths with all gaps, the last one perhaps still there; and now."""
    track, t = Track(), 0.0
    for number in range(draw(st.integers(0, 30))):
        t += draw(st.sampled_from([0.0, 0.0, 0.3, 1.0, 7.0, 40.0]))
        held = draw(st.booleans()) and draw(st.booleans())
        track.begin(f"t{number}", t, T.WAITING if held else T.RUNNING, 0 if held else 1)
        t += draw(st.sampled_from([0.01, 0.4, 1.0, 3.0, 20.0, 90.0]))
        track.finish(t, None if held else draw(st.sampled_from([T.SUCCEEDED, T.FAILED])))
    if draw(st.booleans()):
        track.begin("last", t, T.RUNNING, 1)
    return track, t + draw(st.sampled_from([0.0, 1.0, 30.0]))


@pytest.mark.parametrize(
    ("start", "scale", "cell"), [(0.0, 53.75417683514743, 4), (0.0, 10.5969991792066, 89)]
)
def test_a_bar_that_ends_a_hair_behind_a_middle_comes_to_an_end(
    start: float, scale: float, cell: int
) -> None:
    axis = Axis(start, scale, 100)
    track = Track()
    track.begin("a", start, T.RUNNING, 1)
    track.finish(math.nextafter(axis.middle(cell), math.inf), T.SUCCEEDED)
    found = list(islice(pieces(track, axis, 0, 100, axis.end), 1000))
    assert found[-1].end == 100


@given(
    made=tracks(), scale=st.sampled_from([0.1, 1.0, 2.5, 10.0, 60.0]), start=st.sampled_from([0.0, 3.7, 50.0])
)
def test_pieces_tile_the_lane_and_hide_no_more_than_they_must(
    made: tuple[Track, float], scale: float, start: float
) -> None:
    track, now = made
    cells = max(1, math.ceil((now - start) / scale))
    axis = Axis(start, scale, cells)
    found = list(pieces(track, axis, 0, cells, now))
    assert found[0].begin == 0
    assert found[-1].end == cells
    assert all(one.end == other.begin for one, other in pairwise(found))
    assert all(piece.begin < piece.end for piece in found)
    assert not any(not one.spans and not other.spans for one, other in pairwise(found))
    bars = [id(piece.bar) for piece in found if piece.bar]
    assert len(bars) == len(set(bars)), "a bar in two pieces"
    shown = {id(span) for piece in found for span in piece.spans}
    long_middles = {piece.begin + n for piece in found if piece.bar for n in range(piece.end - piece.begin)}
    for span in track.spans:
        middle = axis.cell((span.start + span.until(now)) / 2)
        within = axis.start <= span.start < span.until(now) and middle < cells - 1
        if within and middle not in long_middles:
            assert id(span) in shown, span
        if within and span.until(now) - span.start >= scale:
            assert id(span) in shown, span


@given(made=tracks())
def test_busy_and_idle_make_up_the_time(made: tuple[Track, float]) -> None:
    track, now = made
    ran = sum(span.until(now) - span.start for span in track.spans if span.status is not T.WAITING)
    assert track.busy(now) == pytest.approx(ran)
    assert 0.0 <= track.busy(now) <= now + 1e-6
    marks = [now * step / 20 for step in range(21)]
    parts = [track.busy(later) - track.busy(earlier) for earlier, later in pairwise(marks)]
    assert sum(parts) == pytest.approx(track.busy(now))
    assert all(-1e-9 <= part <= now / 20 + 1e-6 for part in parts)


# -- what happened ---------------------------------------------------------------------------------


def simulated(model: str) -> RunView:
    """The reference plan, with tasks that take longer or shorter than expected, or fail at first."""
    chance = random.Random(7)

    def outcomes(task: Task, attempt: int, purpose: Purpose) -> tuple[float, rep.Report]:
        takes = expected_duration(task) * chance.uniform(0.5, 1.5)
        if attempt == 1 and chance.random() < 0.2:
            failed = rep.Failed(
                task=task.id, attempt=1, failure_class=FailureClass.TRANSIENT, reason="busy", rule="a test"
            )
            return takes / 2, failed
        return takes, rep.Succeeded(task=task.id, attempt=attempt, purpose=purpose)

    plan = fixtures.reference_plan(model)
    simulation = Simulation(plan, outcomes=outcomes)
    simulation.run()
    view = RunView(plan)
    view.fold(simulation.events)
    return view


@pytest.mark.parametrize("model", ["rolling", "wave"])
def test_lanes_are_busy_for_as_long_as_the_engine_says_and_hold_one_task_at_a_time(model: str) -> None:
    view = simulated(model)
    bit_by_bit = History(view)
    for seq in range(1, view.newest.seq + 1, 7):
        view.show_past(seq)
        bit_by_bit.follow()
        ours = [bit_by_bit.lanes.get(lane, Track()).busy(view.state.t) for lane in range(4)]
        assert ours == pytest.approx(busy_seconds(view.state, view.state.t))
    view.show_past(None)
    at_once = History(view)
    at_once.follow()
    bit_by_bit.follow()
    assert bit_by_bit.lanes == at_once.lanes
    assert bit_by_bit.held == at_once.held
    for track in at_once.lanes.values():
        assert all(one.until(0) <= other.start for one, other in pairwise(track.spans))


def test_a_barrier_remembers_the_task_that_it_waited_for_to_the_last() -> None:
    view = simulated("wave")
    history = History(view)
    history.follow()
    assert [barrier.wave for barrier in history.barriers] == list(view.newest.barriers)
    for barrier in history.barriers:
        last = view.newest.tasks[barrier.last].last
        assert last is not None
        assert last.ended_t == barrier.t


def test_history_keeps_attempts_that_failed_and_time_on_hold() -> None:
    history = History(fixtures.rolled_back())
    history.follow()
    lane = history.lanes[2]
    assert [(span.task, span.status, span.attempt) for span in lane.spans][2:4] == [
        ("backfill-statuses", T.FAILED, 1),
        ("backfill-statuses", T.SUCCEEDED, 2),
    ]
    held, ran = history.lanes[0].spans[3:5]
    assert (held.task, held.status, held.end) == ("switch-reads", T.WAITING, ran.start)
    assert (ran.task, ran.status) == ("switch-reads", T.SUCCEEDED)
    assert [span.task for span in history.undo.spans] == ["switch-writes", "switch-reads"]


def test_history_tells_what_was_held_up_and_when() -> None:
    history = History(fixtures.rolled_back())
    history.follow()
    assert [(span.task, span.start, span.end) for span in history.held.spans] == [
        ("backfill-statuses", 300.0, 302.0),
        ("backfill-customers", 444.0, 756.0),
        ("paused", 1986.0, 2100.0),
    ]


def test_history_goes_back_with_the_view() -> None:
    view = fixtures.rolled_back()
    history = History(view)
    history.follow()
    view.show_past(5)
    history.follow()
    assert [span.task for track in history.lanes.values() for span in track.spans] == ["create-orgs"]
    assert not history.undo.spans
    assert not history.held.spans


def test_history_knows_how_long_the_run_was_without_an_engine() -> None:
    story = fixtures.midway().at(13).add(ev.RunResumed, cause="engine", actor="bo")
    history = History(story.view(now=15.0))
    history.follow()
    assert history.taken_up == [(780.0, 24.0)]
