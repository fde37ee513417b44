"""Waves, checkpoints, events and the selected task, as text."""

from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from console.messages import MomentSelected, RollbackRequested, TaskSelected
from console.outlook import look_ahead
from console.panels.events import EventsPanel
from console.panels.task import TaskPanel
from console.panels.timeline import CheckpointTimeline
from console.panels.waves import WavesStrip
from console.run_view import RunView
from engine.forecast.faults import Fault, Faults
from engine.forecast.simulation import Simulation
from engine.machine import events as ev
from engine.plan.models import parse_plan_data
from tests.console import fixtures
from tests.console.panel_stage import keys, play
from tests.console.test_panels_layout import layered

# -- waves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (
            124,
            "✓ Expand 4/4 ‖ ▶ Backfill 4/5 ‖ · Validate 0/2 ‖ · Switch 0/2 ‖ · Contract 0/3"
            "   ‖ lanes 1 3 wait for backfill-customers",
        ),
        (80, "✓ 4/4 ‖ ▶ Backfill 4/5 ‖ · 0/2 ‖ · 0/2 ‖ · 0/3   ‖ lanes 1 3 wait"),
        (60, "✓ 4/4 ‖ ▶ Backfill 4/5 ‖ · 0/2 ‖ · 0/2 ‖ · 0/3"),
        (40, "✓ 4/4 ‖ ▶ 4/5 ‖ · 0/2 ‖ · 0/2 ‖ · 0/3"),
    ],
)
def test_waves_their_barriers_and_who_is_waited_for(width: int, line: str) -> None:
    assert play(lambda: WavesStrip(fixtures.at_barrier()), (width + 2, 1)).shown == [line]


def test_phases_in_the_rolling_model() -> None:
    shown = play(lambda: WavesStrip(fixtures.rolled_back()), (120, 1)).shown[0]
    assert shown.startswith("✓ expand 4/4   ✓ backfill 5/5   ✓ validate 2/2   ↩ switch 0/2")
    assert "✗ contract 1/3" in shown


def test_generations_where_a_plan_has_no_phases() -> None:
    tasks = [{"id": "a", "run": {"shell": "true"}}, {"id": "b", "run": {"shell": "true"}, "needs": ["a"]}]
    view = RunView(parse_plan_data({"wesley": 1, "name": "two", "tasks": tasks}))
    assert play(lambda: WavesStrip(view), (60, 1)).shown == ["· step 1 0/1   · step 2 0/1"]


def test_of_many_parts_those_where_things_happen_are_shown() -> None:
    view = fixtures.told(layered(600, 20), 0.5)
    assert play(lambda: WavesStrip(view), (140, 1)).shown == [
        "✓ 13 before 260/260   ✓ step 14 20/20   ▶ step 15 14/20 ━━━━━───   · step 16 0/20   · step 17 0/20"
        "   · step 18 0/20   · 12 after 0/240"
    ]


# -- checkpoints -----------------------------------------------------------------------------------


def test_before_anybody_waits_at_a_barrier_it_says_what_is_left() -> None:
    view = fixtures.at_barrier()
    started = next(e.seq for e in view.events if isinstance(e, ev.WaveStarted) and e.wave == "backfill")
    view.show_past(started + 6)
    assert play(lambda: WavesStrip(view), (140, 1)).shown[0].endswith("‖ 5 tasks to go")


def foreseen(view: RunView) -> RunView:
    view.expected = look_ahead(view.newest.clone(), view.graph, view.now_t)
    return view


def test_checkpoints_and_which_one_comes_next_and_why() -> None:
    assert play(lambda: CheckpointTimeline(foreseen(fixtures.running())), (80, 4)).shown == [
        " ◌ next in about 6m10s: ◑ 50 % settled",
        " ◑ progress   7m36s ago    5 done  cp-0002",
        " ◆ phase     11m36s ago    4 done  cp-0001  expand",
        "",
    ]
    waves = play(lambda: CheckpointTimeline(foreseen(fixtures.at_barrier())), (80, 4)).shown
    assert waves[0] == " ◌ next in about 1m: ‖ wave backfill complete"


