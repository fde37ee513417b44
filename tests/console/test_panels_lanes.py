"""The lanes on their time axis."""

import pytest
from textual.pilot import Pilot

from console.messages import TaskSelected
from console.panels.axis import Axis, horizon, whole, zoomed
from console.panels.history import History
from console.panels.lanes import LanesPanel
from engine.machine import events as ev
from engine.machine.transitions import TaskStatus
from tests.console import fixtures
from tests.console.panel_stage import keys, play

T = TaskStatus


def test_an_axis_has_ticks_at_round_times_far_enough_apart_to_read() -> None:
    assert whole(3600, 60).ticks() == [(0, "0s"), (15, "15m"), (30, "30m"), (45, "45m"), (60, "1h")]
    assert [label for _, label in whole(172_800, 60).ticks()] == ["0s", "12h", "1d", "1d12h", "2d"]
    assert [label for _, label in whole(2, 60).ticks()] == ["0s", "500ms", "1s", "1.5s", "2s"]


@pytest.mark.parametrize("length", [1e-3, 1.0, 59.0, 86_400.0, 3.2e7, 3.2e9])
def test_ticks_are_few_whatever_the_length(length: float) -> None:
    assert 1 <= len(whole(length, 80).ticks()) <= 9


def test_a_horizon_stands_still_for_a_while_and_never_cuts_off() -> None:
    values = [horizon(100 + step) for step in range(100)]
    assert all(value >= 100 + step for step, value in enumerate(values))
    assert len(set(values)) <= 5


def test_zooming_keeps_the_moment_one_looks_at_in_place() -> None:
    axis = Axis(100.0, 2.0, 50)
    closer = zoomed(axis, 0.5, 150.0)
    assert closer.scale == 1.0
    assert closer.cell(150.0) == axis.cell(150.0)


def test_history_keeps_attempts_that_failed_and_time_on_hold() -> None:
    history = History(fixtures.rolled_back())
    history.follow()
    lane = history.lanes[2]
    assert [(span.task, span.status) for span in lane.spans][2:4] == [
        ("backfill-statuses", T.FAILED),
        ("backfill-statuses", T.SUCCEEDED),
    ]
    held, ran = history.lanes[0].spans[3:5]
    assert (held.task, held.status, held.end) == ("switch-reads", T.WAITING, ran.start)
    assert (ran.task, ran.status) == ("switch-reads", T.SUCCEEDED)
    assert [span.task for span in history.undo.spans] == ["switch-writes", "switch-reads"]
    assert history.lanes[0].busy(1e9) == sum(
        span.end - span.start for span in history.lanes[0].spans if span.end and span.status is not T.WAITING
    )


def test_history_grows_with_the_events_and_goes_back_with_the_view() -> None:
    view = fixtures.rolled_back()
    at_once = History(view)
    at_once.follow()
    bit_by_bit = History(view)
    for seq in range(1, view.newest.seq + 1):
        view.show_past(seq)
        bit_by_bit.follow()
    assert bit_by_bit.lanes == at_once.lanes
    view.show_past(5)
    bit_by_bit.follow()
    assert [span.task for track in bit_by_bit.lanes.values() for span in track.spans] == ["create-orgs"]
    assert not bit_by_bit.undo.spans


BARRIER = """\
            0s            5m             10m           15m            20m    now     25m
            ┬────────‖────┬────────────◑─┬─────────────┬─────────◑────┬──────▼───────┬───
lane 1  97% ▏  ▏ad…id‖▏backfill-orders                            ▏ind…ders ┈│
lane 2  87% ▏a…ts ┈┈┈‖▏fill-orgs        ┈┈┈┈┈┈▏▶ backfill-customers
lane 3  42% ▏   ┈┈┈┈┈‖▏backfill-statuses      ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈│

3 lanes, 75% busy
"""


def test_barriers_go_through_all_lanes_and_idle_time_shows() -> None:
    assert play(lambda: LanesPanel(fixtures.at_barrier()), (90, 7)).shown == BARRIER.splitlines()


def test_a_failed_attempt_is_marked_where_it_ended() -> None:
    shown = play(lambda: LanesPanel(fixtures.question_open()), (90, 7)).shown
    assert "✗" in shown[3]
    assert "✗" in shown[4]
    assert "✗" not in shown[2]


def test_what_is_expected_follows_the_line_at_now() -> None:
    def with_forecast() -> LanesPanel:
        return LanesPanel(fixtures.running())

    async def act(pilot: Pilot[None]) -> None:
        pilot.app.query_one(LanesPanel).set_forecast(
            [("backfill-orders", 1, 132.0, 1050.0), ("index-orders", 0, 1050.0, 1800.0)]
        )

    shown = play(with_forecast, (90, 7), act).shown
    now = shown[1].index("▼")
    assert "index-orders" in shown[2][now:]
    assert shown[3].count("backfill-orders") == 1
    assert shown[0].endswith("30m") or "25m" in shown[0]


def test_zoom_and_pan() -> None:
    async def act(pilot: Pilot[None]) -> None:
        panel = pilot.app.query_one(LanesPanel)
        scale = panel._axis.scale
        await pilot.press("plus", "plus")
        assert panel._axis.scale == scale / 4
        start = panel._axis.start
        await pilot.press("left")
        assert panel._axis.start < start
        await pilot.press("minus", "minus", "minus")
        assert panel._axis == whole(panel._length(), panel._axis.cells)

    play(lambda: LanesPanel(fixtures.running()), (90, 7), act)


def test_a_click_on_a_bar_selects_its_task() -> None:
    async def act(pilot: Pilot[None]) -> None:
        await pilot.click(LanesPanel, offset=(40, 3))
        await pilot.click(LanesPanel, offset=(80, 2))

    stage = play(lambda: LanesPanel(fixtures.running()), (90, 7), act)
    assert [m.task_id for m in stage.asked if isinstance(m, TaskSelected)] == ["backfill-orders"]


def test_the_newest_lane_says_what_waits() -> None:
    view = fixtures.running()
    upto = next(e.seq for e in view.events if isinstance(e, ev.TaskWaiting))
    view.show_past(upto)
    shown = play(lambda: LanesPanel(view), (110, 7)).shown
    assert shown[-1].endswith("◷ backfill-customers waits: needs 1 of writers; all 2 are in use")


def test_many_lanes_can_be_scrolled() -> None:
    plan = fixtures.shop_plan().model_copy(update={"workers": 40})
    view = fixtures.Story(plan).begin().view(now=1.0)
    assert any("lane 40" in line for line in play(lambda: LanesPanel(view), (80, 12), keys("end")).shown)
