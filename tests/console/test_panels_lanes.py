"""The lanes on their time axis."""

import asyncio

from textual.events import MouseScrollDown
from textual.pilot import Pilot

from console.messages import TaskSelected
from console.outlook import Bar, ExpectedBarrier, ExpectedCheckpoint, Outlook
from console.panels.lanes import LanesPanel
from console.run_view import RunView
from engine.machine import events as ev
from tests.console import fixtures
from tests.console.panel_stage import PanelStage, keys, lines_of, play
from tests.console.test_panels_layout import layered

# -- what is seen ----------------------------------------------------------------------------------

BARRIER = """\
            0s              5m              10m             15m             20m     now
            ┬─────────‖─────┬─────────────◑─┬───────────────┬──────────◑────┬───────▼────
lane 1  97% ▏   ▏     ‖▏backfill-orders                                 ▏…orders  · │
lane 2  86% ▏…cents · ‖▏fill-orgs           · · ·▏▶ backfill-customers              │
lane 3  42% ▏   · · · ‖▏backfill-statuses         · · · · · · · · · · · · · · · · · │
waits for   add-org-id‖                                                             │
◷ held up             ‖                    ░░░░░░                                   │
3 lanes 75% busy, 16m36s idle
"""


def test_barriers_go_through_all_lanes_with_what_they_waited_for_and_idle_time_shows() -> None:
    assert play(lambda: LanesPanel(fixtures.at_barrier()), (90, 8)).shown == BARRIER.splitlines()


def test_idle_time_is_dotted_up_to_now_and_not_beyond() -> None:
    shown = play(lambda: LanesPanel(fixtures.at_barrier()), (90, 7)).shown
    now = shown[1].index("▼")
    for lane in (2, 3, 4):
        assert shown[lane][now] == "│"
        assert "·" in shown[lane][:now]
        assert not shown[lane][now + 1 :].strip()


def test_a_failed_attempt_ends_in_its_mark_and_the_next_one_says_so() -> None:
    shown = play(lambda: LanesPanel(fixtures.question_open()), (110, 7)).shown
    assert "✗" in shown[3]
    assert "✗" in shown[4]
    assert "✗" not in shown[2]
    assert "↻2" in shown[4][shown[4].index("✗") :]


def test_names_that_do_not_fit_stand_below_their_bars() -> None:
    tall = play(lambda: LanesPanel(fixtures.running()), (90, 14)).shown
    below = tall[2 + 2]
    assert "create-orgs" in below
    assert below.index("create-orgs") == 12
    flat = play(lambda: LanesPanel(fixtures.running()), (90, 7)).shown
    assert not any("create-orgs" in line for line in flat)


def test_a_lane_with_room_says_what_its_tasks_are_about() -> None:
    tall = play(lambda: LanesPanel(fixtures.running()), (110, 16)).shown
    assert any("Write every total in cents" in line for line in tall)


def test_what_was_held_up_has_a_row_of_its_own() -> None:
    shown = play(lambda: LanesPanel(fixtures.running()), (110, 8)).shown
    held = next(line for line in shown if line.startswith("◷ held up"))
    assert "░" in held


def test_what_a_rollback_did_has_a_row_of_its_own() -> None:
    shown = play(lambda: LanesPanel(fixtures.rolled_back()), (110, 9)).shown
    assert any(line.startswith("↩ rollback") and "↩" in line[12:] for line in shown)


def test_where_another_engine_took_the_run_up_there_is_a_line() -> None:
    story = fixtures.midway()
    story.at(13).add(ev.RunResumed, cause="engine", actor="bo")
    shown = play(lambda: LanesPanel(story.view(now=15.0)), (110, 9)).shown
    note = next(line for line in shown if "resumed after 24s" in line)
    at = note.index("┊")
    assert [line[at] for line in shown[2:5]] == ["┊"] * 3


