"""Events are filtered by groups and by words; what is chosen stays chosen."""

from datetime import UTC, datetime

import pytest
from textual.pilot import Pilot

from console.app import ConsoleApp
from console.panels.event_filter import GROUPS, EventFilter
from console.panels.events import EventsPanel
from console.run_view import RunView
from engine.machine import events as ev
from tests.console import fixtures
from tests.console.panel_stage import keys, play

NOW = datetime(2026, 3, 14, 2, 15, tzinfo=UTC)


def passing(view: RunView, text: str) -> list[ev.Event]:
    return [event for event in view.events if EventFilter(text).lets_pass(event)]


def test_no_words_let_everything_pass() -> None:
    view = fixtures.finished()
    assert passing(view, "  ") == view.events


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_is_its_kinds(group: str) -> None:
    view = fixtures.midway().view()
    assert passing(view, group.upper()) == [each for each in view.events if isinstance(each, GROUPS[group])]


def test_groups_add_up_and_words_narrow() -> None:
    view = fixtures.midway().view()
    both = {event.seq for event in passing(view, "checkpoints run")}
    assert both == {event.seq for group in ("checkpoints", "run") for event in passing(view, group)}
    task = passing(view, "backfill-orders")
    assert task
    assert {getattr(event, "task", "backfill-orders") for event in task} >= {"backfill-orders"}
    started = passing(view, "backfill-orders task_started")
    assert [type(event) for event in started] == [ev.TaskStarted] * len(started) != []


def test_every_kind_of_failure_is_trouble() -> None:
    kinds = ev.Event.__subclasses__()
    named = {kind for kind in kinds if any(word in kind.__name__ for word in ("Failed", "Doubt", "Refused"))}
    assert named - {ev.DoubtSettled} <= set(GROUPS["trouble"])


def panel(view: RunView) -> EventsPanel:
    return EventsPanel(view)


def test_the_panel_shows_what_passes_and_says_of_how_many() -> None:
    view = fixtures.midway().view()

    async def act(pilot: Pilot[None]) -> None:
        pilot.app.query_one(EventsPanel).show_only("checkpoints")

    stage = play(lambda: panel(view), (100, 30), act)
    wanted = passing(view, "checkpoints")
    assert sum(map(bool, stage.shown)) == len(wanted) > 0
    assert stage.panel.border_subtitle == f"checkpoints: {len(wanted)} of {len(view.events)} events"


def test_new_events_are_filtered_too() -> None:
    run = fixtures.midway()
    view = run.view()

    async def act(pilot: Pilot[None]) -> None:
        shown = pilot.app.query_one(EventsPanel)
        shown.show_only("checkpoints")
        before = len(run.events)
        run.checkpoint("manual")
        view.fold(run.events[before:])
        shown.refresh_view()

    stage = play(lambda: panel(view), (100, 30), act)
    assert sum(map(bool, stage.shown)) == len(passing(view, "checkpoints"))


def test_the_chosen_event_stays_chosen_where_it_passes() -> None:
    view = fixtures.midway().view()

    async def act(pilot: Pilot[None]) -> None:
        shown = pilot.app.query_one(EventsPanel)
        saved = passing(view, "checkpoints")[0]
        shown._choose(view.events.index(saved))
        shown.show_only("checkpoints")
        assert shown.chosen == 0
        shown.show_only("")
        assert shown.chosen is not None
        assert view.events[shown.chosen] is saved

    play(lambda: panel(view), (100, 30), act)


def test_a_filter_that_nothing_passes_says_so_and_takes_keys() -> None:
    view = fixtures.midway().view()

    async def act(pilot: Pilot[None]) -> None:
        pilot.app.query_one(EventsPanel).show_only("no such thing")
        await keys("up", "down", "home", "end", "pageup", "enter")(pilot)

    assert play(lambda: panel(view), (100, 30), act).shown[0] == "No such event so far."


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_f_types_a_filter_escape_takes_it_back_and_t_is_the_task() -> None:
    view = fixtures.midway().view()
    app = ConsoleApp(view, mode="inspect", now=lambda: NOW)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("4", "f", *"trouble")
        shown = app.run_screen.query_one(EventsPanel)
        assert str(shown.border_subtitle).startswith("trouble:")
        await pilot.press("escape")
        assert not shown.border_subtitle
        await pilot.press("f", *"run", "enter")
        assert str(shown.border_subtitle).startswith("run:")
        app.run_screen.select_task("backfill-orders")
        await pilot.press("t")
        assert str(shown.border_subtitle).startswith("backfill-orders:")
        await pilot.press("y")
        assert "backfill-orders" in app.clipboard
        await pilot.press("t")
        assert not shown.border_subtitle
