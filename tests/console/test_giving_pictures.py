"""Pictures of what lies over the run: all of an output, saving it, filtering events, finding a task."""

from collections.abc import Callable

import pytest

from console.app import ConsoleApp
from tests.console import fixtures

Compare = Callable[..., bool]
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 36)])
TASK = "backfill-orders"
PRINTED = [
    f"02:{number // 60:02}:{number % 60:02} batch {number} of 400, {number * 500} rows"
    for number in range(400)
]


@pytest.fixture(autouse=True)
def _the_same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.chdir("/")


def _app() -> ConsoleApp:
    view = fixtures.midway().view(lines={(TASK, 1): PRINTED})
    return ConsoleApp(view, mode="inspect", now=lambda: fixtures.START)


def _found() -> list[str]:
    return ["slash", *TASK, "enter"]


@SIZES
def test_finding(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(_app(), terminal_size=size, press=["slash", *"backfill"])


@SIZES
def test_events_that_are_filtered(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(_app(), terminal_size=size, press=["4", "f", *"trouble"])


@SIZES
def test_all_of_an_output(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(_app(), terminal_size=size, press=[*_found(), "5", "o", "pageup"])


@SIZES
def test_saving_it(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(_app(), terminal_size=size, press=[*_found(), "5", "o", "w"])
