"""Finding tasks: what matches, in which order, and how one gets from match to match and back."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from console.app import ConsoleApp
from console.find import Finder, Term, parse
from console.run_view import RunView
from console.screens.finding import FindLine, FindScreen
from engine.machine.transitions import TaskStatus
from engine.plan.models import parse_plan_data
from tests.console import fixtures
from tests.console.panel_stage import lines_of
from tests.console.test_panels_layout import layered

SIZE = (120, 36)


def found(view: RunView, text: str) -> list[str]:
    finder = Finder(view)
    finder.search(text, None)
    return finder.matches


def test_words_and_fields_are_told_apart() -> None:
    assert parse("  Orders status:FAILED phase:expand ") == (
        Term("orders"),
        Term("failed", "status"),
        Term("expand", "phase"),
    )
    assert parse("a:b status:") == (Term("a:b"),)


def test_a_word_is_looked_for_in_id_name_status_phase_and_wave() -> None:
    view = fixtures.question_open()
    assert found(view, "index-orders") == ["index-orders"]
    assert found(view, "organisation") == ["add-org-id", "fill-orgs", "backfill-customers", "check-customers"]
    assert found(view, "failed") == ["backfill-orders"]
    assert found(view, "contract") == ["drop-totals", "drop-status-text", "analyze"]
    assert found(view, "status:succeeded phase:expand") == [
        "create-orgs",
        "add-total-cents",
        "create-statuses",
        "add-org-id",
    ]
    assert found(view, "name:statuses status:succeeded") == ["create-statuses"]
    assert found(view, "id:orders check") == ["check-orders"]
    assert found(view, "") == found(view, "   ") == []
    waves = fixtures.reference_running("wave")
    assert len(found(waves, "wave:finalization")) == len(found(waves, "wave:wave_4")) == 4


def test_statuses_of_two_words_are_found_however_they_are_written() -> None:
    view = fixtures.running()
    view.state.tasks["analyze"].status = TaskStatus.IN_DOUBT
    for text in ("status:in-doubt", "status:in_doubt", "in doubt", "in-doubt"):
        assert found(view, text) == ["analyze"]


def test_one_goes_from_match_to_match_and_round() -> None:
    finder = Finder(fixtures.running())
    assert finder.search("id:orders", "backfill-customers") == "index-orders"  # the first from there on
    assert finder.matches == ["backfill-orders", "index-orders", "check-orders"]
    assert finder.place == "2 of 3"
    assert [finder.step(1) for _ in range(3)] == ["check-orders", "backfill-orders", "index-orders"]
    assert [finder.step(-1) for _ in range(3)] == ["backfill-orders", "check-orders", "index-orders"]
    assert finder.search("nothing like it", "analyze") is None
    assert finder.place == "nothing found"
    assert finder.step(1) is None


def test_what_is_found_goes_with_what_happens() -> None:
    view = fixtures.running()
    finder = Finder(view)
    assert finder.search("status:failed", None) is None
    story = fixtures.running().events
    view.fold(fixtures.question_open().events[len(story) :])
    assert finder.step(1) == "backfill-orders"
    assert finder.place == "1 of 1"
    view.show_past(3)
    finder.refresh()
    assert finder.place == "nothing found"


def test_foreign_names_are_found_as_they_are_shown() -> None:
    names = {"wide": "移行テスト", "marks": "Cafe\u0301 [b]x[/b]"}
    tasks = [{"id": task, "name": name, "run": {"shell": "true"}} for task, name in names.items()]
    view = RunView(parse_plan_data({"wesley": 1, "name": "foreign", "tasks": tasks}))
    assert found(view, "テスト") == ["wide"]
    assert found(view, "CAFE\u0301 [b]") == ["marks"]
    assert found(view, "移\u202e行") == []


# -- on the screen -----------------------------------------------------------------------------------


class Desk:
    def __init__(self, pilot: Pilot[None], app: ConsoleApp) -> None:
        self.pilot, self.app, self.screen = pilot, app, app.run_screen

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    @property
    def selected(self) -> str | None:
        return self.screen.graph.selected

    @property
    def line(self) -> str:
        line = self.screen.query_one(FindLine)
        return str(line.render()) if line.display else ""


def at_desk(view: RunView, act: Callable[[Desk], Awaitable[None]], mode: str = "inspect") -> None:
    async def perform() -> None:
        app = ConsoleApp(view, mode=mode, actor="ana", now=lambda: fixtures.START)  # type: ignore[arg-type]
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause()
            await act(Desk(pilot, app))

    asyncio.run(perform())


def test_a_match_is_shown_while_one_types_and_kept_by_enter() -> None:
    async def act(desk: Desk) -> None:
        await desk.press("slash", *"check")
        assert isinstance(desk.app.screen, FindScreen)
        assert desk.selected == "check-orders"
        assert str(desk.app.screen.query_one("#find-place").render()) == "1 of 2"
        await desk.press("down")
        assert desk.selected == "check-customers"
        await desk.press("enter")
        assert desk.app.screen is desk.screen
        assert desk.selected == "check-customers"
        assert "find check   2 of 2" in desk.line
        await desk.press("n")
        assert desk.selected == "check-orders"
        assert "1 of 2" in desk.line
        await desk.press("N")
        assert desk.selected == "check-customers"
        await desk.press("escape")
        assert not desk.line
        assert desk.selected == "check-customers"
        assert not desk.screen.graph._found

    at_desk(fixtures.finished(), act)


@pytest.mark.parametrize("mode", ["live", "inspect"])
def test_escape_brings_back_what_was_there(mode: str) -> None:
    async def act(desk: Desk) -> None:
        graph = desk.screen.graph
        before, following = desk.selected, graph.follow
        await desk.press("slash", *"drop")
        assert desk.selected == "drop-totals"
        assert not graph.follow
        await desk.press("escape")
        assert (desk.selected, graph.follow) == (before, following)
        assert not desk.line
        assert desk.screen.query_one("Footer").display

    at_desk(fixtures.running(), act, mode)


def test_without_a_match_the_selection_stays_and_it_is_said() -> None:
    async def act(desk: Desk) -> None:
        before = desk.selected
        await desk.press("slash", *"dropx")
        assert desk.selected == before
        assert str(desk.app.screen.query_one("#find-place").render()) == "nothing found"
        await desk.press("backspace")
        assert desk.selected == "drop-totals"

    at_desk(fixtures.running(), act)


def test_an_earlier_search_is_there_again_and_escape_keeps_it() -> None:
    async def act(desk: Desk) -> None:
        await desk.press("slash", *"drop", "enter", "slash")
        assert desk.app.screen.query_one(Input).value == "drop"
        await desk.press(*"-s")
        assert desk.selected == "drop-status-text"
        await desk.press("escape")
        assert desk.selected == "drop-totals"
        assert "find drop   1 of 2" in desk.line

    at_desk(fixtures.running(), act)


def test_a_match_in_a_collapsed_group_is_brought_out() -> None:
    view = fixtures.told(layered(400, 40), 0.5)

    async def act(desk: Desk) -> None:
        graph = desk.screen.graph
        assert not any("t0007" in line for line in lines_of(graph)[:-1])
        await desk.press("slash", *"t0007", "enter")
        assert desk.selected == "t0007"
        assert any("t0007" in line for line in lines_of(graph)[:-1])

    at_desk(view, act)


def test_what_was_found_is_told_of_the_past_as_well() -> None:
    async def act(desk: Desk) -> None:
        await desk.press("slash", *"running", "enter")
        assert "nothing found" in desk.line
        await desk.press("home", "right_square_bracket", "right_square_bracket")
        desk.screen.show_moment(6)
        assert "found" in desk.line
        await desk.press("n")
        assert desk.selected == "create-orgs"
        assert "1 of " in desk.line

    at_desk(fixtures.finished(), act)
