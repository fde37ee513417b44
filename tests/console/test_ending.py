"""What the confirmation before running tasks are ended says is known of them."""

import asyncio

from textual.widgets import Static

from console.ending import what_ending_leaves
from console.run_view import RunView
from console.screens.stop import StopDialog
from engine.plan.models import Action, Plan, Target
from tests.console import fixtures
from tests.console.fixtures import HeldControls
from tests.console.recovery_stage import StageApp
from tests.console.wait_stage import FILLS, WAITS, with_backfill

GUESS = "may have taken effect or not. A resume looks for evidence,\nand asks you where there is none."


def told(view: RunView) -> list[str]:
    return what_ending_leaves(view.state, view.by_id, view.state.in_flight)


def on_postgres(view: RunView, sql: str) -> RunView:
    """`view`, with `sql` on PostgreSQL as what waits for a lock."""
    made = RunView(_changed(view.plan, sql), controls=HeldControls(15.0 * 60))
    made.fold(view.events)
    return made


def _changed(plan: Plan, sql: str) -> Plan:
    run = Action(sql=sql, on="shop")
    tasks = tuple(task.model_copy(update={"run": run}) if task.id == WAITS else task for task in plan.tasks)
    return plan.model_copy(update={"tasks": tasks, "targets": {"shop": Target(postgres="embedded")}})


def test_of_what_keeps_no_ledger_nothing_is_claimed_to_be_known() -> None:
    assert told(fixtures.lock_wait()) == [f"What they did {GUESS}"]


def test_a_backfill_keeps_its_batches_and_goes_on_behind_its_key() -> None:
    assert told(with_backfill(fixtures.lock_wait())) == [
        f"{FILLS} keeps the batches that it has done (412,000 of about 600,000 rows); "
        "a resume goes on behind their last key.",
        f"What {WAITS} did {GUESS}",
    ]


def test_many_backfills_are_told_together() -> None:
    view = with_backfill(fixtures.lock_wait())
    [kept] = what_ending_leaves(view.state, dict.fromkeys("abcde", view.by_id[FILLS]), "abcde")
    assert kept.startswith("a, b, c and 2 more keep the batches that they have done; a resume goes on")


def test_on_postgresql_the_ledger_tells_what_took_effect() -> None:
    ledger = (
        f"{WAITS}: what is not committed is undone, and the ledger in the database tells a resume what is."
    )
    view = on_postgres(with_backfill(fixtures.lock_wait()), "UPDATE t SET a = 1")
    assert told(view)[1:] == [ledger]
    view = on_postgres(with_backfill(fixtures.lock_wait()), "create index concurrently i on t (a)")
    assert told(view)[1:] == [
        ledger,
        f"{WAITS}: what runs in no transaction may leave an invalid index; the next attempt clears it away.",
    ]


def test_the_confirmation_says_it_and_keeps_its_keys_in_sight() -> None:
    async def play() -> None:
        view = on_postgres(with_backfill(fixtures.lock_wait()), "create index concurrently i on t (a)")
        async with StageApp().run_test(size=(80, 24)) as pilot:
            await pilot.app.push_screen(StopDialog(view, leaving=False))
            await pilot.press("e")
            await pilot.pause()
            text = pilot.app.screen.query_one("#stop-text", Static)
            assert all(each in str(text.render()) for each in told(view))
            assert pilot.app.screen.region.contains_region(text.region), "the keys come last"

    asyncio.run(play())