def test_no_checkpoint_is_promised_that_hangs_on_an_answer() -> None:
    shown = play(lambda: CheckpointTimeline(foreseen(fixtures.question_open())), (80, 4)).shown
    assert shown[0] == "   the next one depends on the answer"


def test_of_a_moment_that_is_looked_back_at_the_record_says_what_came_next() -> None:
    view = fixtures.finished()
    view.show_past(20)
    shown = play(lambda: CheckpointTimeline(view), (80, 4)).shown
    assert shown[0] == "   the next one came 4m later: ◑ progress"


def test_a_chosen_checkpoint_says_what_the_engine_would_undo_and_what_it_holds() -> None:
    view = fixtures.running()

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("down", "down")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()

    stage = play(lambda: CheckpointTimeline(view), (90, 20), act)
    assert stage.shown[2:] == [
        " ◆ phase     11m36s ago    4 done  cp-0001  expand",
        "   would undo  4: backfill-customers → backfill-orders → backfill-statuses → fill-orgs",
        "   in flight   backfill-orders, backfill-customers: finished first",
        "   and then    the run ends rolled back, in about 51m",
        "   completed   4 of 16: create-orgs, add-org-id, add-total-cents, create-statuses",
        "   running     2: fill-orgs (attempt 1, lane 1), backfill-orders (attempt 1, lane 2)",
        "   frontier    1: backfill-statuses",
        "   resources   1 of 2 writers, 1 of 1 lock orders in use",
        "   figures     3m24s into the run, 100% busy, 0s idle, 0 checkpoints before",
        "   stands at   event 18, hash a1a1a1a1a1a1a1a1…, 2026-03-14 02:03:24 UTC",
        *[""] * 8,
    ]


def test_what_is_done_since_a_checkpoint_is_told_of_a_run_that_is_over() -> None:
    stage = play(
        lambda: CheckpointTimeline(fixtures.finished()),
        (90, 16),
        keys("down", "down", "down", "down", "down"),
    )
    at = next(number for number, line in enumerate(stage.shown) if "cp-0004" in line)
    assert stage.shown[at + 1 : at + 3] == [
        "   done since  4: analyze, switch-writes, switch-reads, check-customers",
        "   would stay  2: drop-status-text, drop-totals (have no rollback)",
    ]


def test_a_rollback_is_asked_for_where_there_is_a_way_back() -> None:
    live = play(lambda: CheckpointTimeline(fixtures.running()), (80, 8), keys("down", "down", "b"))
    assert [m.to for m in live.asked if isinstance(m, RollbackRequested)] == ["cp-0001"]
    over = play(lambda: CheckpointTimeline(fixtures.finished()), (80, 8), keys("down", "b"))
    assert not [m for m in over.asked if isinstance(m, RollbackRequested)]


def test_enter_goes_to_the_moment_of_a_checkpoint() -> None:
    stage = play(lambda: CheckpointTimeline(fixtures.running()), (80, 8), keys("down", "down", "enter"))
    saved = [e.seq for e in fixtures.running().events if isinstance(e, ev.CheckpointSaved)]
    assert [m.seq for m in stage.asked if isinstance(m, MomentSelected)] == saved[:1]


# -- events ----------------------------------------------------------------------------------------


def test_events_end_with_the_newest() -> None:
    assert play(lambda: EventsPanel(fixtures.question_open()), (90, 3)).shown == [
        "02:14:12 ✗ backfill-orders failed (UNKNOWN: exit 3 — rule: built-in: any other exit code…",
        "02:14:12 ? question 33: what is to be done about backfill-orders? (exit 3)",
        "02:14:12 ◷ pausing: backfill-orders failed and nobody can tell why",
    ]


def test_enter_goes_to_the_task_of_the_chosen_event() -> None:
    stage = play(lambda: EventsPanel(fixtures.question_open()), (90, 5), keys("up", "up", "enter"))
    assert [m.task_id for m in stage.asked if isinstance(m, TaskSelected)] == ["backfill-orders"]
    assert [m.seq for m in stage.asked if isinstance(m, MomentSelected)] == [32]