def expecting() -> RunView:
    """Fifteen minutes in, with what is to come: bars, a barrier and two checkpoints."""
    view = fixtures.running()
    view.expected = Outlook(
        1800.0,
        (
            Bar("backfill-orders", 1, 132.0, 1050.0),
            Bar("index-orders", 0, 1050.0, 1800.0),
            Bar("check-orders", 1, 1050.0, 1290.0),
        ),
        (ExpectedBarrier(1800.0, "backfill", "index-orders"),),
        (ExpectedCheckpoint(1050.0, "progress", "50 % settled"), ExpectedCheckpoint(1500.0, "time", "")),
    )
    return view


def test_what_is_expected_follows_the_line_at_now() -> None:
    shown = play(lambda: LanesPanel(expecting()), (90, 8)).shown
    now = shown[1].index("▼")
    assert "index-orders" in shown[2][now:]
    assert shown[3].count("backfill-orders") == 1
    assert shown[1].count("◌") == 1
    barrier = shown[5].index("‖")
    assert shown[5][:barrier].endswith("index-orders")
    assert barrier > now


def test_a_record_expects_nothing() -> None:
    view = expecting()
    view.show_past(10)
    shown = play(lambda: LanesPanel(view), (90, 8)).shown
    assert not any("index-orders" in line for line in shown)


def test_a_share_is_rounded_down_so_that_all_is_all() -> None:
    story = fixtures.Story(fixtures.shop_plan()).begin().ready("create-orgs").start("create-orgs", 0)
    story.at(10).done("create-orgs").at(10.01).ready("fill-orgs").start("fill-orgs", 0)
    shown = play(lambda: LanesPanel(story.view(now=11.0)), (90, 7)).shown
    assert shown[2].startswith("lane 1  99%")


def test_tasks_too_short_to_tell_apart_are_counted() -> None:
    view = fixtures.told(layered(600, 20), 0.9)
    shown = play(lambda: LanesPanel(view), (40, 36)).shown
    assert any("short tasks" in line for line in shown)
    assert any(level in line for line in shown for level in "▂▃▄▅▆▇")


# -- choosing --------------------------------------------------------------------------------------


def chosen(*pressed: str, view: RunView | None = None) -> list[str]:
    stage = play(lambda: LanesPanel(view or fixtures.running()), (100, 9), keys(*pressed))
    return [message.task_id for message in stage.asked if isinstance(message, TaskSelected)]


def test_arrow_keys_choose_bars() -> None:
    assert chosen("down", "left", "left", "right") == ["fill-orgs", "create-orgs", "fill-orgs"]
    assert chosen("down", "down", "down", "up") == [
        *("fill-orgs", "backfill-orders", "backfill-statuses", "backfill-orders"),
    ]
    assert chosen("up", "left", "left", "left") == [
        *("backfill-customers", "backfill-statuses", "backfill-statuses", "add-org-id"),
    ]


def test_what_is_expected_can_be_chosen_too() -> None:
    assert chosen("down", "right", view=expecting())[-1] == "index-orders"


def test_a_click_on_a_bar_selects_its_task() -> None:
    async def act(pilot: Pilot[None]) -> None:
        await pilot.click(LanesPanel, offset=(40, 3))
        await pilot.click(LanesPanel, offset=(99, 2))

    stage = play(lambda: LanesPanel(fixtures.running()), (100, 7), act)
    assert [m.task_id for m in stage.asked if isinstance(m, TaskSelected)] == ["backfill-orders"]


def test_a_task_selected_elsewhere_is_lit_and_told_of() -> None:
    async def look() -> None:
        stage = PanelStage(lambda: LanesPanel(fixtures.running()))
        async with stage.run_test(size=(100, 7)) as pilot:
            await pilot.pause()
            panel = stage.query_one(LanesPanel)
            plain = panel.render_line(3)
            panel.select_task("backfill-orders")
            assert panel.render_line(3) != plain
            assert panel.render_line(3).text == plain.text
            assert lines_of(panel)[-1].startswith(
                "▶ backfill-orders  running  lane 2, for 12m48s, expected 15m"
            )

    asyncio.run(look())


# -- the stretch that is looked at -----------------------------------------------------------------


