"""An event that is too long for its line can be read whole."""

import asyncio

from console.app import ConsoleApp
from console.panels.events import EventsPanel
from console.screens.output import OutputScreen
from console.sentences import in_full, sentence
from tests.console import fixtures
from tests.console.fixtures import START


def test_all_of_an_event_fits_on_a_narrow_screen_with_what_was_said() -> None:
    view = fixtures.question_open()
    *_, failed = (event for event in view.events if event.kind == "task_failed")
    when, _, *lines = in_full(failed)
    assert when.endswith("UTC · task_failed")
    said = lines.index("It said:")
    assert " ".join(lines[: said - 1]) == sentence(failed)
    assert lines[said + 1 :] == [
        "batch 211: 500 rows",
        "batch 212: 137 rows",
        "unexpected NULL in total at order 105 637",
    ]
    assert max(map(len, lines)) <= 72


def test_v_shows_the_chosen_event_and_else_the_newest() -> None:
    async def play() -> None:
        view = fixtures.midway().view()
        app = ConsoleApp(view, mode="inspect", now=lambda: START)
        async with app.run_test(size=(120, 36)) as pilot:
            await pilot.pause()
            app.run_screen.query_one(EventsPanel).focus()
            await pilot.press("v")
            assert isinstance(app.screen, OutputScreen)
            assert list(app.screen.shown.lines) == in_full(view.events[-1])
            await pilot.press("escape", "home", "v")
            assert isinstance(app.screen, OutputScreen)
            assert list(app.screen.shown.lines) == in_full(view.events[0])

    asyncio.run(play())