def test_events_stay_at_the_end_until_one_moves_away() -> None:
    told = fixtures.question_open().events
    view = fixtures.Story(fixtures.shop_plan()).view()
    view.fold(told[:10])

    async def act(pilot: Pilot[None]) -> None:
        panel = pilot.app.query_one(EventsPanel)

        def newest_shown() -> str:
            return panel.render_line(4).text.rstrip()

        for number in range(10, 16):
            view.fold(told[number : number + 1])
            panel.refresh_view()
        assert "database is locked" not in newest_shown()
        following = newest_shown()
        assert following
        await pilot.press("up", "up", "up", "up", "up", "up")
        held = [panel.render_line(y).text for y in range(5)]
        view.fold(told[16:])
        panel.refresh_view()
        assert [panel.render_line(y).text for y in range(5)] == held
        await pilot.press("end")
        assert "pausing: backfill-orders" in newest_shown()

    play(lambda: EventsPanel(view), (90, 5), act)


def test_looking_back_the_moment_shown_is_at_the_bottom() -> None:
    view = fixtures.finished()
    view.show_past(20)
    shown = play(lambda: EventsPanel(view), (90, 5)).shown
    assert shown[-1] == "02:03:24 ▶ backfill-statuses started on lane 3"


# -- the task --------------------------------------------------------------------------------------


def task_panel(view: RunView, task_id: str) -> TaskPanel:
    panel = TaskPanel(view)
    panel.select_task(task_id)
    return panel


def test_a_failed_task_says_what_it_ran_why_it_failed_and_what_it_printed() -> None:
    shown = play(lambda: task_panel(fixtures.question_open(), "backfill-orders"), (72, 28)).shown
    assert shown == [
        "✗ backfill-orders  failed",
        "Write every total in cents",
        "question 33 is open: exit 3",
        "",
        "sql on shop",
        "▏ UPDATE orders",
        "▏ SET total_cents = CAST(round(total * 100) AS INTEGER)",
        "▏ WHERE total_cents IS NULL; -- 412 000 rows",
        "",
        "attempts   expected to take 15m",
        "  1 ✗ failed        12m  lane 2, 02:02:12",
        "    UNKNOWN: exit 3",
        "    rule: built-in: any other exit code is UNKNOWN",
        "",
        "output of attempt 1, last 7 of 34 lines (o: all)",
        "batch 207: 500 rows",
        "batch 208: 500 rows",
        "batch 209: 500 rows",
        "batch 210: 500 rows",
        "batch 211: 500 rows",
        "batch 212: 137 rows",
        "unexpected NULL in total at order 105 637",
        "",
        "needs      ✓ add-total-cents",
        "feeds      · index-orders  · check-orders",
        "about      phase backfill, value 9, risk 0.5, critical, timeout 30m",
        "holds      lock orders, 1 of writers",
        "rollback   sql on shop: UPDATE orders SET total_cents = NULL",
    ]


@pytest.mark.parametrize(
    ("view", "task_id", "words"),
    [
        (fixtures.running, "check-orders", "waits for backfill-orders"),
        (fixtures.at_barrier, "check-orders", "waits for its wave to open"),
        (fixtures.running, "drop-totals", "rollback   none: it cannot be undone"),
        (fixtures.running, "switch-reads", "★ critical path"),
    ],
)
def test_a_task_that_has_not_run_says_what_it_waits_for(
    view: Callable[[], RunView], task_id: str, words: str
) -> None:
    assert any(words in line for line in play(lambda: task_panel(view(), task_id), (72, 29)).shown)


def test_a_phase_whose_tasks_were_blocked_or_skipped_does_not_look_done() -> None:
    plan = fixtures.shop_plan()
    fault = Fault(task="check-orders", exit=1)
    simulation = Simulation(plan, outcomes=Faults(faults=(fault,)).outcomes(), on_unknown="skip")
    assert simulation.run().finished
    view = RunView(plan)
    view.fold(simulation.events)
    shown = play(lambda: WavesStrip(view), (118, 1)).shown[0]
    assert "✓ backfill 5/5" in shown
    assert "⊘ validate 1/2" in shown
    assert "■ switch 0/2" in shown
    assert "■ contract" in shown