def test_zoom_pan_and_back() -> None:
    async def act(pilot: Pilot[None]) -> None:
        panel = pilot.app.query_one(LanesPanel)
        whole = panel._axis
        await pilot.press("plus", "plus")
        assert panel._axis.scale == whole.scale / 4
        assert abs(panel._axis.cell(panel.view.now_t) - whole.cell(panel.view.now_t)) <= 1
        start = panel._axis.start
        await pilot.press("less_than_sign")
        assert panel._axis.start < start
        await pilot.press("minus", "minus")
        assert panel._axis == whole
        await pilot.press("plus", "plus", "0")
        assert panel._axis == whole

    play(lambda: LanesPanel(fixtures.running()), (90, 7), act)


def test_zooming_goes_around_the_chosen_bar() -> None:
    async def act(pilot: Pilot[None]) -> None:
        panel = pilot.app.query_one(LanesPanel)
        await pilot.press("down", "left")  # create-orgs, at the very start
        await pilot.press("plus", "plus", "plus")
        assert panel._axis.start < 66
        assert panel._axis.cell(panel.view.now_t) > panel._axis.cells

    play(lambda: LanesPanel(fixtures.running()), (90, 7), act)


def test_choosing_a_bar_brings_it_into_sight() -> None:
    async def act(pilot: Pilot[None]) -> None:
        panel = pilot.app.query_one(LanesPanel)
        await pilot.press("f", "plus", "plus", "plus")
        assert panel._axis.start > 60
        await pilot.press("down", "left", "left", "left", "left")
        assert panel._axis.start == 0.0

    play(lambda: LanesPanel(fixtures.running()), (90, 7), act)


def test_now_is_gone_along_with() -> None:
    view = fixtures.running()

    async def act(pilot: Pilot[None]) -> None:
        panel = pilot.app.query_one(LanesPanel)
        await pilot.press("plus", "plus", "plus", "less_than_sign", "less_than_sign")
        still = panel._axis
        assert isinstance(view.controls, fixtures.HeldControls)
        view.controls.now += 30
        panel.refresh_view()
        assert panel._axis == still
        await pilot.press("f")
        before = panel._axis.cell(view.now_t)
        view.controls.now += 120
        panel.refresh_view()
        assert panel._axis.start > still.start
        assert panel._axis.cell(view.now_t) == before

    play(lambda: LanesPanel(view), (90, 7), act)


def test_the_wheel_pans_and_zooms_with_ctrl() -> None:
    async def act(pilot: Pilot[None]) -> None:
        panel = pilot.app.query_one(LanesPanel)
        await pilot.press("plus", "plus", "less_than_sign", "less_than_sign")
        start, scale = panel._axis.start, panel._axis.scale
        await wheel(pilot, panel)
        assert panel._axis.start > start
        assert panel._axis.scale == scale
        await wheel(pilot, panel, ctrl=True)
        assert panel._axis.scale == 2 * scale

    play(lambda: LanesPanel(fixtures.running()), (90, 7), act)


async def wheel(pilot: Pilot[None], panel: LanesPanel, *, ctrl: bool = False) -> None:
    """One notch down, in the middle of the panel."""
    turned = MouseScrollDown(
        panel,
        45,
        3,
        delta_x=0,
        delta_y=1,
        button=0,
        shift=False,
        meta=False,
        ctrl=ctrl,
        screen_x=45,
        screen_y=3,
    )
    panel.post_message(turned)
    await pilot.pause()


def test_the_caption_says_what_waits() -> None:
    view = fixtures.running()
    upto = next(e.seq for e in view.events if isinstance(e, ev.TaskWaiting))
    view.show_past(upto)
    shown = play(lambda: LanesPanel(view), (110, 7)).shown
    assert shown[-1].endswith("◷ backfill-customers waits: needs 1 of writers; all 2 are in use")


def test_many_lanes_can_be_scrolled() -> None:
    plan = fixtures.shop_plan().model_copy(update={"workers": 40})
    view = fixtures.Story(plan).begin().view(now=1.0)
    assert any("lane 40" in line for line in play(lambda: LanesPanel(view), (80, 12), keys("end")).shown)
